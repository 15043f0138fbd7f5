#!/usr/bin/env python3
"""torchvision's transforms in torch's DataLoader, on PIL images or (--tensors) on tensors of decode_jpeg."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import PIL
import torch
import torchvision
from PIL import Image
from serve import Task, View, check_views, parse_task, serve
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

PREFETCH = 4


def transform_of(view: View, tensors: bool) -> v2.Compose:
    """The transforms of a view in the order of the SSL recipes."""
    steps: list[torch.nn.Module] = [
        v2.RandomResizedCrop(view.size, scale=tuple(view.scale), ratio=tuple(view.ratio), antialias=True)
    ]
    if view.flip:
        steps.append(v2.RandomHorizontalFlip(view.flip))
    if view.jitter:
        names = ("brightness", "contrast", "saturation", "hue")
        steps.append(v2.RandomApply([v2.ColorJitter(**{name: view.jitter[name] for name in names})], view.jitter["p"]))
    if view.gray:
        steps.append(v2.RandomGrayscale(view.gray))
    if view.blur:
        # The kernel has a fixed size: three times the largest sigma to each side.
        kernel = 2 * math.ceil(3 * view.sigma[1]) + 1
        steps.append(v2.RandomApply([v2.GaussianBlur(kernel, tuple(view.sigma))], view.blur))
    if view.solarize:
        steps.append(v2.RandomSolarize(view.threshold, view.solarize))
    if not tensors:
        steps.append(v2.PILToTensor())
    return v2.Compose(steps)


class Views(Dataset):
    """All views of a file from one decode."""

    def __init__(self, task: Task, tensors: bool) -> None:
        self.files, self.tensors = task.files, tensors
        self.transforms = [transform_of(view, tensors) for view in task.views]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        if self.tensors:
            image = decode_jpeg(read_file(self.files[index]), mode=ImageReadMode.RGB)
        else:
            with Image.open(self.files[index]) as file:
                image = file.convert("RGB")
        return [transform(image) for transform in self.transforms]


class Endless(Sampler):
    """No end of an epoch, at which the workers would run dry."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __iter__(self) -> Iterator[int]:
        return self.task.endless_order()


def one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def batches(task: Task, tensors: bool) -> Iterator[int]:
    loader = DataLoader(
        Views(task, tensors),
        batch_size=task.batch,
        sampler=Endless(task),
        num_workers=task.workers,
        persistent_workers=True,
        prefetch_factor=PREFETCH,
        worker_init_fn=one_thread,
    )
    shapes = [(batch, 3, height, width) for batch, height, width, _ in task.shapes()]
    for views in loader:
        check_views([tuple(view.shape) for view in views], shapes)
        yield len(views[0])


if __name__ == "__main__":
    tensors = "--tensors" in sys.argv
    if tensors:
        sys.argv.remove("--tensors")
    task = parse_task(__doc__)
    torch.set_num_threads(1)
    kind = "tensors of decode_jpeg" if tensors else f"PIL images, Pillow {PIL.__version__}"
    serve(
        task,
        batches(task, tensors),
        f"transforms v2 on {kind}; persistent worker processes with one torch thread, prefetch_factor {PREFETCH}",
        {"torch": torch.__version__, "torchvision": torchvision.__version__, "Pillow": PIL.__version__},
    )
