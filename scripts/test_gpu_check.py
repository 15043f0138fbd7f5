"""Tests of scripts/gpu-check: figures, table, time, signals, exit codes, with small scripts as programs; no run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_check  # noqa: E402
import gpu_checks  # noqa: E402
import gpu_machine  # noqa: E402
import gpu_report as report  # noqa: E402
from gpu_report import FAILED, MEASURED, PASSED, SKIPPED, Row  # noqa: E402


def enter(case: unittest.TestCase, context):
    """For the length of a test. TestCase.enterContext came with Python 3.11."""
    context.__enter__()
    case.addCleanup(context.__exit__, None, None, None)


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

    def test_of_a_resumed_run_only_what_came_after_counts(self):
        steps = [self.step(step, 1, loss) for step, loss in ((1, 3.0), (2, 2.0), (3, 1.0))]
        self.write(*steps, {"event": "resume", "step": 2}, self.step(3, 1, 1.5))
        self.assertEqual(report.losses(self.run_dir, since="resume"), {3: 1.5})
        self.write(*steps)
        self.assertEqual(report.losses(self.run_dir, since="resume"), {})

    def test_launches_are_told_in_milliseconds_beside_what_the_gpu_needed(self):
        def line(step, ratio):
            return {**self.step(step, 1), "launch_seconds": 0.02, "launch_ratio": ratio}

        self.write(self.step(10, 1), line(20, 0.9), line(30, 0.1), line(40, 0.3), line(50, 0.1))
        ratio, unit, target, note = report.launches(self.run_dir)
        self.assertEqual((ratio, unit, target), (0.1, "", ""), "lines of the warm-up do not count")
        self.assertEqual(note, "20.0 of 200.0 ms")

    def test_rings_are_told_in_the_order_of_the_flow(self):
        summary = {"ring_fill_ratios": {"fetch": 1.0, "decode": 0.204, "engines": 0.93}}
        self.assertEqual(report.rings(summary), "fetch 100 %, decode 20 %, engines 93 %")

    def test_of_a_setting_given_twice_the_last_counts(self):
        self.assertEqual(report.setting(("run.batch_size=256", "a=b", "run.batch_size=8"), "run.batch_size"), "8")

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


class Lines(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name) / "out.json"
        enter(self, contextlib.redirect_stdout(io.StringIO()))

    def test_every_row_is_in_the_file_at_once_and_what_json_does_not_know_is_null(self):
        journal = report.Journal(self.path, {"torch": "2.11.0"}, {})
        self.assertEqual(json.loads(self.path.read_text())["rows"], [])
        journal.add(Row("a", FAILED, float("inf"), note="two\nlines"))
        found = json.loads(self.path.read_text())
        self.assertEqual((found["complete"], found["rows"][0]["value"]), (False, None))
        self.assertEqual(found["rows"][0]["note"], "two\nlines")
        self.assertTrue(report.table(journal.rows)[2].endswith("two / lines"))
        journal.add(Row("b", MEASURED, float("nan")))
        journal.end()
        found = json.loads(self.path.read_text())
        self.assertEqual((found["complete"], found["rows"][1]["value"]), (True, None))
        self.assertEqual(os.listdir(self.folder.name), ["out.json"])

    def test_a_disk_that_refuses_costs_the_file_and_no_row(self):
        journal = report.Journal(self.path, {}, {})
        self.path.unlink()
        os.rmdir(self.folder.name)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            for name in "abc":
                journal.add(Row(name, PASSED, 1.0))
            journal.end()
        os.mkdir(self.folder.name)
        self.assertEqual([row.name for row in journal.rows], ["a", "b", "c"])
        self.assertEqual(said.getvalue().count("is not written"), 2, "at the first row and at the end")
        with self.assertRaises(OSError):
            report.Journal(Path("/no/such/folder/out.json"), {}, {})

    def test_findings_of_a_part_that_was_done_survive_one_that_was_cut_short(self):
        part = {"checks": [{"name": "kernels", "value": 0.0, "unit": "", "target": "0", "passed": True},
                           {"name": "engines", "value": None, "unit": "", "target": "", "passed": False, "note": "no nvJPEG"}]}  # fmt: skip
        alone = {"checks": [{"name": "JPEG engines alone, batches of 56", "value": 5000.0, "unit": "images/s", "target": "",
                             "passed": None}]}  # fmt: skip
        rows = gpu_checks.kernel_rows(json.dumps(alone))
        self.assertEqual(rows, [Row("JPEG engines alone, batches of 56", MEASURED, 5000.0, "images/s")])
        rows = gpu_checks.kernel_rows(json.dumps(part) + '\n{"checks":[{"na')
        self.assertEqual([(row.name, row.state, row.note) for row in rows],
                         [("kernels", PASSED, ""), ("engines", FAILED, "no nvJPEG")])  # fmt: skip


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.programs = Path(self.folder.name)
        self.out = self.programs / "out.json"

    def program(self, name: str, script: str):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def call(self, *words: str) -> tuple[int, str]:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = gpu_check.main(["--bin", str(self.programs), "--out", str(self.out), *words])
        return code, errors.getvalue()

    def rehearse(self, *words: str) -> tuple[int, dict[str, dict]]:
        code, _ = self.call("--device", "cpu", "--python", os.devnull, *words)
        return code, self.rows()

    def rows(self) -> dict[str, dict]:
        return {row["name"]: row for row in json.loads(self.out.read_text())["rows"]}

    def trainer(self, run: str):
        """A trainer that knows its device; `run` is what it does for a run."""
        self.program("smog-trainer", 'case "$1" in --version) exit 0;;\n'
                     f'devices) echo "{{\\"device\\":\\"cpu\\"}}"; exit 0;; esac\n{run}')  # fmt: skip

    def tools(self):
        self.program("smog-tools", 'case "$1" in synth|shard) exit 0;; esac; echo "no such command" >&2; exit 2')

    def driver(self, smi: str):
        """What nvidia-smi answers; nothing else tells of a GPU."""
        self.program("nvidia-smi", smi)
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        enter(self, unittest.mock.patch.dict(os.environ, PATH=path))
        enter(self, unittest.mock.patch.object(gpu_machine, "DEVICE_FILES", str(self.programs / "nvidia[0-9]")))

    def test_without_a_gpu_it_says_so_and_leaves_with_its_own_code(self):
        self.driver("exit 9")
        self.tools()
        self.program("smog-trainer", '[ "$1" = --version ] && exit 0; echo "error: no libtorch_cuda.so" >&2; exit 2')
        code, errors = self.call()
        self.assertEqual(code, gpu_check.NO_GPU)
        self.assertIn("no GPU here, nothing was checked", errors)
        self.assertIn("no libtorch_cuda.so", errors)
        self.assertEqual(self.rows()["device"]["state"], SKIPPED)

    def test_a_gpu_that_the_trainer_does_not_get_is_a_failure_with_the_whole_message(self):
        self.driver('[ "$1" = -L ] && echo "GPU 0: NVIDIA H100"')
        self.tools()
        lines = "\n".join(f"cause {number}" for number in range(9))
        self.program("smog-trainer", f"echo '{lines}' >&2; exit 2")
        self.program("python", 'case "$2" in *torch*) echo "2.9.1 /site/torch";; *) exit 1;; esac')
        code, _ = self.call("--python", str(self.programs / "python"))
        self.assertEqual(code, 1)
        row = self.rows()["device cuda:0"]
        self.assertEqual(row["state"], FAILED)
        for part in (lines, "torch 2.9.1", "2.11.0 is needed", "NVIDIA H100"):
            self.assertIn(part, row["note"])

    def test_the_libraries_of_the_right_torch_are_offered_and_its_name_is_known(self):
        self.program("python", 'case "$2" in *torch*) echo "2.11.0 /site/torch";; *) exit 1;; esac')
        budget = gpu_machine.Budget(None, 60)
        for device in ("cuda:0", "cpu"):
            machine = gpu_machine.Machine(self.programs, device, str(self.programs / "python"), budget)
            self.assertEqual(machine.torch, "2.11.0")
            self.assertTrue(machine.environment["LD_LIBRARY_PATH"].startswith("/site/torch/lib:/site/nvidia/cu13/lib"))
            self.assertEqual(machine.about_torch(), "the libraries of torch 2.11.0 were offered")

    def test_missing_programs_are_an_error_of_use(self):
        code, errors = self.call()
        self.assertEqual(code, 2)
        self.assertIn("--bin", errors)

    def test_a_check_that_breaks_fails_and_the_others_go_on(self):
        self.tools()
        self.trainer('echo "error: broken" >&2; exit 1')
        code, rows = self.rehearse()
        self.assertEqual(code, 1)
        self.assertEqual(rows["one step"]["state"], FAILED)
        self.assertEqual(rows["kernels and renderer on the GPU"]["state"], SKIPPED)
        self.assertIn("error: broken", rows["one step"]["note"])
        self.assertTrue(json.loads(self.out.read_text())["complete"])

    def test_a_check_whose_figures_nobody_foresaw_fails_and_the_others_go_on(self):
        self.tools()
        self.trainer("exit 0")
        code, rows = self.rehearse()
        self.assertEqual(code, 1)
        self.assertIn("FileNotFoundError", rows["one step"]["note"])
        self.assertIn("smog-tools bench left with 2: no such command", rows["views alone"]["note"].replace(" pipeline", ""))

    def test_a_program_that_hangs_is_ended_and_is_a_failure_with_its_last_words(self):
        self.tools()
        self.trainer('echo "loading" >&2; exec sleep 60')
        began = time.monotonic()
        code, rows = self.rehearse("--limit", "0.3")
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(code, 1)
        note = rows["one step"]["note"]
        self.assertIn("--limit 0.3", note)
        self.assertIn("loading", note)
        self.assertEqual(rows["never starved"]["state"], FAILED)

    def test_when_the_budget_is_used_up_the_rest_is_marked_skipped(self):
        self.tools()
        self.trainer("exit 1")
        code, rows = self.rehearse("--budget", "9")
        self.assertEqual({row["state"] for row in rows.values()}, {SKIPPED})
        self.assertEqual(set(rows), {name for name, _ in gpu_checks.ALL})
        self.assertIn("--budget 9", rows["one step"]["note"])
        self.assertEqual(code, 0)

    def test_a_call_gets_no_more_than_what_is_left_of_the_budget(self):
        budget = gpu_machine.Budget(100, 30)
        self.assertEqual(budget.allowed(), 30)
        budget.started -= 90
        self.assertLess(budget.allowed(), 10.1)
        self.assertEqual(budget.why(), "--limit 30")
        budget.started -= 20
        self.assertEqual(budget.why(), "--budget 100")
        self.tools()
        machine = gpu_machine.Machine(self.programs, "cpu", os.devnull, budget)
        with self.assertRaisesRegex(gpu_machine.Broken, "not begun: --budget 100 is used up"):
            machine.call("smog-tools", "synth")

    def test_a_signal_leaves_what_was_found_and_the_program_does_not_live_on(self):
        self.tools()
        self.trainer(f'echo $$ > {self.programs}/pid; exec sleep 60')
        command = [sys.executable, "-B", gpu_check.__file__, "--bin", str(self.programs), "--out", str(self.out)]
        command += ["--device", "cpu", "--python", os.devnull]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        pid = self.programs / "pid"
        self.wait_until(lambda: pid.is_file() and pid.read_text().strip())
        process.terminate()
        shown, _ = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        found = json.loads(self.out.read_text())
        self.assertEqual((found["complete"], found["rows"][-1]["state"]), (False, FAILED))
        self.assertIn("a signal ended it", shown)
        self.wait_until(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists())

    def wait_until(self, true):
        end = time.monotonic() + 30
        while not true():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def test_an_archive_of_the_programs_is_unpacked_and_nothing_else_of_it(self):
        self.tools()
        self.trainer("exit 0")
        archive = self.programs / "smog-gpu.tar.xz"
        with tarfile.open(archive, "w:xz") as tar:
            for name in gpu_machine.PROGRAMS:
                tar.add(self.programs / name, f"smog-gpu/bin/{name}")
            tar.add(self.programs / "smog-tools", "../../escaped")
        folder = gpu_machine.find_programs(archive, self.programs / "work")
        self.assertEqual(sorted(os.listdir(folder)), sorted(gpu_machine.PROGRAMS))
        self.assertTrue(os.access(folder / "smog-tools", os.X_OK))
        self.assertEqual(os.listdir(self.programs / "work"), ["programs"])

    def test_a_file_that_is_no_such_archive_is_an_error_of_use(self):
        broken = self.programs / "broken.tar.xz"
        broken.write_bytes(b"no archive")
        code, errors = self.call("--bin", str(broken))
        self.assertEqual(code, 2)
        self.assertIn("cannot be unpacked", errors)
        with tarfile.open(broken, "w:xz"):
            pass
        code, errors = self.call("--bin", str(broken))
        self.assertEqual(code, 2)
        self.assertIn("holds no smog-tools and no smog-trainer", errors)


if __name__ == "__main__":
    unittest.main()
