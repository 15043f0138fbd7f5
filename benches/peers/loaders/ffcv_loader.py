#!/usr/bin/env python3
"""FFCV on its own file: images encoded anew at full resolution and its default quality, one view for each decode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numba
import numpy as np
import torch
from ffcv.fields import RGBImageField
from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import RandomHorizontalFlip, ToTensor
from ffcv.writer import DatasetWriter
from PIL import Image
from serve import Task, check_views, parse_task, serve

# The default of FFCV's field.
QUALITY = 90
# Epochs in a row for FFCV one: it empties its queue at the end of each.
REPEATS = 200
AHEAD = 3


class Files:
    """Images as FFCV's writer wants them."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Image.Image]:
        return (Image.open(self.files[index]).convert("RGB"),)


def write(task: Task) -> Path:
    """FFCV's file of the images, made once."""
    path = task.scratch / f"images-{QUALITY}.beton"
    if not path.exists():
        partial = path.with_suffix(".partial")
        field = RGBImageField(write_mode="jpg", jpeg_quality=QUALITY)
        writer = DatasetWriter(str(partial), {"image": field}, num_workers=os.cpu_count() or 1)
        writer.from_indexed_dataset(Files(task.files))
        partial.rename(path)
    return path


def batches(task: Task) -> Iterator[int]:
    [view] = task.views
    loader = Loader(
        str(write(task)),
        batch_size=task.batch,
        num_workers=task.workers,
        os_cache=True,
        order=OrderOption.RANDOM,
        indices=np.tile(np.arange(len(task.files)), REPEATS),
        batches_ahead=AHEAD,
        pipelines={
            "image": [
                RandomResizedCropRGBImageDecoder(
                    (view.size, view.size), scale=tuple(view.scale), ratio=tuple(view.ratio)
                ),
                RandomHorizontalFlip(view.flip),
                ToTensor(),
            ]
        },
    )
    while True:
        for (pixels,) in loader:
            check_views([tuple(pixels.shape)], task.shapes())
            yield len(pixels)


if __name__ == "__main__":
    task = parse_task(__doc__)
    serve(
        task,
        batches(task),
        f"its own file in memory: full resolution, JPEG quality {QUALITY}; os_cache, batches_ahead {AHEAD}",
        {"FFCV": version("ffcv"), "numba": numba.__version__, "torch": torch.__version__},
    )
