"""SMoG's loss as loops over pairs, pictures and groups (method as described in the crate's docs)."""

import torch


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def nearest(x, groups):
    return [max(range(len(groups)), key=lambda k: float(unit(row) @ unit(groups[k]))) for row in x]


def smog(v, z, t, groups, settings, same):
    """v: projections of each member view, z: predictions of each online view, t: momentum features of each target
    view, all lists of [B, d]. same(p, q): online view p is target view q. Returns loss, G', c, y, counts."""
    beta, tau = settings["beta"], settings["temperature"]
    targets = [nearest(view, groups) for view in t]
    assigned = [nearest(view.detach(), groups) for view in v]
    updated, counts = [], []
    for k in range(len(groups)):
        members = [row for view, a in zip(v, assigned) for row, c in zip(view, a) if c == k]
        counts.append(len(members))
        if settings["normalize_members"]:
            members = [unit(row) for row in members]
        if not settings["grad_through_groups"]:
            members = [row.detach() for row in members]
        if members:
            mean = sum(members) / len(members)
            updated.append(beta * groups[k] + (1 - beta) * mean)
        else:
            updated.append(groups[k])
    losses = []
    for p, view in enumerate(z):
        for q, wanted in enumerate(targets):
            if same(p, q):
                continue
            for row, y in zip(view, wanted):
                logits = torch.stack([unit(row) @ unit(g) for g in updated]) / tau
                losses.append(torch.logsumexp(logits, 0) - logits[y])
    updated = torch.stack(updated)
    return sum(losses) / len(losses), updated, assigned, targets, counts
