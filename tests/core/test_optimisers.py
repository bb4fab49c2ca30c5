"""The optimisers against torch's own, step by step, and what a process that trains has imported."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from core.config import plugins
from core.config.trial import Optimiser
from core.data.source import on_device
from core.encoders import mlp
from core.training import optimisers
from core.training.fit import build, fit, kinds_of
from core.training.method import Encoder, build_optimiser
from tests.core.test_fit import METHODS, blobs, config
from tests.core.topical import fitting, uses

STEPS = 6
WITH_ENCODER_RATE = [
    one
    for one in METHODS
    if plugins.load("methods", one).clusters and uses(one, "optimiser", "optimiser.encoder_learning_rate")
]
TRAINS = """
import sys
import numpy as np
from core.estimator import ContrastiveClustering
ContrastiveClustering(n_clusters=2, epochs=2).fit(np.random.default_rng(0).normal(size=(64, 4)))
sys.exit("torch._dynamo" in sys.modules)
"""


def trained(kind, *, again=False):
    """The weights of a small network after a few steps; `again`: the last by an optimiser restored."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    samples = torch.randn(11, 5)
    settings = {"lr": 0.05, "weight_decay": 0.1, "fused": True}
    optimiser = kind(model.parameters(), **settings)
    for step in range(STEPS):
        if again and step == STEPS // 2:
            state = optimiser.state_dict()
            optimiser = kind(model.parameters(), **settings)
            optimiser.load_state_dict(state)
        optimiser.zero_grad()
        model(samples).square().sum().backward()
        optimiser.step()
    return torch.cat([one.detach().flatten() for one in model.parameters()])


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("again", [False, True])
def test_they_step_as_those_of_torch(name, again):
    assert torch.equal(
        trained(getattr(optimisers, name), again=again), trained(getattr(torch.optim, name), again=again)
    )


class Parts(nn.Module):
    """An encoder of three layers inside, and a head."""

    def __init__(self):
        super().__init__()
        self.head, self.inner = nn.Linear(8, 2), mlp.Encoder((5,), widths=(8,))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_an_encoder_has_a_learning_rate_of_its_own(name):
    parts = Parts()
    optimiser = build_optimiser(parts, Optimiser(name=name, learning_rate=0.1, encoder_learning_rate=0.001))
    found = {id(one): group for group in optimiser.param_groups for one in group["params"]}
    assert found.keys() == {id(one) for one in parts.parameters()}
    assert {found[id(one)]["lr"] for one in parts.inner.parameters()} == {0.001}
    assert {found[id(one)]["configured_lr"] for one in parts.head.parameters()} == {0.1}


def test_without_one_all_parameters_are_one_group_in_their_order():
    parts = Parts()
    (group,) = build_optimiser(parts, Optimiser(learning_rate=0.1)).param_groups
    assert all(one is other for one, other in zip(group["params"], parts.parameters(), strict=True))
    assert (group["lr"], group["configured_lr"]) == (0.1, 0.1)


@pytest.mark.parametrize("method", WITH_ENCODER_RATE)
def test_every_method_trains_its_encoder_at_that_rate(method):
    """At a rate of nearly nothing the encoder stays as it was, while the heads learn."""
    slow = {"learning_rate": 0.01, "encoder_learning_rate": 1e-12}
    data = fitting(method, blobs())
    state = next(fit(config(method=method, optimiser=slow), data, seed=0)).state().method
    training = data.part("train")
    samples = on_device(training.samples, torch.device("cpu"))
    fresh = build(config(method=method), samples, data.n_classes, seed=0, **kinds_of(training))
    encoders = [name for name, one in fresh.named_modules() if isinstance(one, Encoder)]
    same = {
        name: torch.allclose(state["modules"][name], one, atol=1e-6)
        for name, one in fresh.named_parameters()
        if one.requires_grad
    }
    inner = {name for name in same if name.startswith(tuple(f"{one}." for one in encoders))}
    assert inner
    assert all(same[name] for name in inner)
    assert not all(same.values())


def test_training_does_not_import_the_compiler(root):
    found = subprocess.run([sys.executable, "-c", TRAINS], cwd=root, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
