import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.errors import UserError
from jobs.analysis.intervals import half_width, holm
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.scores import RescaledError, bounds, default_mode, direction, is_loss, rescales_loss, uses_labels
from jobs.results.schema import Attempt, to_table
from tests.rates import highest, lowest


def rows(cells, *, metric="nmi", params=None, status="ok"):
    """Attempts from {configuration: {seed: value}}."""
    return [
        Attempt(
            study="s",
            trial_key=f"{config}-{seed}",
            config_key=config,
            seed=seed,
            attempt_id="A",
            status=status,
            data_hash="d",
            params={"lr": float(i), "epochs": 60} if params is None else params[config],
            metrics={} if value is None else {metric: value},
        )
        for i, (config, values) in enumerate(cells.items())
        for seed, value in values.items()
    ]


def board(cells, mode="max", **options):
    return leaderboard(to_table(rows(cells, **options)), options.get("metric", "nmi"), mode)


def flags(result):
    return {entry.config_key: entry.tied for entry in result.entries}


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_the_interval_is_students(values):
    expected = stats.t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    assert half_width(values) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_value_has_no_interval():
    assert half_width([1.0]) is None


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ([], []),
        ([0.01, 0.04, 0.03], [True, False, False]),
        ([0.04], [True]),
        ([0.04, 0.04], [False, False]),
        ([0.025, 0.05], [True, True]),
        ([0.2, 0.001], [False, True]),
    ],
)
def test_holm_steps_down(p_values, rejected):
    assert holm(p_values) == rejected


def test_identical_configurations_are_tied_and_shifted_ones_are_not():
    cells = {"a": {0: 0.75, 1: 0.5}, "b": {0: 0.75, 1: 0.5}, "c": {0: 0.5, 1: 0.25}}
    assert flags(board(cells)) == {"a": True, "b": True, "c": False}


def test_single_seeds_cannot_be_told_apart_and_the_note_says_so():
    result = board({"a": {0: 0.9}, "b": {0: 0.1}})
    assert flags(result) == {"a": None, "b": None}
    assert [entry.score.half_width for entry in result.entries] == [None, None]
    assert any("lucky" in note for note in result.notes)
    assert not any("lucky" in note for note in board({"a": {0: 0.9, 1: 0.8}, "b": {0: 0.1}}).notes)


def test_an_entry_holds_mean_range_counts_and_the_parameters_that_vary():
    attempts = rows({"a": {0: 0.5, 1: 0.7}, "b": {0: 0.9, 1: 0.8}})
    attempts += rows({"b": {2: 1.0}}, status="failed", params={"b": {"lr": 1.0, "epochs": 60}})
    attempts += rows({"b": {3: 1.0}}, status="running", params={"b": {"lr": 1.0, "epochs": 60}})
    result = leaderboard(to_table(attempts), "nmi", "max")
    best, other = result.entries
    assert (best.config_key, best.rank, best.score.n, best.failed, best.running) == ("b", 1, 2, 1, 1)
    assert best.score.mean == pytest.approx(0.85)
    assert (other.minimum, other.maximum, other.params) == (0.5, 0.7, {"lr": 0.0})
    assert result.constant == {"epochs": 60.0}


def test_nothing_is_a_value_of_a_parameter():
    params = {"a": {"crop": None}, "b": {"crop": 0.5}}
    result = board({"a": {0: 0.1}, "b": {0: 0.2}}, params=params)
    assert [entry.params for entry in result.entries] == [{"crop": 0.5}, {"crop": None}]


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_values_that_are_none_or_not_finite_are_left_out_and_counted(missing):
    result = board({"a": {0: 0.5, 1: missing}, "b": {0: missing}})
    assert [(entry.config_key, entry.score.n) for entry in result.entries] == [("a", 1)]
    assert not any("no finished value yet" in note for note in result.notes)
    assert any(note.startswith("2 finished trials") for note in result.notes)


def test_other_scores_stand_beside_with_their_own_intervals():
    attempts = rows({"a": {0: 0.5, 1: 0.7}})
    for attempt, acc in zip(attempts, (0.2, 0.4), strict=True):
        attempt.metrics["acc"] = acc
    (entry,) = leaderboard(to_table(attempts), "nmi", "max").entries
    assert list(entry.secondary) == ["acc"]
    assert entry.secondary["acc"].mean == pytest.approx(0.3)
    assert entry.secondary["acc"].half_width == pytest.approx(half_width([0.2, 0.4]))


def test_equal_configurations_of_two_studies_stay_apart():
    attempts = rows({"a": {0: 0.5}}) + rows({"a": {0: 0.7}})
    attempts[1].study = "t"
    assert [entry.study for entry in leaderboard(to_table(attempts), "nmi", "max").entries] == ["t", "s"]


def test_a_loss_is_not_ranked_across_what_rescales_it():
    params = {"a": {"method.instance_temperature": 0.1}, "b": {"method.instance_temperature": 0.5}}
    with pytest.raises(UserError, match=r"method\.instance_temperature.*--metric nmi"):
        board({"a": {0: 1.4}, "b": {0: 1.8}}, "min", metric="loss", params=params)
    held = {"a": {"optimiser.learning_rate": 0.1}, "b": {"optimiser.learning_rate": 0.5}}
    result = board({"a": {0: 1.4}, "b": {0: 1.8}}, "min", metric="loss", params=held)
    assert [entry.config_key for entry in result.entries] == ["a", "b"]


