#!/usr/bin/env python3
"""Shards are read by others without our code, and what others write by us: pyarrow, DuckDB, Polars, Hugging Face
`datasets`, Python's tarfile.

    python tests/interop/test_interop.py --smog-tools target/debug/smog-tools

Draws a small labelled folder of images with Pillow, runs `smog-tools shard` on it, and compares what each
reader finds with the files. Needs the packages of requirements.txt; writes to a temporary folder only.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import unittest

# Readers must work from the local files alone.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import datasets
import duckdb
import polars
import pyarrow.parquet
from PIL import Image

CLASSES = ["ant lion", "bee", "über-käfer"]
PER_CLASS = {"train": 40, "val": 7}
FACTS = ["id", "width", "height", "components", "subsampling", "orientation", "progressive", "flags"]
smog_tools = None


def picture(rng, number):
    """The bytes and name of an image: mostly JPEG, some grey, progressive, PNG or WebP."""
    size = (rng.randint(20, 70), rng.randint(20, 70))
    mode = "L" if number % 7 == 3 else "RGB"
    channels = 1 if mode == "L" else 3
    image = Image.frombytes(mode, size, rng.randbytes(size[0] * size[1] * channels))
    out = io.BytesIO()
    if number % 11 == 5:
        image.save(out, "PNG")
        return out.getvalue(), f"{number:03}.png", image
    if number % 13 == 6:
        image.convert("RGB").save(out, "WEBP", quality=80)
        return out.getvalue(), f"{number:03}.webp", image.convert("RGB")
    subsampling = number % 3 if mode == "RGB" else -1
    image.save(out, "JPEG", quality=85, subsampling=subsampling, progressive=number % 5 == 0)
    return out.getvalue(), f"{number:03}.jpg", image


class Interop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        root = pathlib.Path(cls.temporary.name)
        cls.src, cls.out, cls.cache = root / "src", root / "out", root / "cache"
        rng = random.Random(20)
        # Bytes, label and decoded size by stored path.
        cls.files = {split: {} for split in PER_CLASS}
        for split, count in PER_CLASS.items():
            for label, name in enumerate(CLASSES):
                folder = cls.src / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    data, file, image = picture(rng, number)
                    (folder / file).write_bytes(data)
                    cls.files[split][f"{split}/{name}/{file}"] = (data, label, image.size)
        subprocess.run(
            [smog_tools, "shard", cls.src, "--out", cls.out]
            + ["--shard-size", "120kB", "--row-group-size", "32kB"],
            check=True,
        )
        cls.shards = {
            split: sorted(str(path) for path in (cls.out / split).glob("*.parquet"))
            for split in PER_CLASS
        }

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def compare(self, split, rows):
        """`rows` yields (path, bytes, label, width, height)."""
        found = list(rows)
        expected = self.files[split]
        self.assertEqual(len(found), len(expected))
        self.assertEqual({row[0] for row in found}, set(expected))
        for path, data, label, width, height in found:
            with self.subTest(path=path):
                self.assertEqual(data, expected[path][0])
                self.assertEqual(label, expected[path][1])
                self.assertEqual((width, height), expected[path][2])

    def test_pyarrow_reads_rows_and_finds_image_bytes_stored_plainly(self):
        self.assertGreater(len(self.shards["train"]), 1)
        for split, shards in self.shards.items():
            table = pyarrow.parquet.read_table(shards)
            self.assertEqual(table.column_names, ["image", "label", *FACTS])
            self.compare(
                split,
                (
                    (row["image"]["path"], row["image"]["bytes"], row["label"], row["width"], row["height"])
                    for row in table.to_pylist()
                ),
            )
            self.assertEqual(sorted(table["id"].to_pylist()), list(range(len(self.files[split]))))
            if split == "train":
                self.assertNotEqual(table["id"].to_pylist(), sorted(table["id"].to_pylist()))
        for shard in self.shards["train"]:
            footer = pyarrow.parquet.ParquetFile(shard).metadata
            self.assertGreater(footer.num_row_groups, 1)
            facts = json.loads(footer.metadata[b"smog"])
            self.assertEqual((facts["version"], facts["rows"]), (2, footer.num_rows))
            for group in range(footer.num_row_groups):
                columns = [footer.row_group(group).column(i) for i in range(footer.num_columns)]
                column = next(c for c in columns if c.path_in_schema == "image.bytes")
                self.assertEqual(column.compression, "UNCOMPRESSED")
                self.assertFalse(column.has_dictionary_page)
                self.assertFalse(column.is_stats_set)
                width = next(c for c in columns if c.path_in_schema == "width")
                self.assertTrue(width.is_stats_set)

    def test_duckdb_reads_rows_and_filters_by_facts(self):
        for split in PER_CLASS:
            rows = duckdb.sql(
                "select image.path, image.bytes, label, width, height "
                f"from read_parquet('{self.out}/{split}/*.parquet')"
            ).fetchall()
            self.compare(split, rows)
        counts = duckdb.sql(
            f"select label, count(*) from read_parquet('{self.out}/train/*.parquet') group by label"
        ).fetchall()
        self.assertEqual(dict(counts), {label: PER_CLASS["train"] for label in range(len(CLASSES))})
        ((progressive,),) = duckdb.sql(
            f"select count(*) from read_parquet('{self.out}/train/*.parquet') where progressive"
        ).fetchall()
        expected = sum(
            bool(image.info.get("progressive"))
            for image in (Image.open(io.BytesIO(file[0])) for file in self.files["train"].values())
        )
        self.assertEqual(progressive, expected)

    def test_polars_reads_rows(self):
        for split in PER_CLASS:
            frame = polars.read_parquet(f"{self.out}/{split}/*.parquet")
            self.compare(
                split,
                (
                    (row["image"]["path"], row["image"]["bytes"], row["label"], row["width"], row["height"])
                    for row in frame.iter_rows(named=True)
                ),
            )
        lazy = polars.scan_parquet(f"{self.out}/train/*.parquet")
        wide = lazy.filter(polars.col("width") > 45).select("id").collect()
        expected = sum(size[0] > 45 for _, _, size in self.files["train"].values())
        self.assertEqual(len(wide), expected)

    def check_features(self, features):
        self.assertIsInstance(features["image"], datasets.Image)
        self.assertIsInstance(features["label"], datasets.ClassLabel)
        self.assertEqual(features["label"].names, CLASSES)

    def test_datasets_shows_images_and_class_names_by_themselves(self):
        loaded = datasets.load_dataset(
            "parquet", data_files=self.shards, cache_dir=str(self.cache / "files")
        )
        self.check_features(loaded["train"].features)
        pixels = collections.Counter()
        for row in loaded["val"]:
            self.assertEqual(row["image"].size, (row["width"], row["height"]))
            pixels[hashlib.sha256(row["image"].convert("RGB").tobytes()).hexdigest()] += 1
        expected = collections.Counter(
            hashlib.sha256(Image.open(io.BytesIO(file[0])).convert("RGB").tobytes()).hexdigest()
            for file in self.files["val"].values()
        )
        self.assertEqual(pixels, expected)

    def test_datasets_loads_the_output_folder_as_it_is(self):
        loaded = datasets.load_dataset(str(self.out), cache_dir=str(self.cache / "folder"))
        self.assertEqual(set(loaded), set(PER_CLASS))
        for split in PER_CLASS:
            self.assertEqual(len(loaded[split]), len(self.files[split]))
            self.check_features(loaded[split].features)
        stream = datasets.load_dataset(str(self.out), split="train", streaming=True)
        first = next(iter(stream))
        self.assertEqual(first["image"].size, (first["width"], first["height"]))

    def sharded(self, source, name, *options):
        """(bytes, label) of every row of what `smog-tools shard` makes of a source, and the class names."""
        out = pathlib.Path(self.temporary.name) / name
        subprocess.run([smog_tools, "shard", source, "--out", out, *options], check=True)
        (split,) = [path for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")]
        table = pyarrow.parquet.read_table(sorted(split.glob("*.parquet")))
        rows = sorted((row["image"]["bytes"], row["label"]) for row in table.to_pylist())
        return rows, json.loads((split / "manifest.json").read_text())["classes"]

    def expected(self, split):
        return sorted((data, label) for data, label, _ in self.files[split].values())

    def test_tars_of_every_format_of_tarfile_hold_what_the_folder_does(self):
        root = pathlib.Path(self.temporary.name)
        for name, kind in [
            ("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT),
        ]:
            # A path of more than 100 bytes, which every format writes in another way.
            top = "/".join(["long-folder-name"] * 8)
            with tarfile.open(root / f"{name}.tar", "w", format=kind) as tar:
                tar.add(self.src / "train", arcname=f"{top}/train")
            rows, classes = self.sharded(root / f"{name}.tar", f"of-{name}")
            self.assertEqual((rows, classes), (self.expected("train"), CLASSES))

    def test_a_tar_of_class_tars_is_read_as_imagenets_is(self):
        root = pathlib.Path(self.temporary.name)
        with tarfile.open(root / "ILSVRC_img_train.tar", "w") as outer:
            for name in CLASSES:
                inner = io.BytesIO()
                with tarfile.open(fileobj=inner, mode="w") as tar:
                    for file in sorted((self.src / "train" / name).iterdir()):
                        tar.add(file, arcname=file.name)
                entry = tarfile.TarInfo(f"{name}.tar")
                entry.size = inner.tell()
                inner.seek(0)
                outer.addfile(entry, inner)
        rows, classes = self.sharded(root / "ILSVRC_img_train.tar", "of-class-tars")
        self.assertEqual((rows, classes), (self.expected("train"), CLASSES))

    def test_parquet_of_datasets_is_sharded_and_streamed_in_place(self):
        root = pathlib.Path(self.temporary.name)
        files = [(data, label) for data, label, _ in self.files["train"].values()]
        features = datasets.Features(img=datasets.Image(), label=datasets.ClassLabel(names=CLASSES))
        images = [{"bytes": data, "path": None} for data, _ in files]
        data = datasets.Dataset.from_dict(
            {"img": images, "label": [label for _, label in files]}, features=features
        )
        # One row group of all, and the small ones that are usual for images.
        for name, rows in [("whole", 1000), ("small", 32)]:
            path = root / f"{name}.parquet"
            data.to_parquet(path, batch_size=rows)
            rows, classes = self.sharded(path, f"of-{name}")
            self.assertEqual((rows, classes), (self.expected("train"), CLASSES))
            bench = subprocess.run(
                [smog_tools, "bench", "pipeline", "--data", path, "--json", "--preset", "2x32", "--batch", "16"]
                + ["--workers", "1", "--seconds", "0.2", "--warmup-seconds", "0"],
                check=True, capture_output=True, text=True,
            )
            self.assertEqual(json.loads(bench.stdout)["bad_samples"], 0)

    def test_parquet_that_only_names_files_is_refused_in_plain_words(self):
        path = pathlib.Path(self.temporary.name) / "paths.parquet"
        image = pyarrow.array(
            [{"bytes": None, "path": "a.jpg"}],
            pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
        )
        pyarrow.parquet.write_table(pyarrow.table({"image": image}), path)
        run = subprocess.run([smog_tools, "inspect", path], capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("only paths of files", run.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smog-tools", required=True, help="the built program")
    arguments, rest = parser.parse_known_args()
    smog_tools = os.path.abspath(arguments.smog_tools)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
