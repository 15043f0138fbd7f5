"""One judge for both sides: weighted k-NN over cosine similarity (DINO's rule), k = 200, T = 0.1."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from narrow_resnet import NarrowResNet18
from PIL import Image
from safetensors.torch import load_file

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
K, TEMPERATURE = 200, 0.1


def read_folder(folder: Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pictures u8 `[N, 32, 32, 3]` and labels of `folder/CLASS/*`, in the order of their paths."""
    images, labels = [], []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir() if path.is_dir())):
        for path in sorted((folder / name).iterdir()):
            with Image.open(path) as image:
                images.append(numpy.asarray(image.convert("RGB")))
            labels.append(label)
    if not images:
        raise SystemExit(f"{folder} holds no CLASS/*.jpg")
    return numpy.stack(images), numpy.asarray(labels)


def encode(network: torch.nn.Module, images: numpy.ndarray) -> torch.Tensor:
    """Unit-length features `[N, F]`."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), 250):
            batch = torch.from_numpy(images[start : start + 250]).permute(0, 3, 1, 2).float() / 255
            batch = ((batch - MEAN) / STD).contiguous(memory_format=torch.channels_last)
            parts.append(torch.nn.functional.normalize(network(batch), dim=1))
    return torch.cat(parts)


def accuracy(weights: Path | None, width: int, bank: tuple, queries: tuple) -> float:
    """Share of `queries` (pictures, labels) that their neighbours in `bank` name rightly; `None`: random weights."""
    torch.manual_seed(0)
    network = NarrowResNet18(width).to(memory_format=torch.channels_last).eval()
    if weights is not None:
        network.load_state_dict(load_file(weights), strict=True)
    features, labels = encode(network, bank[0]), torch.from_numpy(bank[1])
    asked, truth = encode(network, queries[0]), torch.from_numpy(queries[1])
    num_classes, right = int(labels.max()) + 1, 0
    for start in range(0, len(asked), 1000):
        similar, rows = (asked[start : start + 1000] @ features.T).topk(K, dim=1)
        votes = torch.zeros(len(similar), num_classes)
        votes.scatter_add_(1, labels[rows], (similar / TEMPERATURE).exp())
        right += int((votes.argmax(1) == truth[start : start + 1000]).sum())
    return right / len(asked)
