"""The Pareto front of several metrics, and configurations that break a constraint."""

import re
from itertools import combinations
from operator import ge, gt

import numpy as np
import pyarrow as pa
import pytest
import vl_convert

from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.pareto import Aims, InfeasibleError, front, judge, violation
from jobs.analysis.ties import leads
from jobs.charts import scatter
from jobs.charts.figure import figure
from jobs.planning import tpe
from jobs.present.leaderboard import board_table
from jobs.report.contents import gather
from jobs.report.plots import charts
from jobs.report.sections import subtitle
from jobs.results import writer
from jobs.results.schema import Attempt, to_table
from jobs.study import study
from tests.rates import highest

SELECT = {
    "metric": "nmi",
    "mode": "max",
    "metrics": ["nmi", "seconds"],
    "constraints": {"imbalance_pred": {"at_most": 20}},
}


def attempts(cells):
    """Trials of {configuration: [(nmi, seconds, imbalance)]}, a seed each."""
    return [
        Attempt(
            study="s", trial_key=f"{key}{seed}", config_key=key, seed=seed, attempt_id="a", status="ok",
            seconds=seconds, params={"lr": key}, metrics={"nmi": nmi},
            health={} if imbalance is None else {"imbalance_pred": imbalance},
        )
        for key, values in cells.items()
        for seed, (nmi, seconds, imbalance) in enumerate(values)
    ]  # fmt: skip


def table(cells):
    """The rows of these trials."""
    return to_table(attempts(cells))


def test_the_front_is_that_of_a_slow_search():
    rng = np.random.default_rng(0)
    points = rng.integers(0, 6, (40, 3)).astype(float)
    found = front([[{0: value} for value in point] for point in points], [True, False, True])
    signed = points * [1, -1, 1]
    for one, mark in zip(signed, found, strict=True):
        beaten = any((other >= one).all() and (other > one).any() for other in signed)
        assert mark == ("unknown" if beaten else "yes")


def test_what_breaks_a_constraint_has_no_rank_and_is_not_on_the_front():
    cells = {"a": [(0.9, 1.0, 30.0), (0.91, 1.1, 12.0)], "b": [(0.5, 5.0, 9.0), (0.52, 5.0, 8.0)]}
    cells["c"] = [(0.4, 9.0, None), (0.41, 9.0, None)]
    board = leaderboard(table(cells), "nmi", "max", Aims.of(SELECT))
    assert [one.config_key for one in board.entries] == ["b", "c"]
    assert [one.reason for one in board.infeasible] == ["INFEASIBLE: imbalance_pred 21 (at most 20)"]
    assert [one.standing.feasible for one in board.entries] == [True, None]
    assert board.entries[0].standing.front == "yes"
    assert any("1 of 3 configurations broke one, whether 1 kept all is not known" in note for note in board.notes)


def test_lost_seeds_count_as_the_worst_on_the_front():
    """By its other seeds alone, `a` would be better than `b` in both."""
    cells = {"a": [(0.92, 1.0, 1.0), (0.93, 1.0, 1.0), (0.94, 1.0, 1.0)], "b": [(0.9, 1.5, 1.0), (0.91, 1.5, 1.0)]}
    cells["b"].append((0.92, 1.5, 1.0))
    cells["c"] = [(0.5, 9.0, 1.0), (0.51, 9.0, 1.0), (0.52, 9.0, 1.0)]
    rows = attempts(cells)
    lost = [row for row in rows if row.config_key == "a"][2]
    lost.status, lost.reason, lost.metrics = "failed", "DIVERGED: the loss is not finite", {}
    board = leaderboard(to_table(rows), "nmi", "max", Aims.of(SELECT))
    assert {one.config_key: one.standing.front for one in board.entries}["b"] == "yes"


def test_none_is_the_best_where_none_keeps_the_constraints():
    with pytest.raises(InfeasibleError, match="none is the best"):
        leaderboard(table({"a": [(0.9, 1.0, 30.0)]}), "nmi", "max", Aims.of(SELECT))


def test_a_truly_unbeaten_one_is_rarely_shown_to_be_beaten():
    """The worst case: equal quality, and each one faster than the one before."""
    rng, studies, bad = np.random.default_rng(1), 150, 0
    for _ in range(studies):
        noise = rng.standard_normal((8, 2, 5))
        cells = [[dict(enumerate(q)), dict(enumerate(s - 100 * i))] for i, (q, s) in enumerate(noise)]
        bad += "no" in front(cells, [True, False])
    assert bad / studies <= highest(0.05, studies)


@pytest.mark.parametrize(
    ("values", "limits", "beyond"),
    [([30.0], (None, 20.0), 0.5), ([10.0], (None, 20.0), -0.5), ([0.4], (0.5, None), 0.2), ([], (0.5, None), None)],
)
def test_how_far_a_mean_is_beyond_its_limit(values, limits, beyond):
    assert violation(values, limits) == (None if beyond is None else pytest.approx(beyond))


