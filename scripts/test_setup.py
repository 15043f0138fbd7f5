"""Tests of scripts/setup.py with small made-up wheels: no network, no real cache, nothing installed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup  # noqa: E402

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


def recipe(torch: bytes = TORCH) -> setup.Recipe:
    members = (("torch/include/", "include/"), ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"))
    return setup.Recipe(
        folder="libtorch-1.2.3",
        wheels=(
            setup.Wheel("torch", "1.2.3", hashlib.sha256(torch).hexdigest(), members),
            setup.Wheel(
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
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        self.cache = self.root / "cache"
        quiet = mock.patch.object(setup, "say", lambda text: self.said.append(text))
        quiet.start()
        self.addCleanup(quiet.stop)
        self.said = []

    def install(self, fetch, recipe_=None):
        return setup.install(self.cache, recipe_ or recipe(), fetch, free_bytes=PLENTY)

    def left_in_cache(self):
        return sorted(path.name for path in self.cache.iterdir() if path.name != ".setup.lock")


class Libtorch(Case):
    def test_an_installation_holds_the_wanted_files_and_nothing_else(self):
        folder = self.install(Fetch())
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        libraries = ["lib/libcudart.so.13", "lib/libtorch.so", "lib/libtorch_cpu.so"]
        self.assertEqual(files, ["include/a/b.h", *libraries, setup.MARKER])
        self.assertEqual((folder / "lib/libtorch.so").read_text(), "INPUT(-ltorch_cpu)\n")
        self.assertEqual(self.left_in_cache(), ["libtorch-1.2.3"])

    def test_a_second_call_does_nothing(self):
        fetch = Fetch()
        folder = self.install(fetch)
        before = (folder / setup.MARKER).stat().st_mtime_ns
        self.install(fetch)
        self.assertEqual(fetch.calls, 1)
        self.assertEqual((folder / setup.MARKER).stat().st_mtime_ns, before)

    def test_a_wheel_with_one_changed_byte_is_refused_and_nothing_is_kept(self):
        flipped = bytes([RUNTIME[0] ^ 1]) + RUNTIME[1:]
        spoil = lambda name, content: flipped if name == "nvidia-cuda-runtime" else content
        with self.assertRaisesRegex(setup.SetupError, "not the pinned file.*nothing was kept"):
            self.install(Fetch(spoil))
        self.assertEqual(self.left_in_cache(), [])

    def test_a_cut_wheel_is_refused_and_the_next_call_succeeds(self):
        with self.assertRaises(setup.SetupError):
            self.install(Fetch(lambda name, content: content[: len(content) // 2]))
        self.assertTrue(setup.is_installed(self.install(Fetch()), recipe()))

    def test_a_missing_wheel_is_named(self):
        with self.assertRaisesRegex(setup.SetupError, "nvidia_cuda_runtime-4.5-"):
            self.install(Fetch(lambda name, content: content if name == "torch" else None))

    def test_an_unpack_that_fails_midway_leaves_nothing(self):
        for error in (OSError("no space left"), KeyboardInterrupt(), SystemExit(143)):
            with mock.patch.object(setup.shutil, "copyfileobj", side_effect=error):
                with self.assertRaises(type(error)):
                    self.install(Fetch())
            self.assertEqual(self.left_in_cache(), [])

    def test_a_wheel_that_lacks_a_library_is_refused(self):
        poor = wheel_bytes({"torch/include/a/b.h": b""})
        with self.assertRaisesRegex(setup.SetupError, "lack lib/libtorch_cpu.so"):
            self.install(Fetch(lambda name, content: poor if name == "torch" else content), recipe(poor))
        self.assertEqual(self.left_in_cache(), [])

    def test_a_path_that_leaves_the_folder_is_refused(self):
        evil = wheel_bytes({"torch/include/../../escaped.h": b"x"})
        with self.assertRaisesRegex(setup.SetupError, "unsafe path"):
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
            lambda: (folder / setup.MARKER).unlink(),
            lambda: (folder / setup.MARKER).write_text("[]"),
        ):
            damage()
            self.assertFalse(setup.is_installed(folder, recipe()))
            fetch = Fetch()
            self.install(fetch)
            self.assertEqual(fetch.calls, 1)
            self.assertTrue(setup.is_installed(folder, recipe()))
        self.assertEqual(self.left_in_cache(), ["libtorch-1.2.3"])

    def test_another_recipe_for_the_same_folder_is_not_taken_for_installed(self):
        folder = self.install(Fetch())
        self.assertFalse(setup.is_installed(folder, dataclasses.replace(recipe(), written=())))

    def test_the_cuda_half_is_of_the_same_wheel_and_lies_where_nothing_links_to_it(self):
        self.assertEqual(setup.CUDA_HALF.wheels[0].sha256, setup.LIBTORCH.wheels[0].sha256)
        self.assertNotEqual(setup.CUDA_HALF.folder, setup.LIBTORCH.folder)
        # torch-sys links to libtorch_cuda.so where it finds it beside the CPU half.
        self.assertFalse([name for name in setup.LIBTORCH.required if "cuda.so" in name])

    def test_too_little_room_is_said_before_the_download(self):
        fetch = Fetch()
        with self.assertRaisesRegex(setup.SetupError, "1.0 GB free and 1.8 GB are needed.*SMOG_CACHE"):
            setup.install(self.cache, recipe(), fetch, free_bytes=10**9)
        self.assertEqual(fetch.calls, 0)

    def test_a_failed_pip_says_what_to_do(self):
        with mock.patch.object(setup.subprocess, "run", return_value=types.SimpleNamespace(returncode=1)):
            with self.assertRaisesRegex(setup.SetupError, "nothing was kept; check the network and call this again"):
                self.install(setup.pip_download)
        self.assertEqual(self.left_in_cache(), [])

    def test_a_terminated_run_leaves_nothing(self):
        program = f"""
