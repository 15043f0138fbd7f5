"""Figures out of metrics files, and the table of scripts/gpu-check."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import sys
from pathlib import Path

PASSED, FAILED, SKIPPED, MEASURED = "passed", "FAILED", "skipped", "measured"

# Steps that a run takes to settle: cuDNN tries its algorithms, caches fill.
WARM_UP = 20


@dataclasses.dataclass
class Row:
    """One line of the table."""

    name: str
    state: str
    value: float | str | None = None
    unit: str = ""
    # What it is held against, in words.
    target: str = ""
    note: str = ""


def check(name: str, value: float, limit: float, unit: str = "", at_least: bool = True, judged: bool = True) -> Row:
    """A figure against its limit; where nothing is judged, a figure alone."""
    good = value >= limit if at_least else value <= limit
    state = (PASSED if good else FAILED) if judged else MEASURED
    target = f"{'>=' if at_least else '<='} {limit:g} {unit}".strip()
    return Row(name, state, value, unit, target if judged else f"({target}, on a GPU)")


def json_lines(text: str) -> list[dict]:
    """The objects of a file or an output that holds one a line; a line that was cut short is passed over."""
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def events(run: Path, kind: str, since: str | None = None) -> list[dict]:
    """The lines of a kind in a run's metrics; `since`: only those behind the last line of that kind."""
    lines = json_lines((run / "metrics.jsonl").read_text())
    starts = [number for number, line in enumerate(lines) if line.get("event") == since]
    if since and not starts:
        return []
    return [line for line in lines[starts[-1] if since else 0 :] if line.get("event") == kind]


def losses(run: Path, since: str | None = None) -> dict[int, float]:
    """Loss by step; of a step that was done twice, the last."""
    return {event["step"]: event["loss"] for event in events(run, "step", since)}


def settled(run: Path, key: str, warm_up: int = WARM_UP, kind: str = "step") -> list[float]:
    """A figure of all lines that begin after the warm-up; of the last line where there is none."""
    lines = events(run, kind)
    late = [line[key] for before, line in zip([{"step": 0}, *lines], lines) if before["step"] >= warm_up and key in line]
    return late or [line[key] for line in lines[-1:] if key in line]


def rate(run: Path) -> float:
    """Images per second: the median of the settled lines."""
    return middle(run, "images_per_second")


def middle(run: Path, key: str) -> float:
    """The median of a figure in the settled lines."""
    return statistics.median(settled(run, key))


def launches(run: Path) -> tuple[float, str, str, str]:
    """What the host needed to queue a step over what the GPU needed: value, unit, target and note of a row."""
    ratio, host = middle(run, "launch_ratio"), middle(run, "launch_seconds")
    return ratio, "", "", f"{1e3 * host:.1f} of {1e3 * host / ratio:.1f} ms"


def rings(summary: dict) -> str:
    """How full the rings of a run were, in the order of its summary."""
    return ", ".join(f"{ring} {100 * ratio:.0f} %" for ring, ratio in summary["ring_fill_ratios"].items())


def setting(settings: tuple[str, ...], key: str) -> str:
    """The value of a setting; the last one counts."""
    return [value for name, _, value in (line.partition("=") for line in settings) if name == key][-1]


def relative(found: float, expected: float) -> float:
    """How far apart two figures are, over the expected one's size. Infinite where one is no number."""
    difference = abs(found - expected)
    return difference / max(abs(expected), 1e-12) if difference == difference else float("inf")


def text(value: float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.2e}"


def one_line(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())


def table(rows: list[Row]) -> list[str]:
    head = ("check", "result", "value", "target", "note")
    cells = [head] + [
        (row.name, row.state, f"{text(row.value)} {row.unit}".strip(), row.target, row.note) for row in rows
    ]
    # Notes may be long, and of several lines: nothing is aligned behind them.
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(line, widths)), one_line(line[4])]).rstrip() for line in cells]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def summary(rows: list[Row]) -> str:
    count = {state: sum(row.state == state for row in rows) for state in (PASSED, FAILED, SKIPPED, MEASURED)}
    return ", ".join(f"{number} {state}" for state, number in count.items())


def exit_code(rows: list[Row]) -> int:
    return 1 if any(row.state == FAILED for row in rows) else 0


def finite(value: object) -> object:
    """The same without numbers that JSON does not know: null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


class Journal:
    """What was found so far: shown and in the file after every row, whatever comes next."""

    def __init__(self, path: Path, facts: dict, sizes: dict) -> None:
        self.path, self.facts, self.sizes = path, facts, sizes
        self.rows: list[Row] = []
        # Seconds of each check.
        self.seconds: dict[str, float] = {}
        self.write(complete=False)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        value = f"{text(row.value)} {row.unit}".strip()
        parts = [row.state.ljust(8), row.name, value and f": {value}", row.target and f"  [{row.target}]"]
        print("".join([parts[0], "  ", *parts[1:], row.note and f"  ({one_line(row.note)})"]), flush=True)
        self.write(complete=False)

    def end(self, complete: bool = True) -> None:
        self.write(complete)
        print("\n" + "\n".join(table(self.rows)) + f"\n\n{summary(self.rows)}", flush=True)

    def write(self, complete: bool) -> None:
        rows = [dataclasses.asdict(row) for row in self.rows]
        figures = {"complete": complete, "facts": self.facts, "sizes": self.sizes, "seconds": self.seconds, "rows": rows}
        # Replaced as a whole: who ends this while it writes leaves the file before. Where the disk refuses, the table is
        # still printed.
        beside = self.path.with_name(f"{self.path.name}.tmp")
        try:
            beside.write_text(json.dumps(finite(figures), indent=2, allow_nan=False) + "\n")
            os.replace(beside, self.path)
        except OSError as error:
            if not self.rows:
                raise
            if complete or len(self.rows) == 1:
                print(f"gpu-check: {self.path} is not written: {error}", file=sys.stderr, flush=True)
