#!/usr/bin/env python3
"""images/s of our training step beside lightly's, round by round in one run.

    benches/step/bench_step.py [--rounds N] [--python PYTHON] [--out FILE]

Both sides make the same encoder, heads, 3,000 groups, batch and threads and stay in memory; a round is one step of
each side, first to last, so that what else the machine does falls on all alike. The figure is the median step. The
Python environment is made from benches/lightly/requirements.txt in the cache unless --python names one.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lightly"))
import beside  # noqa: E402
import machine  # noqa: E402

CASES = (("resnet18", 32, 128), ("resnet50", 224, 16))
GROUPS = 3000


class Side(beside.Side):
    """A process that does as many steps as it is told, and what it answered in each round."""

    def __init__(self, name: str, command: list[str]) -> None:
        super().__init__(*command)
        self.name, self.rounds = name, []

    def median(self, key: str = "seconds") -> float:
        values = [value for round in self.rounds for value in (round[key] if isinstance(round[key], list) else [round[key]])]
        return statistics.median(values)


def sides(program: Path, python: str, case: tuple[str, int, int], threads: int) -> list[Side]:
    words = [case[0], str(case[1]), str(case[2]), str(GROUPS), str(threads)]
    theirs = [python, "-B", str(HERE / "lightly_step.py"), *words]
    made = [
        Side("lightly, as its example", theirs),
        Side("lightly, channels_last by hand", [*theirs, "--channels-last"]),
        Side("smog, f32", [program, *words]),
    ]
    if machine.knows_bf16():
        made.append(Side("smog, bf16", [program, *words, "bf16"]))
    return made


def measure(program: Path, python: str, case: tuple[str, int, int], threads: int, rounds: int) -> list[str]:
    all_sides = sides(program, python, case, threads)
    for side in all_sides:
        side.ask(1)
    for _ in range(rounds):
        for side in all_sides:
            side.rounds.append(side.ask(1))
    base = all_sides[0].median()
    arch, pixels, batch = case
    lines = [f"\n{arch}, {pixels} px, batch {batch}, {threads} threads, {rounds} rounds\n"]
    lines += ["| step | images/s | seconds | against lightly's example |", "| --- | --- | --- | --- |"]
    for side in all_sides:
        seconds = side.median()
        lines.append(f"| {side.name} | {batch / seconds:.1f} | {seconds:.3f} | {base / seconds:.2f} x |")
    if not machine.knows_bf16():
        lines.append("| smog, bf16 | not measured: emulated on this processor | | |")
    ours = all_sides[2]
    phases = ", ".join(f"{key} {ours.median(key):.3f}" for key in ("forward", "backward", "optimizer", "momentum"))
    group = ours.median("group_side")
    lines.append(f"\nsmog, f32, by phase (s): {phases}; group side {group:.4f}, {100 * group / ours.median():.2f} % of the step")
    for side in all_sides:
        side.__exit__()
    return lines


def main() -> None:
    args = beside.parser(__doc__, 7, [case[0] for case in CASES]).parse_args()
    program = beside.build("step_bench")
    python = args.python or str(beside.environment())
    how = f"one direction a step, {GROUPS} groups, SGD, the same batch every step; medians."
    lines = beside.heading("A training step beside lightly's", __file__, args, how)
    for case in CASES:
        if args.case in (None, case[0]):
            lines += measure(program, python, case, args.threads, args.rounds)
    beside.publish(lines, args)


main()
