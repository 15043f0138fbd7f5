"""Writing a data set: cp -r, `smog-tools shard`, MDSWriter and TarWriter, by turns, to the same disk.

Fair means: all read the same files from the page cache and write to the same file system; before each the last
output is removed and the file system synced; the time of each ends when its output is on the disk (syncfs).
The Python writers' clock starts after their imports, the programs' with the process.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from figures import Written
from session import last_words

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "writers"))
import job  # noqa: E402

LIMIT_SECONDS = 600.0


class WriterError(Exception):
    """A writer that failed; the text says how."""


@dataclasses.dataclass(frozen=True)
class Writer:
    """A way to write a data set. `command` takes source and target; `times_itself` prints JSON."""

    name: str
    command: Callable[[Path, Path], list[str]]
    times_itself: bool = False


def writers(smog_tools: Path, python: Path | None, threads: int) -> list[Writer]:
    """All ways; those of the peers only with their Python environment."""
    tools = str(smog_tools)
    found = [
        Writer("cp -r", lambda source, out: ["cp", "-r", str(source), str(out)]),
        Writer(
            "smog header",
            lambda source, out: [tools, "shard", str(source), "--out", str(out), "--check", "header"],
        ),
        Writer("smog decode", lambda source, out: [tools, "shard", str(source), "--out", str(out)]),
    ]
    if python is None:
        return found
    for name, script in (("MDSWriter", "write_mds.py"), ("TarWriter", "write_tar.py")):
        for processes in sorted({1, threads}):

            def command(source: Path, out: Path, script: str = script, processes: int = processes) -> list[str]:
                program = [str(python), "-B", str(HERE / "writers" / script)]
                return [*program, "--root", str(source), "--out", str(out), "--processes", str(processes)]

            found.append(Writer(f"{name}, {processes} process{'es' if processes > 1 else ''}", command, True))
    return found


def measure(writer: Writer, source: Path, out: Path, log: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of one writing of `source` to `out`, which must hold all bytes afterwards."""
    shutil.rmtree(out, ignore_errors=True)
    job.sync_file_system(out.parent)
    started, cpu = time.perf_counter(), children_cpu_seconds()
    with log.open("wb") as errors:
        try:
            done = subprocess.run(
                writer.command(source, out), stdout=subprocess.PIPE, stderr=errors, timeout=LIMIT_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise WriterError(f"not done within {LIMIT_SECONDS:.0f} s") from None
        except OSError as error:
            raise WriterError(str(error)) from None
    if done.returncode != 0:
        raise WriterError(f"it ended with code {done.returncode}: {last_words(log)}")
    job.sync_file_system(out)
    figures = {"seconds": time.perf_counter() - started, "cpu_seconds": children_cpu_seconds() - cpu}
    if writer.times_itself:
        figures = json.loads(done.stdout)
    expected, found = bytes_in(source), bytes_in(out)
    if found < expected:
        raise WriterError(f"it wrote {found} bytes of images that have {expected}")
    return figures["seconds"], figures["cpu_seconds"]


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def grow(images: Path, into: Path, least_bytes: int) -> Path:
    """Copies of the class folders' files under other names until they have `least_bytes`; real copies, no links."""
    files = sorted(file for file in images.rglob("*") if file.is_file())
    copies = max(1, -(-least_bytes // sum(file.stat().st_size for file in files)))
    for file in files:
        folder = into / file.relative_to(images).parent
        folder.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        for copy in range(copies):
            (folder / f"{file.stem}-{copy:03}{file.suffix}").write_bytes(content)
    return into


def compare(
    ways: list[Writer], folders: dict[str, Path], rounds: int, scratch: Path, say: Callable[[str], None]
) -> list[Written]:
    """Every writer on every folder, by turns."""
    found = []
    for data, source in folders.items():
        files = sum(1 for file in source.rglob("*") if file.is_file())
        entries = [Written(writer.name, data, bytes_in(source), files) for writer in ways]
        for number in range(rounds):
            say(f"writing {data}: round {number + 1} of {rounds}")
            for writer, entry in zip(ways, entries):
                if entry.failure:
                    continue
                log = scratch / f"write-{writer.name.split(',')[0].replace(' ', '-')}.log"
                try:
                    seconds, cpu_seconds = measure(writer, source, scratch / "written", log)
                except WriterError as error:
                    entry.failure = str(error)
                    say(f"  {writer.name}: FAILED: {error}")
                    continue
                entry.seconds.append(seconds)
                entry.cpu_seconds.append(cpu_seconds)
        found += entries
    shutil.rmtree(scratch / "written", ignore_errors=True)
    return found
