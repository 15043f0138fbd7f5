"""Tests of scripts/wheels.py with small made-up wheels: no network, no real cache, nothing installed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
import wheels  # noqa: E402

PLENTY = 10**12


def wheel_bytes(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


TORCH = wheel_bytes(
    {
        "torch/include/a/b.h": b"// header",
        "torch/lib/libtorch_cpu.so": b"cpu" * 1000,
        "torch/lib/libtorch_cuda.so": b"not wanted",
        "torch/__init__.py": b"not wanted",
    }
)
RUNTIME = wheel_bytes({"nvidia/cu13/lib/libcudart.so.13": b"runtime"})
CONTENT = {"torch": TORCH, "nvidia-cuda-runtime": RUNTIME}


def recipe(torch: bytes = TORCH) -> wheels.Recipe:
    members = (("torch/include/", "include/"), ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"))
    return wheels.Recipe(
        folder="libtorch-1.2.3",
        wheels=(
            wheels.Wheel("torch", "1.2.3", hashlib.sha256(torch).hexdigest(), members),
            wheels.Wheel(
                "nvidia-cuda-runtime",
                "4.5",
                hashlib.sha256(RUNTIME).hexdigest(),
                (("*/libcudart.so.13", "lib/libcudart.so.13"),),
            ),
        ),
        required=("include/a/b.h", "lib/libtorch_cpu.so", "lib/libcudart.so.13"),
        written=(("lib/libtorch.so", "INPUT(-ltorch_cpu)\n"),),
        needed_bytes=1_800_000_000,
    )


class Fetch:
    """Stands in for pip; counts its calls and may spoil what it delivers."""

    def __init__(self, spoil=lambda name, content: content):
        self.calls = 0
        self.spoil = spoil

    def __call__(self, wheels, folder):
        self.calls += 1
        for wheel in wheels:
            content = self.spoil(wheel.name, CONTENT[wheel.name])
            if content is not None:
                (folder / f"{wheel.name.replace('-', '_')}-{wheel.version}-py3-none-any.whl").write_bytes(content)


class Case(unittest.TestCase):
    MODULE = wheels  # what says things

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        self.cache = self.root / "cache"
        quiet = mock.patch.object(self.MODULE, "say", lambda text: self.said.append(text))
        quiet.start()
        self.addCleanup(quiet.stop)
        self.said = []

    def install(self, fetch, recipe_=None):
        return wheels.install(self.cache, recipe_ or recipe(), fetch, free_bytes=PLENTY)

    def left_in_cache(self):
        return sorted(path.name for path in self.cache.iterdir() if path.name != ".setup.lock")


class Libtorch(Case):
    def test_an_installation_holds_the_wanted_files_and_nothing_else(self):
        folder = self.install(Fetch())
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        libraries = ["lib/libcudart.so.13", "lib/libtorch.so", "lib/libtorch_cpu.so"]
        self.assertEqual(files, ["include/a/b.h", *libraries, wheels.MARKER])
        self.assertEqual((folder / "lib/libtorch.so").read_text(), "INPUT(-ltorch_cpu)\n")
        self.assertEqual(self.left_in_cache(), ["libtorch-1.2.3"])

    def test_a_second_call_does_nothing(self):
        fetch = Fetch()
        folder = self.install(fetch)
        before = (folder / wheels.MARKER).stat().st_mtime_ns
        self.install(fetch)
        self.assertEqual(fetch.calls, 1)
        self.assertEqual((folder / wheels.MARKER).stat().st_mtime_ns, before)

    def test_a_wheel_with_one_changed_byte_is_refused_and_nothing_is_kept(self):
        flipped = bytes([RUNTIME[0] ^ 1]) + RUNTIME[1:]
        spoil = lambda name, content: flipped if name == "nvidia-cuda-runtime" else content
        with self.assertRaisesRegex(wheels.SetupError, "not the pinned file.*nothing was kept"):
            self.install(Fetch(spoil))
        self.assertEqual(self.left_in_cache(), [])

    def test_a_cut_wheel_is_refused_and_the_next_call_succeeds(self):
        with self.assertRaises(wheels.SetupError):
            self.install(Fetch(lambda name, content: content[: len(content) // 2]))
        self.assertTrue(wheels.is_installed(self.install(Fetch()), recipe()))

    def test_a_missing_wheel_is_named(self):
        with self.assertRaisesRegex(wheels.SetupError, "nvidia_cuda_runtime-4.5-"):
            self.install(Fetch(lambda name, content: content if name == "torch" else None))

    def test_an_unpack_that_fails_midway_leaves_nothing(self):
        for error in (OSError("no space left"), KeyboardInterrupt(), SystemExit(143)):
            with mock.patch.object(wheels.shutil, "copyfileobj", side_effect=error):
                with self.assertRaises(type(error)):
                    self.install(Fetch())
            self.assertEqual(self.left_in_cache(), [])

    def test_a_wheel_that_lacks_a_library_is_refused(self):
        poor = wheel_bytes({"torch/include/a/b.h": b""})
        with self.assertRaisesRegex(wheels.SetupError, "lack lib/libtorch_cpu.so"):
            self.install(Fetch(lambda name, content: poor if name == "torch" else content), recipe(poor))
        self.assertEqual(self.left_in_cache(), [])

    def test_a_path_that_leaves_the_folder_is_refused(self):
        evil = wheel_bytes({"torch/include/../../escaped.h": b"x"})
        with self.assertRaisesRegex(wheels.SetupError, "unsafe path"):
            self.install(Fetch(lambda name, content: evil if name == "torch" else content), recipe(evil))
        self.assertFalse((self.cache / "escaped.h").exists())

    def test_what_a_killed_run_left_is_cleared_away(self):
        stray = self.cache / ".libtorch-1.2.3.partial-99999"
        stray.mkdir(parents=True)
        (stray / "half.whl").write_bytes(b"x")
        self.install(Fetch())
        self.assertEqual(self.left_in_cache(), ["libtorch-1.2.3"])

    def test_an_installation_with_a_damaged_or_unmarked_file_is_made_anew(self):
        folder = self.install(Fetch())
        for damage in (
            lambda: (folder / "lib/libtorch_cpu.so").write_bytes(b"short"),
            lambda: (folder / "lib/libcudart.so.13").unlink(),
            lambda: (folder / wheels.MARKER).unlink(),
            lambda: (folder / wheels.MARKER).write_text("[]"),
        ):
            damage()
            self.assertFalse(wheels.is_installed(folder, recipe()))
            fetch = Fetch()
            self.install(fetch)
            self.assertEqual(fetch.calls, 1)
            self.assertTrue(wheels.is_installed(folder, recipe()))
        self.assertEqual(self.left_in_cache(), ["libtorch-1.2.3"])

    def test_another_recipe_for_the_same_folder_is_not_taken_for_installed(self):
        folder = self.install(Fetch())
        self.assertFalse(wheels.is_installed(folder, dataclasses.replace(recipe(), written=())))

    def test_the_cuda_half_is_of_the_same_wheel_and_lies_where_nothing_links_to_it(self):
        self.assertEqual(wheels.CUDA_HALF.wheels[0].sha256, wheels.LIBTORCH.wheels[0].sha256)
        self.assertNotEqual(wheels.CUDA_HALF.folder, wheels.LIBTORCH.folder)
        # torch-sys links to libtorch_cuda.so where it finds it beside the CPU half.
        self.assertFalse([name for name in wheels.LIBTORCH.required if "cuda.so" in name])

    def test_too_little_room_is_said_before_the_download(self):
        fetch = Fetch()
        with self.assertRaisesRegex(wheels.SetupError, "1.0 GB free and 1.8 GB are needed.*SMOG_CACHE"):
            wheels.install(self.cache, recipe(), fetch, free_bytes=10**9)
        self.assertEqual(fetch.calls, 0)

    def test_a_failed_pip_says_what_to_do(self):
        with mock.patch.object(wheels.subprocess, "run", return_value=types.SimpleNamespace(returncode=1)):
            with self.assertRaisesRegex(wheels.SetupError, "nothing was kept; check the network and call this again"):
                self.install(wheels.pip_download)
        self.assertEqual(self.left_in_cache(), [])

    def test_two_set_ups_at_once_download_once(self):
        calls = self.root / "calls"
        program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import wheels, test_wheels
from pathlib import Path
def fetch(wheels, folder):
    with open({str(calls)!r}, "a") as file: file.write("x")
    time.sleep(0.3)
    test_wheels.Fetch()(wheels, folder)
wheels.install(Path({str(self.cache)!r}), test_wheels.recipe(), fetch, 10**12)
"""
        children = [
            subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) for _ in range(3)
        ]
        self.assertEqual([child.wait(timeout=120) for child in children], [0, 0, 0])
        self.assertEqual(calls.read_text(), "x")


class Recipes(Case):
    def test_what_is_installed_already_is_not_fetched_again_for_a_figure_in_a_message(self):
        # The digest of the installations that are out there.
        self.assertEqual(dataclasses.replace(recipe(), download_bytes=7).digest(), recipe().digest())

    def test_the_real_recipes_name_every_file_that_they_require(self):
        for real in (wheels.LIBTORCH, wheels.NVJPEG, wheels.NVRTC):
            targets = [target for wheel in real.wheels for _, target in wheel.members]
            for name in real.required:
                self.assertTrue(any(name == t or (t.endswith("/") and name.startswith(t)) for t in targets), name)
            self.assertTrue(0 < real.download_bytes < real.needed_bytes)
        self.assertEqual(
            wheels.target_of("nvidia/cu13/lib/libnvjpeg.so.13", wheels.NVJPEG.wheels[0]), "lib/libnvjpeg.so.13"
        )