import signal, sys, time
sys.path.insert(0, {str(Path(setup.__file__).parent)!r}); sys.path.insert(0, {str(Path(__file__).parent)!r})
import setup, test_setup
from pathlib import Path
# A shell's background job starts with SIGINT ignored, and the tests may run in one.
signal.signal(signal.SIGINT, signal.default_int_handler)
def fetch(wheels, folder):
    (folder / "half.whl").write_bytes(b"half")
    print("fetching", flush=True)
    time.sleep(600)
setup.set_up = lambda *_: setup.install(Path({str(self.cache)!r}), test_setup.recipe(), fetch, 10**12)
sys.exit(setup.main([]))
"""
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            child = subprocess.Popen(
                [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self.addCleanup(child.stdout.close)
            self.addCleanup(child.wait)
            self.addCleanup(child.kill)
            self.assertEqual(child.stdout.readline(), b"fetching\n")
            child.send_signal(number)
            self.assertEqual(child.wait(timeout=120), code)
            self.assertEqual(self.left_in_cache(), [])

    def test_two_set_ups_at_once_download_once(self):
        calls = self.root / "calls"
        program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import setup, test_setup
from pathlib import Path
def fetch(wheels, folder):
    with open({str(calls)!r}, "a") as file: file.write("x")
    time.sleep(0.3)
    test_setup.Fetch()(wheels, folder)
setup.install(Path({str(self.cache)!r}), test_setup.recipe(), fetch, 10**12)
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
        for real in (setup.LIBTORCH, setup.NVJPEG, setup.NVRTC):
            targets = [target for wheel in real.wheels for _, target in wheel.members]
            for name in real.required:
                self.assertTrue(any(name == t or (t.endswith("/") and name.startswith(t)) for t in targets), name)
            self.assertTrue(0 < real.download_bytes < real.needed_bytes)
        self.assertEqual(
            setup.target_of("nvidia/cu13/lib/libnvjpeg.so.13", setup.NVJPEG.wheels[0]), "lib/libnvjpeg.so.13"
        )


class Tools(Case):
    def test_missing_tools_are_listed_by_their_debian_packages(self):
        which = lambda program: None if program in ("nasm", "cmake") else f"/usr/bin/{program}"
        nothing = lambda module: False
        self.assertEqual(setup.missing_packages(False, False, which, nothing), ["cmake", "nasm"])
        self.assertEqual(
            setup.missing_packages(True, True, which, nothing), ["cmake", "nasm", "python3-pip", "python3-venv"]
        )
        self.assertEqual(setup.missing_packages(True, True, lambda program: program, lambda module: True), [])

    def test_without_root_or_sudo_the_command_to_type_is_named_on_one_line(self):
        refused = lambda command, **_: types.SimpleNamespace(returncode=1)
        with self.assertRaises(setup.SetupError) as caught:
            setup.install_packages(["nasm", "cmake"], refused, lambda program: program, is_root=False)
        message = str(caught.exception)
        self.assertIn("type: sudo apt-get update && sudo apt-get install -y nasm cmake", message)
        self.assertEqual(message.count("\n"), 0)

    def commands_of(self, is_root, failures=()):
        commands = []

        def run(command, **_):
            commands.append(" ".join(command))
            return types.SimpleNamespace(returncode=int(len(commands) in failures))

        setup.install_packages(["nasm"], run, lambda program: program, is_root=is_root)
        return commands

    def test_root_installs_and_the_lists_are_fetched_only_after_a_failure(self):
        start = "env DEBIAN_FRONTEND=noninteractive apt-get"
        self.assertEqual(len(self.commands_of(True)), 1)
        commands = self.commands_of(True, failures=(1,))
        self.assertEqual(commands[1], f"{start} update -q")
        self.assertEqual(commands[0], commands[2])
        self.assertTrue(commands[0].startswith(f"{start} install -y") and commands[0].endswith("nasm"))

    def test_sudo_without_a_password_installs(self):
        commands = self.commands_of(False)
        self.assertEqual(commands[0], "sudo -n true")
        self.assertTrue(commands[1].startswith("sudo -n env "))

    def test_a_failed_installation_names_the_command(self):
        with self.assertRaisesRegex(setup.SetupError, "sudo apt-get install -y nasm"):
            self.commands_of(True, failures=(1, 2, 3))

    def test_another_processor_or_system_is_refused_in_words(self):
        setup.check_platform("Linux", "x86_64")
        for system, machine in (("Linux", "aarch64"), ("Darwin", "arm64")):
            with self.assertRaisesRegex(setup.SetupError, f"this is {system} on {machine}"):
                setup.check_platform(system, machine)

    def test_missing_rust_is_said(self):
        with mock.patch.object(setup.Path, "home", return_value=self.root):
            with self.assertRaisesRegex(setup.SetupError, "cargo is missing"):
                setup.check_rust(lambda program: None)

    def test_the_shell_entry_ends_with_one_line_where_python_is_missing(self):
        done = subprocess.run(
            ["/bin/bash", str(Path(setup.__file__).with_name("setup"))],
            env={"PATH": str(self.root)},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("sudo apt-get install -y python3", done.stderr)


class Cargo(Case):
    def setUp(self):
        super().setUp()
        self.path = self.root / ".cargo/config.toml"
        self.libtorch = Path("/cache/libtorch-1")
        self.nvjpeg = Path("/cache/nvjpeg-1")

    def test_the_settings_name_the_library_and_its_run_path(self):
        setup.link_into(self.root, self.libtorch, self.nvjpeg)
        text = self.path.read_text()
        self.assertIn('LIBTORCH = "/cache/libtorch-1"\n', text)
        self.assertIn('SMOG_TEST_NVJPEG = "/cache/nvjpeg-1/lib/libnvjpeg.so.13"\n', text)
        self.assertIn('rustflags = ["-Clink-arg=-Wl,-rpath,/cache/libtorch-1/lib"]\n', text)
        self.assertTrue(text.startswith(setup.CONFIG_HEADER))

    def test_settings_that_fit_are_not_touched(self):
        setup.link_into(self.root, self.libtorch, self.nvjpeg)
        os.utime(self.path, (1, 1))
        setup.link_into(self.root, self.libtorch, self.nvjpeg)
        self.assertEqual(self.path.stat().st_mtime, 1)
        self.assertEqual(self.said, [])

    def test_own_settings_of_another_version_are_rewritten_and_it_is_said(self):
        setup.link_into(self.root, Path("/cache/libtorch-0"), self.nvjpeg)
        setup.link_into(self.root, self.libtorch, self.nvjpeg)
        self.assertIn("/cache/libtorch-1", self.path.read_text())
        self.assertIn("rewriting", self.said[0])
        self.assertEqual([p.name for p in self.path.parent.iterdir()], ["config.toml"])

    def test_a_users_settings_are_kept_and_the_lines_to_add_are_shown(self):
        self.path.parent.mkdir()
        self.path.write_text("[build]\njobs = 1\n")
        with self.assertRaisesRegex(setup.SetupError, "(?s)is your own.*LIBTORCH = "):
            setup.link_into(self.root, self.libtorch, self.nvjpeg)
        self.assertEqual(self.path.read_text(), "[build]\njobs = 1\n")
        self.path.write_text('[build]\njobs = 1\n[env]\nLIBTORCH = "/cache/libtorch-1"\n')
        setup.link_into(self.root, self.libtorch, self.nvjpeg)

    def test_exported_variables_that_win_are_warned_of(self):
        self.assertEqual(setup.overriding_variables({}, self.libtorch), [])
        self.assertEqual(setup.overriding_variables({"LIBTORCH": "/cache/libtorch-1"}, self.libtorch), [])
        notes = setup.overriding_variables({"LIBTORCH": "/x", "RUSTFLAGS": "-g"}, self.libtorch)
        self.assertEqual([note.split()[0] for note in notes], ["LIBTORCH", "RUSTFLAGS"])

    def test_the_cache_folder_follows_its_three_variables(self):
        self.assertEqual(setup.cache_root({"SMOG_CACHE": "/s", "XDG_CACHE_HOME": "/x", "HOME": "/h"}), Path("/s"))
        self.assertEqual(setup.cache_root({"XDG_CACHE_HOME": "/x", "HOME": "/h"}), Path("/x/smog"))
        self.assertEqual(setup.cache_root({"HOME": "/h"}), Path("/h/.cache/smog"))


class Cache(Case):
    def test_clean_removes_only_what_is_known_to_be_ours(self):
        for name in ("libtorch-1", "nvjpeg-1", "target-0123", "venv-interop-45", ".libtorch-1.partial-7", "mine"):
            (self.cache / name).mkdir(parents=True)
        setup.clean(self.cache)
        self.assertEqual(self.left_in_cache(), ["mine"])


class Environments(Case):
    def make(self, requirements, failing=None):
        commands = []

        def run(command, **_):
            commands.append(command)
            if "venv" in command:
                (Path(command[-1]) / "bin").mkdir(parents=True)
                (Path(command[-1]) / "bin/python").touch()
            return types.SimpleNamespace(returncode=int(len(commands) == failing))

        file = self.root / "requirements.txt"
        file.write_text(requirements)
        return setup.make_venv(self.cache, "interop", file, run), commands

    def test_an_environment_is_made_once_for_its_requirements(self):
        first, commands = self.make("a==1\n")
        self.assertEqual(len(commands), 2)
        again, commands = self.make("a==1\n")
        self.assertEqual((again, commands), (first, []))
        other, commands = self.make("a==2\n")
        self.assertEqual(len(commands), 2)
        self.assertEqual(self.left_in_cache(), [other.parent.parent.name])

    def test_a_failed_environment_is_removed(self):
        with self.assertRaises(setup.SetupError):
            self.make("a==1\n", failing=2)
        self.assertEqual(self.left_in_cache(), [])


if __name__ == "__main__":
    unittest.main()
