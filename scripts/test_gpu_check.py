"""Tests of scripts/gpu_check.py and gpu_report.py: figures, table, exit codes; no run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_check  # noqa: E402
import gpu_report as report  # noqa: E402
from gpu_report import FAILED, MEASURED, PASSED, SKIPPED, Row  # noqa: E402


class Figures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.run_dir = Path(self.folder.name)

    def write(self, *events: dict, tail: str = ""):
        text = "".join(json.dumps(event) + "\n" for event in events)
        (self.run_dir / "metrics.jsonl").write_text(text + tail)

    def step(self, step: int, rate: float, loss: float = 1.0) -> dict:
        return {"event": "step", "step": step, "images_per_second": rate, "loss": loss}

    def test_the_rate_is_the_median_of_the_lines_after_the_warm_up(self):
        self.write(*(self.step(step, rate) for step, rate in ((10, 1), (20, 2), (30, 100), (40, 300), (50, 110))))
        self.assertEqual(report.rate(self.run_dir), 110)

    def test_a_line_that_reaches_into_the_warm_up_does_not_count(self):
        self.write(self.step(15, 1), self.step(30, 2), self.step(45, 50))
        self.assertEqual(report.settled(self.run_dir, "images_per_second"), [50])

    def test_a_short_run_gives_its_last_line(self):
        self.write(self.step(2, 5), self.step(4, 7))
        self.assertEqual(report.rate(self.run_dir), 7)

    def test_of_a_step_done_twice_the_last_loss_counts_and_a_cut_line_none(self):
        self.write(self.step(1, 1, 3.0), self.step(2, 1, 2.0), self.step(2, 1, 2.5), tail='{"event":"step","st')
        self.assertEqual(report.losses(self.run_dir), {1: 3.0, 2: 2.5})

    def test_a_figure_that_is_no_number_is_infinitely_far(self):
        self.assertEqual(report.relative(float("nan"), 1.0), float("inf"))
        self.assertEqual(report.check("x", report.relative(1.0, float("nan")), 1e-4, at_least=False).state, FAILED)
        self.assertAlmostEqual(report.relative(1.1, 1.0), 0.1)


class Table(unittest.TestCase):
    def test_limits_are_held_from_the_right_side_and_rehearsals_are_not_judged(self):
        self.assertEqual(report.check("ratio", 0.98, 0.98).state, PASSED)
        self.assertEqual(report.check("ratio", 0.97, 0.98).state, FAILED)
        self.assertEqual(report.check("wait", 0.5, 1, "%", at_least=False).state, PASSED)
        row = report.check("wait", 7, 1, "%", at_least=False, judged=False)
        self.assertEqual((row.state, row.target), (MEASURED, "(<= 1 %, on a GPU)"))

    def test_the_table_has_a_line_for_each_row_and_columns_in_line(self):
        rows = [
            Row("a", PASSED, 0.9951, "", ">= 0.98"),
            Row("a longer name", FAILED, 12345.6, "images/s", "", "why " * 30),
            Row("b", SKIPPED, note="not in this build"),
        ]
        lines = report.table(rows)
        self.assertEqual(len(lines), 5)
        self.assertEqual({line.find(state) for line, state in zip(lines[2:], (PASSED, FAILED, SKIPPED))}, {15})
        self.assertIn("12,346 images/s", lines[3])
        self.assertTrue(lines[4].endswith("not in this build"))
        self.assertEqual(report.summary(rows), "1 passed, 1 FAILED, 1 skipped, 0 measured")
        self.assertEqual((report.exit_code(rows), report.exit_code(rows[::2])), (1, 0))

    def test_small_and_large_figures_are_readable(self):
        self.assertEqual([report.text(x) for x in (0, 3e-7, 0.12345, 12.3456, 4321.9, None, "equal")],
                         ["0", "3.00e-07", "0.1235", "12.35", "4,322", "", "equal"])  # fmt: skip


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.programs = Path(self.folder.name)

    def program(self, name: str, script: str):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def call(self, *words: str) -> tuple[int, str]:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = gpu_check.main(["--bin", str(self.programs), "--out", str(self.programs / "out.json"), *words])
        return code, errors.getvalue()

    def test_without_a_gpu_it_says_so_and_leaves_with_its_own_code(self):
        self.program("smog-tools", "exit 0")
        self.program("smog-trainer", '[ "$1" = --version ] && exit 0; echo "error: no libtorch_cuda.so" >&2; exit 2')
        code, errors = self.call()
        self.assertEqual(code, gpu_check.NO_GPU)
        self.assertIn("no GPU here, nothing was checked", errors)
        self.assertIn("no libtorch_cuda.so", errors)

    def test_missing_programs_are_an_error_of_use(self):
        code, errors = self.call()
        self.assertEqual(code, 2)
        self.assertIn("--bin", errors)

    def test_a_check_that_breaks_fails_and_the_others_go_on(self):
        self.program("smog-tools", 'case "$1" in synth|shard) exit 0;; esac; echo "no such command" >&2; exit 2')
        self.program("smog-trainer", '[ "$1" = devices ] && echo "{\\"device\\":\\"cpu\\"}" && exit 0\n'
                     '[ "$1" = --version ] && exit 0; echo "error: broken" >&2; exit 1')  # fmt: skip
        code, _ = self.call("--device", "cpu", "--python", os.devnull)
        self.assertEqual(code, 1)
        rows = json.loads((self.programs / "out.json").read_text())["rows"]
        states = {row["name"]: row["state"] for row in rows}
        self.assertEqual(states["one step"], FAILED)
        self.assertEqual(states["kernels and renderer on the GPU"], SKIPPED)
        self.assertIn("error: broken", rows[0]["note"])


if __name__ == "__main__":
    unittest.main()
