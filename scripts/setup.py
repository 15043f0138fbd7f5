#!/usr/bin/env python3
"""Prepares a clone on Debian or Ubuntu: build tools, libtorch, nvJPEG for tests, cargo's settings.

    scripts/setup                          all that `cargo build` needs
    scripts/setup cuda-half                libtorch's CUDA half alone, for a test; prints its folder (530 MB to fetch)
    scripts/setup nvrtc                    CUDA's run-time compiler, for a test; prints its folder (90 MB to fetch)
    scripts/setup venv NAME REQUIREMENTS   a Python environment in the cache; prints its python
    scripts/setup cache                    prints the cache folder
    scripts/setup clean                    removes from the cache what this script and CI put there

libtorch is the CPU part of the pinned torch wheel, without Python: the headers, three libraries and two
of NVIDIA's that they are linked to. nvJPEG is one library; nothing is linked to it, but tests of smog-cuda open
it. Both lie outside the clone, in $SMOG_CACHE, else $XDG_CACHE_HOME/smog, else ~/.cache/smog, and are put there
whole or not at all. Only Python's standard library is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path, PurePosixPath

CLONE = Path(__file__).resolve().parent.parent
MARKER = "smog-setup.json"
CONFIG_HEADER = "# Written by scripts/setup; not tracked."


class SetupError(Exception):
    """Something that the person at the keyboard has to do; the text says what."""


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A pinned package: its digest, and which of its members go where."""

    name: str
    version: str
    sha256: str
    # Folder of the wheel -> folder of the installation. A file is named with its whole path.
    members: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One installation: libtorch or nvJPEG."""

    folder: str
    wheels: tuple[Wheel, ...]
    # Must be there at the end.
    required: tuple[str, ...]
    # Files written besides those of the wheels.
    written: tuple[tuple[str, str], ...]
    # The wheels, the copy that pip makes while it downloads, and the unpacked files; then what stays, and what is
    # downloaded. They say nothing of the content, so they are not in the digest.
    needed_bytes: int = dataclasses.field(default=0, repr=False)
    kept_bytes: int = dataclasses.field(default=0, repr=False)
    download_bytes: int = dataclasses.field(default=0, repr=False)

    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()


LIBTORCH = Recipe(
    folder="libtorch-2.11.0-cu130",
    wheels=(
        Wheel(
            "torch",
            "2.11.0",
            "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756",
            (
                ("torch/include/", "include/"),
                ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
                ("torch/lib/libc10.so", "lib/libc10.so"),
                ("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
            ),
        ),
        Wheel(
            "nvidia-cuda-runtime",
            "13.0.96",
            "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            (("*/libcudart.so.13", "lib/libcudart.so.13"),),
        ),
        Wheel(
            "nvidia-cuda-cupti",
            "13.0.85",
            "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            (("*/libcupti.so.13", "lib/libcupti.so.13"),),
        ),
    ),
    required=(
        "include/torch/csrc/api/include/torch/torch.h",
        "lib/libtorch_cpu.so",
        "lib/libc10.so",
        "lib/libgomp.so.1",
        "lib/libcudart.so.13",
        "lib/libcupti.so.13",
    ),
    # torch-sys always links -ltorch. The wheel's own libtorch.so wants the CUDA half; this wants only the CPU half.
    written=(("lib/libtorch.so", "INPUT(-ltorch_cpu)\n"),),
    needed_bytes=1_800_000_000,
    kept_bytes=500_000_000,
    download_bytes=544_000_000,
)

# The real library answers to some calls without a driver, which is enough to test how smog-cuda loads it.
NVJPEG = Recipe(
    folder="nvjpeg-13.0.4.44",
    wheels=(
        Wheel(
            "nvidia-nvjpeg",
            "13.0.4.44",
            "87453d1fcb30ba4d990fcc8753805a1c9ccf786ba17f99cb9e97b84637672646",
            (("*/libnvjpeg.so.13", "lib/libnvjpeg.so.13"),),
        ),
    ),
    required=("lib/libnvjpeg.so.13",),
    written=(),
    needed_bytes=20_000_000,
    kept_bytes=6_000_000,
    download_bytes=3_800_000,
)

# Compiles the kernels of smog-cuda for GPUs without one. The version is the GPU machine's: code of a newer one might be
# refused by its driver.
NVRTC = Recipe(
    folder="nvrtc-13.0.88",
    wheels=(
        Wheel(
            "nvidia-cuda-nvrtc",
            "13.0.88",
            "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
            (
                ("*/libnvrtc.so.13", "lib/libnvrtc.so.13"),
                ("*/libnvrtc-builtins.so.13.0", "lib/libnvrtc-builtins.so.13.0"),
            ),
        ),
    ),
    required=("lib/libnvrtc.so.13", "lib/libnvrtc-builtins.so.13.0"),
    written=(),
    needed_bytes=350_000_000,
    kept_bytes=114_000_000,
    download_bytes=90_000_000,
)

# What a program with a GPU loads besides. It needs NVIDIA's libraries, which are not here: a test puts empty ones in
# their place. Not in the folder above, where torch-sys would link to it.
CUDA_HALF = Recipe(
    folder="libtorch-cuda-2.11.0-cu130",
    wheels=(
        dataclasses.replace(
            LIBTORCH.wheels[0],
            members=(
                ("torch/lib/libtorch_cuda.so", "lib/libtorch_cuda.so"),
                ("torch/lib/libc10_cuda.so", "lib/libc10_cuda.so"),
            ),
        ),
    ),
    required=("lib/libtorch_cuda.so", "lib/libc10_cuda.so"),
    written=(),
    needed_bytes=1_600_000_000,
    kept_bytes=460_000_000,
    download_bytes=531_000_000,
)

PIP_PLATFORM = (
    "--python-version=3.12",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_25_x86_64",
    "--platform=manylinux2014_x86_64",
)

# Program, Debian package, what for.
BUILD_TOOLS = (
    ("c++", "g++", "torch's C++ shim"),
    ("cmake", "cmake", "libjpeg-turbo"),
    ("make", "make", "libjpeg-turbo"),
    ("nasm", "nasm", "libjpeg-turbo's SIMD code"),
)


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def cache_root(environment: dict[str, str]) -> Path:
    """The cache folder outside the clone."""
    if environment.get("SMOG_CACHE"):
        return Path(environment["SMOG_CACHE"]).absolute()
    home = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME", str(Path.home())), ".cache")
    return Path(home).absolute() / "smog"


def check_platform(system: str, machine: str) -> None:
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        raise SetupError(
            f"this is {system} on {machine}; only Linux on x86_64 is set up by this script. Elsewhere, put libtorch"
            " 2.11.0 somewhere yourself and set LIBTORCH; pipeline/ and tools/ build without it"
        )


# ---- build tools -------------------------------------------------------------------------------------------------


def missing_packages(need_pip: bool, need_venv: bool, which=shutil.which, python_has=None) -> list[str]:
    """Debian packages whose programs are not there."""
    python_has = python_has or interpreter_has
    packages = [package for program, package, _ in BUILD_TOOLS if which(program) is None]
    if need_pip and not python_has("pip"):
        packages.append("python3-pip")
    if need_venv and not (python_has("venv") and python_has("ensurepip")):
        packages.append("python3-venv")
    return packages


def interpreter_has(module: str) -> bool:
    probe = [sys.executable, "-c", f"import {module}"]
    return subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def install_packages(packages: list[str], run=subprocess.run, which=shutil.which, is_root=None) -> None:
    """Installs by apt-get as root or by sudo without a password; else says what to type."""
    if not packages:
        return
    advice = f"sudo apt-get update && sudo apt-get install -y {' '.join(packages)}"
    is_root = os.geteuid() == 0 if is_root is None else is_root
    if which("apt-get") is None:
        raise SetupError(f"missing: {' '.join(packages)} (Debian's names), and there is no apt-get; install them by hand")
    prefix: list[str] = []
    if not is_root:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if which("sudo") is None or run(["sudo", "-n", "true"], **quiet).returncode != 0:
            raise SetupError(f"missing: {' '.join(packages)}; type: {advice}")
        prefix = ["sudo", "-n"]
    say(f"installing {' '.join(packages)} by apt-get")
    environment = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    install = [*environment, "install", "-y", "-q", "--no-install-recommends", *packages]
    # The package lists of a fresh machine may be empty or old: fetch them only if the first try fails.
    first = run(install, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if first.returncode == 0:
        return
    run([*environment, "update", "-q"], stdout=subprocess.DEVNULL)
    if run(install, stdout=subprocess.DEVNULL).returncode != 0:
        raise SetupError(f"apt-get failed; see its message above, then type: {advice}")


def check_rust(which=shutil.which) -> None:
    if which("cargo") is None and not (Path.home() / ".cargo/bin/cargo").exists():
        raise SetupError("cargo is missing; install Rust 1.90 or later with rustup, then call this again")


# ---- installations -----------------------------------------------------------------------------------------------


def is_installed(folder: Path, recipe: Recipe) -> bool:
    """Whether `folder` holds the recipe, whole: its marker fits and the files have the sizes it names."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        return marker["recipe"] == recipe.digest() and all(
            (folder / name).stat().st_size == size for name, size in marker["sizes"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def pip_download(wheels: tuple[Wheel, ...], folder: Path) -> None:
    """Downloads the wheels into `folder` by pip, which checks the digests a first time."""
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels))
    # Without --no-cache-dir pip would keep another 530 MB in its own cache.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--require-hashes", *PIP_PLATFORM]
    command += ["-r", str(requirements), "-d", str(folder)]
    # pip's standard output goes to ours on standard error: the standard output is for results.
    done = subprocess.run(command, stdout=sys.stderr.fileno(), env={**os.environ, "TMPDIR": str(folder)})
    if done.returncode != 0:
        raise SetupError(
            "the download failed (pip's message is above) and nothing was kept; check the network and call this"
            " again. Behind a mirror, or with the wheels in a folder, set pip's PIP_INDEX_URL or PIP_FIND_LINKS"
        )


