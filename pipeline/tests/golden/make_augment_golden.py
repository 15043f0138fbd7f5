"""Golden views for the augmentation kernels, from PIL and torchvision.

Run: python3 make_augment_golden.py
    pip install torch==2.11.0 torchvision==0.26.0 pillow==12.0.0 numpy==2.4.6

Writes into augment/: source.png and photo.jpg, one PNG per case with what the oracle makes of it, and cases.json
with the source and the plan of each case (as `ViewPlan` in the Rust code) and the bounds that the Rust renderer
has to keep: largest and mean difference of a value. README.md says which oracle is asked and why.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torchvision.transforms as T
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


def make_photo():
    """A JPEG with chroma subsampling, large enough to be reduced eightfold: waves, edges and noise."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:240, 0:323].astype(float)
    wave = lambda t: 127.5 + 110 * np.sin(t)
    image = np.stack([wave(x / 23 + y / 71), wave(y / 19 + 1), wave((x + 2 * y) / 37 + 2)], -1)
    image[(x - 90) ** 2 + (y - 80) ** 2 < 2500] = (240, 40, 30)
    image[(x > 180) & (x < 290) & (y > 120) & (y < 200)] = (30, 60, 190)
    image[(x + y) % 40 < 3] *= 0.4
    image += rng.normal(0, 4, image.shape)
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


def adjust(view, kind, factor):
    """One step of the jitter on a PIL image; hue in floating point."""
    if kind == "hue":
        tensor = F.adjust_hue(F.to_dtype(F.to_image(view), torch.float32, scale=True), factor)
        return F.to_pil_image((tensor * 255).round().to(torch.uint8))
    return getattr(F, f"adjust_{kind}")(view, factor)


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    source = make_source()
    source.save(OUT / "source.png", optimize=True)
    make_photo().save(OUT / "photo.jpg", quality=88, subsampling="4:2:0")
    photo = Image.open(OUT / "photo.jpg").convert("RGB")
    base = source.crop((24, 16, 24 + SIDE, 16 + SIDE))
    cases = []

    def case(name, plan, image, max_difference, mean_difference, of="source.png"):
        assert image.size == (plan["size"], plan["size"]), (name, image.size)
        image.save(OUT / f"{name}.png", optimize=True)
        bounds = {"max_difference": max_difference, "mean_difference": mean_difference}
        cases.append({"name": name, "source": of, "plan": plan} | bounds)

    def resized(name, x, y, width, height, flip=False, size=SIDE, of="source.png"):
        view = F.resized_crop(
            photo if of == "photo.jpg" else source, y, x, height, width, [size, size], InterpolationMode.BILINEAR, antialias=True
        )
        view = F.horizontal_flip(view) if flip else view
        case(name, plan((x, y, width, height), flip, size=size), view, 3, 0.5, of)

    resized("crop_whole", 0, 0, WIDTH, HEIGHT)
    resized("crop_down", 7, 3, 83, 70)
    resized("crop_up", 30, 40, 19, 23)
    resized("crop_flip", 11, 9, 60, 45, flip=True)
    resized("crop_tiny", 0, 0, WIDTH, HEIGHT, size=9)
    # Boxes of odd sizes, at every border, down to one pixel; scales from 1/20 to 48.
    resized("crop_same", 31, 17, SIDE, SIDE)
    resized("crop_right_bottom", WIDTH - 37, HEIGHT - 41, 37, 41)
    resized("crop_left_bottom", 0, HEIGHT - 61, 53, 61)
    resized("crop_right_top", WIDTH - 5, 0, 5, 7)
    resized("crop_all_but_one", 1, 1, WIDTH - 1, HEIGHT - 1)
    resized("crop_strip", 3, 50, 90, 3)
    resized("crop_column", 71, 0, 1, HEIGHT)
    resized("crop_one_pixel", 20, 21, 1, 1)
    resized("crop_two_pixels", 94, 78, 2, 2)
    resized("photo_whole", 0, 0, 323, 240, of="photo.jpg")
    resized("photo_odd", 13, 7, 301, 229, of="photo.jpg", size=33)
    resized("photo_twentieth", 0, 0, 320, 240, of="photo.jpg", size=16)
    resized("photo_up", 101, 77, 41, 53, of="photo.jpg", size=64)
    resized("photo_right", 323 - 199, 3, 199, 237, of="photo.jpg", size=96, flip=True)
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
    # The kernel length of the reference recipes, whatever the sigma.
    for sigma in (0.1, 0.7, 2.0):
        view = F.to_pil_image(F.gaussian_blur(F.to_image(base), [23, 23], [sigma, sigma]))
        case(f"blur_23_{sigma}", plan(blur=sigma), view, 2, 1)
    for threshold in (128, 1, 0, 255):
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

    # Whole views with parameters that torchvision draws itself, as its transforms would apply them.
    torch.manual_seed(11)
    jitter = T.ColorJitter(0.4, 0.4, 0.2, 0.1)
    kinds = ("brightness", "contrast", "saturation", "hue")
    for number in range(12):
        y, x, height, width = T.RandomResizedCrop.get_params(photo, [0.05, 1.0], [3 / 4, 4 / 3])
        flip, jittered, gray, blurred, solarized = (torch.rand(5) < torch.tensor([0.5, 0.8, 0.2, 0.5, 0.2])).tolist()
        order, *factors = T.ColorJitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        sigma = T.GaussianBlur.get_params(0.1, 2.0)
        view = F.resized_crop(photo, y, x, height, width, [64, 64], InterpolationMode.BILINEAR, antialias=True)
        view = F.horizontal_flip(view) if flip else view
        drawn = dict(zip(kinds, factors)) | {"order": [kinds[index] for index in order]}
        if jittered:
            for kind in drawn["order"]:
                view = adjust(view, kind, drawn[kind])
        view = F.to_grayscale(view, num_output_channels=3) if gray else view
        if blurred:
            view = F.to_pil_image(F.gaussian_blur(F.to_image(view), [23, 23], [sigma, sigma]))
        view = ImageOps.solarize(view, 128) if solarized else view
        whole = plan(
            (x, y, width, height), flip, drawn if jittered else None, gray, sigma if blurred else None,
            128 if solarized else None, size=64,
        )  # fmt: skip
        # Solarisation turns a difference of 1 at the threshold into one of 255.
        case(f"drawn_{number}", whole, view, 255 if solarized else 8, 0.5, "photo.jpg")

    (OUT / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
