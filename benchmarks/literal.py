"""Contrastive Clustering in a common implementation (one image at a time, losses by masks, f32), against conclus.

For each image and view, torchvision makes a random crop, flip, jitter and blur in a DataLoader. Each view passes
separately through a small, common convolutional network in torch's default memory format. The losses are as published
with CC (github.com/Yunfan-Li/Contrastive-Clustering).

Run: uv run --with torchvision python benchmarks/literal.py FILE.npz [EPOCHS]. It trains both on the images of FILE (x
or samples, and labels of ten classes), three seeds each. The exit code is 1 if the intervals of their ACC or NMI do not
overlap.
"""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import TrialConfig, read_trial
from core.encoders.convnet import Encoder
from core.evaluation import metrics
from core.training.fit import fit
from jobs.analysis.intervals import half_width

BATCH, CLUSTERS = 256, 10
SEEDS = (0, 1, 2)


Transform = Callable[[Image.Image], Tensor]


def torchvision() -> Any:
    """The transforms of torchvision; ends the benchmark if it is not installed."""
    try:
        return importlib.import_module("torchvision.transforms")
    except ImportError:
        sys.exit("the literal way needs torchvision: uv run --with torchvision python benchmarks/…")


def crops(side: int) -> list[Any]:
    """A random box of at least 0.4 of the area, resized to `side`, flipped with probability 0.5."""
    transforms = torchvision()
    return [transforms.RandomResizedCrop(side, scale=(0.4, 1.0)), transforms.RandomHorizontalFlip()]


def cropped(side: int) -> Transform:
    """Only a crop, shape (1, side, side) in 0..1."""
    transforms = torchvision()
    return transforms.Compose([*crops(side), transforms.ToTensor()])  # type: ignore[no-any-return]


def moved() -> Transform:
    """A random view of a small image of floats, with the defaults of the views `affine`; shape (1, side, side)."""
    transforms = torchvision()
    affine = transforms.RandomAffine(
        15, translate=(0.05, 0.05), scale=(0.85, 1.15), interpolation=transforms.InterpolationMode.BILINEAR
    )
    noise = transforms.Lambda(lambda image: image + 0.2 * torch.randn_like(image))
    return transforms.Compose([affine, transforms.ToTensor(), noise])  # type: ignore[no-any-return]


def viewed(side: int) -> Transform:
    """A random view, with the defaults of the views `image`; shape (1, side, side) in 0..1."""
    transforms = torchvision()
    jitter = transforms.RandomApply([transforms.ColorJitter(brightness=0.8, contrast=0.8)], p=0.8)
    blur = transforms.RandomApply([transforms.GaussianBlur(3, sigma=(0.1, 1.0))], p=0.5)
    return transforms.Compose([*crops(side), jitter, blur, transforms.ToTensor()])  # type: ignore[no-any-return]


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Two views of each image of (n, height, width), made from Pillow images."""

    def __init__(self, images: NDArray[Any], view: Transform) -> None:
        self.images, self.view = images, view

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = Image.fromarray(self.images[index])
        return self.view(image), self.view(image)


def usual_encoder() -> nn.Module:
    """Three blocks of 3 x 3 convolution, batch norm, ReLU and pooling: 128 features, 93 thousand parameters."""
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())


def own_encoder() -> nn.Module:
    """The encoder `convnet` in torch's default memory format, also 128 features."""
    return Encoder((1, 28, 28)).layers.to(memory_format=torch.contiguous_format)


def perceptron() -> nn.Module:
    """The encoder `mlp` for images of 8 x 8, 256 features."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in ((64, 512), (512, 512), (512, 256)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class Network(nn.Module):
    """An encoder with `dim` features, followed by CC's two heads."""

    def __init__(self, encoder: Callable[[], nn.Module], n_clusters: int, dim: int = 128) -> None:
        super().__init__()
        self.encoder = encoder()
        self.instance = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 128))
        self.cluster = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, n_clusters), nn.Softmax(dim=1))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Instance vectors and assignments of two views."""
        h_a, h_b = self.encoder(a), self.encoder(b)
        z_a, z_b = (nn.functional.normalize(self.instance(h), dim=1) for h in (h_a, h_b))
        return z_a, z_b, self.cluster(h_a), self.cluster(h_b)


def mask_correlated(n: int) -> Tensor:
    """A mask of all pairs of 2n rows, except a row with itself and with its other view."""
    mask = torch.ones(2 * n, 2 * n)
    mask.fill_diagonal_(0)
    for i in range(n):
        mask[i, n + i] = 0
        mask[n + i, i] = 0
    return mask.bool()


def contrast(similarities: Tensor, mask: Tensor) -> Tensor:
    """Cross entropy of each row's other view against all rows in the mask."""
    n = len(similarities) // 2
    positives = torch.cat([torch.diag(similarities, n), torch.diag(similarities, -n)]).reshape(2 * n, 1)
    logits = torch.cat([positives, similarities[mask].reshape(2 * n, -1)], dim=1)
    return nn.functional.cross_entropy(logits, torch.zeros(2 * n, dtype=torch.long), reduction="sum") / (2 * n)


