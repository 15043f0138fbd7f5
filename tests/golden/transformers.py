"""Features and gradients of timm's vision Transformers and torchvision's Swin Transformers, without classifier."""

import timm
import torch
import torchvision

from pattern import fill, pattern, write
from resnet import names_of

GRADIENTS = {
    "vit": ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.11.mlp.fc1.bias"],
    "swin": [
        "features.0.0.weight",
        "features.1.1.attn.relative_position_bias_table",
        "features.1.1.attn.qkv.weight",
        "features.2.reduction.weight",
        "features.7.1.mlp.3.bias",
    ],
}


def network(arch, width, patch, image_size):
    if arch.startswith("vit"):
        heads = {"vit_small": 6, "vit_base": 12}[arch]
        sizes = {} if (width, patch, image_size) == (64, 16, 224) else {
            "embed_dim": heads * width, "patch_size": patch, "img_size": image_size
        }
        return timm.create_model(f"{arch}_patch16_224", num_classes=0, dynamic_img_size=True, **sizes)
    if (width, patch) == (64, 4):
        model = getattr(torchvision.models, arch)()
    else:
        model = torchvision.models.SwinTransformer(
            [patch, patch], 3 * width // 2, {"swin_t": [2, 2, 6, 2]}[arch], [3, 6, 12, 24], [7, 7]
        )
    model.head = torch.nn.Identity()
    return model


def view(model, names, batch, side):
    images = torch.from_numpy(pattern("images", (batch, 3, side, side)))
    features = model(images)
    model.zero_grad()
    (features * torch.from_numpy(pattern("direction", tuple(features.shape)))).sum().backward()
    gradients = {name: model.get_parameter(name).grad for name in names}
    return {
        "batch": batch,
        "side": side,
        "features": features[:, :16].flatten().tolist(),
        "norm": features.norm().item(),
        "gradients": {
            name: {"first": gradient.flatten()[:8].tolist(), "norm": gradient.norm().item()}
            for name, gradient in gradients.items()
        },
    }


def case(arch, width, patch, image_size, views):
    model = network(arch, width, patch, image_size)
    fill(model)
    # Evaluation mode: the same but for drop path, which draws other numbers here.
    model.eval()
    names = GRADIENTS[arch.split("_")[0]]
    return {
        "arch": arch,
        "width": width,
        "patch": patch,
        "image_size": image_size,
        **names_of(model),
        "views": [view(model, names, *values) for values in views],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    write(
        "transformers",
        [
            case("vit_small", 64, 16, 224, [(1, 224), (2, 96)]),
            case("vit_base", 64, 16, 224, [(1, 96)]),
            case("vit_small", 8, 4, 32, [(2, 32), (2, 24), (1, 48)]),
            case("swin_t", 64, 4, 224, [(1, 224), (2, 96)]),
            case("swin_s", 64, 4, 224, [(1, 96)]),
            case("swin_t", 16, 2, 224, [(2, 32), (1, 60)]),
        ],
    )