def test_optuna_is_told_what_breaks_a_constraint(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "study: s\ntrial: {data: digits}\nspace: {learning_rate: {uniform: [0.001, 0.01]}}\nseeds: [0, 1]\n"
        "select: {constraints: {imbalance_pred: {at_most: 20}}}\nsearch: {name: optuna, trials: 3}\n"
    )
    read = study.load(path)
    asked = tpe._Asked({"optimiser.learning_rate": 0.002}, None, {0: 0.5, 1: 0.6})
    asked.limited = {0: {"imbalance_pred": 20.0}, 1: {"imbalance_pred": 40.0}}
    search = tpe._optuna_study(read, [asked])
    assert search.trials[0].constraints == {"imbalance_pred": pytest.approx(0.5)}


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("{metrics: [nmi]}", "two or more"),
        ("{metrics: [seconds, nmi]}", "does not rank"),
        ("{metric: acc, metrics: [nmi, seconds]}", "so it is one of them"),
        ("{constraints: {nmi: {}}}", "a bound is needed"),
        ("{constraints: {nmi: {at_least: 2, at_most: 1}}}", "no value is allowed"),
    ],
)
def test_wrong_selections_say_what_is_right(tmp_path, select, said):
    path = tmp_path / "s.yaml"
    path.write_text(f"study: s\ntrial: {{data: digits}}\nselect: {select}\n")
    with pytest.raises(Exception, match=said):
        study.load(path)


def test_a_mean_is_told_with_as_many_digits_as_show_that_it_is_beyond_its_limit():
    select = {**SELECT, "constraints": {"nmi": {"at_least": 0.68}}}
    near = {"a": [(0.679999, 1.0, None)], "b": [(0.9, 1.0, None)], "c": [(0.528288, 1.0, None)]}
    found = {one.config_key: one.reason for one in leaderboard(table(near), "nmi", "max", Aims.of(select)).infeasible}
    assert found["c"] == "INFEASIBLE: nmi 0.528 (at least 0.68)"
    assert found["a"] == "INFEASIBLE: nmi 0.679999 (at least 0.68)"
    cells = {"a": [(0.5, 1.0, 1797.0)], "b": [(0.9, 1.0, 1.0)]}
    assert leaderboard(table(cells), "nmi", "max", Aims.of(SELECT)).infeasible[0].reason.endswith("1,797 (at most 20)")


def test_each_configuration_that_breaks_a_constraint_is_named_where_the_table_is_too_wide():
    cells = {f"{'long' * 12}-{key}": [(0.5, 1.0, 30.0), (0.6, 1.0, 40.0)] for key in "xyz"} | {"b": [(0.4, 5.0, 9.0)]}
    board = leaderboard(table(cells), "nmi", "max", Aims.of(SELECT))
    text = board_table(board, 80)
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    for key in cells:
        assert (f"INFEASIBLE lr={key}: nmi 0.550" in flat) == (key != "b")
    assert flat.count("imbalance_pred 35 (at most 20)") == 3


def test_the_parameters_of_those_with_a_rank_stand_beside_their_scores_though_a_reason_is_long():
    cells = {f"rather-long-{key}": [(0.5, 1.0, 30.0), (0.6, 1.0, 40.0)] for key in "xyzabcdefghi"}
    cells |= {f"short-{key}": [(0.4, 5.0, 9.0), (0.45, 5.0, 9.0)] for key in "bc"}
    lines = board_table(leaderboard(table(cells), "nmi", "max", Aims.of(SELECT)), 60).splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["1", "short-b"], ["2", "short-c"]]
    assert [line.split(":")[0] for line in lines if "INFEASIBLE" in line] == [
        f"INFEASIBLE lr=rather-long-{key}" for key in "abcdefghix"
    ]
    assert lines[-1] == "The parameters of 2 more: --format csv."


def test_no_front_by_a_loss_that_is_scaled_differently_says_why():
    rows = to_table(
        [
            Attempt(
                study="s", trial_key=method, config_key=method, seed=0, attempt_id="a", status="ok", seconds=1.0,
                params={"method.name": method}, metrics={"nmi": 0.5, "loss": 1.0},
            )
            for method in ("cc", "tcl")
        ]
    )  # fmt: skip
    board = leaderboard(rows, "nmi", "max", Aims.of({"metric": "nmi", "mode": "max", "metrics": ["nmi", "loss"]}))
    assert not board.aims.metrics
    why = "loss is a loss, and method.name can rescale it, so its values cannot be compared"
    assert f"No Pareto front: {why}." in board.notes


def test_each_of_several_unbeaten_ones_may_show_that_others_are_beaten():
    """`a` and `b` are both unbeaten; `c` is clearly behind `a` alone, and `d` behind `b` alone."""
    places = {"a": (9.0, 1.0), "b": (1.0, 9.0), "c": (8.0, 0.5), "d": (0.5, 8.0)}
    cells = [[{s: value + 0.001 * s for s in range(5)} for value in place] for place in places.values()]
    assert front(cells, [True, True]) == ["yes", "yes", "no", "no"]


