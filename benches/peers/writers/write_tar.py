#!/usr/bin/env python3
"""TarWriter of webdataset, one for each shard (ShardWriter): raw image bytes and the class number."""

from __future__ import annotations

from job import Share, run
from webdataset import ShardWriter


def write(share: Share) -> None:
    pattern = str(share.out / f"{share.number:03}-%06d.tar")
    with ShardWriter(pattern, maxsize=256e6, verbose=0) as writer:
        for number, sample in enumerate(share.samples):
            image, label = sample.path.read_bytes(), str(sample.label).encode()
            writer.write({"__key__": f"{share.number:03}-{number:08}", "jpg": image, "cls": label})


if __name__ == "__main__":
    run(__doc__, write)
