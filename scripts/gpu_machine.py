"""The programs that scripts/gpu-check calls, the machine they find, and the time that they may take."""

from __future__ import annotations

import glob
import os
import platform
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
PROGRAMS = ("smog-trainer", "smog-tools")
# The release whose C++ interface the programs were made for.
TORCH = "2.11."
# What the driver shows of each GPU, also where nvidia-smi is not installed.
DEVICE_FILES = "/dev/nvidia[0-9]*"
# Seconds for a question to Python or the system. A first import of torch reads gigabytes.
QUESTION = 120
# Seconds in which a program that was killed has to be gone: one that hangs in the driver may never be.
LAST_BREATH = 10


class Broken(Exception):
    """A check that could not be made; the text says why."""

    def __init__(self, text: str, output: str = "", errors: str = "") -> None:
        super().__init__(text)
        # What the program had printed by then.
        self.output, self.errors = output, errors


class Budget:
    """How long everything may take, and one call."""

    def __init__(self, total: float | None, call: float) -> None:
        self.total, self.call, self.started = total, call, time.monotonic()

    def left(self) -> float:
        return float("inf") if self.total is None else self.total - (time.monotonic() - self.started)

    def allowed(self) -> float:
        """Seconds for a call that begins now."""
        return min(self.call, self.left())

    def why(self) -> str:
        """What a call ran into that had to be ended."""
        return f"--budget {self.total:g}" if self.left() <= 0 else f"--limit {self.call:g}"


