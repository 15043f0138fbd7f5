"""Tests of scripts/demo_summary.py."""

from __future__ import annotations

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import demo_summary  # noqa: E402


def report(encoder, metric, top1, step=0):
    return {"encoder": encoder, "metric": metric, "top1": top1, "step": step, "chance": 1 / 12}


class Table(unittest.TestCase):
    def test_each_encoder_has_its_line_and_each_metric_its_column(self):
        lines = demo_summary.table(
            [
                report("trained", "cosine", 0.5, 100),
                report("trained", "cosine", 0.625, 1116),
                report("pixels", "cosine", 0.16),
                report("pixels", "centred-cosine", 0.17),
            ]
        )
        self.assertEqual(lines[0].split(), ["k-NN", "top-1", "centred-cosine", "cosine"])
        self.assertEqual(lines[1].split(), ["raw", "pixels", "17.0", "%", "16.0", "%"])
        self.assertEqual(lines[2].split(), ["trained", "encoder", "-", "62.5", "%"])
        self.assertEqual(lines[3].split(), ["chance", "8.3", "%"])

    def test_a_folder_without_figures_is_an_error(self):
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(demo_summary.main(Path("/nonexistent")), 1)


if __name__ == "__main__":
    unittest.main()
