"""Twenty training steps by lightly's own modules: losses, groups, targets and gradients of every step.

`SMoGPrototypes`, both heads, `update_momentum` and `MemoryBankModule` are lightly's; the order of what happens in a
step is that of its `examples/pytorch/smog.py`. Ours are the numbers put in: a narrow ResNet-18 in double precision,
pictures by name, and the same first centroids for each k-means, as two libraries do not draw the same ones.

Made with lightly 1.6.0, torch 2.11.0, torchvision 0.26.0, scikit-learn 1.9.1.
"""

import copy

import torch
from lightly.loss.memory_bank import MemoryBankModule
from lightly.models import utils
from lightly.models.modules import SMoGPredictionHead, SMoGProjectionHead, SMoGPrototypes
from sklearn.cluster import KMeans
from torch import nn

from pattern import fill, pattern, write
from resnet import narrow, network

STEPS, RESET_EVERY, BATCH, SIDE = 20, 8, 16, 16
FEATURES, HIDDEN, DIM, GROUPS = 64, 24, 8, 12
# What the example does, in the words of our settings: the test runs with them, and the preset lightly-compat must agree.
SETTINGS = {
    "model": {
        "direction": "alternate",
        "momentum_predictor": False,
        "groups": {
            "beta": 0.99,
            "temperature": 0.1,
            "normalize_members": False,
            "renormalize_groups": False,
            "grad_through_groups": True,
        },
    },
    "optimizer": {
        "kind": "sgd",
        "momentum": 0.9,
        "weight_decay": 1e-6,
        "decay_norms_and_biases": True,
        "clip_grad_norm": 0.0,
    },
    "schedule": {
        "lr_per_256": 0.01,
        "warmup": "never",
        "final_lr_ratio": 1.0,
        "momentum_start": 0.99,
        "momentum_rises": False,
    },
    # scikit-learn's own numbers; `cluster` asserts them.
    "reset": {"copy_to_momentum": True, "kmeans": {"distance": "euclidean", "passes": 300, "tolerance": 1e-4}},
}
GROUP_SETTINGS, SGD, RATES = SETTINGS["model"]["groups"], SETTINGS["optimizer"], SETTINGS["schedule"]


def build():
    """lightly's heads filled by our names, which leave out the level `layers`."""
    encoder = narrow(network("resnet18", "cifar"), 8)
    projector = SMoGProjectionHead(FEATURES, HIDDEN, DIM)
    predictor = SMoGPredictionHead(DIM, HIDDEN, DIM)
    fill(encoder, "online.encoder.")
    fill(projector.layers, "online.projector.")
    fill(predictor.layers, "online.predictor.")
    return encoder.double(), projector.double(), predictor.double()


def frozen(module):
    module = copy.deepcopy(module)
    utils.deactivate_requires_grad(module)
    return module


def cluster(features):
    """lightly's: Euclidean k-means on the features as they are, then centroids of length 1."""
    features = features.double().numpy()
    start = features[:: len(features) // GROUPS][:GROUPS]
    kmeans = KMeans(GROUPS, init=start, n_init=1).fit(features)
    ours = SETTINGS["reset"]["kmeans"]
    assert (kmeans.max_iter, kmeans.tol) == (ours["passes"], ours["tolerance"])
    return nn.functional.normalize(torch.from_numpy(kmeans.cluster_centers_), dim=1), kmeans


def main():
    encoder, projector, predictor = build()
    momentum = [frozen(encoder), frozen(projector)]
    first = nn.functional.normalize(torch.from_numpy(pattern("groups", (GROUPS, DIM))).double(), dim=1)
    prototypes = SMoGPrototypes(first, beta=GROUP_SETTINGS["beta"])
    memory = MemoryBankModule(size=(RESET_EVERY * BATCH, DIM))
    parameters = {}
    for name, module in [("encoder", encoder), ("projector", projector.layers), ("predictor", predictor.layers)]:
        parameters.update({f"{name}.{key}": value for key, value in module.named_parameters()})
    optimizer = torch.optim.SGD(
        parameters.values(), lr=RATES["lr_per_256"], momentum=SGD["momentum"], weight_decay=SGD["weight_decay"]
    )
    criterion = nn.CrossEntropyLoss()
    steps = []
    for step in range(STEPS):
        x0, x1 = (torch.from_numpy(pattern(f"step{step} view{i}", (BATCH, 3, SIDE, SIDE))).double() for i in (0, 1))
        if step % 2:
            x0, x1 = x1, x0
        inertia = None
        if step > 0 and step % RESET_EVERY == 0:
            groups, kmeans = cluster(memory.bank)
            inertia = kmeans.inertia_
            prototypes.set_group_features(groups)
            momentum = [frozen(encoder), frozen(projector)]
        else:
            utils.update_momentum(encoder, momentum[0], RATES["momentum_start"])
            utils.update_momentum(projector, momentum[1], RATES["momentum_start"])

        encoded = projector(encoder(x0).flatten(start_dim=1))
        predicted = predictor(encoded)
        encoded_momentum = momentum[1](momentum[0](x1).flatten(start_dim=1))
        targets = prototypes.assign_groups(encoded_momentum)
        updated = prototypes.get_updated_group_features(encoded)
        logits = prototypes(predicted, updated, temperature=GROUP_SETTINGS["temperature"])
        prototypes.set_group_features(updated.detach())
        loss = criterion(logits, targets)
        memory(encoded, update=True)
        optimizer.zero_grad()
        loss.backward()
        steps.append(
            {
                "inertia": inertia,
                "loss": loss.item(),
                "targets": targets.tolist(),
                "group_norms": updated.detach().norm(dim=1).tolist(),
                "groups": updated.detach().flatten().tolist(),
                "gradient_norms": [p.grad.norm().item() for p in parameters.values()],
                "gradients": {
                    name: parameters[name].grad.flatten()[:4].tolist()
                    for name in ["encoder.conv1.weight", "projector.3.weight", "predictor.1.bias"]
                },
            }
        )
        optimizer.step()
    run = {"settings": SETTINGS, "parameters": list(parameters), "reset_every": RESET_EVERY, "steps": steps}
    write("lightly_steps", run)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