def finish(command: list[str], seconds: float, given: str = "", **more) -> subprocess.CompletedProcess:
    """The command at its end. One that takes longer is killed: TimeoutExpired, with what it had printed."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", **more)  # fmt: skip
    try:
        output, errors = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        process.kill()
        try:
            late.stdout, late.stderr = process.communicate(timeout=LAST_BREATH)
        except subprocess.TimeoutExpired:
            late.stdout, late.stderr = "", "it could not even be killed"
        raise
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def output(*command: str) -> str | None:
    """What a command prints; None where it fails."""
    try:
        done = finish(list(command), QUESTION)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def last_lines(text: str, count: int = 3) -> str:
    return "\n".join(text.strip().splitlines()[-count:])


class Machine:
    """The programs, and where they look for libraries."""

    def __init__(self, programs: Path, device: str, python: str, budget: Budget) -> None:
        self.programs, self.device, self.python, self.budget = programs, device, python, budget
        self.environment = dict(os.environ)
        # Without an import: that would take seconds, and the programs load the libraries themselves.
        found = self.ask(
            "import importlib.metadata as m, importlib.util as u;"
            "print(m.version('torch'), u.find_spec('torch').submodule_search_locations[0])")  # fmt: skip
        self.torch, _, package = (found or "").partition(" ")
        # The wheel's folder holds both halves of libtorch; its own paths lead to NVIDIA's libraries. On a CPU it serves a
        # machine to which the programs were carried without the libtorch that they were built with.
        if self.torch.startswith(TORCH):
            site = Path(package).parent
            folders = [f"{package}/lib", str(site / "nvidia/cu13/lib"), os.environ.get("LD_LIBRARY_PATH")]
            self.environment["LD_LIBRARY_PATH"] = os.pathsep.join(folder for folder in folders if folder)
            # torchvision brings nvJPEG along under a name of its own.
            bundled = sorted((site / "torchvision.libs").glob("libnvjpeg*.so*"))
            if bundled:
                self.environment.setdefault("SMOG_NVJPEG", str(bundled[0]))

    def about_torch(self) -> str:
        """Which torch was found, and whether the programs were shown it."""
        if not self.torch:
            return f"{self.python} has no torch, so its libraries were not offered; {TORCH}0 is needed (--python)"
        if self.torch.startswith(TORCH):
            return f"the libraries of torch {self.torch} were offered"
        return f"{self.python} has torch {self.torch}, so its libraries were not offered; {TORCH}0 is needed (--python)"

    def ask(self, program: str) -> str | None:
        """What a line of Python prints; None where it fails."""
        return output(self.python, "-c", program)

    def version(self, package: str) -> str | None:
        return self.ask(f"import importlib.metadata as m; print(m.version({package!r}))")

    def call(self, *words: object, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess:
        command = [str(self.programs / str(words[0])), *map(str, words[1:])]
        return self.finish(f"{words[0]} {words[1]}", command, codes, env=self.environment)

    def finish(self, name: str, command: list[str], codes=(0,), given: str = "", **more) -> subprocess.CompletedProcess:
        """A call within the time that is left. Anything but an expected exit code breaks the check."""
        seconds = self.budget.allowed()
        if seconds <= 0:
            raise Broken(f"{name} was not begun: {self.budget.why()} is used up")
        try:
            done = finish(command, seconds, given, **more)
        except subprocess.TimeoutExpired as late:
            said = last_lines(late.stderr) or "nothing"
            why = f"{name} was at work for {seconds:.0f} s and was ended ({self.budget.why()}); it had said: {said}"
            raise Broken(why, late.stdout, late.stderr) from None
        except OSError as error:
            raise Broken(f"{name} cannot be started: {error}") from None
        if done.returncode not in codes:
            said = last_lines(done.stderr) or last_lines(done.stdout) or "no message"
            raise Broken(f"{name} left with {done.returncode}: {said}", done.stdout, done.stderr)
        return done

    def train(self, run: Path, data: Path, preset: str, settings: tuple[str, ...], *words: object) -> Path:
        sets = [word for setting in settings for word in ("--set", setting)]
        self.call("smog-trainer", "run", "--preset", preset, "--data", data, "--run-dir", run, *sets, *words)
        return run


def gpus() -> list[str]:
    """GPUs that the driver names, whether or not libtorch can use them."""
    return (output("nvidia-smi", "-L") or "").splitlines() or sorted(glob.glob(DEVICE_FILES))


def facts(machine: Machine) -> dict[str, str | None]:
    query = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total,pcie.link.gen.max", "--format=csv,noheader")
    libraries = output("ldconfig", "-p") or ""
    names = ("libcuda.so", "libnvjpeg", "libnvrtc.so", "libnccl.so")
    found = {line.split()[0] for line in libraries.splitlines() if any(name in line for name in names)}
    try:
        program = machine.call("smog-trainer", "--version").stdout.strip()
    except Broken as error:
        program = str(error)
    return {
        "gpu": output(*query),
        "cores": str(len(os.sched_getaffinity(0))),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "torch": machine.torch or None,
        "torchvision": machine.version("torchvision"),
        "lightly": machine.version("lightly"),
        "libraries": ", ".join(sorted(found)),
        "smog-trainer": program,
    }


def find_programs(given: Path | None, work: Path) -> Path:
    """The folder of the programs; those of an archive are unpacked into `work`."""
    if given and given.is_file():
        return unpack(given, work / "programs")
    built = Path(os.environ.get("CARGO_TARGET_DIR", CLONE / "target")) / "release"
    folders = [given, given / "bin"] if given else [built, CLONE / "bin", CLONE]
    for folder in folders:
        if all((folder / name).is_file() for name in PROGRAMS):
            return folder.resolve()
    where = " or ".join(map(str, folders))
    raise Broken(f"no {' and '.join(PROGRAMS)} in {where}; make build, or --bin with a folder or an archive of make gpu-bundle")


def unpack(archive: Path, folder: Path) -> Path:
    """The programs of an archive. Nothing else of it is written."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = set(PROGRAMS)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if name in missing and member.isfile():
                    with open(folder / name, "wb") as file:
                        shutil.copyfileobj(tar.extractfile(member), file)
                    (folder / name).chmod(0o755)
                    missing.remove(name)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise Broken(f"{archive} cannot be unpacked: {error}") from None
    if missing:
        raise Broken(f"{archive} holds no {' and no '.join(sorted(missing))}; make gpu-bundle makes one that does")
    return folder
