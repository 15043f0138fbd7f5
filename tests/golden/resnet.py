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


def resize(module, change):
    """Changes the channels of every layer but the input's three."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Conv2d):
            inputs = 3 if child.in_channels == 3 else change(child.in_channels)
            sizes = (child.kernel_size, child.stride, child.padding)
            setattr(module, name, torch.nn.Conv2d(inputs, change(child.out_channels), *sizes, bias=False))
        elif isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, torch.nn.BatchNorm2d(change(child.num_features)))
        else:
            resize(child, change)
    return module


def narrow(module, factor):
    return resize(module, lambda channels: channels // factor)


def names_of(model):
    state = model.state_dict()
    names = "".join(f"{name}:{list(tensor.shape)}\n".replace(" ", "") for name, tensor in state.items())
    return {"num_names": len(state), "names_fnv1a": fnv1a(names)}


def wide(arch, factor, side):
    """Every width times a factor, as in SwAV's and SimCLR's RN50-w2 and -w4; torchvision's wide_resnet widens the inner
    convolutions of a bottleneck only. In evaluation mode and single precision."""
    model = resize(network(arch, "imagenet"), lambda channels: channels * factor)
    fill(model)
    model.eval()
    with torch.no_grad():
        features = model(torch.from_numpy(pattern("images", (1, 3, side, side))))
    first = features[:, :32].flatten().tolist()
    return {"arch": arch, "width": 64 * factor, "side": side, **names_of(model), "eval": first, "eval_norm": features.norm().item()}


def case(arch, stem, side):
    model = network(arch, stem)
    fill(model)
    model.double()
    images = torch.from_numpy(pattern("images", (4, 3, side, side))).double()
    model.eval()
    with torch.no_grad():
        eval_features = model(images)
    model.train()
    features = model(images)
    features.square().mean().backward()
    last = {"resnet18": "layer4.1.bn2.", "resnet34": "layer4.2.bn2."}.get(arch, "layer4.2.bn3.")
    state = model.state_dict()
    return {
        "arch": arch,
        "stem": stem,
        "side": side,
        **names_of(model),
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
    cases = [("resnet18", "imagenet", 64), ("resnet18", "cifar", 16), ("resnet50", "imagenet", 64)]
    write("resnet", [case(*values) for values in [*cases, ("resnet34", "cifar", 16)]])
    cases = [("resnet101", 1, 64), ("resnet50", 2, 64), ("resnet18", 4, 32), ("resnet50", 4, 64)]
    write("resnet_wide", [wide(*values) for values in cases])