@pytest.mark.parametrize(("count", "lost"), [(40, 0), (8, 1)])
def test_a_wide_front_is_that_of_a_comparison_from_each_unbeaten_one(count, lost):
    rng = np.random.default_rng(5)
    centres = np.abs(rng.normal(size=(count, 3)))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True) * rng.choice([1, 1.05, 1.3], (count, 1))
    cells = [
        [{seed: one + rng.normal(0, 0.02) for seed in range(4 - lost * (place % 5 == 0))} for one in row]
        for place, row in enumerate(centres.tolist())
    ]
    means = [[np.mean([*one.values()]) for one in row] for row in cells]
    better = [
        [all(map(ge, high, low)) and any(map(gt, high, low)) for high in means] for low in means
    ]  # [one][by whom it is beaten]
    shown = set()
    for first in (place for place, by in enumerate(better) if not any(by)):
        order = [first, *(place for place in range(count) if place != first)]
        found = [leads([cells[place][at] for place in order], maximise=True) for at in range(3)]
        shown |= {place for place, *those in zip(order, *found, strict=True) if all(one.is_sure for one in those)}
    marks = ["yes" if not any(by) else "no" if place in shown else "tied" for place, by in enumerate(better)]
    assert front(cells, [True] * 3) == marks
    assert set(marks) == {"yes", "no", "tied"}


def test_equal_values_without_noise_let_the_other_metric_decide():
    cells = [[{s: 9.0 + 0.001 * s for s in range(5)}, dict.fromkeys(range(5), 1.0)] for _ in range(2)]
    cells[1][0] = {s: 8.0 + 0.001 * s for s in range(5)}
    assert front(cells, [True, True]) == ["yes", "no"]


def test_the_consensus_of_several_studies_makes_no_front():
    one = table({"a": [(0.9, 1.0, 1.0)], "b": [(0.5, 0.5, 1.0)]})
    both = pa.concat_tables([one, one.set_column(one.column_names.index("study"), "study", [["t"] * 2])])
    both = both.append_column("metric.consensus", [[0.1, 0.2, 0.3, 0.4]])
    aims = Aims({"consensus": "max", "seconds": "min"})
    assert {standing.front for standing in judge(both, aims).values()} == {""}


def test_all_kept_it_is_said_where_none_broke_it():
    board = leaderboard(table({"a": [(0.9, 1.0, 3.0)], "b": [(0.5, 0.5, 1.0)]}), "nmi", "max", Aims.of(SELECT))
    assert any(note.endswith("imbalance_pred at most 20; all configurations kept it.") for note in board.notes)


def test_a_picture_names_what_breaks_a_constraint_by_its_parameters(tmp_path):
    cells = {"a": [(0.9, 1.0, 30.0)], "b": [(0.5, 5.0, 9.0)], "c": [(0.6, 2.0, 9.0)]}
    for row in attempts(cells):
        writer.write(str(tmp_path), row)
    contents = gather([str(tmp_path)], "nmi", "max", aims=Aims.of(SELECT), paged=False)
    drawn = figure(charts(contents, "pareto", ()), ".svg", 4.0).decode()
    assert ">lr=a</text>" in drawn
    assert ">#1</text>" in drawn


def test_names_beside_marks_that_are_close_are_over_no_other_name():
    cells = {f"{i}": [(0.9 - i / 1000, 1.0 - i / 100, 1.0)] for i in range(8)} | {"far": [(0.1, 9.0, 1.0)]}
    (chart,) = scatter.fronts(leaderboard(table(cells), "nmi", "max", Aims.of(SELECT))).values()
    boxes = []
    for layer in (one for one in chart["layer"] if one["mark"]["type"] == "text"):
        for row in chart["datasets"][layer["data"]["name"]]:
            left = 320 * (row["x"] - 0.93) / (9 - 0.93) + layer["mark"]["dx"]
            left -= 12 * (layer["mark"]["align"] == "right")
            boxes.append((left, 210 * (0.9 - row["y"]) / 0.8 + layer["mark"]["dy"]))
    assert len(boxes) >= 3  # Right of a mark, left of it, and below.
    close = [(a, b) for a, b in combinations(boxes, 2) if abs(a[0] - b[0]) < 12 and abs(a[1] - b[1]) < 11]
    assert not close


def test_the_title_of_a_page_counts_what_has_no_rank_as_its_table_does(tmp_path):
    for row in attempts({"a": [(0.9, 1.0, 30.0)], "b": [(0.5, 5.0, 9.0)], "c": [(0.6, 2.0, 9.0)]}):
        writer.write(str(tmp_path), row)
    contents = gather([str(tmp_path)], "nmi", "max", aims=Aims.of(SELECT))
    assert subtitle(contents).startswith("3 trials · 3 configurations ·")


def test_what_marks_mean_stands_one_below_the_other_on_a_telephone():
    cells = {"a": [(0.9, 1.0, 3.0)], "b": [(0.5, 5.0, 9.0)], "c": [(0.6, 2.0, 9.0)]}
    (chart,) = scatter.fronts(leaderboard(table(cells), "nmi", "max", Aims.of(SELECT))).values()
    drawn = [vl_convert.vegalite_to_svg(chart | {"width": width}) for width in (280, 600)]
    narrow, wide = (float(re.search(r'height="([\d.]+)', one)[1]) for one in drawn)
    assert narrow > wide + 10
