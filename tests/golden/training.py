"""Whole training steps: a narrow ResNet-18 with the CIFAR stem, heads, groups, SGD and moving average, in double precision."""

import copy

import torch
from torch import nn

from pattern import fill, pattern, write
from reference import smog, unit
from resnet import narrow, network

DIM, HIDDEN, K, B, LR, KEEP = 8, 24, 12, 8, 0.002, 0.9


class Online(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow(network("resnet18", "cifar"), 8)
        self.projector = nn.Sequential(
            nn.Linear(64, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, DIM, bias=False), nn.BatchNorm1d(DIM, affine=False),
        )
        self.predictor = nn.Sequential(
            nn.Linear(DIM, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM)
        )
        self.double()


def run(direction, momentum_predictor, renormalize, num_steps=4):
    online = Online()
    fill(online, "online.")
    momentum = copy.deepcopy(online)
    groups = unit(torch.from_numpy(pattern("groups", (K, DIM))).double())
    decayed = [p for p in online.parameters() if p.dim() > 1]
    others = [p for p in online.parameters() if p.dim() <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 1e-3}, {"params": others, "weight_decay": 0.0}], LR, momentum=0.9
    )
    settings = {"beta": 0.9, "temperature": 0.1, "normalize_members": True, "grad_through_groups": True}
    losses = []
    for step in range(num_steps):
        sides = enumerate([16, 16, 8])
        views = [torch.from_numpy(pattern(f"step{step} view{i}", (B, 3, s, s))).double() for i, s in sides]
        if direction == "both":
            seen, targets = [0, 1, 2], [0, 1]
        else:
            target = (step + 1) % 2
            seen, targets = [1 - target, 2], [target]
        with torch.no_grad():
            t = momentum.projector(momentum.encoder(torch.cat([views[i] for i in targets])))
            if momentum_predictor:
                t = momentum.predictor(t)
        large = [i for i in seen if i < 2]
        v = online.projector(online.encoder(torch.cat([views[i] for i in large])))
        z = online.predictor(v)
        z_small = online.predictor(online.projector(online.encoder(views[2])))
        loss, updated, *_ = smog(
            v.split(B), [*z.split(B), z_small], t.split(B), groups, settings, lambda p, q: seen[p] == targets[q]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        groups = unit(updated.detach()) if renormalize else updated.detach()
        with torch.no_grad():
            for own, other in zip(momentum.parameters(), online.parameters()):
                own.mul_(KEEP).add_(other, alpha=1 - KEEP)
        losses.append(loss.item())
    name = "encoder.layer4.1.bn2.running_mean"
    return {
        "direction": direction,
        "momentum_predictor": momentum_predictor,
        "renormalize_groups": renormalize,
        "losses": losses,
        "groups": groups.flatten().tolist(),
        "online_running_mean": online.state_dict()[name][:8].tolist(),
        "momentum_running_mean": momentum.state_dict()[name][:8].tolist(),
        "momentum_conv1": momentum.encoder.conv1.weight.detach().flatten()[:8].tolist(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    write("training", [run("both", False, True), run("alternate", True, False)])
