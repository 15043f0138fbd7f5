#!/usr/bin/env python3
"""Prints the demo's k-NN figures as a table, from the JSON files of `smog-trainer eval knn`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

NAMES = {"pixels": "raw pixels", "untrained": "untrained encoder", "trained": "trained encoder"}


def newest(reports: list[dict]) -> dict[tuple[str, str], dict]:
    """The report of the latest step for each encoder and metric."""
    found: dict[tuple[str, str], dict] = {}
    for report in sorted(reports, key=lambda report: report["step"]):
        found[report["encoder"], report["metric"]] = report
    return found


def table(reports: list[dict]) -> list[str]:
    chosen = newest(reports)
    metrics = sorted({metric for _, metric in chosen})
    lines = ["k-NN top-1".ljust(20) + "".join(metric.rjust(18) for metric in metrics)]
    for encoder, name in NAMES.items():
        cells = [chosen.get((encoder, metric)) for metric in metrics]
        if any(cells):
            texts = [f"{100 * cell['top1']:.1f} %" if cell else "-" for cell in cells]
            lines.append(name.ljust(20) + "".join(text.rjust(18) for text in texts))
    chances = {report["chance"] for report in chosen.values()}
    lines += [f"{'chance'.ljust(20)}{f'{100 * chance:.1f} %'.rjust(18)}" for chance in sorted(chances)]
    return lines


def main(folder: Path) -> int:
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("knn-*.json"))]
    if not reports:
        print(f"demo: no k-NN figures in {folder}", file=sys.stderr)
        return 1
    print("\n".join(table(reports)))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