def find_wheel(wheel: Wheel, folder: Path) -> Path:
    """The file of `wheel` in `folder`, its digest checked."""
    prefix = f"{wheel.name.replace('-', '_')}-{wheel.version}-"
    found = sorted(path for path in folder.glob("*.whl") if path.name.startswith(prefix))
    if len(found) != 1:
        raise SetupError(f"expected one file {prefix}*.whl from the download, found {len(found)}; call this again")
    digest = hashlib.sha256()
    with found[0].open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != wheel.sha256:
        raise SetupError(
            f"{found[0].name} is not the pinned file: sha256 {digest.hexdigest()}, expected {wheel.sha256};"
            " nothing was kept. Call this again; if it persists, the mirror serves something else"
        )
    return found[0]


def target_of(member: str, wheel: Wheel) -> str | None:
    """Where the wheel's member belongs in the installation, None if it is not needed."""
    for source, target in wheel.members:
        if source.startswith("*/") and member.endswith(source[1:]):
            return target
        if source.endswith("/") and member.startswith(source):
            return target + member[len(source) :]
        if member == source:
            return target
    return None


def unpack(wheel: Wheel, file: Path, into: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            target = None if entry.is_dir() else target_of(entry.filename, wheel)
            if target is None:
                continue
            parts = PurePosixPath(target).parts
            if ".." in parts or PurePosixPath(target).is_absolute():
                raise SetupError(f"{file.name} holds the unsafe path {entry.filename!r}")
            path = into.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
                if target.startswith("lib/"):
                    sink.flush()
                    os.fsync(sink.fileno())


def install(cache: Path, recipe: Recipe, fetch=pip_download, free_bytes=None) -> Path:
    """Puts the recipe into the cache, whole or not at all, and gives its folder."""
    folder = cache / recipe.folder
    if is_installed(folder, recipe):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".setup.lock"):
        if is_installed(folder, recipe):
            return folder
        # What a killed run left. Nobody else works here: we hold the lock.
        for stray in cache.glob(f".{recipe.folder}.partial-*"):
            shutil.rmtree(stray, ignore_errors=True)
        free = shutil.disk_usage(cache).free if free_bytes is None else free_bytes
        if free < recipe.needed_bytes:
            raise SetupError(
                f"{cache} has {free / 1e9:.1f} GB free and {recipe.needed_bytes / 1e9:.1f} GB are needed"
                f" ({recipe.kept_bytes / 1e9:.1f} GB stay); make room, or set SMOG_CACHE to a folder on another disk"
            )
        partial = cache / f".{recipe.folder}.partial-{os.getpid()}"
        try:
            build(partial, recipe, fetch)
            replace_folder(partial / "tree", folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def build(partial: Path, recipe: Recipe, fetch) -> None:
    """Makes the installation in `partial/tree`, marker last."""
    wheels, tree = partial / "wheels", partial / "tree"
    wheels.mkdir(parents=True)
    tree.mkdir()
    say(f"downloading {recipe.folder}: {recipe.download_bytes / 1e6:.0f} MB, once for all clones")
    started = time.monotonic()
    fetch(recipe.wheels, wheels)
    files = [find_wheel(wheel, wheels) for wheel in recipe.wheels]
    say(f"downloaded and verified in {time.monotonic() - started:.0f} s, unpacking")
    for wheel, file in zip(recipe.wheels, files):
        try:
            unpack(wheel, file, tree)
        except (zipfile.BadZipFile, EOFError) as error:
            raise SetupError(f"{file.name} cannot be unpacked ({error}); nothing was kept, call this again") from error
        file.unlink()
    for name, content in recipe.written:
        (tree / name).write_text(content)
    lost = [name for name in recipe.required if not (tree / name).is_file()]
    if lost:
        raise SetupError(f"the wheels lack {', '.join(lost)}; nothing was kept")
    names = [*recipe.required, *(name for name, _ in recipe.written)]
    sizes = {name: (tree / name).stat().st_size for name in names}
    (tree / MARKER).write_text(json.dumps({"recipe": recipe.digest(), "sizes": sizes}, indent=2) + "\n")


def replace_folder(new: Path, folder: Path) -> None:
    """Renames `new` to `folder`; what is there already (it did not pass `is_installed`) is moved away first."""
    if folder.exists():
        say(f"{folder} is not whole, putting a new one in its place")
        folder.rename(new.parent / "old")
    new.rename(folder)


@contextlib.contextmanager
def locked(path: Path):
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ---- cargo -------------------------------------------------------------------------------------------------------


def cargo_config(libtorch: Path, nvjpeg: Path) -> str:
    # A JSON string of this kind is a TOML basic string, too.
    text, rpath = json.dumps(str(libtorch)), json.dumps(f"-Clink-arg=-Wl,-rpath,{libtorch}/lib")
    library = json.dumps(f"{nvjpeg}/lib/libnvjpeg.so.13")
    return f"""{CONFIG_HEADER}
[env]
LIBTORCH = {text}
SMOG_TEST_NVJPEG = {library}

[target.x86_64-unknown-linux-gnu]
rustflags = [{rpath}]
"""


def link_into(clone: Path, libtorch: Path, nvjpeg: Path) -> None:
    """Tells cargo where the libraries are, by the clone's untracked .cargo/config.toml."""
    path, wanted = clone / ".cargo/config.toml", cargo_config(libtorch, nvjpeg)
    if path.exists():
        found = path.read_text()
        if found == wanted:
            return
        if not found.startswith(CONFIG_HEADER):
            # Somebody's own settings: leave them, and accept them if they name this libtorch. Without nvJPEG, tests
            # that want it say that they are skipped.
            if str(libtorch) in found:
                return
            lines = "\n".join(wanted.splitlines()[1:])
            raise SetupError(f"{path} is your own and does not name libtorch; add these lines to it:\n{lines}")
        say(f"rewriting {path}: it named other libraries")
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f"config.toml.{os.getpid()}.tmp")
    partial.write_text(wanted)
    partial.rename(path)


