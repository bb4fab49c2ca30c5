"""The optimisers against torch's own, step by step, and what a process that trains has imported."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from core.training import optimisers

STEPS = 6
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


def test_training_does_not_import_the_compiler(root):
    found = subprocess.run([sys.executable, "-c", TRAINS], cwd=root, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
