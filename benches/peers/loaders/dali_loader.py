#!/usr/bin/env python3
"""DALI with CPU operators only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import nvidia.dali
from nvidia.dali import fn, pipeline_def, types
from serve import Task, View, check_views, parse_task, serve

PREFETCH = 3
# Pixels as they lie in the file, as PIL gives them.
DECODER = {"device": "cpu", "output_type": types.RGB, "adjust_orientation": False}


def single(encoded, view: View):
    """The decoder decodes only the crop."""
    image = fn.decoders.image_random_crop(
        encoded, random_area=view.scale, random_aspect_ratio=view.ratio, **DECODER
    )
    flip = fn.random.coin_flip(probability=view.flip)
    return fn.flip(fn.resize(image, size=[view.size, view.size], antialias=True), horizontal=flip)


def of_decoded(image, view: View):
    """One of several views of an image that was decoded once."""
    pixels = fn.random_resized_crop(
        image, size=[view.size, view.size], random_area=view.scale, random_aspect_ratio=view.ratio, antialias=True
    )
    pixels = fn.flip(pixels, horizontal=fn.random.coin_flip(probability=view.flip))
    jitter = view.jitter
    if jitter is not None:
        # One operator for the four changes and for greyscale, which is a saturation of 0.
        gray = fn.random.coin_flip(probability=view.gray, dtype=types.BOOL)
        applied = fn.random.coin_flip(probability=jitter["p"], dtype=types.BOOL)
        strength = fn.cast(applied, dtype=types.FLOAT)

        def factor(most: float):
            return 1.0 + strength * fn.random.uniform(range=[-most, most])

        hue = strength * fn.random.uniform(range=[-360 * jitter["hue"], 360 * jitter["hue"]])
        brightness, contrast = factor(jitter["brightness"]), factor(jitter["contrast"])
        saturation = factor(jitter["saturation"]) * (1.0 - fn.cast(gray, dtype=types.FLOAT))
        if applied or gray:
            pixels = fn.color_twist(
                pixels, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
            )
    if view.blur > 0:
        if fn.random.coin_flip(probability=view.blur, dtype=types.BOOL):
            pixels = fn.gaussian_blur(pixels, sigma=fn.random.uniform(range=view.sigma))
    if view.solarize > 0:
        if fn.random.coin_flip(probability=view.solarize, dtype=types.BOOL):
            values = np.arange(256)
            inverted = np.where(values >= view.threshold, 255 - values, values)
            pixels = fn.lookup_table(
                pixels, keys=values.tolist(), values=inverted.tolist(), dtype=types.UINT8
            )
    return pixels


def batches(task: Task) -> Iterator[int]:
    @pipeline_def(
        batch_size=task.batch,
        num_threads=task.workers,
        device_id=None,
        seed=0,
        prefetch_queue_depth=PREFETCH,
        enable_conditionals=True,
    )
    def views():
        encoded, _ = fn.readers.file(files=task.files, random_shuffle=True, initial_fill=1024)
        if len(task.views) == 1 and plain_crop(task.views[0]):
            return single(encoded, task.views[0])
        image = fn.decoders.image(encoded, **DECODER)
        return tuple(of_decoded(image, view) for view in task.views)

    pipeline = views()
    pipeline.build()
    while True:
        outputs = pipeline.run()
        check_views([tuple(output.as_tensor().shape()) for output in outputs], task.shapes())
        yield task.batch


def plain_crop(view: View) -> bool:
    return view.jitter is None and view.blur == 0 and view.solarize == 0 and view.gray == 0


if __name__ == "__main__":
    task = parse_task(__doc__)
    serve(
        task,
        batches(task),
        f"CPU operators, prefetch_queue_depth {PREFETCH}; one view: image_random_crop and resize; several: one"
        " decode, colour changes and greyscale in one operator, blur and solarise only where drawn",
        {"DALI": nvidia.dali.__version__},
    )
