#!/usr/bin/env python3
"""libjpeg-turbo by way of simplejpeg: every file decoded in full from memory, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import simplejpeg
from serve import Task, parse_task, serve


def batches(task: Task) -> Iterator[int]:
    images = [Path(file).read_bytes() for file in task.files]
    order = task.endless_order()
    while True:
        for _ in range(task.batch):
            simplejpeg.decode_jpeg(images[next(order)], colorspace="RGB")
        yield task.batch


if __name__ == "__main__":
    task = parse_task(__doc__)
    if task.workers != 1:
        raise SystemExit("this loader has one thread")
    settings = "accurate DCT and upsampling, from memory"
    serve(task, batches(task), settings, {"simplejpeg": simplejpeg.__version__})
