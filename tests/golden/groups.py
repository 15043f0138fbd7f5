"""Loss and gradients on given projections, for every combination of the switches and both directions."""

import itertools

import torch

from pattern import pattern, write
from reference import smog

B, D, K = 6, 5, 16


def rows(name, scale):
    return torch.from_numpy(pattern(name, (B, D))).double() * scale


cases = []
for direction, (members, grad) in itertools.product(["both", "alternate"], itertools.product([True, False], repeat=2)):
    if direction == "both":
        online, targets = [0, 1, 2, 3], [0, 1]
    else:
        online, targets = [0, 2, 3], [1]
    num_members = sum(1 for view in online if view < 2)
    settings = {"beta": 0.9, "temperature": 0.2, "normalize_members": members, "grad_through_groups": grad}
    v = [rows(f"v{view}", 3.0).requires_grad_() for view in online[:num_members]]
    z = [rows(f"z{view}", 2.0).requires_grad_() for view in online]
    t = [rows(f"t{view}", 1.0) for view in targets]
    groups = torch.from_numpy(pattern("groups", (K, D))).double()
    groups = groups / groups.norm(dim=1, keepdim=True)
    loss, updated, assigned, wanted, counts = smog(v, z, t, groups, settings, lambda p, q: online[p] == targets[q])
    loss.backward()
    cases.append(
        {
            "direction": direction,
            "settings": settings,
            "loss": loss.item(),
            "assigned": sum(assigned, []),
            "targets": sum(wanted, []),
            "counts": counts,
            "updated": updated.detach().flatten().tolist(),
            "dz": torch.cat([x.grad for x in z]).flatten().tolist(),
            "dv": torch.cat([torch.zeros(B, D) if x.grad is None else x.grad for x in v]).flatten().tolist(),
        }
    )
write("groups", cases)
