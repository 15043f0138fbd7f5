"""Figures out of metrics files, and the table of scripts/gpu-check."""

from __future__ import annotations

import dataclasses
import json
import statistics
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


def events(run: Path, kind: str) -> list[dict]:
    """The lines of a kind in a run's metrics; a line that a killed run left unfinished is passed over."""
    found = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if event.get("event") == kind:
            found.append(event)
    return found


def losses(run: Path) -> dict[int, float]:
    """Loss by step; of a step that was done twice, the last."""
    return {event["step"]: event["loss"] for event in events(run, "step")}


def settled(run: Path, key: str, warm_up: int = WARM_UP) -> list[float]:
    """A figure of all log lines that begin after the warm-up; of the last line where there is none."""
    lines = events(run, "step")
    late = [line[key] for before, line in zip([{"step": 0}, *lines], lines) if before["step"] >= warm_up and key in line]
    return late or [line[key] for line in lines[-1:] if key in line]


def rate(run: Path) -> float:
    """Images per second: the median of the settled lines."""
    return statistics.median(settled(run, "images_per_second"))


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


def table(rows: list[Row]) -> list[str]:
    head = ("check", "result", "value", "target", "note")
    cells = [head] + [
        (row.name, row.state, f"{text(row.value)} {row.unit}".strip(), row.target, row.note) for row in rows
    ]
    # Notes may be long: nothing is aligned behind them.
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(line, widths)), line[4]]).rstrip() for line in cells]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def summary(rows: list[Row]) -> str:
    count = {state: sum(row.state == state for row in rows) for state in (PASSED, FAILED, SKIPPED, MEASURED)}
    return ", ".join(f"{number} {state}" for state, number in count.items())


def exit_code(rows: list[Row]) -> int:
    return 1 if any(row.state == FAILED for row in rows) else 0
