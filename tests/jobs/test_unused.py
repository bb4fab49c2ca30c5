"""Studies of methods that do not use all of a trial."""

import math

import numpy as np
import pytest

from core.errors import UserError
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.outcomes import TopicQuality, below_baseline
from jobs.models.states import refuse_fixed
from jobs.planning import plan as planning
from jobs.planning.tpe import _assignment
from jobs.present.leaderboard import board_sheet
from jobs.results.schema import Attempt, to_table
from jobs.study.study import parse
from tests.core.topical import topical


@pytest.fixture
def bag(tmp_path):
    data = topical()
    rows = data.corpus.values
    arrays = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr, "shape": rows.shape}
    np.savez(tmp_path / "bag.npz", vocab=np.array(data.feature_names), label=data.labels, **arrays)
    return tmp_path


def study(folder, trial, more="", overrides=()):
    text = f"study: s\ntrial:\n  data: {{name: documents, path: bag.npz}}\n{trial}\n{more}"
    return parse(text, "s.yaml", folder, overrides)


def test_every_key_that_the_method_does_not_use_is_refused_at_once(bag):
    with pytest.raises(UserError) as refused:
        study(
            bag,
            "  method: nmf\n  epochs: 60\n  learning_rate: 0.1\n  encoder: linear\n  early_stopping: {patience: 3}",
            "space: {batch_size: {grid: [1, 2]}, n_clusters: {grid: [4, 5]}}\nsearch: {scheduler: asha}",
        )
    told = str(refused.value)
    for key in (
        "trial.epochs",
        "trial.optimiser.learning_rate",
        "trial.encoder.name",
        "trial.early_stopping.patience",
        "space.batch_size",
    ):
        assert f"{key}: the method nmf does not use it: leave it out" in told
    assert "search.scheduler: asha compares trials epoch by epoch, and nmf has none" in told
    assert len(told.splitlines()) == 6


def test_so_is_one_of_an_override(bag):
    with pytest.raises(UserError, match=r"--set epochs=3: trial\.epochs: the method nmf does not use it"):
        study(bag, "  method: nmf", overrides=["epochs=3"])
    assert study(bag, "  method: nmf").cell({}).epochs == 1


VARIED = "space:\n  method: {choice: [nmf, prodlda]}\n  learning_rate: {grid: [0.1, 0.2]}\n  n_clusters: {grid: [4, 5]}"


def test_where_the_method_varies_cells_that_differ_in_unused_keys_alone_are_one(bag):
    varied = study(bag, "  epochs: 7", f"{VARIED}\nseeds: [0, 1]")
    plan = planning.make(varied)
    assert (plan.n_cells, plan.duplicates, len(plan.trials)) == (6, 2, 12)
    assert plan.notes == (
        "nmf does not use optimiser.learning_rate: its 4 cells are 2 configurations with 2 seeds each",
    )
    assert {one.config.epochs for one in plan.trials} == {1, 7}
    alone = planning.make(study(bag, "  method: nmf\n  n_clusters: 4"))
    assert alone.trials[0].trial_key in {one.trial_key for one in plan.trials}
    with pytest.raises(UserError, match="the methods nmf, lda do not use it"):
        study(bag, "  epochs: 7", "space: {method: {choice: [nmf, lda]}}")


def test_a_study_that_is_written_out_and_read_again_is_the_same(bag):
    for one in (study(bag, "  method: nmf"), study(bag, "  epochs: 7", VARIED)):
        again = parse(one.whole(), "again", bag)
        assert [trial.trial_key for trial in planning.make(again).trials] == [
            trial.trial_key for trial in planning.make(one).trials
        ]


def test_a_search_by_results_knows_a_row_that_lacks_an_unused_key(bag):
    space = study(bag, "", "space: {learning_rate: {grid: [0.1, 0.2, 0.4]}, n_clusters: {grid: [4, 5]}}").space
    row = {"params": {"method.name": "nmf", "n_clusters": 5}}
    assert _assignment(space, row, {"nmf": ("optimiser",)}) == {"optimiser.learning_rate": 0.2, "n_clusters": 5}
    assert _assignment(space, row, {}) is None


def test_a_method_without_epochs_has_none_to_go_on_with(bag):
    plan = planning.make(study(bag, "  method: nmf"))
    with pytest.raises(UserError, match=r"select\.save_state: the method nmf has no epochs: leave save_state out"):
        refuse_fixed(plan.trials)


# The leaderboard


def quality(method, npmi, n=3, group=("data", 20)):
    return TopicQuality(method, group, npmi, n)


def test_a_topic_model_that_is_no_better_than_the_best_nmf_is_told_so():
    found = {
        ("s", "a"): quality("nmf", 0.2),
        ("s", "b"): quality("nmf", 0.264),
        ("s", "c"): quality("bat", 0.211),
        ("s", "d"): quality("prodlda", 0.3),
        ("s", "e"): quality("lda", 0.1),  # it has no epochs: a baseline, too
        ("s", "f"): quality("bat", 0.1, group=("data", 50)),
        ("s", "g"): quality("../nmf", 0.9),
        ("s", "h"): quality("mine.py", 0.264, n=1),
    }
    assert below_baseline(found) == {
        ("s", "c"): "BELOW_BASELINE: npmi 0.211, nmf has 0.264",
        ("s", "h"): "BELOW_BASELINE: npmi 0.264, nmf has 0.264, too few seeds to tell",
    }


@pytest.mark.parametrize("order", [("bad", "good", "mine"), ("good", "bad", "mine")])
def test_a_coherence_that_is_no_number_is_worse_than_any(order):
    found = {"bad": quality("nmf", math.nan), "good": quality("nmf", 0.2), "mine": quality("bat", math.nan)}
    assert below_baseline({("s", one): found[one] for one in order}) == {
        ("s", "mine"): "BELOW_BASELINE: npmi nan, nmf has 0.200"
    }
    assert below_baseline({("s", "a"): found["bad"], ("s", "b"): quality("bat", 0.1)}) == {}


def test_the_leaderboard_has_it_in_every_format_whatever_ranks():
    def row(method, seed, npmi, **params):
        return Attempt(
            study="s",
            trial_key=f"{method}{seed}",
            config_key=method,
            seed=seed,
            attempt_id="A",
            status="ok",
            data_hash="d",
            params={"method.name": method, "n_clusters": 20, **params},
            metrics={"npmi": npmi, "nmi": npmi},
        )

    used = {"epochs": 60, "optimiser.name": "adam"}
    rows = [row("nmf", seed, 0.3) for seed in (0, 1)] + [row("bat", seed, 0.2, **used) for seed in (0, 1)]
    for metric in ("npmi", "nmi"):
        board = leaderboard(to_table(rows), metric, "max")
        assert [one.reason for one in board.entries] == ["", "BELOW_BASELINE: npmi 0.200, nmf has 0.300"]
        for fmt in ("table", "markdown", "csv", "json", "latex"):
            assert "npmi 0.200, nmf has 0.300" in board_sheet(board, fmt).render(fmt).replace("\\", "")
    # What only one of them uses, with a single value, is no column.
    assert list(board.entries[0].params) == ["method.name"]
    assert board.constant["epochs"] == 60
