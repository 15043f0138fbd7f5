"""The loop that every peer's loader runs in: measured windows on demand.

The benchmark starts the loader once, and then writes one JSON line per window to its standard input:

    {"warmup_seconds": 1.0, "seconds": 5.0}

The answer is one JSON line on standard output: images, seconds, CPU seconds and memory of the loader with all
its processes. Loaders stay alive between windows, halted by the benchmark, so that importing and compiling is
paid once and the rounds of different loaders can take turns.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
# Of each worker in a window: a slow loader has few batches in it.
LEAST_BATCHES = 3
RATIO = [3 / 4, 4 / 3]
SIGMA = [0.1, 2.0]


@dataclasses.dataclass(frozen=True)
class View:
    """One view of a recipe file, with smog's defaults where the file says nothing."""

    size: int
    scale: list[float]
    ratio: list[float]
    flip: float
    jitter: dict[str, float] | None
    gray: float
    blur: float
    sigma: list[float]
    solarize: float
    threshold: int


@dataclasses.dataclass(frozen=True)
class Task:
    """What a loader is to do."""

    files: list[str]
    views: list[View]
    workers: int
    batch: int
    scratch: Path

    def shapes(self) -> list[tuple[int, int, int, int]]:
        """Batch, height, width and channels of each view."""
        return [(self.batch, view.size, view.size, 3) for view in self.views]

    def endless_order(self) -> Iterator[int]:
        """Files in one random order after another."""
        draw = random.Random(0)
        order = list(range(len(self.files)))
        while True:
            draw.shuffle(order)
            yield from order


def read_views(recipe: dict) -> list[View]:
    """The views of a recipe file, one entry for each."""
    views = []
    for entry in recipe["views"]:
        crop, blur, solarize = entry["crop"], entry.get("blur") or {}, entry.get("solarize") or {}
        if crop["kind"] != "random_resized":
            raise SystemExit(f"crop {crop['kind']!r}: only random_resized can be given to the peers")
        view = View(
            size=entry["size"],
            scale=crop["scale"],
            ratio=crop.get("ratio", RATIO),
            flip=entry.get("flip", 0.0),
            jitter=entry.get("jitter"),
            gray=entry.get("gray", 0.0),
            blur=blur.get("p", 0.0),
            sigma=blur.get("sigma", SIGMA),
            solarize=solarize.get("p", 0.0),
            threshold=solarize.get("threshold", 128),
        )
        views += itertools.repeat(view, entry.get("count", 1))
    return views


def parse_task(description: str) -> Task:
    """The task from the command line."""
    parser = argparse.ArgumentParser(description=description, epilog="Started by bench_peers.py.")
    parser.add_argument("--files", type=Path, required=True, help="text file that names one image a line")
    parser.add_argument("--recipe", type=Path, required=True, help="JSON file of the views")
    parser.add_argument("--workers", type=int, required=True, help="threads or processes that decode")
    parser.add_argument("--batch", type=int, required=True, help="images in a batch")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of the loader's own")
    arguments = parser.parse_args()
    return Task(
        files=arguments.files.read_text().splitlines(),
        views=read_views(json.loads(arguments.recipe.read_text())),
        workers=arguments.workers,
        batch=arguments.batch,
        scratch=arguments.scratch,
    )


def read_of(pid: int, name: str) -> str:
    """A file of the process in /proc; nothing if the process has just ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    members, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        members.append(parent)
        for task in Path(f"/proc/{parent}/task").glob("*"):
            waiting += [int(child) for child in read_of(parent, f"task/{task.name}/children").split()]
    return members


def cpu_seconds(pids: list[int]) -> float:
    """Processor time of the processes so far."""
    ticks = 0
    for pid in pids:
        # The name in brackets may hold spaces; user and system time are fields 14 and 15.
        fields = read_of(pid, "stat").rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:13])
    return ticks / CLOCK_TICKS


def memory_bytes(pids: list[int]) -> int:
    """Resident memory of the processes; pages that several share count once."""
    total = 0
    for pid in pids:
        for line in read_of(pid, "smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def take(batches: Iterator[int], seconds: float, workers: int, least: int) -> tuple[int, float]:
    """Takes batches for a while, and `least` of each worker; the images in them and the time it took.

    Worker processes deliver by turns and drift into step, so a window ends with the turn of the worker with which
    it began; else it could hold a batch more of one than of another.
    """
    images, count, started = 0, 0, time.perf_counter()
    while True:
        images += next(batches)
        count += 1
        elapsed = time.perf_counter() - started
        if elapsed >= seconds and count >= least * workers and count % workers == 0:
            return images, elapsed


def serve(task: Task, batches: Iterator[int], settings: str, versions: dict[str, str]) -> None:
    """Answers until standard input ends. `batches` gives the number of images of each batch, without end."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # Whatever a library prints belongs to the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    next(batches)  # compiles and fills the queues
    print(json.dumps({"settings": settings, "versions": versions}), file=answers)
    for line in sys.stdin:
        window = json.loads(line)
        take(batches, window["warmup_seconds"], task.workers, 0)
        pids = family(os.getpid())
        before = cpu_seconds(pids)
        images, seconds = take(batches, window["seconds"], task.workers, LEAST_BATCHES)
        cpu = cpu_seconds(pids) - before
        answer = {"images": images, "seconds": seconds, "cpu_seconds": cpu, "memory_bytes": memory_bytes(pids)}
        print(json.dumps(answer), file=answers)


def check_views(shapes: list[tuple[int, ...]], expected: list[tuple[int, ...]]) -> None:
    """Refuses to measure something else than was asked for."""
    if shapes != expected:
        raise SystemExit(f"the loader gives views of {shapes}, expected {expected}")
