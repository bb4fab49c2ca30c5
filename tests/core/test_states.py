"""A state that was kept stays as it was, and a method can go back to it more than once."""

import copy

import pytest
import torch

from core.seeds import Streams
from core.training.at_once import AtOnce
from core.training.fit import build, fit, train_epoch
from core.training.state import TrainingState
from tests.core.test_methods import METHODS, STAGED, blobs, built, config, data_for, new, one_epoch
from tests.core.topical import uses

KEPT_AFTER, EPOCHS = 6, 8
# TURTLE takes all of its iterations in each epoch that is asked of it.
EVERY = [{"name": one, "iterations": 20} if one == "turtle" else one for one in [*METHODS, *STAGED]]


def steps(method, samples, *, seed: int) -> None:
    """Two epochs from a state, with the same draws for the same seed."""
    streams = Streams.of(seed, samples.device)
    for epoch in range(KEPT_AFTER + 1, EPOCHS + 1):
        one_epoch(method, epoch, samples, streams)


def the_same(one, other, path="state") -> None:
    """Bit for bit, however deep, with where they differ."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            the_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            the_same(a, b, f"{path}.{place}")
    elif isinstance(one, torch.Tensor):
        # The centre of an empty cluster is NaN.
        assert one.shape == other.shape, path
        assert ((one == other) | (one.isnan() & other.isnan())).all(), path
    else:
        assert one == other, path


@pytest.mark.parametrize("name", EVERY, ids=str)
def test_two_returns_to_a_state_with_steps_between_equal_one_read_from_its_bytes(name):
    data = data_for(name)
    method, samples, streams = built(name, data)
    fresh = new(config(name), data, seed=3)
    for epoch in range(1, KEPT_AFTER + 1):
        one_epoch(method, epoch, samples, streams)
    kept = method.state()
    content = TrainingState(KEPT_AFTER, kept, streams.state(), None).to_bytes()
    # What steps change in place: the optimisers' moments, or, without an optimiser, what was learned.
    learned = "optimisers" if uses(name, "optimiser") else "modules"
    moments = kept["modules"] if learned == "modules" else next(iter(kept["optimisers"].values()))["state"]
    assert moments  # otherwise nothing could be shared

    # What clusters all samples at once finds the same from any seed: it gets them in another order.
    others = samples.flip(0) if isinstance(method, AtOnce) else samples
    for seed in (1, 2):
        steps(method, others, seed=seed)
        changed = method.state()[learned]
        with pytest.raises(AssertionError):
            the_same(changed, kept[learned])
        method.load_state(kept)
    fresh.load_state(TrainingState.from_bytes(content)[0].method)
    the_same(method.state(), fresh.state())
    steps(method, samples, seed=4)
    steps(fresh, samples, seed=4)
    the_same(method.state(), fresh.state())


@pytest.mark.parametrize("name", [one for one in EVERY if uses(one, "epochs")], ids=str)
def test_training_on_leaves_the_state_that_it_began_with_as_it_was(name):
    trial, data = config(name, evaluation={"every": 4}), data_for(name)
    run = fit(trial, data, seed=0)
    state = [next(run) for _ in range(KEPT_AFTER)][-1].state()
    before = copy.deepcopy(vars(state))
    list(run)
    the_same(vars(state), before)
    first = [row.metrics for row in fit(trial, data, seed=0, resume=state)]
    the_same(vars(state), before)
    assert [row.metrics for row in fit(trial, data, seed=0, resume=state)] == first


def test_conclus_undoes_two_epochs_to_the_same_best():
    trial, data = config({"name": "conclus", "warmup": 0.5, "tolerance": 0.0}), blobs()
    samples = torch.from_numpy(data.samples)
    method, streams = build(trial, samples, 4, seed=3), Streams.of(3, samples.device)
    for epoch in range(1, 5):
        one_epoch(method, epoch, samples, streams)
    kept, content = method.best, TrainingState(4, {"best": method.best}, streams.state(), None).to_bytes()
    for rollbacks, epoch in enumerate((5, 6), start=1):
        method.begin_epoch(epoch, samples)
        train_epoch(method, samples, 32, streams)
        with torch.no_grad():
            method.prototypes.bias[0] = -1e6  # it loses a class
        method.end_epoch(epoch, samples)
        assert method.rollbacks == rollbacks
        assert method.best is kept
        state = method.state()
        the_same(state["optimisers"], TrainingState.from_bytes(content)[0].method["best"]["optimisers"])
        weights = {name: one for name, one in state["modules"].items() if name not in {"labels", "class_weights"}}
        best = TrainingState.from_bytes(content)[0].method["best"]["modules"]
        the_same(weights, type(weights)((name, best[name]) for name in weights))


def test_a_stream_of_another_kind_of_device_stays_new():
    streams, other = Streams.of(3, torch.device("cpu")), Streams.of(4, torch.device("cpu"))
    torch.rand(5, generator=other.order)
    before = streams.state()
    streams.load_state(other.state() | {"views": torch.zeros(16, dtype=torch.uint8)})  # as that of a graphics card
    now = streams.state()
    assert torch.equal(now["views"], before["views"])
    assert torch.equal(now["order"], other.state()["order"])
