"""The curves as a picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

COLOURS = ("#0b6e4f", "#c8553d", "#d9a441", "#5b6c8f")


def draw(curves: dict, untrained: float, path: Path) -> None:
    """One line for each side and seed; seconds against k-NN accuracy."""
    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=150)
    for (side, by_seed), colour in zip(curves.items(), COLOURS):
        for number, curve in enumerate(by_seed.values()):
            seconds = [0.0] + [point[0] for point in curve]
            percent = [100 * untrained] + [100 * point[1] for point in curve]
            label = side if number == 0 else None
            axes.plot(seconds, percent, marker="o", markersize=3, color=colour, label=label, alpha=0.85)
    axes.set_xlabel("seconds of training, two cores")
    axes.set_ylabel("k-NN top-1, %")
    num_seeds = len(next(iter(curves.values())))
    axes.set_title(f"CIFAR-10, narrow ResNet-18, same time, seeds: {num_seeds}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
