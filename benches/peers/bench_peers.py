#!/usr/bin/env python3
"""Measures smog beside FFCV, DALI, torchvision and plain decoding, and shard writing beside cp, MDS and tar.

All of it on one folder of JPEGs, in one run, by turns; prints the tables with ratios and the targets, and writes them
as dated Markdown. The peers are installed into an environment of their own in the cache of scripts/setup.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import data
import environment
import machine
import report
import writing
from figures import ONE_VIEW, SMOG_VIEWS, Result, Run, Target, Written
from session import LoaderError, LoaderProcess, SmogProgram

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
RECIPES = {ONE_VIEW: "one_view.json", SMOG_VIEWS: "smog_views.json"}
# Larger where images are fast, so that what a batch costs does not count; the slow ones need several in a window.
BATCH = {ONE_VIEW: 128, SMOG_VIEWS: 64}

EXAMPLES = """\
examples:
  make bench-peers IMAGES=imagenet-sample/train
  make bench-peers IMAGES=imagenet-sample/train ARGS="--quick --no-report"
  bench_peers.py imagenet-sample/train --only smog,dali,plain-decode --parts smog-views
  bench_peers.py imagenet-sample/train --parts writing --grow 2GB

exit codes:
  0  everything was measured
  1  something failed; what was measured is printed all the same
  2  wrong arguments
