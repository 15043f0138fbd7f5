#!/usr/bin/env python3
"""What a narrow ResNet-18 learns on CIFAR-10 in the same wall-clock time: smog beside the lightly library's SMoG.

For each seed smog trains a number of steps; lightly then gets the time that smog took, on the same cores, with the same
encoder, images and batch, and with waiting threads that sleep as soon as smog's do. Encoders of both, saved at the same
times, are judged by the same k-NN. Start-up, saving and judging cost neither side time. A control gives lightly what else
smog has: its smaller views, which cost less, and its layout of tensors. Writes a table and a picture to docs/benchmarks/.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

CLONE = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lightly"))
import beside  # noqa: E402


class View(NamedTuple):
    """Side of lightly's views, and the smallest share of the picture in a crop."""

    size: int
    scale: float

    @staticmethod
    def parse(word: str) -> View:
        size, _, scale = word.partition(":")
        return View(int(size), float(scale))

    def side(self) -> str:
        return f"lightly {self.size} px"


# How soon a thread of libgomp that waits goes to sleep. smog sets it for itself where nobody else has (trainer/src/environment.rs).
SPINS = "1000"
# With which smog.toml was searched.
SEARCHED_SEEDS = (0, 1, 2)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="CIFAR-10 as train/CLASS/*.jpg and test/CLASS/*.jpg")
    parser.add_argument(
        "--scratch", type=Path, default=CLONE / "target/bench-learning", help="folder of the runs; finished ones are kept"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="length of each training [default: 10]")
    parser.add_argument("--seeds", default="3,4,5", help="[default: 3,4,5; smog's settings were searched with 0 to 2]")
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage [default: 16]")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--points", type=int, default=4, help="points of each curve [default: 4]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--lightly-lr", type=float, default=0.06, help="rate of lightly's SGD [default: 0.06]")
    parser.add_argument(
        "--lightly-views",
        type=lambda text: [View.parse(word) for word in text.split(",")],
        default="32:0.2,24:0.4",
        help="SIDE:SMALLEST_CROP of lightly's views; those after the first are controls, which are channels_last, too"
        " [default: 32:0.2,24:0.4]",
    )
    parser.add_argument("--lightly-workers", type=int, default=1, help="loader processes of lightly [default: 1]")
    parser.add_argument("--smog-steps", type=int, help="steps of smog [default: measured to fill the time]")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="of smog's networks [default: f32, as lightly]")
    parser.add_argument("--target", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", CLONE / "target")))
    args = parser.parse_args(arguments)
    if len({view.size for view in args.lightly_views}) < len(args.lightly_views):
        parser.error("--lightly-views: each side once")
    return args


def call(command: list[object], log: Path) -> None:
    """Runs a command and says where its output lies if it fails."""
    environment = dict(os.environ)
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & environment.keys():
        environment["GOMP_SPINCOUNT"] = SPINS
    with log.open("w") as output:
        words = [str(word) for word in command]
        done = subprocess.run(words, stdout=output, stderr=subprocess.STDOUT, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"bench-learning: {command[0]} failed with code {done.returncode}; its output is in {log}")


class Bench:
    def __init__(self, args: argparse.Namespace, python: Path) -> None:
        self.args, self.python = args, python
        self.tools, self.trainer = (args.target / "release" / name for name in ("smog-tools", "smog-trainer"))
        for program in (self.tools, self.trainer):
            if not program.is_file():
                raise SystemExit(f"bench-learning: {program} is missing; call make bench-learning")
        # Runs of other programs, settings or data lie elsewhere, so that none passes for one that was asked for.
        kept = {name: str(value) for name, value in vars(args).items() if name not in ("seeds", "scratch", "target")}
        programs = [path.read_bytes() for path in (self.trainer, HERE / "smog.toml", HERE / "lightly_smog.py")]
        digest = hashlib.sha256(repr(sorted(kept.items())).encode())
        for program in programs:
            digest.update(hashlib.sha256(program).digest())
        self.runs = args.scratch / digest.hexdigest()[:12]
        data = hashlib.sha256(str(args.data.resolve()).encode()).hexdigest()[:12]
        self.shards = args.scratch / f"cifar10-shards-{data}"

    def prepare(self) -> None:
        self.runs.mkdir(parents=True, exist_ok=True)
        if not (self.shards / "manifest.json").exists():
            call([self.tools, "shard", self.args.data, "--out", self.shards], log=self.args.scratch / "shard.log")

    def smog(self, run: Path, seed: int, steps: int, every: int) -> list[tuple[float, int]]:
        """Trains, and gives seconds and step of each checkpoint."""
        if not (run / "finished").exists():
            # What an interrupted call left would not be one sitting.
            shutil.rmtree(run, ignore_errors=True)
            options = [
                f"run.length={steps} steps",
                f"run.checkpoint_every={every} steps",
                f"run.batch_size={self.args.batch_size}",
                f"model.encoder.width={self.args.width}",
                f"run.precision={self.args.precision}",
            ]
            command = [self.trainer, "run", "--preset", "cifar10-resnet18", "--config", HERE / "smog.toml"]
            command += ["--data", self.shards, "--run-dir", run, "--seed", seed, "--threads", self.args.threads]
            command += [word for option in options for word in ("--set", option)]
            call(command, log=run.with_suffix(".log"))
            (run / "finished").touch()
        points = []
        for folder in sorted((run / "checkpoints").glob("step-*")):
            state = json.loads((folder / "state.json").read_text())
            points.append((state["trained_seconds"], state["step"]))
        return points

    def steps(self) -> int:
        """Steps that smog makes in the time, by a short run."""
        if self.args.smog_steps:
            return self.args.smog_steps
        points = self.smog(self.runs / "pilot", 0, 60, 30)
        (begin, first), (end, last) = points[0], points[-1]
        return int(self.args.minutes * 60 * (last - first) / (end - begin))

    def lightly(self, out: Path, view: View, seed: int, marks: list[float]) -> dict:
        if not (out / "report.json").exists():
            out.mkdir(parents=True, exist_ok=True)
            command = [self.python, HERE / "lightly_smog.py", "--images", self.args.scratch / "train.npy", "--out", out]
            command += ["--marks", ",".join(f"{mark:.2f}" for mark in marks), "--width", self.args.width]
            command += ["--batch-size", self.args.batch_size, "--lr", self.args.lightly_lr, "--seed", seed]
            command += ["--threads", self.args.threads, "--workers", self.args.lightly_workers]
            command += ["--size", view.size, "--scale", view.scale]
            if view != self.args.lightly_views[0]:
                command.append("--channels-last")
            call(command, log=out.with_suffix(".log"))
        return json.loads((out / "report.json").read_text())

    def export(self, run: Path, step: int) -> Path:
        out = run / f"encoder-{step}.safetensors"
        if not out.exists():
            call([self.trainer, "export", run, "--checkpoint", step, "--out", out], log=run / "export.log")
        return out


def main(arguments: list[str]) -> int:
    args = parse(arguments)
    python = beside.environment()
    if Path(sys.executable).resolve() != python.resolve() or sys.prefix != str(python.parents[1]):
        return subprocess.run([python, "-B", __file__, *arguments]).returncode
    import knn
    import numpy

    bench = Bench(args, python)
    bench.prepare()
    bank, queries = knn.read_folder(args.data / "train"), knn.read_folder(args.data / "test")
    numpy.save(args.scratch / "train.npy", bank[0])
    # Points before the last are judged by a part of the pictures: every fifth of the bank, every second query.
    small = (bank[0][::5], bank[1][::5]), (queries[0][::2], queries[1][::2])

    steps = bench.steps()
    every = -(-steps // args.points)
    sides = ["smog", *(view.side() for view in args.lightly_views)]
    curves: dict[str, dict[int, list]] = {side: {} for side in sides}
    counts: dict[str, list[int]] = {side: [] for side in sides}

    def judge(points: list[tuple[float, Path]]) -> list[tuple[float, float]]:
        parts = [small] * (len(points) - 1) + [(bank, queries)]
        return [(seconds, knn.accuracy(weights, args.width, *part)) for (seconds, weights), part in zip(points, parts)]

    for seed in map(int, args.seeds.split(",")):
        run = bench.runs / f"smog-{seed}"
        points = bench.smog(run, seed, steps, every)
        counts["smog"].append(points[-1][1])
        # All train before one is judged, so that they meet the machine in the same state.
        peers = {}
        for view in args.lightly_views:
            folder = bench.runs / f"lightly-{view.size}-{seed}"
            peers[view.side()] = folder, bench.lightly(folder, view, seed, [seconds for seconds, _ in points])
        curves["smog"][seed] = judge([(seconds, bench.export(run, step)) for seconds, step in points])
        for side, (folder, peer) in peers.items():
            counts[side].append(peer["steps"])
            saved = enumerate(peer["points"], start=1)
            curves[side][seed] = judge([(at["seconds"], folder / f"encoder-{number}.safetensors") for number, at in saved])
        print(f"seed {seed}: " + ", ".join(f"{side} {100 * curves[side][seed][-1][1]:.2f} %" for side in sides), flush=True)
    untrained = knn.accuracy(None, args.width, bank, queries)
    return figures_and_report(args, arguments, curves, counts, untrained)


def figures_and_report(args, arguments, curves, counts, untrained) -> int:
    import chart
    import machine
    import report

    date = datetime.date.today().isoformat()
    folder = CLONE / "docs/benchmarks"
    picture = folder / f"{date}-learning.png"
    chart.draw(curves, untrained, picture)
    last = {side: [curve[-1][1] for curve in by_seed.values()] for side, by_seed in curves.items()}
    seeds, peers = list(curves["smog"]), [side for side in curves if side != "smog"]
    gaps = {peer: [ours - theirs for ours, theirs in zip(last["smog"], last[peer])] for peer in peers}
    percent = "{:.2f} %".format
    rows = []
    for at, seed in enumerate(seeds):
        row = [str(seed), *(f"{curves[side][seed][-1][0]:.0f} s" for side in curves)]
        row += [percent(100 * last[side][at]) for side in curves] + [f"{100 * gaps[peer][at]:+.2f}" for peer in peers]
        rows.append(row)
    means = [percent(100 * statistics.mean(last[side])) for side in curves]
    rows.append(["mean", *([""] * len(curves)), *means, *(f"{100 * statistics.mean(gaps[peer]):+.2f}" for peer in peers)])
    head = ["seed", *(f"{side} trained" for side in curves), *curves, *(f"beside {peer}" for peer in peers)]
    table = report.table(head, rows)
    # The target speaks of lightly's example; what follows it are controls.
    reached = min(gaps[peers[0]]) > 0 and statistics.mean(gaps[peers[0]]) >= 0.05
    views = " and ".join(f"{view.size} pixels with crops from {view.scale:g}" for view in args.lightly_views)
    text = [
        "# What is learnt in the same time: smog and lightly's SMoG",
        "",
        f"{date}, commit {machine.commit(CLONE)}; {machine.processor()}, {args.threads} threads; "
        f"--minutes {args.minutes:g} --seeds {args.seeds}.",
        "",
        f"CIFAR-10, ResNet-18 of width {args.width} with the stem for small pictures, batch {args.batch_size}, the same "
        "wall-clock time on the same cores. k-NN top-1 on the 10,000 test pictures, bank the 50,000 training pictures "
        f"(cosine, k = {200}, weights exp(similarity / 0.1)); the same judge for both. Untrained encoder: "
        f"{100 * untrained:.2f} %.",
        "",
        *table,
        "",
        "Steps in that time: " + ", ".join(f"{side} {steps}" for side, steps in counts.items()) + "; all predict in one "
        "direction in a step, the views by turns.",
        "",
        f"Target (above {peers[0]} in each seed, 5 points or more in the mean): {'reached' if reached else 'NOT reached'}.",
        "",
        f"![curves]({picture.name})",
        "",
        "Points of the curves before the last are judged by a fifth of the bank and half of the queries.",
        "",
        "- smog: preset `cifar10-resnet18` with `benches/learning/smog.toml`. These settings were searched on this task: this "
        f"network and batch, shorter runs, k-NN on the test pictures, seeds {', '.join(map(str, SEARCHED_SEEDS))} "
        f"({'none' if not set(seeds) & set(SEARCHED_SEEDS) else 'some'} of them in this table). lightly's were not searched.",
        f"- lightly 1.6.0: its SMoG example step (300 groups, beta 0.99, temperature 0.1, momentum 0.99, k-means by "
        f"scikit-learn every 300 steps), SGD {args.lightly_lr} with momentum 0.9 and weight decay 1e-6 falling along a "
        f"cosine, its transform for CIFAR-10 (views of {views}; the first is the library's own), "
        f"pictures decoded in memory, {args.lightly_workers} loader process(es). The first is the library's example as it is, "
        "those after it are channels_last, as smog is.",
        f"- Both: GOMP_SPINCOUNT={os.environ.get('GOMP_SPINCOUNT', SPINS)}.",
        "",
    ]
    path = folder / f"{date}-learning.md"
    path.write_text("\n".join(text))
    print("\n".join(text))
    print(f"written: {path}, {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
