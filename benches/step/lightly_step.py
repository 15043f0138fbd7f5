"""lightly's SMoG step, measured on request: the other side of bench_step.py.

The step is that of lightly 1.6's `examples/pytorch/smog.py` on lightly's own heads, prototypes and `update_momentum`:
one direction a step, views swapped every second batch. Left out are its data loader and its memory bank (as ours).
For each line on standard input: that many steps, then a line of JSON with the seconds of each. On a GPU nothing waits
for it between the steps of a line, as in a training loop, and each is given the mean of them all.
"""

import argparse
import copy
import json
import sys
import time

import torch
import torchvision
from lightly.models import utils
from lightly.models.modules import heads
from torch import nn


class SMoG(nn.Module):
    def __init__(self, backbone, features, num_groups):
        super().__init__()
        self.backbone = backbone
        self.projection_head = heads.SMoGProjectionHead(features, 2048, 128)
        self.prediction_head = heads.SMoGPredictionHead(128, 2048, 128)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        utils.deactivate_requires_grad(self.backbone_momentum)
        utils.deactivate_requires_grad(self.projection_head_momentum)
        groups = nn.functional.normalize(torch.rand(num_groups, 128), dim=1)
        self.smog = heads.SMoGPrototypes(group_features=groups, beta=0.99)

    def forward(self, x):
        encoded = self.projection_head(self.backbone(x).flatten(start_dim=1))
        return encoded, self.prediction_head(encoded)

    def forward_momentum(self, x):
        return self.projection_head_momentum(self.backbone_momentum(x).flatten(start_dim=1))


def encoder(name, side):
    backbone = getattr(torchvision.models, name)()
    features = backbone.fc.in_features
    backbone.fc = nn.Identity()
    if side < 64:
        backbone.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        backbone.maxpool = nn.Identity()
    return backbone, features


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("arch")
    for name in ("side", "batch", "groups", "threads"):
        parser.add_argument(name, type=int)
    parser.add_argument("--channels-last", action="store_true", help="what its user could switch on by hand")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--precision", default="f32", choices=("f32", "bf16"), help="bf16 by autocast")
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    # What is faster and changes nothing but last bits is on, as with ours.
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    model = SMoG(*encoder(args.arch, args.side), args.groups).to(device)
    views = [torch.randn(args.batch, 3, args.side, args.side).to(device) for _ in range(2)]
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
        views = [view.contiguous(memory_format=torch.channels_last) for view in views]
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-6)

    def step(number):
        x0, x1 = views if number % 2 == 0 else reversed(views)
        utils.update_momentum(model.backbone, model.backbone_momentum, 0.99)
        utils.update_momentum(model.projection_head, model.projection_head_momentum, 0.99)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            x0_encoded, x0_predicted = model(x0)
            x1_encoded = model.forward_momentum(x1)
        # The group side is f32, as ours.
        x0_encoded, x0_predicted, x1_encoded = x0_encoded.float(), x0_predicted.float(), x1_encoded.float()
        assignments = model.smog.assign_groups(x1_encoded)
        group_features = model.smog.get_updated_group_features(x0_encoded)
        logits = model.smog(x0_predicted, group_features, temperature=0.1)
        model.smog.set_group_features(group_features)
        loss = criterion(logits, assignments)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    number = 0
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    for line in sys.stdin:
        marks = [time.perf_counter()]
        for _ in range(int(line)):
            step(number)
            marks.append(time.perf_counter())
            number += 1
        seconds = [end - start for start, end in zip(marks, marks[1:])]
        if device.type == "cuda" and seconds:
            # The line before has ended with the same wait, so the device had nothing left to do at the start.
            torch.cuda.synchronize(device)
            seconds = [(time.perf_counter() - marks[0]) / len(seconds)] * len(seconds)
        print(json.dumps({"seconds": seconds}), flush=True)


main()
