#!/usr/bin/env python3
"""Fills the corpora of the fuzz targets: scripts/fuzz_seeds.py FOLDER [seeds]

With `seeds` large files are among them, too; they make for few executions when they are mutated.

Seeds are copied under the digest of their content, as libFuzzer names files, so a second call adds nothing.
"""

import hashlib
import pathlib
import sys
import tarfile

CLONE = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = CLONE / "pipeline/tests/fixtures"
ODD = CLONE.parent / "shared/data/odd-jpegs.tar.xz"
JPEG_TARGETS = ("baseline", "turbojpeg", "zune_jpeg", "jpeg_decoder", "header")
MAX_BYTES = 64_000


def seeds(max_bytes):
    """Targets and content of every seed."""
    for path in sorted(path for path in FIXTURES.iterdir() if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".jpg":
            yield JPEG_TARGETS, data
        elif data.startswith(b"\x89PNG"):
            yield ("png", "header"), data
        elif data.startswith(b"RIFF"):
            yield ("webp", "header"), data
    for path in sorted((CLONE / "pipeline/fuzz/seeds").glob("*/*")):
        yield (path.parent.name,), path.read_bytes()
    if not ODD.is_file():
        print(f"SKIPPED: {ODD} is absent, so odd JPEGs are NOT among the seeds", file=sys.stderr)
        return
    with tarfile.open(ODD) as archive:
        for member in archive:
            if member.isfile() and member.size <= max_bytes:
                yield JPEG_TARGETS, archive.extractfile(member).read()


def main():
    corpus = pathlib.Path(sys.argv[1])
    whole = sys.argv[2:] == ["seeds"]
    for targets, data in seeds(float("inf") if whole else MAX_BYTES):
        name = hashlib.sha1(data).hexdigest()
        for target in targets:
            (corpus / target).mkdir(parents=True, exist_ok=True)
            path = corpus / target / name
            if not path.exists():
                path.write_bytes(data)


if __name__ == "__main__":
    main()
