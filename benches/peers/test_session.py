"""Tests of session.py, writing.py and data.py with small programs in the place of loaders and writers."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import bench_peers  # noqa: E402
import data  # noqa: E402
import session  # noqa: E402
import writing  # noqa: E402

sys.path.insert(0, str(HERE / "loaders"))
import serve  # noqa: E402

COUNTING_LOADER = f"""
import sys, time
sys.path.insert(0, {str(HERE / "loaders")!r})
from pathlib import Path
import serve

def batches():
    while True:
        print("noise of a library")
        time.sleep(0.01)
        yield 4

serve.serve(serve.Task([], [], 1, 4, Path(".")), batches(), "none", {{"counter": "1.0"}})
"""


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)


class Loaders(Case):
    def loader(self, program):
        process = session.LoaderProcess([sys.executable, "-B", "-c", program], self.root / "log", dict(os.environ))
        self.addCleanup(process.stop)
        return process

    def test_windows_are_measured_on_demand_and_noise_stays_out_of_the_answers(self):
        process = self.loader(COUNTING_LOADER)
        process.start()
        self.assertEqual(process.versions, {"counter": "1.0"})
        for _ in range(2):
            window = process.measure(0.01, 0.05)
            self.assertGreater(window.images_per_second, 0)
            self.assertLess(window.images_per_second, 401)
            self.assertGreater(window.memory_bytes, 10**6)
        self.assertIn("noise", (self.root / "log").read_text())
        for _ in range(500):
            state = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "T":
                break
            time.sleep(0.01)
        self.assertEqual(state, "T", "a loader must not work while another is measured")
        process.stop()
        process.stop()

    def test_a_loader_that_dies_is_named_with_its_last_words(self):
        process = self.loader("raise ImportError('no such decoder')")
        with self.assertRaisesRegex(session.LoaderError, "code 1.*ImportError: no such decoder"):
            process.start()

    def test_a_loader_that_dies_between_windows_is_an_error_too(self):
        process = self.loader('print(\'{"settings": "", "versions": {}}\', flush=True)')
        process.start()
        with self.assertRaisesRegex(session.LoaderError, "ended"):
            process.measure(0.01, 0.01)

    def test_a_loader_that_says_nothing_is_given_up(self):
        process = self.loader("import time; time.sleep(60)")
        process.start_seconds = 0.05
        with self.assertRaisesRegex(session.LoaderError, "no answer within"):
            process.start()

    def test_refused_images_spoil_a_measurement_of_smog(self):
        good = {"images_per_second": 10.0, "decode_cpu_ms": 1, "augment_cpu_ms": 2, "fetch_cpu_ms": 3}
        window = session.smog_window({**good, "bad_samples": 0, "peak_bytes": 7})
        self.assertEqual((window.images_per_second, window.cpu_ms_per_image, window.memory_bytes), (10.0, 6, 7))
        with self.assertRaises(session.LoaderError):
            session.smog_window({**good, "bad_samples": 1, "peak_bytes": 7})
        stage = session.smog_window({"images_per_second": 5.0, "ms_per_image": 200.0, "refused": 0})
        self.assertEqual((stage.cpu_ms_per_image, stage.memory_bytes), (None, None))


class Windows(unittest.TestCase):
    def test_a_window_ends_with_the_turn_of_the_last_worker(self):
        images, _ = serve.take(iter([1] * 100), 0.0, workers=3, least=2)
        self.assertEqual(images, 6)

    def test_views_are_counted_out_with_the_defaults_of_the_recipe(self):
        crop = {"kind": "random_resized", "scale": [0.2, 1.0]}
        small = {"count": 2, "size": 96, "crop": crop, "blur": {"p": 0.5}}
        views = serve.read_views({"views": [{"size": 224, "crop": crop}, small]})
        self.assertEqual([view.size for view in views], [224, 96, 96])
        self.assertEqual((views[0].blur, views[1].blur, views[1].sigma), (0.0, 0.5, [0.1, 2.0]))
        with self.assertRaises(SystemExit):
            serve.read_views({"views": [{"size": 224, "crop": {"kind": "center", "resize": 256}}]})

    def test_a_loader_that_gives_other_views_is_refused(self):
        with self.assertRaises(SystemExit):
            serve.check_views([(4, 224, 224, 3)], [(4, 96, 96, 3)])


class Writing(Case):
    def images(self):
        for name, content in (("ant/a.jpg", b"\xff\xd8\xff" + bytes(97)), ("bee/b.jpg", b"\xff\xd8\xff" + bytes(47))):
            file = self.root / "images" / name
            file.parent.mkdir(parents=True)
            file.write_bytes(content)
        return self.root / "images"

    def test_copies_are_real_files_in_the_same_folders(self):
        copy = writing.grow(self.images(), self.root / "grown", 301)
        self.assertEqual(writing.bytes_in(copy), 450)
        self.assertEqual(len(list((copy / "ant").iterdir())), 3)

    def test_writers_take_turns_and_one_that_fails_or_loses_bytes_is_named(self):
        ways = [
            writing.Writer("cp -r", lambda source, out: ["cp", "-r", str(source), str(out)]),
            writing.Writer("lossy", lambda source, out: ["mkdir", str(out)]),
            writing.Writer("missing", lambda source, out: ["/nonexistent"]),
            writing.Writer("failing", lambda source, out: ["ls", "/nonexistent"]),
        ]
        entries = writing.compare(ways, {"small": self.images()}, 2, self.root, lambda text: None)
        self.assertEqual([len(entry.seconds) for entry in entries], [2, 0, 0, 0])
        self.assertEqual((entries[0].bytes, entries[0].files), (150, 2))
        self.assertIn("0 bytes of images that have 150", entries[1].failure)
        self.assertIn("/nonexistent", entries[2].failure)
        self.assertIn("code 2", entries[3].failure)

    def test_shares_hold_every_sample_once(self):
        samples = writing.job.samples_of(self.images())
        self.assertEqual([(sample.path.name, sample.label) for sample in samples], [("a.jpg", 0), ("b.jpg", 1)])
        shares = writing.job.shares_of(samples * 5, 3, self.root)
        self.assertEqual([len(share.samples) for share in shares], [3, 3, 4])

    def test_folders_without_jpegs_or_with_other_files_are_refused(self):
        root = self.images()
        found = data.find_images(root)
        self.assertEqual((len(found.files), found.bytes), (2, 150))
        (root / "notes.txt").write_text("notes")
        for folder, message in ((root, "1 of 3 files.*notes.txt"), (self.root / "none", "not a folder")):
            with self.assertRaisesRegex(data.DataError, message):
                data.find_images(folder)


class CommandLine(unittest.TestCase):
    def test_only_a_whole_run_is_written_to_the_documents(self):
        self.assertRegex(str(bench_peers.parse(["images"]).report), r"docs/benchmarks/\d{4}-\d\d-\d\d-peers-cpu.md$")
        for partial in (["--quick"], ["--only", "smog"], ["--parts", "writing"], ["--no-report"]):
            self.assertIsNone(bench_peers.parse(["images", *partial]).report)

    def test_the_command_is_given_without_paths_of_the_machine(self):
        words = ["/home/me/a/b", "--report", "/tmp/x.md", "--rounds", "5", "--scratch=/tmp"]
        command = bench_peers.command_of(words, Path("/home/me/a/b"), "a/b")
        self.assertEqual(command, 'make bench-peers IMAGES=a/b ARGS="--rounds 5"')

    def test_sizes_counts_and_names_are_checked(self):
        self.assertEqual(bench_peers.parse(["images", "--grow", "1.5GB"]).grow, 1_500_000_000)
        refused = ("--grow 12", "--workers 0", "--rounds -1", "--seconds nan", "--only dalli", "--parts all")
        for wrong in refused:
            with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit) as caught:
                bench_peers.parse(["images", *wrong.split()])
            self.assertEqual(caught.exception.code, 2)
            self.assertIn(repr(wrong.split()[1]), said.getvalue())


if __name__ == "__main__":
    unittest.main()
