#!/usr/bin/env python3
"""images/s of our training step beside lightly's, round by round in one run.

    benches/step/bench_step.py [--rounds N] [--python PYTHON] [--out FILE]

Both sides make the same encoder, heads, 3,000 groups, batch and threads and stay in memory; a round is one step of
each side, first to last, so that what else the machine does falls on all alike. The figure is the median step. The
Python environment is made from benches/lightly/requirements.txt in the cache unless --python names one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "peers"))
import machine  # noqa: E402

CASES = (("resnet18", 32, 128), ("resnet50", 224, 16))
GROUPS = 3000


class Side:
    """A process that does as many steps as it is told and answers with a line of JSON."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.rounds = name, []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def steps(self, count: int) -> dict:
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with code {self.process.wait()}; its message is above")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def median(self, key: str = "seconds") -> float:
        values = [value for round in self.rounds for value in (round[key] if isinstance(round[key], list) else [round[key]])]
        return statistics.median(values)


def sides(python: str, case: tuple[str, int, int], threads: int) -> list[Side]:
    words = [case[0], str(case[1]), str(case[2]), str(GROUPS), str(threads)]
    ours = str(CLONE / "target/release/examples/step_bench")
    theirs = [python, "-B", str(HERE / "lightly_step.py"), *words]
    return [
        Side("lightly, as its example", theirs),
        Side("lightly, channels_last by hand", [*theirs, "--channels-last"]),
        Side("smog, f32", [ours, *words]),
        Side("smog, bf16", [ours, *words, "bf16"]),
    ]


def measure(python: str, case: tuple[str, int, int], threads: int, rounds: int) -> list[str]:
    all_sides = sides(python, case, threads)
    for side in all_sides:
        side.steps(1)
    for _ in range(rounds):
        for side in all_sides:
            side.rounds.append(side.steps(1))
    base = all_sides[0].median()
    arch, pixels, batch = case
    lines = [f"\n{arch}, {pixels} px, batch {batch}, {threads} threads, {rounds} rounds\n"]
    lines += ["| step | images/s | seconds | against lightly's example |", "| --- | --- | --- | --- |"]
    for side in all_sides:
        seconds = side.median()
        lines.append(f"| {side.name} | {batch / seconds:.1f} | {seconds:.3f} | {base / seconds:.2f} x |")
    ours = all_sides[2]
    phases = ", ".join(f"{key} {ours.median(key):.3f}" for key in ("forward", "backward", "optimizer", "momentum"))
    group = ours.median("group_side")
    lines.append(f"\nsmog, f32, by phase (s): {phases}; group side {group:.4f}, {100 * group / ours.median():.2f} % of the step")
    for side in all_sides:
        side.close()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--case", choices=[case[0] for case in CASES], help="only this encoder")
    parser.add_argument("--python", help="an environment with what benches/lightly/requirements.txt names")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    args = parser.parse_args()
    command = ["cargo", "build", "--release", "--workspace", "--example", "step_bench"]
    subprocess.run(command, cwd=CLONE, check=True)
    python = args.python
    if python is None:
        sys.path.insert(0, str(CLONE / "scripts"))
        import setup

        python = str(setup.make_venv(setup.cache_root(dict(os.environ)), "lightly", HERE.parent / "lightly/requirements.txt"))
    lines = [
        f"# A training step beside lightly's, {datetime.date.today().isoformat()}",
        "",
        f"{machine.processor()} ({machine.vector_extensions()}), {machine.cores()} cores, {machine.operating_system()},"
        f" commit {machine.commit(CLONE)}.",
        f"`{Path(__file__).resolve().relative_to(CLONE)} --rounds {args.rounds}`: one direction a step, {GROUPS} groups,"
        " SGD, the same batch every step; medians.",
    ]
    for case in CASES:
        if args.case in (None, case[0]):
            lines += measure(python, case, args.threads, args.rounds)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text)


main()
