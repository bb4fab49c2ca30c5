"""The speed of views and steps for images of 96 and 224 pixels, compared with torchvision's, one image at a time.

Run: uv run --extra vision python benchmarks/images.py [ROUNDS]. All runs in one process with one thread; what a line
compares is measured in turns, round by round, in CPU time. A ratio is the median over the rounds, with quartiles. The
views are those of SimCLR: crop, flip, colour with hue, grey and blur; torchvision's are its v2 transforms on float
tensors, with the same ranges. The literal step has Pillow images in a DataLoader and torchvision's resnet18 with the
same stem.
"""

from __future__ import annotations

import sys
from functools import partial
from statistics import median
from typing import Any

import literal
import numpy as np
import torch
from speed import Steps, in_turns, ratio
from torch import nn
from torch.utils.data import default_collate
from torchvision import models
from torchvision.transforms import v2

from benchmarks.rows import tell
from core.training import device
from core.training.method import Batch
from core.views import image

IMAGES = {96: 64, 224: 16}
"""By side, the images of a batch whose views are timed."""
SIDE, BATCH = 96, 16
"""Of the step."""


def crops(side: int, smallest: float) -> list[nn.Module]:
    """A random box, resized, and half of them flipped."""
    return [v2.RandomResizedCrop(side, scale=(smallest, 1.0)), v2.RandomHorizontalFlip()]


def viewed(side: int) -> v2.Compose:
    """A random view with the defaults of the views `image`, of a tensor or a Pillow image."""
    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
    blur = v2.RandomApply([v2.GaussianBlur(side // 20 * 2 + 1, sigma=(0.1, 2.0))], p=0.5)
    return v2.Compose([*crops(side, 0.4), jitter, v2.RandomGrayscale(0.2), blur])


def views(rounds: int) -> None:
    """Compares ordinary views, and only crops and flips."""
    for side, count in IMAGES.items():
        samples = torch.rand(count, 3, side, side)
        own = image.Views((3, side, side))
        stream = torch.Generator().manual_seed(0)
        batch = Batch(samples, torch.arange(count), stream, stream)
        by_image, cropped = viewed(side), v2.Compose(crops(side, 0.6))
        for what, theirs, ours in (("views", by_image, own), ("crops", cropped, own.weak)):
            found = in_turns(
                rounds, lambda one=theirs, images=samples: [one(each) for each in images], partial(ours, batch)
            )
            each = " / ".join(f"{1e3 * median(column) / count:.2f}" for column in zip(*found, strict=True))
            name = f"{what} of {count} images of {side} x {side} against torchvision by image"
            tell(name, f"{ratio(found)} times as fast; {each} ms an image")


def resnet18() -> nn.Module:
    """torchvision's, with the stem `medium` and without its classifier."""
    found = models.resnet18(weights=None)
    found.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    found.fc = nn.Identity()
    return found


def step(rounds: int) -> None:
    """Compares a step of Contrastive Clustering."""
    bytes_ = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    trial: dict[str, Any] = {
        "encoder": {"name": "resnet18", "stem": "medium"},
        "views": "image",
        "method": "cc",
        "batch_size": BATCH,
    }
    own = Steps(trial, np.moveaxis(bytes_, 3, 1).astype(np.float32) / 255, BATCH)
    transform = v2.Compose([viewed(SIDE), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    network = partial(literal.Network, resnet18, literal.CLUSTERS, 512)
    other = literal.Trainer(bytes_, transform, network, 0)
    other.masks = literal.mask_correlated(BATCH), other.masks[1]
    pairs = literal.Pairs(bytes_, transform)

    def their_step() -> None:
        other.step(*default_collate([pairs[place] for place in range(BATCH)]))

    found = in_turns(rounds, their_step, own.step)
    rates = " / ".join(f"{BATCH / median(column):.1f}" for column in zip(*found, strict=True))
    name = f"a step of {BATCH} images of {SIDE} x {SIDE}, resnet18, against the literal way, in {own.precision}"
    tell(name, f"{ratio(found)} times as fast; {rates} images/s")


if __name__ == "__main__":
    device.limit_threads(1)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    views(number)
    step(number)
