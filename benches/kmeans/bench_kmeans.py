#!/usr/bin/env python3
"""Our k-means beside scikit-learn's on the same features, seed by seed in one run, and what the groups cost in a step.

    benches/kmeans/bench_kmeans.py [--case NAME] [--rounds N] [--python PYTHON] [--out FILE]

Each side reads the same safetensors file and clusters it once with each seed, by turns, on the same number of threads:
scikit-learn's KMeans with its defaults and n_init=1, ours with as many passes. Both sets of centroids are judged
by the same code: each feature joins its nearest centroid, and the inertia is taken to the means of these clusters. In the
spherical cases centroids are scaled to unit length first, as the reset does with both, and the inertia is taken to the
directions of the means: scikit-learn has no k-means for that, and lightly resets its groups by this one.
The Python environment is that of benches/lightly unless --python names one.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lightly"))
import beside  # noqa: E402
from beside import Side  # noqa: E402

# Name, distance, features, groups.
CASES = (
    ("sphere-300", "spherical", 76_800, 300),
    ("raw-300", "euclidean", 76_800, 300),
    ("sphere-3000", "spherical", 60_000, 3000),
)
# Batch, groups.
STEPS = ((4096, 3000), (128, 3000), (128, 300))


def clustering(program: Path, python: str, case: tuple[str, str, int, int], threads: int, rounds: int, folder: Path) -> list[str]:
    name, distance, count, groups = case
    features, ours_out, theirs_out = folder / "features", folder / "ours", folder / "theirs"
    judge_and_peer = [python, "-B", HERE / "sklearn_kmeans.py"]
    subprocess.run([*judge_and_peer, "make", features, distance, str(count)], check=True)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    inertia: dict[str, list[float]] = {"ours": [], "theirs": []}
    with (
        Side(program, "kmeans", features, groups, distance, threads, ours_out) as ours,
        Side(*judge_and_peer, "cluster", features, groups, threads, theirs_out) as theirs,
        Side(*judge_and_peer, "judge", features, distance) as judge,
    ):
        for seed in range(rounds):
            for side, process, out in (("theirs", theirs, theirs_out), ("ours", ours, ours_out)):
                seconds[side].append(process.ask(seed)["seconds"])
                inertia[side].append(judge.ask(out)["inertia"])
    lines = [f"\n{name}: {count:,} features of 128 numbers, {groups} groups, {threads} threads, seeds 0 to {rounds - 1}\n"]
    lines += ["| k-means | seconds | inertia, mean | inertia, each |", "| --- | --- | --- | --- |"]
    for side, label in (("theirs", "scikit-learn, n_init=1"), ("ours", f"smog, {distance}")):
        each = ", ".join(f"{value:.5g}" for value in inertia[side])
        lines.append(f"| {label} | {statistics.median(seconds[side]):.2f} | {statistics.mean(inertia[side]):.6g} | {each} |")
    faster = statistics.median(seconds["theirs"]) / statistics.median(seconds["ours"])
    more = statistics.mean(inertia["ours"]) / statistics.mean(inertia["theirs"]) - 1
    lines.append(f"\n{faster:.1f} x as fast, inertia {100 * more:+.2f} %")
    return lines


def steps(program: Path, threads: int, rounds: int, earlier: Path | None) -> list[str]:
    programs = [("smog", program)] + ([("smog, earlier build", earlier)] if earlier else [])
    lines = ["\nGroup side of a step (assignment, update, loss, their backward pass), two views, both directions, medians\n"]
    lines += ["| program | batch | groups | milliseconds |", "| --- | --- | --- | --- |"]
    for batch, groups in STEPS:
        sides = [(name, Side(path, "step", batch, groups, threads)) for name, path in programs]
        found: dict[str, list[float]] = {name: [] for name, _ in sides}
        for _ in range(rounds):
            for name, side in sides:
                found[name] += side.ask(3 if batch > 1000 else 15)["seconds"]
        for name, side in sides:
            lines.append(f"| {name} | {batch} | {groups} | {1000 * statistics.median(found[name]):.1f} |")
            side.__exit__()
    return lines


def main() -> None:
    parser = beside.parser(__doc__, 3, [*(case[0] for case in CASES), "step"])
    parser.add_argument("--earlier", type=Path, help="a groups_bench of an earlier commit, measured by turns with this one")
    args = parser.parse_args()
    program = beside.build("groups_bench")
    python = args.python or str(beside.environment())
    lines = beside.heading("k-means beside scikit-learn's", __file__, args, "seconds are medians.")
    for case in CASES:
        if args.case in (None, case[0]):
            with tempfile.TemporaryDirectory() as folder:
                lines += clustering(program, python, case, args.threads, args.rounds, Path(folder))
    if args.case in (None, "step"):
        lines += steps(program, args.threads, args.rounds, args.earlier)
    beside.publish(lines, args)


main()
