"""Studies of methods that do not use all of a trial."""

import math

import numpy as np
import pytest
from click.testing import CliRunner

import conclus
from core.errors import UserError
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.next_step import advise
from jobs.analysis.outcomes import TopicQuality, below_baseline
from jobs.analysis.samples import constants
from jobs.analysis.selection import criteria_report
from jobs.analysis.trials import gather, param_key
from jobs.health.status_page import status_page
from jobs.models import choice
from jobs.models.states import refuse_fixed
from jobs.planning import plan as planning
from jobs.planning.plan import PlannedConfigs
from jobs.planning.tpe import _stored_cell
from jobs.present.comparison import leaderboard_text
from jobs.present.leaderboard import board_sheet
from jobs.results import writer
from jobs.results.reader import load
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
    varied = "space: {learning_rate: {grid: [0.1, 0.2, 0.4]}, n_clusters: {grid: [4, 5]}}"
    read = study(bag, "  method: prodlda", varied, ["method=nmf", "space.method={grid: [nmf, prodlda]}"])
    made = PlannedConfigs(read)
    cell = made.make({"method": "nmf", "n_clusters": 5})
    row = {"params": dict(cell.parameters), "config_key": cell.key}
    assert "optimiser.learning_rate" not in row["params"]
    middle = {"optimiser.learning_rate": 0.2, "n_clusters": 5, "method": "nmf"}
    found = _stored_cell(read, made, row)
    assert found is not None
    assert found.assignment == middle
    assert _stored_cell(read, made, {**row, "config_key": "another"}) is None


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


@pytest.fixture
def stored(tmp_path):
    """Rows of a study of methods: one without epochs, and two of which each has an option and one value of the rest."""
    used = {"epochs": 60, "batch_size": 64, "optimiser.name": "adam"}
    options = {"nmf": {}, "bat": {**used, "method.hidden_dim": 128}, "prodlda": {**used, "method.hidden_dim": 100}}
    for method, npmi in (("nmf", 0.3), ("bat", 0.2), ("prodlda", 0.35)):
        for seed in (0, 1):
            scores = {"npmi": npmi, "nmi": npmi + seed / 1000, "loss": 1.0}
            row = Attempt(
                study="s",
                trial_key=f"{method}{seed}",
                config_key=method,
                seed=seed,
                attempt_id=f"A{seed}{method}",
                status="ok",
                data_hash="d",
                cluster_sizes=[1, 1],
                params={"method.name": method, "n_clusters": 20, "optimiser.learning_rate": 0.1, **options[method]},
                metrics=scores,
                best=scores,
                history=[(epoch, 1.0, name, value) for epoch in (1, 2) for name, value in scores.items()],
            )
            writer.write(str(tmp_path / "results"), row)
    return tmp_path / "results"


def told(command, *arguments):
    found = CliRunner(env={"COLUMNS": "80"}).invoke(conclus.cli.get_command(None, command), list(map(str, arguments)))
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.mark.parametrize("metric", ["npmi", "mean5.npmi", "best.npmi", "nmi"])
def test_the_commands_say_that_a_topic_model_is_below_the_baseline(stored, metric):
    line = "BELOW_BASELINE: npmi 0.200, nmf has 0.300"
    for fmt in ("table", "markdown", "csv", "json", "latex"):
        assert told("aggregate", stored, "--metric", metric, "--format", fmt).replace("\\", "").count(line) == 1
    assert leaderboard_text([str(stored)], "s", metric, "max", 80).count(line) == 1  # at the end of `conclus run`


# What goes with the method tells no configurations apart


def test_a_parameter_goes_with_the_method_where_each_method_has_one_value_of_it():
    values = {
        "method.name": ["nmf", "bat", "bat", "prodlda"],
        "n_clusters": [20, 20, 20, 20],
        "batch_size": [None, 64, 64, 64],
        "method.hidden_dim": [None, 128, 128, 100],
        "method.temperature": [None, 0.1, 0.5, None],  # bat has two
        "epochs": [None, 60, 60, 80],  # no option of the method: it was chosen beside it
        "precision": [None, "auto", None, "auto"],  # bat has it in one row only
    }
    constant, with_method = constants(values)
    assert constant == {"n_clusters": 20, "batch_size": 64, "method.hidden_dim": "100 (prodlda), 128 (bat)"}
    assert with_method == {"batch_size", "method.hidden_dim"}
    # With rows of no method, of one method, and without the column, only what is equal in all rows is constant.
    for methods in (["nmf", "bat", None, "prodlda"], ["bat"] * 4, None):
        others = {**values, "method.name": methods} if methods else {"batch_size": [None, 64, 64, 64]}
        assert constants(others)[1] == frozenset()
        assert "batch_size" not in constants(others)[0]


def test_what_goes_with_the_method_is_told_nowhere_as_varied(stored):
    found = {
        "aggregate": told("aggregate", stored, "--metric", "npmi", "--format", "csv").splitlines()[0],
        "health": told("health", stored, "--table", "trials", "--format", "csv").splitlines()[0],
        "diff": told("diff", stored, stored, "--metric", "npmi"),
        "importance": told("importance", stored, "--on", "npmi"),
        "effect": told("effect", stored, "method", "--on", "npmi"),
    }
    for command, text in found.items():
        assert "method" in text, command
        for name in ("batch_size", "hidden_dim", "epochs=", "param.epochs", "optimiser"):
            assert name not in text, (command, name)
    assert [one.key for one in advise(gather(load([str(stored)]).table, "npmi"), "max", 0.01)] == ["method.name"]
    assert choice.choose(stored / "study=s").why.startswith("trial prodlda1 (method prodlda, seed 1) is the best of 6 ")
    reports = criteria_report(load([str(stored)]).table)
    assert all(list(one.params) == ["method.name"] for report in reports for one in report.choices)


def test_the_effect_of_what_goes_with_the_method_is_refused_with_the_reason(stored):
    trials = gather(load([str(stored)]).table, "npmi")
    with pytest.raises(UserError, match=r"^method\.hidden_dim goes with the method: all trials of a meth"):
        param_key("hidden_dim", trials)
    assert list(trials.factors) == ["method.name"]


def test_the_status_page_names_the_method_of_better_trials(stored):
    table = load([str(stored)], history=True).table
    place = table["trial_key"].to_pylist().index("bat0")
    better = status_page(table, place, "npmi", maximise=True, words="").better
    assert [row.other for row in better] == [
        (("method.name", "bat", name),) for name in ("prodlda",) * 2 + ("nmf",) * 2
    ]


@pytest.mark.parametrize(
    ("space", "named"),
    [("[nmf, bat]", False), ("[bat, conclus]", True), ("[{name: bat, hidden_dim: 64}, {name: nmf}]", False)],
)
def test_a_study_that_is_written_out_names_no_method_that_none_of_its_cells_has(bag, space, named):
    made = study(bag, "  n_clusters: 4", f"space: {{method: {{grid: {space}}}}}")
    assert ("instance_temperature" in made.whole()) is named
    again = parse(made.whole(), "again", bag)
    assert again.trial == made.trial
    keys = [[trial.trial_key for trial in planning.make(one).trials] for one in (made, again)]
    assert keys[0] == keys[1]
