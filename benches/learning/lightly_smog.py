"""SMoG by the lightly library, for a given wall-clock time: its heads, prototypes, memory bank and transform in the order
of its example. The encoder is saved at the marks."""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import numpy
import torch
from lightly.models import utils
from lightly.models.modules import SMoGPredictionHead, SMoGProjectionHead, SMoGPrototypes
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.transforms.smog_transform import SMoGTransform
from narrow_resnet import NarrowResNet18
from PIL import Image
from safetensors.torch import save_file
from sklearn.cluster import KMeans
from torch import nn

# Both as in the library's example and its CIFAR-10 benchmark.
NUM_GROUPS, RESET_STEPS, DIM, HIDDEN = 300, 300, 128, 2048


class Views(torch.utils.data.Dataset):
    """Two views of each picture; the pictures lie decoded in memory, as in torchvision's CIFAR10."""

    def __init__(self, images: numpy.ndarray, size: int, scale: float) -> None:
        self.images = images
        self.transform = SMoGTransform(
            crop_sizes=(size, size),
            crop_counts=(1, 1),
            gaussian_blur_probs=(0.0, 0.0),
            crop_min_scales=(scale, scale),
            crop_max_scales=(1.0, 1.0),
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        return self.transform(Image.fromarray(self.images[index]))


class Model(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = NarrowResNet18(width)
        self.projector = SMoGProjectionHead(8 * width, HIDDEN, DIM)
        self.predictor = SMoGPredictionHead(DIM, HIDDEN, DIM)
        self.copy_to_momentum()
        groups = nn.functional.normalize(torch.rand(NUM_GROUPS, DIM), dim=1)
        self.smog = SMoGPrototypes(group_features=groups, beta=0.99)

    def copy_to_momentum(self) -> None:
        self.encoder_momentum = copy.deepcopy(self.encoder)
        self.projector_momentum = copy.deepcopy(self.projector)
        utils.deactivate_requires_grad(self.encoder_momentum)
        utils.deactivate_requires_grad(self.projector_momentum)

    def reset(self, bank: torch.Tensor) -> None:
        centres = KMeans(NUM_GROUPS).fit(bank.numpy()).cluster_centers_
        self.smog.set_group_features(nn.functional.normalize(torch.from_numpy(centres).float(), dim=1))
        self.copy_to_momentum()

    def loss(self, online: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        projections = self.projector(self.encoder(online))
        predictions = self.predictor(projections)
        with torch.no_grad():
            assignments = self.smog.assign_groups(self.projector_momentum(self.encoder_momentum(target)))
        groups = self.smog.get_updated_group_features(projections)
        logits = self.smog(predictions, groups, temperature=0.1)
        self.smog.set_group_features(groups.detach())
        return nn.functional.cross_entropy(logits, assignments), projections.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help=".npy with u8 images [N, 32, 32, 3]")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--marks", required=True, help="seconds at which the encoder is saved; the last one ends")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="side of the views")
    parser.add_argument("--scale", type=float, required=True, help="smallest share of the picture in a crop")
    parser.add_argument("--channels-last", action="store_true", help="networks and views in that layout, as smog has them")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    numpy.random.seed(args.seed)
    torch.set_num_threads(args.threads)
    marks = [float(mark) for mark in args.marks.split(",")]

    loader = torch.utils.data.DataLoader(
        Views(numpy.load(args.images), args.size, args.scale),
        batch_size=args.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
    )
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model = Model(args.width).to(memory_format=layout)
    bank = MemoryBankModule(size=(RESET_STEPS * args.batch_size, DIM))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-6)
    report = {"steps": 0, "resets": 0, "points": [], "losses": []}

    # The clock starts with the first batch, as smog's does, and stands while the encoder is saved. The rate falls along a
    # cosine of the time, so that it ends low however many steps there were.
    elapsed, clock, step = 0.0, None, 0
    while marks:
        for views in loader:
            clock = clock or time.perf_counter()
            views = [view.to(memory_format=layout) for view in views]
            online, target = views if step % 2 == 0 else reversed(views)
            if step > 0 and step % RESET_STEPS == 0:
                model.reset(bank.bank)
                report["resets"] += 1
            else:
                utils.update_momentum(model.encoder, model.encoder_momentum, 0.99)
                utils.update_momentum(model.projector, model.projector_momentum, 0.99)
            now = elapsed + time.perf_counter() - clock
            optimizer.param_groups[0]["lr"] = args.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, now / marks[-1])))
            loss, projections = model.loss(online, target)
            bank(projections, update=True)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            now = elapsed + time.perf_counter() - clock
            if now < marks[0]:
                continue
            elapsed = now
            report["points"].append({"seconds": now, "step": step})
            report["losses"].append(loss.item())
            weights = {name: weight.contiguous() for name, weight in model.encoder.state_dict().items()}
            save_file(weights, args.out / f"encoder-{len(report['points'])}.safetensors")
            marks.pop(0)
            clock = time.perf_counter()
            if not marks:
                break
    report["steps"], report["threads_spin"] = step, os.environ.get("GOMP_SPINCOUNT")
    (args.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