"""


@dataclasses.dataclass(frozen=True)
class Loader:
    """A loader, which views it can make, and how it is started."""

    name: str
    views: tuple[str, ...]
    # Script and its own options; None for smog's own program.
    script: tuple[str, ...] | None
    single_worker: bool = False


LOADERS = (
    Loader("plain-decode", (ONE_VIEW, SMOG_VIEWS), None),
    Loader("simplejpeg", (ONE_VIEW,), ("plain_decode.py",), single_worker=True),
    Loader("ffcv", (ONE_VIEW,), ("ffcv_loader.py",)),
    Loader("dali", (ONE_VIEW, SMOG_VIEWS), ("dali_loader.py",)),
    Loader("torchvision", (ONE_VIEW, SMOG_VIEWS), ("torchvision_loader.py",)),
    Loader("torchvision-tensors", (ONE_VIEW, SMOG_VIEWS), ("torchvision_loader.py", "--tensors")),
    Loader("smog", (ONE_VIEW, SMOG_VIEWS), None),
)
PARTS = ("one-view", "smog-views", "writing")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [loader.name for loader in LOADERS]
    target = Path(os.environ.get("CARGO_TARGET_DIR", CLONE / "target"))
    parser.add_argument("images", type=Path, help="folder of JPEGs, in class folders or not")
    parser.add_argument("--quick", action="store_true", help="one short round, writing without the larger copy")
    parser.add_argument("--parts", type=choices(PARTS), default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--only", type=choices(names), default=names, metavar="NAME,...", help=f"of {','.join(names)}")
    parser.add_argument("--workers", type=counts, default=[1, 2], metavar="N,...", help="worker counts [1,2]")
    parser.add_argument("--rounds", type=positive(int), metavar="N", help="rounds, of which the median counts [3]")
    parser.add_argument("--seconds", type=positive(float), metavar="S", help="time of a window [5]")
    parser.add_argument("--grow", type=size, metavar="SIZE", help="size of the larger copy for writing [1GB]")
    parser.add_argument("--allow-missing", action="store_true", help="exit code 0 even if a loader failed")
    parser.add_argument("--scratch", type=Path, default=target, metavar="DIR", help="where files are written [target/]")
    program = target / "release/smog-tools"
    parser.add_argument("--smog-tools", type=Path, default=program, metavar="FILE", help="[the release build]")
    parser.add_argument("--smog-args", default="", metavar="ARGS", help="more arguments of `smog-tools bench pipeline`")
    parser.add_argument("--report", type=Path, metavar="FILE", help="Markdown [docs/benchmarks/DATE-peers-cpu.md]")
    parser.add_argument("--no-report", action="store_true", help="only print")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (2.0 if options.quick else 5.0)
    options.warmup_seconds = min(1.0, options.seconds / 4)
    if options.grow is None:
        options.grow = 0 if options.quick else 10**9
    whole = not options.quick and options.only == names and options.parts == list(PARTS)
    if options.report is None and whole and not options.no_report:
        options.report = CLONE / f"docs/benchmarks/{datetime.date.today()}-peers-cpu.md"
    return options


def choices(known: tuple[str, ...] | list[str]):
    def parse_names(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return [name for name in known if name in text.split(",")]

    return parse_names


def positive(kind: type[int] | type[float]):
    def parse_number(text: str) -> int | float:
        try:
            number = kind(text)
        except ValueError:
            number = kind(0)
        if not 0 < number < 1e6:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
        return number

    return parse_number


def counts(text: str) -> list[int]:
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers of at least 1, such as 1,2")
    return numbers


def size(text: str) -> int:
    units = {"GB": 10**9, "MB": 10**6}
    if text[-2:].upper() not in units or not text[:-2].replace(".", "", 1).isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a size such as 500MB or 2GB")
    return int(float(text[:-2]) * units[text[-2:].upper()])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run: what was asked for, and what there is to measure with."""

    def __init__(self, options: argparse.Namespace, images: data.Images, scratch: Path) -> None:
        self.options, self.images, self.scratch = options, images, scratch
        self.run = Run()
        self.settings: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.python: Path | None = None
        # Why the environment or FFCV cannot be had.
        self.no_python: str | None = None
        self.no_ffcv: str | None = None

    def prepare(self) -> None:
        """The peers' environment, the list of files, and our shards."""
        peers = [loader.name for loader in LOADERS if loader.script and loader.name in self.options.only]
        loads = {"one-view", "smog-views"} & set(self.options.parts)
        try:
            if "writing" in self.options.parts or (peers and loads):
                self.python = environment.python_of_peers()
        except environment.EnvironmentFailure as error:
            self.no_python = str(error)
        try:
            if self.python and "ffcv" in peers and "one-view" in loads:
                environment.build_ffcv(self.python)
        except environment.EnvironmentFailure as error:
            self.no_ffcv = str(error)
        (self.scratch / "files.txt").write_text("".join(f"{file.resolve()}\n" for file in self.images.files))
        command = [str(self.options.smog_tools), "shard", str(self.images.root), "--out", str(self.scratch / "shards")]
        subprocess.run([*command, "--check", "header"], check=True, stdout=subprocess.DEVNULL)

    def missing(self, loader: Loader) -> str | None:
        """Why a loader cannot be started."""
        return (self.no_python if loader.script else None) or (self.no_ffcv if loader.name == "ffcv" else None)

    def process_of(self, loader: Loader, views: str, workers: int) -> LoaderProcess | SmogProgram:
        log = self.scratch / f"{loader.name}-{views}-{workers}.log"
        recipe = str(HERE / "recipes" / RECIPES[views])
        if loader.script:
            script, *extra = loader.script
            command = [str(self.python), "-B", str(HERE / "loaders" / script), *extra]
            command += ["--files", str(self.scratch / "files.txt"), "--recipe", recipe, "--workers", str(workers)]
            command += ["--batch", str(BATCH[views]), "--scratch", str(self.scratch)]
            # No GPU, even where there is one; nothing is looked up on the network.
            hidden = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
            return LoaderProcess(command, log, {**os.environ, **hidden})
        command = [str(self.options.smog_tools), "bench"]
        shards = ["--data", str(self.scratch / "shards"), "--workers", str(workers)]
        if loader.name == "plain-decode":
            command += ["stage", "decode", *shards, "--decoder", "turbojpeg"]
            return SmogProgram([*command, "--images", str(min(len(self.images.files), 5000))], log)
        command += ["pipeline", *shards, "--preset", recipe, "--batch", str(BATCH[views])]
        return SmogProgram([*command, *self.options.smog_args.split()], log)

    def measure_loaders(self, views: str) -> None:
        """All loaders that can make these views, by turns."""
        entries = []
        try:
            for loader in LOADERS:
                for workers in [1] if loader.single_worker else self.options.workers:
                    if loader.name not in self.options.only or views not in loader.views:
                        continue
                    result = Result(loader.name, views, workers, failure=self.missing(loader))
                    self.run.results.append(result)
                    if result.failure is None:
                        entries.append((result, self.process_of(loader, views, workers)))
                        self.attempt(*entries[-1], start=True)
            for number in range(self.options.rounds):
                for result, process in entries:
                    if result.failure is None:
                        self.attempt(result, process)
                        if result.failure is None:
                            rate = result.windows[-1].images_per_second
                            say(
                                f"round {number + 1}/{self.options.rounds}  {views}  {result.loader},"
                                f" workers {result.workers}: {rate:.1f} images/s"
                            )
        finally:
            for _, process in entries:
                process.stop()

    def attempt(self, result: Result, process: LoaderProcess | SmogProgram, start: bool = False) -> None:
        """Starts or measures; a failure is noted and the loader is left out from then on."""
        try:
            if start:
                process.start()
                if process.settings:
                    self.settings[result.loader] = process.settings
                self.versions.update(process.versions)
            else:
                result.windows.append(process.measure(self.options.warmup_seconds, self.options.seconds))
        except LoaderError as error:
            result.failure, result.windows = str(error), []
            process.stop()
            say(f"FAILED: {result.loader}, {result.views}, workers {result.workers}: {error}")

    def measure_writing(self) -> None:
        """Every writer, on the folder and on a larger copy."""
        folders = {"the folder": self.images.root}
        needed = 2 * max(self.options.grow, self.images.bytes) + self.options.grow
        free = shutil.disk_usage(self.scratch).free
        if free < needed + 10**9:
            raise data.DataError(
                f"{self.scratch} has {free / 1e9:.1f} GB free and writing needs {needed / 1e9 + 1:.1f} GB;"
                " take another --scratch, or a smaller --grow"
            )
        if self.options.grow > self.images.bytes:
            say("making the larger copy")
            copy = writing.grow(self.images.root, self.scratch / "grown", self.options.grow)
            folders["larger copy"] = copy
        ways = writing.writers(self.options.smog_tools, self.python, machine.cores())
        self.run.written = writing.compare(ways, folders, self.options.rounds, self.scratch, say)
        if self.no_python:
            for name in ("MDSWriter", "TarWriter"):
                self.run.written += [Written(name, folder, 0, 0, failure=self.no_python) for folder in folders]

    def targets(self) -> list[Target]:
        targets = self.run.loader_targets()
        if self.run.written:
            for folder in dict.fromkeys(written.data for written in self.run.written):
                targets += self.run.writing_targets(folder, machine.cores())
        return targets

    def facts(self, started_load: float, commit: str) -> report.Facts:
        options = self.options
        images = self.images
        return report.Facts(
            date=str(datetime.date.today()),
            machine=[
                f"{machine.processor()}, {machine.cores()} cores, {machine.vector_extensions()},"
                f" {machine.memory_bytes() / 1e9:.0f} GB; {machine.operating_system()}",
                f"load of the machine at the start: {started_load:.1f}",
            ],
            commit=commit,
            command=command_of(sys.argv[1:], options.images, images.label()),
            data=f"{images.label()}: {len(images.files):,} JPEGs, {images.bytes / 1e6:.0f} MB,"
            f" {images.bytes / len(images.files) / 1e3:.0f} kB each",
            method=[
                f"Loaders take turns, {options.rounds} rounds of {options.seconds:g} s; medians of the rounds, ratios"
                " of medians. Peers stay alive in between, halted; a window starts after"
                f" {options.warmup_seconds:g} s, when the queue is used up, and ends with a batch.",
                "Peers read from the page cache, FFCV its own file, the others one file for each image. smog reads its shards"
                f" once, during the start: these {images.bytes / 1e6:.0f} MB fit into its memory, where it keeps them, so its"
                " figures are without reading.",
                "Batches of "
                + ", ".join(f"{batch} for {views}" for views, batch in BATCH.items())
                + ", as bytes (uint8), taken by a consumer that does nothing; no loader comes to an end of an epoch.",
                "Workers: threads of smog, DALI and FFCV, processes of torch's DataLoader. CPU ms and memory are those"
                " of the whole loader, with its reading and collating; smog's CPU ms those of its threads, without the"
                " consumer. Memory: proportional set size; smog's is the peak of its resident size.",
                "All loaders get the same recipe (`benches/peers/recipes/`). DALI has one order of colour changes.",
                "Writing: same source, same disk, page cache warm. The last output is removed and the file system"
                " synced before; the time ends when the output is on the disk (syncfs). Python's imports do not count.",
            ],
            settings=self.settings,
            versions=self.versions,
        )


