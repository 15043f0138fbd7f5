#!/usr/bin/env python3
"""MDSWriter of mosaicml-streaming: raw image bytes, neither compression nor hashes."""

from __future__ import annotations

from pathlib import Path

from job import Share, run
from streaming import MDSWriter
from streaming.base.util import merge_index


def write(share: Share) -> None:
    out = str(share.out / f"{share.number:03}")
    with MDSWriter(out=out, columns={"image": "bytes", "label": "int"}, size_limit="256mb") as writer:
        for sample in share.samples:
            writer.write({"image": sample.path.read_bytes(), "label": sample.label})


def finish(out: Path) -> None:
    merge_index(str(out), keep_local=True)


if __name__ == "__main__":
    run(__doc__, write, finish)
