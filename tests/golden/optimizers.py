"""Eight steps of each optimiser on given gradients, and clipping by the norm of all gradients (torch 2.11, lightly 1.6)."""

import numpy as np
import torch
from lightly.utils.lars import LARS

from pattern import pattern, write

SHAPES = {"a.weight": (4, 3), "b.weight": (2, 3), "b.bias": (3,)}
RATES = [0.1, 0.2, 0.3, 0.25, 0.2, 0.1, 0.05, 0.01]


def start(name, shape):
    # "b.weight" starts at zero: LARS must then take the gradient as it is.
    return pattern(name, shape).astype(np.float64) * (0.0 if name == "b.weight" else 1.0)


def gradient(name, shape, step):
    return pattern(f"{name} gradient {step}", shape).astype(np.float64) * 0.3


def with_torch(make):
    tensors = {name: torch.tensor(start(name, shape), requires_grad=True) for name, shape in SHAPES.items()}
    decayed = [tensor for name, tensor in tensors.items() if name.endswith("weight")]
    optimizer = make(decayed, [tensors["b.bias"]])
    trace = []
    for step, rate in enumerate(RATES):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradient(name, SHAPES[name], step))
        optimizer.step()
        trace.append({name: tensor.detach().flatten().tolist() for name, tensor in tensors.items()})
    return trace


def groups(decayed, others, weight_decay):
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def clipped(most):
    tensors = {name: torch.tensor(start(name, shape), requires_grad=True) for name, shape in SHAPES.items()}
    for name, tensor in tensors.items():
        tensor.grad = torch.tensor(gradient(name, SHAPES[name], 0))
    norm = torch.nn.utils.clip_grad_norm_(tensors.values(), most)
    gradients = {name: tensor.grad.flatten().tolist() for name, tensor in tensors.items()}
    return {"most": most, "norm": norm.item(), "gradients": gradients}


write(
    "optimizers",
    {
        "rates": RATES,
        "clipped": clipped(0.2),
        "sgd": with_torch(lambda d, o: torch.optim.SGD(groups(d, o, 0.01), 1.0, momentum=0.9)),
        "adamw": with_torch(lambda d, o: torch.optim.AdamW(groups(d, o, 0.1), 1.0, betas=(0.8, 0.95), eps=1e-6)),
        "lars": with_torch(lambda d, o: LARS(groups(d, o, 0.01), 1.0, momentum=0.9, trust_coefficient=0.02)),
    },
)