def main() -> int:
    options = parse()
    started_load = machine.load()
    commit = machine.commit(CLONE)
    if not options.smog_tools.is_file():
        say(f"bench-peers: {options.smog_tools} is missing; call make build")
        return 1
    options.scratch.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bench-peers-", dir=options.scratch.resolve()))
    failed = True
    try:
        bench = Bench(options, data.find_images(options.images), scratch)
        bench.prepare()
        for part, views in (("one-view", ONE_VIEW), ("smog-views", SMOG_VIEWS)):
            if part in options.parts:
                bench.measure_loaders(views)
        if "writing" in options.parts:
            bench.measure_writing()
        failed = bool(bench.run.failures())
    except (data.DataError, subprocess.CalledProcessError, OSError) as error:
        say(f"bench-peers: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench-peers: interrupted")
        return 130
    finally:
        clean(scratch, keep_logs=failed)
    lines = report.tables(bench.run, options.workers, bench.targets())
    print("\n".join(lines))
    if options.report:
        write(options.report, report.markdown(bench.facts(started_load, commit), lines))
    return 1 if failed and not options.allow_missing else 0


def command_of(arguments: list[str], images: Path, label: str) -> str:
    """The call as somebody else would type it: without the paths of this machine."""
    kept, words = [], iter(arguments)
    for word in words:
        name, _, value = word.partition("=")
        if name in ("--report", "--scratch", "--smog-tools"):
            value or next(words)
        elif word != str(images):
            kept.append(word)
    more = f' ARGS="{" ".join(kept)}"' if kept else ""
    return f"make bench-peers IMAGES={label}{more}"


def clean(scratch: Path, keep_logs: bool) -> None:
    """Removes what the run wrote, but for the logs of a run in which something failed."""
    if not keep_logs:
        shutil.rmtree(scratch, ignore_errors=True)
        return
    for path in scratch.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".log":
            path.unlink()
    say(f"bench-peers: logs are in {scratch}")


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_text(text)
    partial.rename(path)
    say(f"bench-peers: wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
