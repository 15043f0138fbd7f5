"""The peers' Python environment: pinned wheels, and FFCV built from its source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CLONE / "scripts"))
import setup  # noqa: E402

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
FFCV = "ffcv==1.0.2"
# What FFCV's extension is compiled with: program or pkg-config module, Debian package.
FFCV_MODULES = (("opencv4", "libopencv-dev"), ("libturbojpeg", "libturbojpeg0-dev"))


class EnvironmentFailure(Exception):
    """The environment, or FFCV in it, cannot be made; the text says why."""


def python_of_peers() -> Path:
    """The environment's python; made if need be."""
    try:
        setup.install_packages(setup.missing_packages(need_pip=False, need_venv=True))
        return setup.make_venv(setup.cache_root(dict(os.environ)), "peers", REQUIREMENTS)
    except setup.SetupError as error:
        raise EnvironmentFailure(str(error)) from error


def succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


def build_ffcv(python: Path) -> None:
    """Builds FFCV into the environment, unless it is there."""
    name, _, pinned = FFCV.partition("==")
    probe = f"from importlib.metadata import version; assert version('{name}') == '{pinned}'"
    if succeeds([str(python), "-c", probe]):
        return
    packages = [] if shutil.which("pkg-config") else ["pkg-config"]
    packages += [package for module, package in FFCV_MODULES if not succeeds(["pkg-config", "--exists", module])]
    if shutil.which("c++") is None:
        packages.append("g++")
    try:
        setup.install_packages(packages)
    except setup.SetupError as error:
        raise EnvironmentFailure(f"FFCV is built from source: {error}") from error
    setup.say(f"building {FFCV}")
    # The build tools are pinned, too: those of the environment.
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--no-binary", name, FFCV]
    if subprocess.run(command, stdout=sys.stderr.fileno()).returncode != 0:
        raise EnvironmentFailure(f"building {FFCV} failed; the compiler's message is above")