def instance_loss(z_a: Tensor, z_b: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """The loss of instance vectors (n, dim) of unit length."""
    z = torch.cat([z_a, z_b])
    return contrast(z @ z.T / temperature, mask)


def cluster_loss(p_a: Tensor, p_b: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """The loss of assignments (n, clusters), with the entropy of both marginals."""
    entropy = sum(math.log(len(q)) + (q * q.log()).sum() for q in ((p.sum(0) / p.sum()) for p in (p_a, p_b)))
    columns = torch.cat([p_a.t(), p_b.t()])
    similarities = nn.CosineSimilarity(dim=2)(columns.unsqueeze(1), columns.unsqueeze(0))
    return contrast(similarities / temperature, mask) + entropy


class Trainer:
    """The training loop for the network built by `network`, on two views of each of `images`."""

    def __init__(
        self,
        images: NDArray[Any],
        view: Transform,
        network: Callable[[], Network],
        seed: int,
        *,
        learning_rate: float = 1e-3,
        instance_temperature: float = 0.5,
        cluster_temperature: float = 1.0,
    ) -> None:
        torch.manual_seed(seed)
        self.network = network().train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=learning_rate)
        self.loader: Any = DataLoader(Pairs(images, view), batch_size=BATCH, shuffle=True, drop_last=True)
        self.temperatures = instance_temperature, cluster_temperature
        self.masks = mask_correlated(BATCH), mask_correlated(CLUSTERS)

    def epoch(self) -> Iterator[float]:
        """The loss of each step."""
        for a, b in self.loader:
            yield self.step(a, b)

    def step(self, a: Tensor, b: Tensor) -> float:
        """One step on two views (n, 1, height, width); its loss."""
        z_a, z_b, p_a, p_b = self.network(a, b)
        loss = instance_loss(z_a, z_b, self.masks[0], self.temperatures[0])
        loss = loss + cluster_loss(p_a, p_b, self.masks[1], self.temperatures[1])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    @torch.no_grad()
    def assign(self, images: NDArray[np.float32]) -> NDArray[np.int64]:
        """The cluster of each image (n, side, side) in 0..1, shape (n,)."""
        self.network.eval()
        parts = [torch.from_numpy(part[:, None]) for part in np.array_split(images, 100)]
        found = [self.network.cluster(self.network.encoder(part)).argmax(dim=1) for part in parts]
        return torch.cat(found).numpy()


def configuration(path: str, epochs: int) -> TrialConfig:
    """The same trial as a configuration for `fit`."""
    mistakes = Mistakes()
    trial = {
        "data": {"name": "file", "path": path},
        "encoder": "convnet",
        "views": "image",
        "method": "cc",
        "batch_size": BATCH,
        "epochs": epochs,
        "evaluation": {"every": epochs},
    }
    return read_trial(trial, (), mistakes)


def literal_scores(images: NDArray[np.uint8], labels: NDArray[np.int64], epochs: int, seed: int) -> tuple[float, ...]:
    """ACC, NMI and CPU seconds of the common implementation."""
    started = time.process_time()
    trainer = Trainer(images, viewed(images.shape[-1]), partial(Network, usual_encoder, CLUSTERS), seed)
    for _ in range(epochs):
        for _ in trainer.epoch():
            pass
    seconds = time.process_time() - started
    found = metrics.scores(trainer.assign(images / np.float32(255)), labels)
    return found["acc"], found["nmi"], seconds


def own_scores(config: TrialConfig, data: Any, seed: int) -> tuple[float, ...]:
    """ACC, NMI and CPU seconds of `fit`, with evaluation."""
    started = time.process_time()
    *_, row = fit(config, data, seed=seed)
    return row.metrics["acc"], row.metrics["nmi"], time.process_time() - started


def report(name: str, values: list[tuple[float, ...]]) -> list[tuple[float, float]]:
    """Prints a line; returns the intervals of ACC and NMI."""
    means = [fmean(column) for column in zip(*values, strict=True)]
    halves = [half_width(list(column)) or 0.0 for column in zip(*values, strict=True)]
    shown = [f"{mean:.3f} ±{half:.3f}" for mean, half in zip(means[:2], halves[:2], strict=True)]
    print(f"{name:8} ACC {shown[0]}  NMI {shown[1]}  {means[2]:.0f} CPU s a trial", flush=True)
    return [(mean - half, mean + half) for mean, half in zip(means[:2], halves[:2], strict=True)]


def main() -> int:
    """Trains with both implementations; returns 0 if both intervals overlap."""
    torch.set_num_threads(1)
    path, epochs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4
    config = configuration(path, epochs)
    data = plugins.load("datasets", "file")(path=path)
    images = np.rint(data.samples[:, 0] / data.samples.max() * 255).astype(np.uint8)
    own = report("conclus", [own_scores(config, data, seed) for seed in SEEDS])
    literal = report("literal", [literal_scores(images, data.labels, epochs, seed) for seed in SEEDS])
    return int(any(low > other[1] or other[0] > high for (low, high), other in zip(own, literal, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
