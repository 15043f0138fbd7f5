"""Golden views for the augmentation kernels, from PIL and torchvision.

Run: python3 make_augment_golden.py        (torch 2.11, torchvision 0.26, Pillow 12, numpy 2)

Writes into augment/: source.png, one PNG per case with what the oracle makes of it, and cases.json with
the plan of each case (as `ViewPlan` in the Rust code) and the bounds that the Rust renderer has to keep:
largest and mean difference of a value.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode

OUT = pathlib.Path(__file__).parent / "augment"
SIDE = 48
WIDTH, HEIGHT = 96, 80


def make_source():
    """Gradients, saturated discs, fine stripes, a grey patch and noise: something for every kernel."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    image = np.stack([x / WIDTH * 255, y / HEIGHT * 255, 255 - (x + y) / (WIDTH + HEIGHT) * 255], -1)
    discs = ((20, 20, 14, (250, 20, 10)), (70, 25, 17, (15, 240, 60)), (45, 60, 15, (30, 20, 235)))
    for cx, cy, radius, colour in discs:
        image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
    stripes = (x > 70) & (y > 50)
    image[stripes] = np.where(((x[stripes] // 2) % 2 == 0)[:, None], 255, 0)
    image[(x < 22) & (y > 55)] = 128
    image += rng.normal(0, 6, image.shape)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def plan(crop=None, flip=False, jitter=None, gray=False, blur=None, solarize=None, size=SIDE):
    x, y, width, height = crop or (24, 16, SIDE, SIDE)
    if jitter:
        jitter = {
            "order": ["brightness", "contrast", "saturation", "hue"],
            "brightness": 1.0,
            "contrast": 1.0,
            "saturation": 1.0,
            "hue": 0.0,
        } | jitter
    return {
        "size": size,
        "crop": {"x": x, "y": y, "width": width, "height": height},
        "flip": flip,
        "jitter": jitter,
        "gray": gray,
        "blur": blur,
        "solarize": solarize,
    }


def main():
    OUT.mkdir(exist_ok=True)
    source = make_source()
    source.save(OUT / "source.png", optimize=True)
    base = source.crop((24, 16, 24 + SIDE, 16 + SIDE))
    cases = []

    def case(name, plan, image, max_difference, mean_difference):
        assert image.size == (plan["size"], plan["size"]), (name, image.size)
        image.save(OUT / f"{name}.png", optimize=True)
        bounds = {"max_difference": max_difference, "mean_difference": mean_difference}
        cases.append({"name": name, "plan": plan} | bounds)

    def resized(name, x, y, width, height, flip=False, size=SIDE):
        view = F.resized_crop(
            source, y, x, height, width, [size, size], InterpolationMode.BILINEAR, antialias=True
        )
        view = F.horizontal_flip(view) if flip else view
        case(name, plan((x, y, width, height), flip, size=size), view, 3, 0.5)

    resized("crop_whole", 0, 0, WIDTH, HEIGHT)
    resized("crop_down", 7, 3, 83, 70)
    resized("crop_up", 30, 40, 19, 23)
    resized("crop_flip", 11, 9, 60, 45, flip=True)
    resized("crop_tiny", 0, 0, WIDTH, HEIGHT, size=9)
    # Resize the short side to 56, then the centre 48: the box lies between source pixels.
    resize, (scale_x, scale_y) = 56, (WIDTH / 67, HEIGHT / 56)
    left, top = round((67 - SIDE) / 2.0), round((56 - SIDE) / 2.0)
    centre = F.center_crop(F.resize(source, [resize], InterpolationMode.BILINEAR), [SIDE, SIDE])
    box = (left * scale_x, top * scale_y, SIDE * scale_x, SIDE * scale_y)
    case("crop_centre", plan(box), centre, 3, 0.5)

    case("flip", plan(flip=True), F.horizontal_flip(base), 0, 0)
    for factor in (0.0, 0.6, 0.93, 1.4, 3.0):
        view = F.adjust_brightness(base, factor)
        case(f"brightness_{factor}", plan(jitter={"brightness": factor}), view, 1, 1)
        view = F.adjust_contrast(base, factor)
        case(f"contrast_{factor}", plan(jitter={"contrast": factor}), view, 1, 1)
        view = F.adjust_saturation(base, factor)
        case(f"saturation_{factor}", plan(jitter={"saturation": factor}), view, 1, 1)
    for turns in (-0.5, -0.1, 0.03, 0.1, 0.37):
        tensor = F.to_dtype(F.to_image(base), torch.float32, scale=True)
        view = (F.adjust_hue(tensor, turns) * 255).round().to(torch.uint8)
        case(f"hue_{turns}", plan(jitter={"hue": turns}), F.to_pil_image(view), 1, 1)
    # What PIL's byte-wise HSV makes of it, for comparison: no closer than that rounding allows.
    view = F.adjust_hue(base, 0.1)
    case("hue_as_pil", plan(jitter={"hue": 0.1}), view, 16, 1.5)
    case("gray", plan(gray=True), F.to_grayscale(base, num_output_channels=3), 0, 0)
    for sigma in (0.1, 0.5, 1.0, 1.3, 2.0, 3.5):
        kernel = 2 * min(math.ceil(6 * sigma), SIDE - 1) + 1
        view = F.to_pil_image(F.gaussian_blur(F.to_image(base), [kernel, kernel], [sigma, sigma]))
        case(f"blur_{sigma}", plan(blur=sigma), view, 2, 1)
    for threshold in (128, 1):
        view = ImageOps.solarize(base, threshold)
        case(f"solarize_{threshold}", plan(solarize=threshold), view, 0, 0)

    # Everything at once, in another order. Differences of the steps add up.
    order = ["hue", "saturation", "contrast", "brightness"]
    jitter = {"order": order, "brightness": 1.2, "contrast": 0.7, "saturation": 1.1, "hue": -0.07}
    view = F.resized_crop(
        source, 5, 8, 66, 71, [SIDE, SIDE], InterpolationMode.BILINEAR, antialias=True
    )
    view = F.horizontal_flip(view)
    tensor = F.adjust_hue(F.to_dtype(F.to_image(view), torch.float32, scale=True), -0.07)
    view = F.to_pil_image((tensor * 255).round().to(torch.uint8))
    view = F.adjust_saturation(view, 1.1)
    view = F.adjust_contrast(view, 0.7)
    view = F.adjust_brightness(view, 1.2)
    view = F.to_pil_image(F.gaussian_blur(F.to_image(view), [15, 15], [1.1, 1.1]))
    everything = plan((8, 5, 71, 66), True, jitter, blur=1.1)
    case("everything", everything, view, 5, 1.5)

    (OUT / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
