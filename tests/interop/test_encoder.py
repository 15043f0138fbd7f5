#!/usr/bin/env python3
"""Encoders of runs are loaded by torchvision and timm with strict=True and give our features; torchvision's files
begin runs; features are read by pyarrow and DuckDB.

    python tests/interop/test_encoder.py --smog-trainer target/release/smog-trainer

Draws small labelled pictures with Pillow, trains for a few steps, exports and embeds. The lines of Python of the README
are run as they stand there. Needs the packages of requirements-encoder.txt; writes to a temporary folder only.
"""

import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

import duckdb
import numpy
import pyarrow.parquet
import safetensors
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Pictures of the size that the encoder sees, so that no resize stands between the pixels and either side.
SIDE = 64
NUM_PICTURES = 24
TOLERANCE = 1e-4
smog_trainer = None


def cifar_stem(network):
    network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = torch.nn.Identity()
    return network


# Settings of the encoder, and the networks that must load it.
CASES = {
    "resnet18": (["stem=imagenet"], [torchvision.models.resnet18, lambda: timm.create_model("resnet18")]),
    "resnet18 with the cifar stem": (["stem=cifar"], [lambda: cifar_stem(torchvision.models.resnet18())]),
    "resnet50": (["stem=imagenet"], [torchvision.models.resnet50, lambda: timm.create_model("resnet50")]),
    # The table of positions is for pictures of 224 pixels, and is interpolated to SIDE.
    "vit_small": ([], [lambda: timm.create_model("vit_small_patch16_224", dynamic_img_size=True)]),
    "swin_t": ([], [torchvision.models.swin_t]),
}


def without_classifier(network):
    setattr(network, "fc" if hasattr(network, "fc") else "head", torch.nn.Identity())
    return network.eval()


