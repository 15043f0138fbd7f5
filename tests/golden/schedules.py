"""Learning rates and moving-average shares at chosen steps."""

import math

from pattern import write


def rate(step, total, warmup, base, last):
    if step < warmup:
        return base * (step + 1) / warmup
    return last + 0.5 * (base - last) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def swav(step, total, warmup, start, base, last):
    """SwAV's list of rates: numpy's linspace from start to base, then half a cosine over the remaining steps."""
    rising = [start + i * ((base - start) / (warmup - 1)) for i in range(warmup)]
    falling = [
        last + 0.5 * (base - last) * (1 + math.cos(math.pi * t / (total - warmup))) for t in range(total - warmup + 1)
    ]
    return (rising + falling)[step]


def keep(step, total, start):
    return 1 - (1 - start) * (math.cos(math.pi * step / total) + 1) / 2


STEPS = [0, 1, 9, 10, 11, 55, 99, 100]
write(
    "schedules",
    {
        "steps": STEPS,
        "warmup_cosine": [rate(step, 100, 10, 0.6, 0.01) for step in STEPS],
        "warmup_from": [swav(step, 100, 10, 0.3, 4.8, 0.0048) for step in STEPS],
        "no_warmup": [rate(step, 100, 0, 0.6, 0.0) for step in STEPS],
        "ema_cosine": [keep(step, 100, 0.99) for step in STEPS],
    },
)
