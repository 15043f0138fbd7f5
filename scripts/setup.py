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

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from wheels import CUDA_HALF, LIBTORCH, MARKER, NVJPEG, NVRTC, SetupError, install, is_installed, locked, say

CLONE = Path(__file__).resolve().parent.parent
CONFIG_HEADER = "# Written by scripts/setup; not tracked."
# Folders that we make in the cache: libraries and halves of them, Python environments, build folders of CI, cargo-deny.
OURS = re.compile(
    r"(libtorch|libtorch-cuda|nvjpeg|nvrtc)-[\d.]+(-cu\d+)?|\.(libtorch|libtorch-cuda|nvjpeg|nvrtc)-[\d.]+(-cu\d+)?\.partial-\d+"
    r"|venv-[a-z]+-[0-9a-f]{12}|target-[0-9a-f]{16}|cargo-deny-[\d.]+"
)


BUILD_TOOLS = (
    ("c++", "g++", "torch's C++ shim"),
    ("cmake", "cmake", "libjpeg-turbo"),
    ("make", "make", "libjpeg-turbo"),
    ("nasm", "nasm", "libjpeg-turbo's SIMD code"),
)


def cache_root(environment: dict[str, str]) -> Path:
    """The cache folder outside the clone."""
    if environment.get("SMOG_CACHE"):
        return Path(environment["SMOG_CACHE"]).absolute()
    if environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]).absolute() / "smog"
    try:
        home = Path(environment.get("HOME") or Path.home())
    except RuntimeError as error:
        raise SetupError("there is neither HOME nor a home folder of this user; set SMOG_CACHE to a folder") from error
    return home.absolute() / ".cache/smog"


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
        # Another set-up made it while this one waited.
        if marker.exists() and python.exists():
            return python
        # It cannot be built elsewhere and renamed, since it holds its own path; so the marker comes last.
        for old in cache.glob(f"venv-{name}-*"):
            if OURS.fullmatch(old.name):
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
    """Removes what we know to be ours; anything else in the folder stays, since SMOG_CACHE may be a folder of many things."""
    for folder in sorted(cache.iterdir()) if cache.is_dir() else ():
        if OURS.fullmatch(folder.name) and folder.is_dir():
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
