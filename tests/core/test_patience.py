"""Early stopping: when it ends a trial, that its last epoch is scored as such, and that a resumed trial ends alike."""

import math

import pytest

from core.config.trial import EarlyStopping
from core.errors import UserError
from core.training.early_stopping import Patience
from core.training.fit import fit
from core.training.state import TrainingState
from tests.core.test_fit import blobs, config, plain, rows
from tests.core.test_pairs import config as pair_config
from tests.core.test_pairs import linear
from tests.core.test_pairs import rows as pair_rows


def ends(values, mode="max", patience=2) -> int | None:
    """The epoch that ends a trial with these values of its metric; None stands for an epoch without."""
    watch = Patience(EarlyStopping(metric="x", mode=mode, patience=patience))
    for epoch, value in enumerate(values, 1):
        if watch.spent(epoch, {} if value is None else {"x": value}, due=value is not None):
            return epoch
    return None


@pytest.mark.parametrize(
    ("values", "mode", "epoch"),
    [
        ([1, 2, 3, 4, 5], "max", None),
        ([5, 4, 3, 2, 1], "max", 3),
        ([5, 4, 3, 2, 1], "min", None),
        ([1, 3, 2, 3, 9], "max", 4),  # what equals the best is no better
        ([1, None, None, 2], "max", 3),
        ([None, None, None, 1, None, 1], "max", 6),
    ],
)
def test_it_ends_after_so_many_epochs_without_a_better_one(values, mode, epoch):
    assert ends(values, mode) == epoch


def stopping(**more):
    return pair_config(
        epochs=60,
        optimiser={"learning_rate": 0.05},
        early_stopping={"metric": "mse", "mode": "min", "patience": 3},
        **more,
    )


def test_a_trial_ends_early_with_all_scores_and_resumes_to_the_same_end():
    trial, data, kept = stopping(evaluation={"every": 50}), linear(), {}
    straight, lasts = [], []
    for row in fit(trial, data, seed=0):
        straight.append({"epoch": row.epoch} | row.metrics)
        lasts.append(row.last)
        kept[row.epoch] = row.state().to_bytes()
    end = straight[-1]["epoch"]
    assert 4 <= end < 60
    assert lasts == [False] * (end - 1) + [True]
    assert min(straight, key=lambda one: one["mse"])["epoch"] == end - 3
    assert "test_mrr" in straight[-1]
    assert "test_mrr" not in straight[-2]
    for epoch in (1, end - 2, end - 1):
        resumed = pair_rows(trial, data, seed=0, resume=TrainingState.from_bytes(kept[epoch])[0])
        assert straight[:epoch] + resumed == straight


def test_a_clustering_that_ends_early_is_scored_as_its_last_epoch_is():
    trial = config(epochs=9, evaluation={"every": 1}, early_stopping={"metric": "acc", "patience": 2})
    found = rows(trial, blobs(), seed=0)
    assert len(found) < 9
    assert "ami" in found[-1][1]
    assert "ami" not in found[-2][1]
    whole = rows(config(epochs=len(found), evaluation={"every": 1}), blobs(), seed=0)
    assert found == whole  # the flips of labels too: it is not compared with itself
    assert all(plain(row)[0] for row in fit(trial, blobs(), seed=0))


def test_without_a_metric_nothing_ends_early():
    assert not Patience(EarlyStopping()).spent(10**6, {}, due=True)


@pytest.mark.parametrize("metric", ["loss", "validation_loss", "test_mse", "loss_entropy"])
def test_a_loss_is_not_maximised(metric):
    with pytest.raises(UserError, match=f"a smaller {metric} is better: set `mode: min`"):
        Patience(EarlyStopping(metric=metric))


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ([math.nan, 0.1, 0.2], "max", 0.2),
        ([math.nan, 0.2, 0.1], "min", 0.1),
        ([0.1, math.nan], "max", 0.1),
        ([math.nan, math.nan], "max", math.nan),
    ],
)
def test_any_number_is_better_than_none(values, mode, best):
    watch = Patience(EarlyStopping(metric="kappa", mode=mode, patience=9))
    assert not any(watch.spent(epoch, {"kappa": value}, due=True) for epoch, value in enumerate(values, 1))
    assert watch.best == pytest.approx(best, nan_ok=True)
    assert watch.best_epoch == (1 if math.isnan(best) else values.index(best) + 1)


@pytest.mark.parametrize("metric", ["recall", "ami", "best.mse"])
def test_an_unknown_metric_is_told_before_the_first_epoch_with_those_that_there_are(metric):
    trial = pair_config(early_stopping={"metric": metric})
    words = rf"'{metric}' is none of the trial's scores before its last epoch.* They are .*, … \(34 in all\)"
    with pytest.raises(UserError, match=words):
        next(fit(trial, linear(), seed=0))


def test_a_metric_of_a_later_stage_ends_nothing_before_it():
    trial = config(
        method="conclus", epochs=4, evaluation={"every": 1}, early_stopping={"metric": "label_flips", "mode": "min"}
    )
    assert len(rows(trial, blobs(), seed=0)) == 4


def test_of_a_method_that_declares_nothing_an_unknown_metric_is_told_at_the_first_scores():
    watch = Patience(EarlyStopping(metric="nmii"))
    assert not watch.spent(1, {"loss": 1.0}, due=False)
    with pytest.raises(
        UserError, match=r"'nmii' is none of the trial's scores; did you mean 'nmi'\? They are loss, nmi"
    ):
        watch.spent(2, {"loss": 1.0, "nmi": 0.5}, due=True)
