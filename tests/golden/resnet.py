"""Features of torchvision's residual networks, in evaluation and training mode, in double precision."""

import torch
import torchvision

from pattern import fill, fnv1a, pattern, write


def network(arch, stem):
    model = getattr(torchvision.models, arch)()
    model.fc = torch.nn.Identity()
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model


def narrow(module, factor):
    """Divides the channels of every layer but the input's three."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Conv2d):
            inputs = 3 if child.in_channels == 3 else child.in_channels // factor
            sizes = (child.kernel_size, child.stride, child.padding)
            setattr(module, name, torch.nn.Conv2d(inputs, child.out_channels // factor, *sizes, bias=False))
        elif isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, torch.nn.BatchNorm2d(child.num_features // factor))
        else:
            narrow(child, factor)
    return module


def case(arch, stem, side):
    model = network(arch, stem)
    fill(model)
    model.double()
    state = model.state_dict()
    names = "".join(f"{name}:{list(tensor.shape)}\n".replace(" ", "") for name, tensor in state.items())
    images = torch.from_numpy(pattern("images", (4, 3, side, side))).double()
    model.eval()
    with torch.no_grad():
        eval_features = model(images)
    model.train()
    features = model(images)
    features.square().mean().backward()
    last = "layer4.1.bn2." if arch == "resnet18" else "layer4.2.bn3."
    state = model.state_dict()
    return {
        "arch": arch,
        "stem": stem,
        "side": side,
        "num_names": len(state),
        "names_fnv1a": fnv1a(names),
        "eval": eval_features[:, :8].flatten().tolist(),
        "eval_norm": eval_features.norm().item(),
        "train": features[:, :8].flatten().tolist(),
        "train_norm": features.norm().item(),
        "last_norm": last,
        "running_mean": state[last + "running_mean"][:8].tolist(),
        "running_var": state[last + "running_var"][:8].tolist(),
        "conv1_gradient": model.conv1.weight.grad.flatten()[:16].tolist(),
        "conv1_gradient_norm": model.conv1.weight.grad.norm().item(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    write(
        "resnet",
        [case("resnet18", "imagenet", 64), case("resnet18", "cifar", 16), case("resnet50", "imagenet", 64)],
    )