@pytest.mark.parametrize(
    ("key", "rescales"),
    [
        ("method.instance_temperature", True),
        ("batch_size", True),
        ("data.n_clusters", True),
        ("method.entropy_weight", True),
        ("method.name", True),
        ("loss.name", True),
        ("loss", True),
        ("views.noise", True),
        ("data.name", True),
        ("method.loss.temperature", True),
        ("optimiser.weight_decay", False),
        ("optimiser.learning_rate", False),
        ("epochs", False),
        ("method.momentum", False),
        # Of no method of conclus, or the methods are not known: nothing declares that they do not.
        ("method.tau", True),
        ("tau", True),
        ("encoder.dim", True),
    ],
)
def test_what_rescales_a_loss(key, rescales):
    assert rescales_loss(key) is rescales


@pytest.mark.parametrize(
    ("key", "method", "rescales"),
    [
        ("encoder.dim", "cc", False),
        ("encoder.dim", "sccl", True),
        ("encoder.name", "cc", False),
        ("method.instance_dim", "cc", True),
        ("method.momentum", "propos", False),
        ("method.momentum", "mine.py", True),
        ("encoder.dim", "mine.py", True),
        ("optimiser.learning_rate", "mine.py", False),
    ],
)
def test_what_rescales_the_loss_of_a_method(key, method, rescales):
    assert rescales_loss(key, {"method.name": {method, "prodlda"}}) is rescales


@pytest.mark.parametrize(
    ("metric", "labels", "loss", "mode"),
    [
        ("metric.nmi", True, False, "max"),
        ("kmeans_acc", True, False, "max"),
        ("best.kmeans_ari", True, False, "max"),
        ("oa", True, False, "max"),
        ("silhouette", False, False, "max"),
        ("loss", False, True, "min"),
        ("metric.loss_cluster", False, True, "min"),
        ("davies_bouldin", False, False, "min"),
    ],
)
def test_what_a_metric_is(metric, labels, loss, mode):
    assert (uses_labels(metric), is_loss(metric), default_mode(metric)) == (labels, loss, mode)


@pytest.mark.parametrize(
    "metric",
    ["val_loss", "objective", "contrastive_loss", "normalised_loss", "health.cluster_size_max", "alignment", "mni"],
)
def test_a_metric_that_nothing_declares_has_no_direction(metric):
    assert direction(metric) == ""
    assert bounds("objective") == (-math.inf, math.inf)
    with pytest.raises(UserError, match=r"nothing declares whether larger or smaller .* give --mode max or --mode min"):
        default_mode(metric)


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [
        ("best.kmeans_nmi", 0, 1),
        ("test_recall_at_1", 0, 1),
        ("health.raw_silhouette", -1, 1),
        ("ari", -0.5, 1),
        ("validation_mse", 0, math.inf),
        ("loss", -math.inf, math.inf),
    ],
)
def test_the_bounds_of_a_score(metric, low, high):
    assert bounds(metric) == (low, high)


@pytest.mark.parametrize("metric", ["loss", "val_loss", "contrastive_loss", "normalised_loss", "loss_instance"])
@pytest.mark.parametrize(
    "key", ["method.tau", "method.instance_temperature", "views.noise", "method.instance_dim", "data.name", "tau"]
)
def test_a_loss_of_any_name_is_not_ranked_across_what_may_rescale_it(metric, key):
    params = {"a": {key: 0.1, "method.name": "cc"}, "b": {key: 0.5, "method.name": "cc"}}
    with pytest.raises(RescaledError, match=f"{key}, which can rescale the loss"):
        board({"a": {0: 1.4}, "b": {0: 1.8}}, "min", metric=metric, params=params)


def test_of_a_score_that_nothing_declares_it_is_said_what_is_not_known():
    params = {"a": {"method.instance_temperature": 0.1}, "b": {"method.instance_temperature": 0.5}}
    told = " ".join(board({"a": {0: 1.4}, "b": {0: 1.8}}, "max", metric="objective", params=params).notes)
    assert "not known whether it uses the labels" in told
    assert "Larger values of objective are better, as --mode or the study says: conclus does not know this" in told
    assert "at different method.instance_temperature can be compared is not known" in told
    assert "not known" not in " ".join(board({"a": {0: 0.4}, "b": {0: 0.8}}, "max", params=params).notes)


def test_of_imported_losses_it_is_said_that_what_rescales_them_is_not_known():
    params = {name: {"optimiser.learning_rate": value} for name, value in (("a", 1.0), ("b", 2.0))}
    attempts = rows({"a": {0: 3.0}, "b": {1: 2.0}}, metric="loss", params=params)
    assert not any("Imported rows tell" in one for one in leaderboard(to_table(attempts), "loss", "min").notes)
    for one in attempts:
        one.source = "import"
    told = leaderboard(to_table(attempts), "loss", "min").notes
    assert any("can rescale loss, such as a temperature or the batch size, was the same" in one for one in told)


def test_the_notes_tell_scores_with_labels_from_those_without():
    assert "uses the labels" in board({"a": {0: 0.5}}).notes[0]
    assert "no labels" in board({"a": {0: 0.5}}, metric="silhouette").notes[0]


def test_a_metric_nobody_has_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match="did you mean"):
        leaderboard(to_table(rows({"a": {0: 0.5}})), "mni", "max")
    with pytest.raises(UserError, match="No finished trial"):
        leaderboard(to_table(rows({"a": {0: 0.5}}, status="running")), "nmi", "max")


def test_the_interval_covers_the_mean_as_often_as_it_says(repeats):
    draws = np.random.default_rng(0).normal(0.5, 0.1, (repeats(2000), 5))
    hits = sum(abs(fmean(row) - 0.5) <= half_width(list(row)) for row in draws)
    share = hits / len(draws)
    assert lowest(0.95, len(draws), ordinary=0.935) < share < highest(0.95, len(draws), ordinary=0.965)
