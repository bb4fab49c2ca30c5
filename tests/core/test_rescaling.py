"""What methods and losses declare as rescaling their loss, against the loss measured at the same weights.

Each option of each method is changed, and both trials take their steps at a learning rate of nearly 0, with the same
draws. What changes a loss then changes its scale, and not how well it was learned.
"""

import typing

import pytest

from core.config import plugins
from core.config.trial import TrialConfig, section_options
from core.training.fit import train_epoch
from jobs.analysis import scores
from tests.core.test_methods import METHODS, built, data_for
from tests.core.topical import uses
from tests.losses.test_conformance import arguments

EPOCHS = 4
# Every stage is reached, and the second at weights that label some samples.
BASE = {
    "conclus": {"warmup": 0.5, "candidate": "none"},
    "propos": {"warmup": 0.5, "noise": 0.1},
    "sccl": {"warmup": 0.5},
    "tcl": {"boost": 0.5, "threshold": 0.25},
    "umc": {"warmup": 0.5, "thres": 0.5, "delta": 0.3, "min_per_class": 8, "marginal": "uniform"},
}
OTHERS = {"clip": (0.05,), "penalty": (10.0,), "generator_learning_rate": ("lr",), "threshold": (0.3,)}
HIDDEN = {"hidden", "hidden_dim"}
"""Widths of layers between the samples and what the loss is of: other weights, but the same loss."""


def others(method, option) -> tuple:
    """Other values of an option than its default."""
    if option.name in OTHERS:
        return OTHERS[option.name]
    now = BASE.get(method, {}).get(option.name, option.default)
    if option.name == "loss" and method == "paired":
        return ("mse", "info_nce")
    if typing.get_origin(option.type) is typing.Literal:
        return tuple(one for one in typing.get_args(option.type) if one != now)
    if isinstance(now, bool):
        return (not now,)
    return (2 * now,) if isinstance(now, int) or now > 1 else (0.5 * now if now else 0.5,)


CHANGES = [
    (method, option.name, value)
    for method in METHODS
    if uses(method, "optimiser")
    for option in plugins.options("methods", method)
    for value in others(method, option)
]
_measured = {}


def losses(method, **options) -> tuple[list, list[dict[str, float]]]:
    """The shapes of a method's weights, and the losses of each epoch at weights that do not change."""
    key = (method, *options.items())
    if key not in _measured:
        chosen = {"name": method, **BASE.get(method, {}), **options}
        values = {"n_clusters": 4, "epochs": EPOCHS, "optimiser": {"learning_rate": 1e-12}}
        if uses(method, "views") and method in BASE:
            # Views of one sample alone: what draws labels changes then no loss of views.
            values["views"] = {"name": "noise"}
        trained, samples, streams = built(chosen, data_for(method), **values)
        found = []
        for epoch in range(1, EPOCHS + 1):
            trained.begin_epoch(epoch, samples)
            found.append(train_epoch(trained, samples, 32, streams))
            trained.end_epoch(epoch, samples)
        _measured[key] = [one.shape for one in trained.parameters()], found
    return _measured[key]


def differs(one, other) -> bool:
    """Whether a loss differs in an epoch by more than rounding, or one trial has it and the other has not."""
    return any(
        not (name in a and name in b) or abs(a[name] - b[name]) > 1e-5 * max(abs(a[name]), abs(b[name]))
        for a, b in zip(one, other, strict=True)
        for name in a.keys() | b.keys()
    )


@pytest.mark.parametrize(("method", "option", "value"), CHANGES, ids=str)
def test_an_option_is_declared_if_and_only_if_it_changes_the_loss_at_the_same_weights(method, option, value):
    declared = option in plugins.constant("methods", method, "rescales", default=None)
    (shapes, usual), (others, found) = losses(method), losses(method, **{option: value})
    if shapes != others and differs(usual, found):
        assert declared is (option not in HIDDEN)  # No weights are the same.
    else:
        assert differs(usual, found) is declared
    assert scores.rescales_loss(f"method.{option}", {"method.name": {method}}) is declared


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_declares_are_options_and_keys_of_its_own(name):
    known = {one.name for one in plugins.options("methods", name)} | {"encoder"}
    assert known.issuperset(plugins.constant("methods", name, "rescales", default=None))


@pytest.mark.parametrize("name", plugins.names("losses"))
def test_a_loss_declares_all_its_options_that_change_its_value_and_no_other(name):
    entry = plugins.load("losses", name)
    values, usual = arguments(entry(), 6), entry()(*arguments(entry(), 6)).item()
    for option in plugins.options("losses", name):
        changed = entry(**{option.name: 0.3 * option.default})(*values).item()
        assert (option.name in entry.rescales) is (abs(changed - usual) > 1e-5)
        assert scores.rescales_loss(f"method.loss.{option.name}", {"method.loss.name": {name}})


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"batch_size": 16}, "batch_size"),
        ({"views": {"name": "noise", "noise": 0.6}}, "views.noise"),
        ({"optimiser": {"learning_rate": 1e-12, "weight_decay": 0.1}}, "optimiser.weight_decay"),
        ({"evaluation": {"every": 2}}, "evaluation.every"),
    ],
    ids=str,
)
def test_what_rescales_the_loss_of_every_method(changed, key):
    def of(**values):
        usual = {"epochs": 1, "optimiser": {"learning_rate": 1e-12}, "views": "noise"}
        trained, samples, streams = built("cc", data_for("cc"), **usual | values)
        trained.begin_epoch(1, samples)
        return [train_epoch(trained, samples, values.get("batch_size", 32), streams)]

    assert differs(of(), of(**changed)) is scores.rescales_loss(key, {"method.name": {"cc"}})


def test_every_section_of_a_trial_is_known_to_rescale_a_loss_or_not():
    known = {one.name: scores.rescales_loss(one.name, {"method.name": {"cc"}}) for one in section_options(TrialConfig)}
    assert {name for name, rescales in known.items() if rescales} == {
        *("data", "views", "method", "batch_size", "n_clusters"),
    }
