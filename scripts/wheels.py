"""Pinned wheels: which parts of them are needed, and their installation in the cache, whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path, PurePosixPath

MARKER = "smog-setup.json"


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

# Compiles the kernels of smog-cuda for GPUs without one. The version is that of CUDA 13.0, which torch 2.11 brings:
# code of a newer one might be refused by its driver.
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


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


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
