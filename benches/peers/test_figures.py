"""Tests of figures.py and report.py: medians, ratios, targets, tables."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import report  # noqa: E402
from figures import ONE_VIEW, SMOG_VIEWS, Result, Run, Target, Window, Written  # noqa: E402


def result(loader, views, workers, rates, failure=None):
    windows = [Window(rate, cpu_ms_per_image=1e3 / rate, memory_bytes=int(rate) * 10**6) for rate in rates]
    return Result(loader, views, workers, windows, failure)


def written(writer, seconds, data="larger", failure=None):
    return Written(writer, data, bytes=10**9, files=10_000, seconds=seconds, cpu_seconds=seconds, failure=failure)


class Ratios(unittest.TestCase):
    def run_of(self, *results):
        run = Run()
        run.results = list(results)
        return run

    def test_the_median_of_the_rounds_counts_and_the_largest_memory(self):
        loader = result("dali", ONE_VIEW, 1, [100, 900, 200])
        self.assertEqual(loader.rate(), 200)
        self.assertEqual(loader.spread(), (100, 900))
        self.assertEqual(loader.cpu_ms(), 5)
        self.assertEqual(loader.memory(), 900 * 10**6)

    def test_targets_are_ratios_to_the_fastest_way_of_a_peer_at_one_worker(self):
        run = self.run_of(
            result("plain-decode", SMOG_VIEWS, 1, [500]),
            result("dali", SMOG_VIEWS, 1, [40]),
            result("dali", SMOG_VIEWS, 2, [1]),
            result("torchvision", SMOG_VIEWS, 1, [20]),
            result("torchvision-tensors", SMOG_VIEWS, 1, [25]),
            result("smog", SMOG_VIEWS, 1, [200]),
            result("smog", SMOG_VIEWS, 2, [390]),
        )
        reached = {target.what: (target.reached, target.verdict()) for target in run.loader_targets()}
        self.assertEqual(reached["SMoG views: smog / DALI"], (5.0, "missed by 17 %"))
        self.assertEqual(reached["SMoG views: smog / torchvision"], (8.0, "missed by 33 %"))
        self.assertEqual(reached["SMoG views: smog / plain decode"], (0.4, "missed by 20 %"))
        self.assertEqual(Target("by a hair", 12.0, 11.994).verdict(), "missed by less than 1 %")
        self.assertEqual(reached[f"{SMOG_VIEWS}: smog, two workers / one"], (1.95, "reached"))
        self.assertEqual(len(reached), 4, "views that were not measured have no targets")

    def test_processor_time_is_compared_beside_the_rate_where_both_counted_it(self):
        dali = Result("dali", ONE_VIEW, 1, [Window(100, 8.0)])
        plain = Result("plain-decode", ONE_VIEW, 1, [Window(500)])
        run = self.run_of(dali, plain, Result("smog", ONE_VIEW, 1, [Window(400, 2.0)]))
        self.assertEqual(run.against("", 6, ONE_VIEW, "dali"), Target("", 6, 4.0, 4.0))
        self.assertEqual(run.against("", 1, ONE_VIEW, "plain-decode"), Target("", 1, 0.8, None))

    def test_a_peer_that_failed_gives_no_ratio_and_is_listed(self):
        run = self.run_of(
            result("ffcv", ONE_VIEW, 1, [], failure="no OpenCV"), result("smog", ONE_VIEW, 1, [500])
        )
        [ffcv] = [target for target in run.loader_targets() if "FFCV" in target.what]
        self.assertEqual((ffcv.reached, ffcv.verdict()), (None, "not measured"))
        self.assertEqual(run.failures(), ["ffcv, 1x224, 1 workers: no OpenCV"])

    def test_writing_is_compared_on_the_same_data_and_decoding_by_threads(self):
        run = self.run_of(result("plain-decode", ONE_VIEW, 1, [500]))
        run.written = [
            written("cp -r", [0.1], data="small"),
            written("cp -r", [1.0, 9.0, 2.0]),
            written("smog header", [2.5]),
            written("smog decode", [20.0]),
            written("MDSWriter, 1 process", [5.0]),
            written("MDSWriter, 2 processes", [4.0]),
            written("TarWriter, 1 process", [], failure="disk full"),
        ]
        targets = {target.what: target.reached for target in run.writing_targets("larger", threads=2)}
        self.assertEqual(targets["larger: shard --check header / cp -r"], 0.8)
        self.assertAlmostEqual(targets["larger: shard --check header / MDSWriter"], 1.6)
        self.assertIsNone(targets["larger: shard --check header / TarWriter"])
        self.assertEqual(targets["larger: shard, every image decoded / (plain decode x 2 threads)"], 0.5)


class Tables(unittest.TestCase):
    def test_columns_line_up(self):
        lines = report.table(["loader", "images/s"], [["smog", "512.0"], ["plain-decode", "-"]])
        self.assertEqual(
            lines,
            [
                "| loader       | images/s |",
                "| ------------ | -------: |",
                "| smog         |    512.0 |",
                "| plain-decode |        - |",
            ],
        )

    def run_with_failure(self):
        run = Run()
        run.results = [
            result("plain-decode", ONE_VIEW, 1, [500]),
            result("plain-decode", ONE_VIEW, 2, [1000]),
            result("simplejpeg", ONE_VIEW, 1, [510]),
            result("ffcv", ONE_VIEW, 1, [], failure="no OpenCV"),
            result("smog", ONE_VIEW, 1, [750]),
            result("smog", ONE_VIEW, 2, [1500]),
        ]
        return run

    def test_every_loader_has_its_row_with_ratios_of_one_worker(self):
        rows = {row[0]: row for row in report.loader_rows(self.run_with_failure(), ONE_VIEW, [1, 2])}
        self.assertEqual(
            rows["smog"], ["smog", "750.0", "1,500.0", "750 - 750", "1.33", "750 MB", "", "", "1.50 x"]
        )
        self.assertEqual(rows["simplejpeg"][1:3], ["510.0", "-"])
        self.assertEqual(rows["plain-decode"][-3:], ["1.50 x", "1.50 x", "1.00 x"])
        self.assertEqual(rows["ffcv"], ["ffcv", "FAILED", "-", "-", "-", "-", "-", "-", "-"])

    def test_what_failed_is_said_before_anything_else(self):
        run = self.run_with_failure()
        lines = report.tables(run, [1, 2], [Target("one view: smog / FFCV", 1.6, None)])
        self.assertEqual(lines[0], "## NOT MEASURED")
        self.assertIn("no OpenCV", lines[2])
        self.assertIn("| one view: smog / FFCV |  1.6 x |        - |           - | not measured |", lines)

    def test_ffcv_cannot_make_several_views_and_the_table_says_so(self):
        run = Run()
        run.results = [result("smog", SMOG_VIEWS, 1, [300])]
        rows = report.loader_rows(run, SMOG_VIEWS, [1])
        self.assertEqual(rows[1][:2], ["ffcv", "cannot: one decode a view"])
        self.assertEqual(len(rows[0]), len(rows[1]))

    def test_the_file_names_machine_commit_command_settings_and_versions(self):
        facts = report.Facts(
            date="2026-01-02",
            machine=["a processor"],
            commit="0123abc",
            command="make bench-peers IMAGES=a/b",
            data="700 JPEGs",
            method=["by turns"],
            settings={"dali": "CPU operators"},
            versions={"torch": "2.11.0", "DALI": "2.4.0"},
        )
        text = report.markdown(facts, ["the tables"])
        title = "# smog and its peers on a CPU, 2026-01-02"
        for part in (title, "0123abc", "make bench-peers IMAGES=a/b", "700 JPEGs"):
            self.assertIn(part, text)
        self.assertIn("Versions: DALI 2.4.0, torch 2.11.0.", text)
        self.assertLess(text.index("the tables"), text.index("by turns"))


if __name__ == "__main__":
    unittest.main()
