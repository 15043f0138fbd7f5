"""What both writers share: the command line, worker processes, and a clock that includes the disk.

The clock starts when everything is imported and stops when all that was written is on the disk.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image file and its class."""

    path: Path
    label: int


@dataclasses.dataclass(frozen=True)
class Share:
    """What one process writes."""

    number: int
    samples: list[Sample]
    out: Path


def sync_file_system(path: Path) -> None:
    """Waits until the file system that holds `path` has everything on its disk."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder = os.open(path, os.O_RDONLY)
    try:
        if libc.syncfs(folder) != 0:
            raise OSError(ctypes.get_errno(), f"syncfs of {path} failed")
    finally:
        os.close(folder)


def samples_of(root: Path) -> list[Sample]:
    """All files; the folder that a file is in is its class."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    labels = {folder: label for label, folder in enumerate(sorted({file.parent for file in files}))}
    return [Sample(file, labels[file.parent]) for file in files]


def shares_of(samples: list[Sample], processes: int, out: Path) -> list[Share]:
    """Stretches of about equal length."""
    cuts = [len(samples) * number // processes for number in range(processes + 1)]
    return [Share(number, samples[cuts[number] : cuts[number + 1]], out) for number in range(processes)]


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(description: str, write: Callable[[Share], None], finish: Callable[[Path], None] = lambda out: None) -> None:
    """Writes with the number of processes that was asked for and prints seconds and CPU seconds as JSON."""
    parser = argparse.ArgumentParser(description=description, epilog="Started by bench_peers.py.")
    parser.add_argument("--root", type=Path, required=True, help="folder of class folders of images")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made")
    parser.add_argument("--processes", type=int, required=True, help="how many write, each its share")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("fork")
    started, cpu = time.perf_counter(), cpu_seconds()
    arguments.out.mkdir(parents=True)
    shares = shares_of(samples_of(arguments.root), arguments.processes, arguments.out)
    if arguments.processes == 1:
        write(shares[0])
    else:
        workers = [context.Process(target=write, args=(share,)) for share in shares]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if any(worker.exitcode for worker in workers):
            raise SystemExit(f"a process failed: exit codes {[worker.exitcode for worker in workers]}")
    finish(arguments.out)
    sync_file_system(arguments.out)
    print(json.dumps({"seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds() - cpu}))
