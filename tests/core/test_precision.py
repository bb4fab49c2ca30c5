"""bf16 in the networks, f32 around them: the same seed gives the same rows, and `auto` goes by the hardware."""

import platform
from pathlib import Path

import pytest
import torch
from torch import nn

from core.config import plugins
from core.config.trial import PlugIn, TrialConfig
from core.evaluation.clustering import evaluation_mode
from core.methods import cc
from core.training import precision
from core.training.fit import build, fit
from core.training.state import TrainingState
from tests.core.test_fit import METHODS, blobs, config, rows
from tests.core.topical import fitting, uses

CPU, CARD = torch.device("cpu"), torch.device("cuda")
GAINING = {"convnet", "resnet18", "resnet34", "resnet50", "timm", "torchvision"}


def made(trial, data):
    return build(trial, torch.from_numpy(data.samples), 3, seed=0)


def test_auto_is_f32_for_small_matrices_on_a_cpu_bit_for_bit():
    data = blobs()
    assert rows(config(), data, seed=1) == rows(config(precision="f32"), data, seed=1)
    assert rows(config(), data, seed=1) != rows(config(precision="bf16"), data, seed=1)


@pytest.mark.parametrize("encoder", plugins.names("encoders"))
@pytest.mark.parametrize(("capability", "gained"), [((7, 5), "f32"), ((8, 0), "bf16"), ((10, 0), "bf16")])
def test_auto_goes_by_the_card_and_the_encoder(encoder, capability, gained, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    trial = TrialConfig(encoder=PlugIn(name=encoder))
    assert precision.resolve(trial, CARD) == (gained if encoder in GAINING else "f32")


@pytest.mark.parametrize("encoder", plugins.names("encoders"))
@pytest.mark.parametrize(
    ("instructions", "gained"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_bf16": False, "avx2": True}, "f32")],
)
def test_auto_goes_by_the_instructions_of_the_cpu_and_the_encoder(encoder, instructions, gained, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    trial = TrialConfig(encoder=PlugIn(name=encoder))
    assert precision.resolve(trial, CPU) == (gained if encoder in GAINING else "f32")


def test_a_torch_that_does_not_say_what_the_cpu_has_leaves_it_at_f32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert precision.resolve(TrialConfig(encoder=PlugIn(name="convnet")), CPU) == "f32"


def test_what_torch_says_of_this_cpu_is_what_the_kernel_says():
    flags = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not flags.is_file():
        pytest.skip("there is no second witness")
    named = flags.read_text().split()
    found = precision.cpu_capabilities()
    if not found:
        pytest.skip("this torch says nothing of the CPU: 2.11 is the first that does")
    assert [found[name] for name in ("avx2", "avx512_bf16", "amx_bf16")] == [
        name in named for name in ("avx2", "avx512_bf16", "amx_bf16")
    ]


@pytest.mark.parametrize("wanted", ["f32", "bf16"])
@pytest.mark.parametrize("device", [CPU, CARD])
def test_what_is_asked_for_is_taken_anywhere(wanted, device):
    assert precision.resolve(TrialConfig(precision=wanted), device) == wanted


@pytest.mark.parametrize("method", [one for one in METHODS if uses(one, "precision")])
def test_a_bf16_trial_is_exact_also_when_resumed(method):
    trial, data = config(method={"name": method}, precision="bf16", epochs=2), fitting(method, blobs())
    straight = rows(trial, data, seed=5)
    first = next(fit(trial, data, seed=5))
    state, _ = TrainingState.from_bytes(first.state().to_bytes())
    assert rows(trial, data, seed=5, resume=state) == straight[1:]


@pytest.mark.parametrize(("before", "after"), [("f32", "bf16"), ("bf16", "f32")])
def test_a_trial_goes_on_in_the_other_precision(before, after):
    data = blobs()
    first = next(fit(config(precision=before, epochs=2), data, seed=5))
    state, _ = TrainingState.from_bytes(first.state().to_bytes())
    (row,) = rows(config(precision=after, epochs=2), data, seed=5, resume=state)
    straight = rows(config(precision=after, epochs=2), data, seed=5)[1]
    assert row[1]["loss"] == pytest.approx(straight[1]["loss"], rel=0.02)


def test_it_trains_about_as_f32_does():
    data = blobs(n=300)
    full, low = (rows(config(precision=one, epochs=6), data, seed=0) for one in ("f32", "bf16"))
    assert low[0][1]["loss"] == pytest.approx(full[0][1]["loss"], rel=0.01)
    assert low[-1][1]["nmi"] > full[-1][1]["nmi"] - 0.1


def test_weights_gradients_and_losses_are_in_f32(monkeypatch):
    seen = []
    whole = cc.nt_xent

    def spy(a, b, temperature):
        seen.append((a.dtype, torch.is_autocast_enabled("cpu")))
        return whole(a, b, temperature)

    monkeypatch.setattr(cc, "nt_xent", spy)
    monkeypatch.setattr("losses.cluster_nt_xent.nt_xent", spy)
    inside = []
    first = nn.Linear.forward

    def linear(self, value):
        result = first(self, value)
        if torch.is_grad_enabled():  # What is measured or scored is in f32.
            inside.append(result.dtype)
        return result

    monkeypatch.setattr(nn.Linear, "forward", linear)
    row = next(fit(config(precision="bf16"), blobs(), seed=0))
    assert set(inside) == {torch.bfloat16}
    assert set(seen) == {(torch.float32, False)}
    kept = row.state().method
    tensors = [*kept["modules"].values()]
    tensors += [value for one in kept["optimisers"]["all"]["state"].values() for value in one.values()]
    assert {one.dtype for one in tensors if one.is_floating_point()} == {torch.float32}


def test_scores_are_computed_in_f32():
    trial, data = config(), blobs()
    full, low = made(trial, data), made(trial, data)
    precision.train_in_bf16(low, CPU)
    samples = torch.from_numpy(data.samples)
    with evaluation_mode(full), evaluation_mode(low):
        for a, b in zip(vars(full.outputs(samples)).values(), vars(low.outputs(samples)).values(), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(full.outputs(samples).features, low.outputs(samples).features)


class Pair(nn.Linear):
    def forward(self, value):
        return super().forward(value), (super().forward(value), None)


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(2, 2), nn.ModuleDict({"a": nn.Linear(2, 2)})])
        self.pair = Pair(2, 2)


def test_modules_in_lists_are_lowered_and_tuples_come_back_in_f32():
    method = Several()
    precision.train_in_bf16(method, CPU)
    x = torch.full((3, 2), 1 / 3)
    for one in (method.heads[0], method.heads[1]["a"]):
        exact = nn.functional.linear(x, one.weight, one.bias)
        assert one(x).dtype == torch.float32
        assert not torch.equal(one(x), exact)
    values, (others, none) = method.pair(x)
    assert (values.dtype, others.dtype, none) == (torch.float32, torch.float32, None)
