#!/usr/bin/env python3
"""Checks and measures smog on a machine with a GPU; prints rows as they come, a table at the end, and writes JSON.

    scripts/gpu-check [--device cuda:0] [--bin FOLDER|ARCHIVE] [--images FOLDER] [--out FILE.json] [--quick]
    scripts/gpu-check --device cpu      the same checks on the CPU, tiny: a rehearsal that judges no speed

Needs Python 3.10 with torch 2.11 (its libraries are what the programs load), and the programs smog-trainer and
smog-tools. What is checked is in gpu_checks.py. Pictures are drawn unless --images names a folder of
train/CLASS/*.jpg. The JSON is written anew after every row, so whatever ends this early, what was found is there.

Exit codes: 0 all that was checked passed, 1 something failed, 2 wrong arguments, 77 the driver names no GPU here,
128 + N a signal N ended it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_checks as checks  # noqa: E402
import gpu_machine  # noqa: E402
import gpu_report as report  # noqa: E402
from gpu_machine import Broken, Budget, Machine  # noqa: E402
from gpu_report import FAILED, SKIPPED, Journal, Row  # noqa: E402

NO_GPU = 77
# Seconds with which no check is begun any more.
LEAST = 10
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def say(text: str) -> None:
    print(f"gpu-check: {text}", file=sys.stderr, flush=True)


def attempt(name: str, rows: Iterator[Row], journal: Journal) -> None:
    """Takes a check's rows as they come. Whatever goes wrong in it is a row, and the others go on."""
    started = time.monotonic()
    try:
        for row in rows:
            journal.add(row)
    except Broken as error:
        journal.add(Row(name, FAILED, note=str(error)))
    # Whatever it is: the rows that follow are worth more on a machine that is lent for minutes.
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        journal.add(Row(name, FAILED, note=f"it cannot be made, or its figures cannot be read: {error!r}"))
    finally:
        seconds = time.monotonic() - started
        journal.seconds[name] = round(seconds, 1)
    say(f"{name}: {seconds:.0f} s")


def run_checks(machine: Machine, sizes: checks.Sizes, given: Path | None, work: Path, journal: Journal) -> None:
    started = time.monotonic()
    try:
        data = checks.make_data(machine, sizes, given, work)
    except Broken as error:
        journal.add(Row("data", FAILED, note=str(error)))
        return
    journal.seconds["data"] = round(time.monotonic() - started, 1)
    for name, check in checks.ALL:
        if machine.budget.left() < LEAST:
            journal.add(Row(name, SKIPPED, note=f"not begun: --budget {machine.budget.total:g} is used up"))
            continue
        attempt(name, check(machine, sizes, data, work), journal)


def device(machine: Machine) -> str:
    """What the trainer computes on."""
    asked = machine.call("smog-trainer", "devices", "--json", "--device", machine.device)
    try:
        return json.loads(asked.stdout)["device"]
    except (ValueError, KeyError, TypeError):
        said = f"smog-trainer devices names no device: {asked.stdout!r}"
        raise Broken(said, asked.stdout, f"{said}\n{asked.stderr}") from None


def no_device(machine: Machine, error: Broken, journal: Journal) -> int:
    """The trainer does not get the device. That is no failure only where there is none."""
    if machine.device != "cpu" and not (found := gpu_machine.gpus()):
        say(f"no GPU here, nothing was checked: {error}")
        journal.add(Row("device", SKIPPED, note="the driver names no GPU here"))
        journal.end()
        return NO_GPU
    there = "" if machine.device == "cpu" else f"\nthe driver names: {'; '.join(found)}"
    whole = error.errors.strip() or str(error)
    journal.add(Row(f"device {machine.device}", FAILED, note=f"{whole}\n{machine.about_torch()}{there}"))
    journal.end()
    return report.exit_code(journal.rows)


def check(given: argparse.Namespace, work: Path) -> int:
    budget = Budget(given.budget, given.limit)
    try:
        machine = Machine(gpu_machine.find_programs(given.bin, work), given.device, given.python, budget)
        known = gpu_machine.facts(machine)
        sizes = checks.REHEARSAL if given.device == "cpu" else checks.QUICK if given.quick else checks.FULL
        journal = Journal(given.out, known, dataclasses.asdict(sizes))
    except (Broken, OSError) as error:
        say(str(error))
        return 2
    try:
        try:
            known["device"] = device(machine)
        except Broken as error:
            return no_device(machine, error, journal)
        for name, value in known.items():
            print(f"{name:14} {value or '-'}", flush=True)
        run_checks(machine, sizes, given.images, work, journal)
    except SystemExit as end:
        journal.add(Row("all that would have followed", FAILED, note=f"a signal ended it: exit code {end.code}"))
        journal.end(complete=False)
        raise
    journal.end()
    if given.device == "cpu":
        print("a rehearsal on the CPU: nothing here says anything about a GPU")
    return report.exit_code(journal.rows)


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Signals leave as an exit, so that what was found is shown and temporary folders go."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu for a rehearsal")
    parser.add_argument("--bin", type=Path, help="folder of the programs, or an archive of make gpu-bundle [target/release]")
    parser.add_argument("--images", type=Path, help="folder of train/CLASS/*.jpg [drawn]")
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"), help="where the figures go")
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch 2.11")
    parser.add_argument("--quick", action="store_true", help="80 steps instead of 220")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="begin nothing after that [no end]")
    parser.add_argument("--limit", type=float, default=240, metavar="SECONDS", help="longest that one call may take [240]")
    parser.add_argument("--work", type=Path, help="folder for runs and shards; kept [a temporary one]")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    given = arguments(words)
    with signals():
        work = given.work or Path(tempfile.mkdtemp(prefix="gpu-check-"))
        try:
            work.mkdir(parents=True, exist_ok=True)
            return check(given, work)
        finally:
            if given.work is None:
                shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