def call(*arguments, code=0):
    done = subprocess.run([smog_trainer, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


class Encoder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(2)
        cls.temporary = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.temporary.name)
        rng = random.Random(4)
        cls.data = cls.root / "pictures"
        for number in range(NUM_PICTURES):
            folder = cls.data / "train" / ["ant", "bee"][number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            # Coarse noise: smooth enough to be a picture, and no two alike.
            coarse = Image.frombytes("RGB", (8, 8), rng.randbytes(192))
            coarse.resize((SIDE, SIDE)).save(folder / f"{number:03}.png")
        # The order of the samples is that of the shards.
        subprocess.run([pathlib.Path(smog_trainer).with_name("smog-tools"), "shard", cls.data], check=True)
        cls.shards = cls.root / "pictures-shards"
        table = pyarrow.parquet.read_table(sorted((cls.shards / "train").glob("*.parquet")))
        cls.rows = table.to_pylist()

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def train(self, name, arch, sets, *more):
        run = self.root / name.replace(" ", "-")
        settings = [f"model.encoder.arch={arch}", "model.encoder.width=64", "model.groups.count=4", "run.device=cpu",
                    "run.batch_size=8", "eval.batch_size=16", "schedule.warmup=never",
                    "schedule.lr_per_256=0.01", *(f"model.encoder.{part}" for part in sets)]
        call("run", "--preset", "demo", "--data", self.shards, "--run-dir", run, "--steps", "3", "--quiet",
             *(part for setting in settings for part in ("--set", setting)), *more)
        return run

    def images(self):
        pixels = numpy.stack([
            numpy.asarray(Image.open(self.data / row["image"]["path"]).convert("RGB")) for row in self.rows
        ])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)

    def embedded(self, subject, *more):
        out = self.root / "features.parquet"
        call("embed", subject, "--data", self.shards, "--out", out, *more)
        return out, pyarrow.parquet.read_table(out)

    def test_torchvision_and_timm_load_it_strictly_and_give_our_features(self):
        images = self.images()
        for name, (sets, networks) in CASES.items():
            run, file = self.train(name, name.split()[0], sets), self.root / "encoder.safetensors"
            for branch in ["online", "momentum"]:
                call("export", run, "--out", file, "--branch", branch)
                _, table = self.embedded(run, "--branch", branch)
                ours = torch.tensor(table["features"].to_pylist())
                _, of_file = self.embedded(file)
                self.assertEqual(of_file["features"], table["features"])
                self.assertGreater(float(ours.std(0).max()), 1e-3, "features that differ from picture to picture")
                for make in networks:
                    network = without_classifier(make())
                    network.load_state_dict(safetensors.torch.load_file(file), strict=True)
                    with torch.no_grad():
                        theirs = network(images)
                    difference = float((ours - theirs).abs().max())
                    with self.subTest(name=name, branch=branch, network=type(network).__module__):
                        print(f"{name}, {branch}, {type(network).__module__}: largest difference {difference:.1e}")
                        self.assertLess(difference, TOLERANCE)

    def test_the_lines_of_the_readme_run_as_they_stand(self):
        text = (ROOT / "README.md").read_text()
        (lines,) = re.findall(r"```python\n(# the encoder in Python\n.*?)```", text, re.S)
        run, picture = self.train("readme", "resnet50", ["stem=imagenet"]), self.root / "photo.jpg"
        call("export", run, "--out", self.root / "encoder.safetensors")
        Image.open(self.data / self.rows[0]["image"]["path"]).resize((300, 260)).save(picture)
        scope = {}
        before = os.getcwd()
        os.chdir(self.root)
        try:
            exec(compile(lines, "README.md", "exec"), scope)
        finally:
            os.chdir(before)
        self.assertEqual(tuple(scope["features"].shape), (1, 2048))

    def test_torchvisions_files_begin_a_run_and_its_classifier_is_left_out(self):
        theirs, file = torchvision.models.resnet18(), self.root / "torchvision.safetensors"
        safetensors.torch.save_file(theirs.state_dict(), file)
        run = self.root / "begun"
        base = ["run", "--preset", "demo", "--data", self.shards, "--run-dir", run, "--steps", "1",
                "--set", "run.batch_size=8", "--set", "model.groups.count=4", "--init", file]
        refused = call(*base, code=2)
        for part in ["conv1.weight", "[64, 3, 7, 7]", "[16, 3, 7, 7]"]:
            self.assertIn(part, refused)
        said = call(*base, "--set", "model.encoder.width=64", "--set", "schedule.lr_per_256=1e-12")
        self.assertIn("120 tensors of", said)
        self.assertIn("left out, as part of a classifier: fc.bias, fc.weight", said)
        call("export", run, "--out", self.root / "begun.safetensors", "--branch", "online")
        ours = safetensors.torch.load_file(self.root / "begun.safetensors")
        for name, tensor in theirs.state_dict().items():
            if not name.startswith("fc.") and "running" not in name and "num_batches" not in name:
                self.assertLess(float((ours[name] - tensor).abs().max()), 1e-6, name)

    def test_features_are_read_by_pyarrow_and_duckdb(self):
        run = self.train("features", "resnet18", ["stem=imagenet"])
        path, table = self.embedded(run)
        self.assertEqual(table.column_names, ["sample", "label", "features"])
        self.assertEqual(str(table.schema.field("features").type), "fixed_size_list<item: float not null>[512]")
        self.assertEqual(table["sample"].to_pylist(), list(range(NUM_PICTURES)))
        self.assertEqual(table["label"].to_pylist(), [row["label"] for row in self.rows])
        facts = json.loads(pyarrow.parquet.ParquetFile(path).metadata.metadata[b"smog"])
        self.assertEqual((facts["step"], facts["branch"], facts["classes"]), (3, "online", ["ant", "bee"]))
        rows = duckdb.sql(f"select label, count(*), avg(features[1]), min(len(features)) from '{path}' group by 1").fetchall()
        self.assertEqual({row[0]: (row[1], row[3]) for row in rows}, {0: (12, 512), 1: (12, 512)})
        first = numpy.array(table["features"].to_pylist())[:, 0]
        labels = numpy.array(table["label"].to_pylist())
        for label, _, mean, _ in rows:
            self.assertAlmostEqual(mean, first[labels == label].mean(), places=5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smog-trainer", required=True, help="the built program, smog-tools beside it")
    arguments, rest = parser.parse_known_args()
    smog_trainer = os.path.abspath(arguments.smog_trainer)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}, "
          f"safetensors {safetensors.__version__}")
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
