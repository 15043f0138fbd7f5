"""How torchvision's `RandomResizedCrop` and `ColorJitter` distribute their parameters.

Run: python3 make_params_golden.py         (torch 2.11.0, torchvision 0.26.0, Pillow 12.0.0, numpy 2.4.6)

Writes params.json. For each case torchvision draws NUM crops; stored are the values of the empirical distribution
functions of area share, logarithm of the aspect ratio, and place at POINTS values each, and the share of crops
that are the fallback box. The Rust test compares its own draws with them (Kolmogorov and Smirnov).
"""

import json
import math
import pathlib

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

NUM = 20_000
POINTS = 50
CASES = (
    (500, 375, (0.2, 1.0), (3 / 4, 4 / 3)),
    (375, 500, (0.08, 1.0), (3 / 4, 4 / 3)),
    (500, 375, (0.05, 0.2), (3 / 4, 4 / 3)),
    (640, 200, (0.2, 1.0), (3 / 4, 4 / 3)),  # a panorama: large crops do not fit
    (90, 800, (0.5, 1.0), (3 / 4, 4 / 3)),  # nothing fits: only the fallback
    (32, 32, (0.2, 1.0), (3 / 4, 4 / 3)),
    (400, 300, (0.3, 0.9), (1 / 2, 1.0)),
)


def fallback(width, height, ratio):
    """The box that `get_params` takes when ten attempts fail."""
    w, h = width, height
    if width / height < ratio[0]:
        h = int(round(width / ratio[0]))
    elif width / height > ratio[1]:
        w = int(round(height * ratio[1]))
    return ((height - h) // 2, (width - w) // 2, h, w)


def distribution(values, low, high):
    """Share of the values at or below each of POINTS points."""
    points = low + (high - low) * (np.arange(POINTS) + 0.5) / POINTS
    shares = np.searchsorted(np.sort(values), points, side="right") / len(values)
    return {"low": low, "high": high, "shares": [round(float(share), 5) for share in shares]}


def main():
    torch.manual_seed(3)
    cases = []
    for width, height, scale, ratio in CASES:
        image = Image.new("L", (width, height))
        boxes = np.array([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(NUM)])
        last = np.all(boxes == fallback(width, height, ratio), axis=1)
        y, x, h, w = boxes[~last].T.astype(float)
        case = {"width": width, "height": height, "scale": scale, "ratio": ratio, "num": NUM}
        case |= {"fallback": float(last.mean()), "fallback_box": fallback(width, height, ratio)}
        if len(x):
            # Half a pixel below and above: where a box has no room to move its place is a constant.
            case |= {
                "area": distribution(w * h / (width * height), *scale),
                "log_aspect": distribution(np.log(w / h), math.log(ratio[0]), math.log(ratio[1])),
                "left": distribution((x + 0.5) / (width - w + 1), 0.0, 1.0),
                "top": distribution((y + 0.5) / (height - h + 1), 0.0, 1.0),
            }
        cases.append(case)
    path = pathlib.Path(__file__).with_name("params.json")
    path.write_text("[\n" + ",\n".join(" " + json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