def overriding_variables(environment: dict[str, str], libtorch: Path) -> list[str]:
    """Exported variables that win over .cargo/config.toml."""
    notes = []
    if environment.get("LIBTORCH", str(libtorch)) != str(libtorch):
        notes.append("LIBTORCH is exported and wins over the libtorch of this set-up; unset it")
    for name in ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"):
        if environment.get(name) and "-rpath" not in environment[name]:
            notes.append(f"{name} is exported and replaces the run path in .cargo/config.toml; unset it")
    return notes


# ---- Python environments -----------------------------------------------------------------------------------------


def make_venv(cache: Path, name: str, requirements: Path, run=subprocess.run) -> Path:
    """A virtual environment with exactly these requirements; gives its python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        wanted = requirements.read_bytes()
    except OSError as error:
        raise SetupError(f"cannot read the requirements: {error}") from error
    digest = hashlib.sha256(wanted + version.encode()).hexdigest()[:12]
    folder = cache / f"venv-{name}-{digest}"
    python, marker = folder / "bin/python", folder / MARKER
    if marker.exists() and python.exists():
        return python
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".setup.lock"):
        # It cannot be built elsewhere and renamed, since it holds its own path; so the marker comes last.
        for old in cache.glob(f"venv-{name}-*"):
            shutil.rmtree(old)
        say(f"making a Python environment from {requirements}")
        steps = (
            [sys.executable, "-m", "venv", str(folder)],
            # The requirements name all that belongs there, so nothing comes along that is not pinned.
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
            + ["-r", str(requirements)],
        )
        for step in steps:
            if run(step, stdout=sys.stderr.fileno()).returncode != 0:
                shutil.rmtree(folder, ignore_errors=True)
                raise SetupError(f"this failed (message above): {' '.join(step)}; call this again")
        marker.write_text("{}\n")
    return python


def clean(cache: Path) -> None:
    """Removes what we know to be ours; anything else in the folder stays."""
    ours = [f"{hidden}{name}-*" for name in ("libtorch", "nvjpeg", "nvrtc") for hidden in ("", ".")]
    for pattern in (*ours, "venv-*", "target-*", "cargo-deny-*"):
        for folder in sorted(cache.glob(pattern)):
            say(f"removing {folder}")
            shutil.rmtree(folder)


# ---- the command -------------------------------------------------------------------------------------------------


def set_up(clone: Path, environment: dict[str, str]) -> None:
    check_platform(platform.system(), platform.machine())
    check_rust()
    cache = cache_root(environment)
    installed = is_installed(cache / LIBTORCH.folder, LIBTORCH)
    whole = installed and is_installed(cache / NVJPEG.folder, NVJPEG)
    install_packages(missing_packages(need_pip=not whole, need_venv=False))
    libtorch = install(cache, LIBTORCH)
    link_into(clone, libtorch, install(cache, NVJPEG))
    for note in overriding_variables(environment, libtorch):
        say(f"warning: {note}")
    if not installed:
        say(f"libtorch is in {libtorch}; cargo build works now")


def main(arguments: list[str]) -> int:
    def stop(number, _frame):
        # As an exception, so that what was half made is removed on the way out.
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    try:
        if arguments == []:
            set_up(CLONE, dict(os.environ))
        elif len(arguments) == 3 and arguments[0] == "venv":
            install_packages(missing_packages(need_pip=False, need_venv=True))
            print(make_venv(cache_root(dict(os.environ)), arguments[1], Path(arguments[2])))
        elif arguments in (["cuda-half"], ["nvrtc"]):
            recipe = {"cuda-half": CUDA_HALF, "nvrtc": NVRTC}[arguments[0]]
            check_platform(platform.system(), platform.machine())
            cache = cache_root(dict(os.environ))
            whole = is_installed(cache / recipe.folder, recipe)
            install_packages(missing_packages(need_pip=not whole, need_venv=False))
            print(install(cache, recipe) / "lib")
        elif arguments == ["cache"]:
            print(cache_root(dict(os.environ)))
        elif arguments == ["clean"]:
            clean(cache_root(dict(os.environ)))
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except SetupError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error}; nothing half made was kept, call this again when that is mended")
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing half made was kept")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
