"""Tests of scripts/setup.py: no network, no real cache, nothing installed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup  # noqa: E402
import test_wheels  # noqa: E402


class Case(test_wheels.Case):
    MODULE = setup


class Termination(Case):
    def test_a_terminated_run_leaves_nothing(self):
        program = f"""
import signal, sys, time
sys.path.insert(0, {str(Path(setup.__file__).parent)!r})
import setup, test_wheels, wheels
from pathlib import Path
# A shell's background job starts with SIGINT ignored, and the tests may run in one.
signal.signal(signal.SIGINT, signal.default_int_handler)
def fetch(wheels, folder):
    (folder / "half.whl").write_bytes(b"half")
    print("fetching", flush=True)
    time.sleep(600)
setup.set_up = lambda *_: wheels.install(Path({str(self.cache)!r}), test_wheels.recipe(), fetch, 10**12)
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
        ours = ["libtorch-2.11.0-cu130", "libtorch-cuda-2.11.0-cu130", "nvjpeg-13.0.4.44", ".libtorch-2.11.0-cu130.partial-7"]
        ours += ["target-c8ad9075c19025cb", "venv-interop-7ec20f69c4a9", "cargo-deny-0.20.2", "nvrtc-13.0.88"]
        # SMOG_CACHE may be a folder of somebody's projects.
        foreign = ["libtorch-mine", "mine", "target-0123", "target-speech", "venv-interop", "venv-work-3.11"]
        for name in ours + foreign:
            (self.cache / name).mkdir(parents=True)
        setup.clean(self.cache)
        self.assertEqual(self.left_in_cache(), sorted(foreign))
        setup.clean(self.cache / "never made")


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

    def test_an_environment_that_another_set_up_made_meanwhile_is_taken_and_nothing_foreign_is_removed(self):
        made, _ = self.make("a==1\n")
        (self.cache / "venv-interop-mine").mkdir()
        marker, seen = made.parent.parent / setup.MARKER, []

        @contextlib.contextmanager
        def waited(path):
            # The other one ends while this one waits for the lock.
            seen.append(path)
            marker.touch()
            yield

        marker.unlink()
        with mock.patch.object(setup, "locked", waited):
            self.assertEqual(self.make("a==1\n"), (made, []))
        self.assertEqual(len(seen), 1)
        self.make("a==2\n")
        self.assertIn("venv-interop-mine", self.left_in_cache())

    def test_a_failed_environment_is_removed(self):
        with self.assertRaises(setup.SetupError):
            self.make("a==1\n", failing=2)
        self.assertEqual(self.left_in_cache(), [])


if __name__ == "__main__":
    unittest.main()
