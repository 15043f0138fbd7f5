"""Tests of scripts/gpu_bundle.py: what is in the archive works where it is unpacked."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_bundle  # noqa: E402
from gpu_machine import PROGRAMS, find_programs  # noqa: E402


@unittest.skipUnless(shutil.which("strip"), "no strip here, so the archive was NOT made")
class Bundle(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in PROGRAMS:
            shutil.copy(shutil.which("true"), self.folder / name)
        self.archive = self.folder / "made/smog-gpu.tar.xz"

    def make(self) -> tuple[int, str]:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            code = gpu_bundle.main(["--bin", str(self.folder), "--out", str(self.archive)])
        return code, shown.getvalue()

    def test_what_is_unpacked_runs_and_is_all_that_gpu_check_needs(self):
        self.assertEqual(self.make()[0], 0)
        self.assertEqual(os.listdir(self.archive.parent), [self.archive.name])
        with tarfile.open(self.archive) as tar:
            tar.extractall(self.folder / "there", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        there = self.folder / "there/smog-gpu"
        for name in PROGRAMS:
            self.assertEqual(subprocess.run([there / "bin" / name]).returncode, 0)
        asked = subprocess.run([there / "scripts/gpu-check", "--help"], capture_output=True, text=True)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        # It finds the programs beside itself, and asks them: these do not answer.
        words = [there / "scripts/gpu-check", "--device", "cpu", "--python", os.devnull, "--out", self.folder / "out.json"]
        environment = {**os.environ, "CARGO_TARGET_DIR": str(self.folder / "nothing")}
        asked = subprocess.run(words, capture_output=True, text=True, env=environment)
        self.assertEqual(asked.returncode, 1, asked.stderr)
        self.assertIn("names no device", asked.stdout)

    def test_gpu_check_takes_the_archive_itself(self):
        self.assertEqual(self.make()[0], 0)
        programs = find_programs(self.archive, self.folder / "work")
        self.assertEqual(subprocess.run([programs / "smog-trainer"]).returncode, 0)

    def test_what_is_no_program_is_refused_by_name_and_leaves_no_archive(self):
        (self.folder / "smog-tools").write_text("#!/bin/sh\n")
        code, shown = self.make()
        self.assertEqual(code, 2)
        self.assertIn("smog-tools", shown)
        self.assertEqual(os.listdir(self.archive.parent), [])


if __name__ == "__main__":
    unittest.main()
