"""What a figure depends on: machine, commit, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def cores() -> int:
    return len(os.sched_getaffinity(0))


def operating_system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    # What follows the version names a build, not the kernel.
    version = ".".join(platform.release().split(".")[:2])
    return f"{name}, Linux {version}"


def vector_extensions() -> str:
    """The widest vectors that the processor has: the loaders use them by themselves."""
    flags = Path("/proc/cpuinfo").read_text()
    return next((name for flag, name in (("avx512bw", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "SSE")


def knows_bf16() -> bool:
    """Whether the processor computes in bfloat16 itself: emulated, a step takes ten times that in f32, or more."""
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


def commit(clone: Path) -> str:
    """The commit, and whether the work tree differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(clone), *words], capture_output=True, text=True, check=True).stdout

    try:
        hash = git("rev-parse", "--short=12", "HEAD").strip()
        changed = git("status", "--porcelain", "--untracked-files=no").strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git)"
    return f"{hash}, with changes that are not committed" if changed else hash


def load() -> float:
    """Processes that ran or wanted to in the last minute: far above 0 at the start means a busy machine."""
    return os.getloadavg()[0]
