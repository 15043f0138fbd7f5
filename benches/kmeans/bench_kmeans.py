#!/usr/bin/env python3
"""Our k-means beside scikit-learn's on the same features, seed by seed in one run, and what the groups cost in a step.

    benches/kmeans/bench_kmeans.py [--case NAME] [--rounds N] [--python PYTHON] [--out FILE]

Each side reads the same safetensors file and clusters it once with each seed, by turns, on the same number of threads:
scikit-learn's KMeans with its defaults and n_init=1, ours with the defaults of a reset. Both sets of centroids are judged
by the same code: each feature joins its nearest centroid, and the inertia is taken to the means of these clusters. The
Python environment is that of benches/step unless --python names one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "peers"))
import machine  # noqa: E402

# Name, distance, features, groups.
CASES = (
    ("sphere-300", "spherical", 76_800, 300),
    ("raw-300", "euclidean", 76_800, 300),
    ("sphere-3000", "spherical", 60_000, 3000),
)
# Batch, groups.
STEPS = ((4096, 3000), (128, 3000), (128, 300))
PROGRAM = CLONE / "target/release/examples/groups_bench"


class Side:
    """A process that answers each line with a line of JSON."""

    def __init__(self, *command: object) -> None:
        words = [str(word) for word in command]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: object) -> dict:
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended with code {self.process.wait()}; its message is above")
        return json.loads(line)

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def clustering(python: str, case: tuple[str, str, int, int], threads: int, rounds: int, folder: Path) -> list[str]:
    name, distance, count, groups = case
    features, ours_out, theirs_out = folder / "features", folder / "ours", folder / "theirs"
    helper = [python, "-B", HERE / "sklearn_kmeans.py"]
    subprocess.run([*helper, "make", features, distance, str(count)], check=True)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    inertia: dict[str, list[float]] = {"ours": [], "theirs": []}
    with (
        Side(PROGRAM, "kmeans", features, groups, distance, threads, ours_out) as ours,
        Side(*helper, "cluster", features, groups, threads, theirs_out) as theirs,
        Side(*helper, "judge", features) as judge,
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


def steps(threads: int, rounds: int, earlier: Path | None) -> list[str]:
    programs = [("smog", PROGRAM)] + ([("smog, earlier build", earlier)] if earlier else [])
    lines = ["\nGroup side of a step (assignment, update, loss, their backward pass), two views, both directions, medians\n"]
    lines += ["| program | batch | groups | milliseconds |", "| --- | --- | --- | --- |"]
    for batch, groups in STEPS:
        sides = [(name, Side(program, "lightly", batch, groups, threads)) for name, program in programs]
        found: dict[str, list[float]] = {name: [] for name, _ in sides}
        for _ in range(rounds):
            for name, side in sides:
                found[name] += side.ask(3 if batch > 1000 else 15)["seconds"]
        for name, side in sides:
            lines.append(f"| {name} | {batch} | {groups} | {1000 * statistics.median(found[name]):.1f} |")
            side.__exit__()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--case", choices=[*(case[0] for case in CASES), "lightly"], help="only this")
    parser.add_argument("--earlier", type=Path, help="a groups_bench of an earlier commit, measured by turns with this one")
    parser.add_argument("--python", help="an environment with what benches/lightly/requirements.txt names")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    args = parser.parse_args()
    command = ["cargo", "build", "--release", "--workspace", "--example", "groups_bench"]
    subprocess.run(command, cwd=CLONE, check=True)
    python = args.python
    if python is None:
        sys.path.insert(0, str(CLONE / "scripts"))
        import setup

        python = str(setup.make_venv(setup.cache_root(dict(os.environ)), "lightly", HERE.parent / "lightly/requirements.txt"))
    lines = [
        f"# k-means beside scikit-learn's, {datetime.date.today().isoformat()}",
        "",
        f"{machine.processor()} ({machine.vector_extensions()}), {machine.cores()} cores, {machine.operating_system()},"
        f" commit {machine.commit(CLONE)}.",
        f"`{Path(__file__).resolve().relative_to(CLONE)} --rounds {args.rounds}`: seconds are medians.",
    ]
    for case in CASES:
        if args.case in (None, case[0]):
            with tempfile.TemporaryDirectory() as folder:
                lines += clustering(python, case, args.threads, args.rounds, Path(folder))
    if args.case in (None, "lightly"):
        lines += steps(args.threads, args.rounds, args.earlier)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text)


main()
