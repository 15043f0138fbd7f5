"""Numbers from a name: the same in model/src/golden.rs."""

import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def fnv1a(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def pattern(name, shape):
    """float32 in [-1, 1), from murmur3's finaliser over a counter."""
    count = int(np.prod(shape))
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(fnv1a(name))
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return (x.astype(np.float64) / 2.0**31 - 1.0).astype(np.float32).reshape(shape)


def weights(name, shape):
    """A plausible value for every tensor of a network, by the end of its name."""
    values = pattern(name, shape).astype(np.float64)
    if name.endswith("running_var"):
        values = 1.0 + 0.5 * values
    elif name.endswith("running_mean"):
        values = 0.1 * values
    elif len(shape) == 4:
        values = values * np.sqrt(6.0 / (shape[0] * shape[2] * shape[3]))
    elif len(shape) == 2:
        values = values / np.sqrt(shape[1])
    elif name.endswith("weight"):
        values = 1.0 + 0.2 * values
    else:
        values = 0.2 * values
    return values.astype(np.float32)


def fill(module, prefix=""):
    import torch

    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = torch.from_numpy(weights(prefix + name, tuple(tensor.shape)))
    module.load_state_dict(state, strict=True)


def write(name, values):
    (HERE / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n")
