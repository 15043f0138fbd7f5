"""Packs the programs and scripts/gpu-check into one archive, to be carried to a machine with a GPU.

    scripts/gpu-bundle [--bin FOLDER] [--out FILE.tar.xz]

The programs are stripped of their symbols (names of functions in a backtrace go with them) and all of it is packed by
xz: a quarter of what the programs take. There, `tar xf smog-gpu.tar.xz && smog-gpu/scripts/gpu-check` is all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu_machine import CLONE, PROGRAMS, Broken, find_programs  # noqa: E402

# Folder that the archive unpacks into.
NAME = "smog-gpu"
# What goes in as it is.
FILES = (
    "scripts/gpu-check", "scripts/gpu_check.py", "scripts/gpu_checks.py", "scripts/gpu_machine.py",
    "scripts/gpu_report.py", "benches/step/lightly_step.py", "docs/GPU.md", "LICENSE-APACHE", "LICENSE-MIT",
)  # fmt: skip
# More would save some percent, and take ten times as long.
XZ_PRESET = 1


def strip(program: Path, target: Path) -> None:
    tool = shutil.which("strip")
    if tool is None:
        raise Broken("no strip here, which takes symbols out of the programs; it comes with binutils")
    done = subprocess.run([tool, "-o", str(target), str(program)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Broken(f"strip {program} left with {done.returncode}: {done.stderr.strip()}")


def bundle(programs: Path, out: Path) -> None:
    """Writes the archive, beside its place first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f"{out.name}.tmp")
    try:
        with tempfile.TemporaryDirectory() as folder, tarfile.open(beside, "w:xz", preset=XZ_PRESET) as tar:
            for file in FILES:
                tar.add(CLONE / file, f"{NAME}/{file}")
            for name in PROGRAMS:
                stripped = Path(folder) / name
                strip(programs / name, stripped)
                tar.add(stripped, f"{NAME}/bin/{name}")
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="gpu-bundle", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, help="folder of the programs [target/release]")
    parser.add_argument("--out", type=Path, default=CLONE / f"target/gpu-bundle/{NAME}.tar.xz", help="[%(default)s]")
    given = parser.parse_args(words)
    try:
        programs = find_programs(given.bin, given.out.parent)
        bundle(programs, given.out)
    except (Broken, OSError) as error:
        print(f"gpu-bundle: {error}", file=sys.stderr)
        return 2
    before = sum((programs / name).stat().st_size for name in PROGRAMS)
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB (the programs alone: {before / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
