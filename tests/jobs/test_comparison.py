"""A ranking for each data set, and methods compared over data sets."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from core.config import plugins
from core.errors import UserError
from jobs.analysis import data_sets
from jobs.analysis.comparison import comparison, comparisons, friedman, leaderboards, studentised_range
from jobs.analysis.data_sets import SeveralDataSetsError
from jobs.analysis.effect import effect
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.pareto import Aims
from jobs.analysis.trials import gather
from jobs.commands.aggregate import command as aggregate
from jobs.commands.plot import command as plot
from jobs.commands.report import command as report
from jobs.commands.status import command as status
from jobs.present.comparison import text as told
from jobs.results import writer
from jobs.results.schema import Attempt, to_table
from tests.rates import highest

DATA = ("digits", "wine", "iris")
METHODS = {"cc": [{}], "tcl": [{"method.threshold": 0.9}, {"method.threshold": 0.95}], "kmeans": [{}]}
GAINS = {"cc": 0.0, "tcl": 0.1, "kmeans": -0.2}


def trial(data, method, seed, value, study="s", **other):
    options = other.pop("options", {})
    key = f"{data}-{method}-{options.get('method.threshold', '')}"
    params = {"method.name": method, "data.name": data, "n_clusters": 10 + len(data), **options}
    made = {
        "study": study,
        "trial_key": f"{key}-{seed}",
        "config_key": key,
        "seed": seed,
        "attempt_id": f"{key}-{seed}",
        "status": "ok",
        "params": params,
        "metrics": {"nmi": value, "acc": 1 - value},
        "data_hash": f"hash of {data}",
    }
    return Attempt(**{**made, **other})


def study(data=DATA, methods=METHODS, seeds=3, spread=0.001):
    """Every method on every data set; the first data set is the easiest, and the second value of tcl the better one."""
    return [
        trial(one, method, seed, 0.7 - 0.1 * place + GAINS[method] + 0.02 * i + spread * seed, options=options)
        for place, one in enumerate(data)
        for method, values in methods.items()
        for i, options in enumerate(values)
        for seed in range(seeds)
    ]


@pytest.fixture
def results(tmp_path):
    for one in study():
        writer.write(str(tmp_path), one)
    return tmp_path


def compared(rows, metric="nmi"):
    table = to_table(rows)
    return comparison(table, leaderboards(table, metric, "max"))


def invoke(command, *arguments, columns=80):
    found = CliRunner(env={"COLUMNS": str(columns)}).invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout


# Which data set a row is of


def test_data_sets_have_names_of_their_own():
    rows = [
        trial("digits", "cc", 0, 0.5),
        trial("file", "cc", 0, 0.5, data_hash="a1", params={"data.name": "file", "data.path": "/one/iris.csv"}),
        trial("file", "cc", 0, 0.5, data_hash="b2", params={"data.name": "file", "data.path": r"C:\two\wine.csv"}),
        trial("text", "cc", 0, 0.5, data_hash="c3c3c3c3c3", params={"data.name": "text"}),
        trial("text", "cc", 0, 0.5, data_hash="d4d4d4d4d4", params={"data.name": "text"}),
        trial("", "cc", 0, 0.5, data_hash="", study="old", params={"method.name": "cc"}),
    ]
    table = to_table(rows)
    assert [name for name, _ in data_sets.split(table)] == [
        "digits",
        "iris",
        "study old",
        "text c3c3c3c3",
        "text d4d4d4d4",
        "wine",
    ]
    assert sum(part.num_rows for _, part in data_sets.split(table)) == len(rows)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([{"name": "file", "path": "one/iris.csv"}, {"name": "text", "path": "/d/two.txt"}], ["iris", "two"]),
        ([{"name": "file", "path": "a/iris.csv"}, {"name": "file", "path": "b/iris.npz"}], ["iris.csv", "iris.npz"]),
        (
            [{"name": "file", "path": f"/d/{one}/x/iris.csv"} for one in "ab"],
            ["a/x/iris.csv", "b/x/iris.csv"],
        ),
        (
            [{"name": "file", "path": "x.csv", "labels": one} for one in ("kind", "site")],
            ["x labels=kind", "x labels=site"],
        ),
        ([{"name": "scikit-learn", "table": "wine"}, {"name": "file", "path": "wine.csv"}], ["wine", "wine.csv"]),
        ([{"name": "torchvision", "set": "MNIST", "path": "/d"}, {"name": "digits"}], ["MNIST", "digits"]),
        ([{"name": "fashion-mnist", "path": "/d/raw"}, {"name": "./mine.py"}], ["fashion-mnist", "./mine.py"]),
    ],
)
def test_a_data_set_is_called_what_a_person_calls_it(options, told):
    params = [{f"data.{name}": one for name, one in each.items()} for each in options]
    rows = [trial("", "cc", 0, 0.5, data_hash=f"{place}", params=one) for place, one in enumerate(params)]
    table = to_table(rows)
    assert [*data_sets.names(table, data_sets.of_rows(table)).values()] == told


def test_imported_rows_join_the_data_of_their_path_or_their_name_alone():
    own = [({"name": "scikit-learn", "table": "wine"}, "h1"), ({"name": "file", "path": "/a/iris.csv"}, "h2")]
    imported = [
        {"name": "wine"},
        {"name": "file", "path": "/a/iris.csv"},
        {"name": "file", "path": "/b/iris.csv"},
        {"name": "file", "path": "/b/wine.csv"},
        {"name": "file"},
        {"name": "scikit_learn", "table": "wine"},
    ]
    rows = [
        trial(f"{place}", "cc", place, 0.5, data_hash=found, params={f"data.{key}": one for key, one in each.items()})
        for place, (each, found) in enumerate([*own, *((one, None) for one in imported)])
    ]
    found = data_sets.of_rows(to_table(rows))
    assert found[:4] == ["h1", "h2", "h1", "h2"]
    assert found[6:] == ["h2", "h1"]
    assert len({*found}) == 4


def test_hashes_that_begin_alike_are_told_apart():
    rows = [
        trial("text", "cc", 0, 0.5, data_hash=f"c3c3c3c3{end}", params={"data.name": "text"}) for end in ("a4", "a5")
    ]
    assert [name for name, _ in data_sets.split(to_table(rows))] == ["text c3c3c3c3a4", "text c3c3c3c3a5"]


def test_data_sets_of_one_name_are_told_apart_by_as_much_of_their_hashes_as_it_takes():
    hashes = [start + "x" * 300_000 + end for start in "ab" for end in ("", "1", "2")]
    params = {"data.name": "digits"}
    table = to_table([trial(str(place), "cc", 0, 0.5, params=params) for place in range(6)])
    told = data_sets.names(table, hashes)
    assert len({*told.values()}) == 6
    assert all(name.startswith("digits ") for name in told.values())


@pytest.mark.parametrize("name", plugins.names("datasets"))
def test_a_plug_in_that_must_be_told_what_to_read_gives_no_name(name):
    asked = [f"data.{one.name}" for one in plugins.options("datasets", name) if one.required]
    params = {"data.name": name, **dict.fromkeys(asked, "folder/mine.csv")}
    called = data_sets.names(to_table([trial(name, "cc", 0, 0.5, params=params)]), [name])[name]
    assert (called != name) == bool(asked)


def test_imported_rows_belong_to_the_data_set_that_they_name():
    imported = [
        trial("digits", "theirs", 0, 0.9, study="t", source="import", data_hash=""),
        trial("usps", "theirs", 0, 0.9, study="t", source="import", data_hash=""),
    ]
    boards = dict(leaderboards(to_table(study() + imported), "nmi", "max"))
    assert [*boards] == ["digits", "iris", "usps", "wine"]
    assert boards["digits"].entries[0].study == "t"
    assert {entry.study for entry in boards["wine"].entries} == {"s"}


def test_scores_of_two_data_sets_are_in_no_common_ranking():
    table = to_table(study())
    with pytest.raises(SeveralDataSetsError, match=r"3 data sets \(digits, iris, wine\), and no score is compared"):
        leaderboard(table, "nmi", "max")
    for _, board in leaderboards(table, "nmi", "max"):
        assert [entry.rank for entry in board.entries] == [1, 2, 3, 4]
    one = [row for row in study() if row.params["data.name"] == "digits"]
    assert leaderboards(to_table(one), "nmi", "max") == [("digits", leaderboard(to_table(one), "nmi", "max"))]


def test_a_data_set_without_values_is_named():
    rows = study()
    for row in rows:
        if row.params["data.name"] == "wine":
            row.status, row.metrics = "running", {}
    boards = leaderboards(to_table(rows), "nmi", "max")
    assert [name for name, _ in boards] == ["digits", "iris"]
    assert all("No finished trial of wine has a value of nmi." in board.notes for _, board in boards)
    for row in rows:
        row.metrics = {"nmi": math.nan}
    with pytest.raises(UserError, match="No finished trial has a value of 'nmi'"):
        leaderboards(to_table(rows), "nmi", "max")


# Methods over data sets


def test_each_cell_is_the_best_configuration_of_the_method_on_the_data_set():
    rows = study()
    for row in rows:  # On wine the other threshold is the better one.
        if row.params["data.name"] == "wine" and row.params.get("method.threshold") == 0.9:
            row.metrics["nmi"] += 0.05
    found = compared(rows)
    assert found.data == ("digits", "iris", "wine")
    assert [row.params["method.name"] for row in found.rows] == ["tcl", "cc", "kmeans"]
    tcl = found.rows[0]
    assert [cell.entry.config_key for cell in tcl.cells] == ["digits-tcl-0.95", "iris-tcl-0.95", "wine-tcl-0.9"]
    assert [cell.among for cell in tcl.cells] == [2, 2, 2]
    assert found.is_picked
    assert [row.average_rank for row in found.rows] == [1, 2, 3]
    assert {cell.verdict for row in found.rows[1:] for cell in row.cells} == {"worse"}


def test_a_method_is_tied_if_one_of_its_configurations_is():
    rows = [
        *(trial("digits", "cc", seed, value) for seed, value in enumerate((0.80, 0.81, 0.82))),
        *(trial("digits", "kmeans", seed, value) for seed, value in enumerate((0.10, 0.11, 0.12))),
        *(
            trial("digits", "tcl", seed, value, options={"method.threshold": 0.9})
            for seed, value in enumerate((0.795, 0.805, 0.825))
        ),
    ]
    cells = {row.params["method.name"]: row.cells[0] for row in compared(rows).rows}
    assert {name: cell.verdict for name, cell in cells.items()} == {"cc": "best", "tcl": "tied", "kmeans": "worse"}
    noisy = [
        trial("digits", method, seed, value, options={"method.threshold": option} if option else {})
        for method, option, values in (
            ("cc", None, (0.800, 0.801, 0.802, 0.803)),
            ("kmeans", None, (0.500, 0.501, 0.502, 0.503)),
            ("tcl", 0.9, (0.780, 0.781, 0.782, 0.783)),
            ("tcl", 0.95, (0.45, 0.95, 0.55, 0.99)),
        )
        for seed, value in enumerate(values)
    ]
    rows_of = {row.params["method.name"]: row.cells[0] for row in compared(noisy).rows}
    assert (rows_of["tcl"].entry.config_key, rows_of["tcl"].entry.tied) == ("digits-tcl-0.9", False)
    assert rows_of["tcl"].verdict == "tied"  # Its other configuration may be as good as the best.
    once = [row for row in rows if row.seed == 0]
    verdicts = [row.cells[0].verdict for row in compared(once).rows]
    assert verdicts == ["best", "unknown", "unknown"]


def test_ranks_are_averaged_over_the_data_sets_on_which_each_method_ran():
    rows = [row for row in study() if (row.params["data.name"], row.params["method.name"]) != ("wine", "cc")]
    found = compared(rows)
    assert found.ranked_on == ("digits", "iris")
    assert found.rows[1].cells[2] is None
    few = compared([row for row in rows if row.params["data.name"] != "iris"])
    assert [row.average_rank for row in few.rows] == [None, None, None]


def test_a_method_whose_training_failed_is_the_last_there():
    """Not missing: else a method that fails on what is hard would be compared on what is easy alone."""
    rows = study()
    for row in rows:
        if (row.params["data.name"], row.params["method.name"]) == ("wine", "tcl"):
            row.status, row.reason, row.metrics = "failed", "DIVERGED: the loss is nan", {}
    found = compared(rows)
    assert found.ranked_on == ("digits", "iris", "wine")
    ranks = {row.params["method.name"]: row.average_rank for row in found.rows}
    assert ranks == {"tcl": pytest.approx(5 / 3), "cc": pytest.approx(5 / 3), "kmeans": pytest.approx(8 / 3)}
    for row in rows:  # A trial that a machine lost is missing.
        row.reason = row.reason.replace("DIVERGED: the loss is nan", "INTERRUPTED")
    assert compared(rows).ranked_on == ("digits", "iris")


def test_a_method_that_breaks_a_constraint_on_a_data_set_has_no_rank_there():
    rows = study()
    for row in rows:
        is_bad = (row.params["data.name"], row.params["method.name"]) == ("wine", "tcl")
        row.health = {"imbalance_pred": 30.0 if is_bad else 2.0}
    lost = next(row for row in rows if row.health["imbalance_pred"] > 20)
    lost.status, lost.reason, lost.metrics = "failed", "DIVERGED: the loss is nan", {}
    table = to_table(rows)
    limits = Aims.of({"metric": "nmi", "mode": "max", "constraints": {"imbalance_pred": {"at_most": 20}}})
    found = comparisons(table, leaderboards(table, "nmi", "max", limits), {"acc": "max"})
    for one in found:
        assert {row.params["method.name"]: dict(row.without) for row in one.rows} == {
            "cc": {},
            "tcl": {"wine": "infeasible"},
            "kmeans": {},
        }
    assert found[0].ranked_on == ("digits", "iris")
    text = " ".join(told(leaderboards(table, "nmi", "max", limits), found, "table", 80).split())
    assert re.search(r"tcl 0\.\d+ ±\S+ \* 0\.\d+ ±\S+ \* infeasible 1\.00", text)
    assert "infeasible: it breaks a constraint there, so it has no rank there." in text
    assert "An empty cell" not in text


def test_equal_means_share_their_rank():
    rows = study(methods={"cc": [{}], "kmeans": [{}]})
    for row in rows:
        row.metrics["nmi"] = 0.5
    found = compared(rows)
    assert [row.average_rank for row in found.rows] == [1.5, 1.5]


def test_without_several_methods_the_rows_are_configurations():
    rows = [
        trial(
            data,
            "tcl",
            seed,
            0.5 + rate + seed / 100,
            params={"method.name": "tcl", "data.name": data, "rate": rate},
            config_key=f"{data}-{rate}",
            trial_key=f"{data}-{rate}-{seed}",
        )
        for data in DATA
        for rate in (0.1, 0.2)
        for seed in range(2)
    ]
    found = compared(rows)
    assert [dict(row.params) for row in found.rows] == [{"rate": 0.2}, {"rate": 0.1}]
    assert not found.is_picked


def test_a_further_metric_is_of_the_same_configurations():
    table = to_table(study())
    first, second = comparisons(table, leaderboards(table, "nmi", "max"), {"acc": "max"})
    assert (second.metric, second.picked_by) == ("metric.acc", "nmi")
    picked = {row.params["method.name"]: [cell.entry.config_key for cell in row.cells] for row in first.rows}
    assert {row.params["method.name"]: [cell.entry.config_key for cell in row.cells] for row in second.rows} == picked
    assert [row.params["method.name"] for row in second.rows] == ["kmeans", "cc", "tcl"]  # Here acc is 1 - nmi.
    assert second.rows[2].cells[0].among == 2


# Friedman and Nemenyi


@pytest.mark.parametrize("count", [2, 3, 5, 10, 25])
def test_nemenyis_quantile_is_that_of_the_studentised_range(count):
    expected = stats.studentized_range.ppf(0.95, count, 1e6)
    assert studentised_range(count) == pytest.approx(expected, abs=2e-3)


def test_the_critical_difference_is_the_papers():
    ranks = np.array([[1.0, 2, 3, 4]] * 14)
    assert friedman(ranks).critical == pytest.approx(1.25, abs=0.005)  # Demšar 2006, section 3.2.2: 4 on 14 data sets.


def test_the_p_value_is_that_of_all_shuffles():
    """Against the exact distribution: all 6⁵ orders of three methods on five data sets."""
    orders = np.array([[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]], float)
    every = orders[np.indices((6,) * 5).reshape(5, -1).T]
    statistics = ((every.mean(axis=1) - 2) ** 2).sum(axis=1)
    for chosen in ([0, 0, 0, 2, 1], [0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [5, 5, 4, 5, 3]):
        own = ((orders[chosen].mean(axis=0) - 2) ** 2).sum()
        exact = float((statistics >= own - 1e-9).mean())
        assert friedman(orders[chosen]).p == pytest.approx(exact, abs=4 * math.sqrt(exact / 10_000) + 2e-4)


@pytest.mark.parametrize(("methods", "sets"), [(2, 8), (4, 5)])
def test_equal_methods_seldom_differ(methods, sets):
    """The chi-square form finds a difference between two equal methods on eight data sets in 7 % of studies."""
    rng = np.random.default_rng(5)
    studies = 200
    false = 0
    for _ in range(studies):
        ranks = rng.permuted(np.tile(np.arange(1.0, methods + 1), (sets, 1)), axis=1)
        false += friedman(ranks).p <= 0.05
    assert false / studies <= highest(0.05, studies)


def test_methods_that_always_rank_alike_differ_from_five_data_sets_on():
    many = [f"set {i}" for i in range(6)]
    found = compared(study(many))
    assert found.test is not None
    assert found.test.p < 0.01
    assert compared(study(many[:4])).test is None


# What is shown


def test_a_leaderboard_for_each_data_set_then_the_methods(results):
    lines = invoke(aggregate, results).splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    heads = [line for line in lines if line.startswith("Data set")]
    assert heads == ["Data set digits: n_clusters=16", "Data set iris: n_clusters=14", "Data set wine: n_clusters=14"]
    assert text.count("tcl threshold=0.95") == 3
    assert "threshold=-" not in text
    table = text[text.index("nmi by method and data set:") :].splitlines()
    assert table[2].split() == ["method", "digits", "iris", "wine", "avg", "rank"]
    assert re.fullmatch(r"tcl +0\.821 ±0\.002 \* +0\.621 ±0\.002 \* +0\.721 ±0\.002 \* +1\.00", table[4])
    assert "picked by these same seeds" in text.replace("\n", " ")
    assert "needs 5 data sets or more: here are 3" in text.replace("\n", " ")


def test_a_table_for_a_narrow_terminal_is_split_between_data_sets(results):
    text = invoke(aggregate, results, "--table", "methods", columns=42)
    heads = [line.split() for line in text.splitlines() if line.startswith("method ")]
    assert heads == [["method", "digits", "iris"], ["method", "wine", "rank"]]
    assert max(map(len, text.splitlines())) <= 42


def test_parameters_without_room_stand_below_the_table(tmp_path):
    names = [f"method.option_{i}" for i in range(14)]
    for config in range(12):
        for seed in range(2):
            params = {"method.name": "cc", "data.name": "digits"} | {
                name: 1 / (3 + config + i) for i, name in enumerate(names)
            }
            key = {"config_key": f"c{config:02d}", "trial_key": f"c{config:02d}-{seed}", "params": params}
            writer.write(str(tmp_path), trial("digits", "cc", seed, 0.9 - config / 100 + seed / 1000, **key))
    lines = invoke(aggregate, tmp_path).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("#") and "option_0=" in line for line in lines) == 10
    assert "The parameters of 2 more: --format csv." in lines


def test_bold_is_the_best_of_each_data_set_in_a_paper(results):
    for fmt, bold in (("markdown", r"\*\*([\d.]+) ±"), ("latex", r"\\textbf\{([\d.]+) \$\\pm\$")):
        text = invoke(aggregate, results, "--table", "methods", "--format", fmt)
        assert re.findall(bold, text) == ["0.821", "0.621", "0.721"]
    assert r"method & digits & iris & wine & avg rank \\" in text
    assert all(line.startswith(("\\", "%")) or line.endswith(r"\\") or not line for line in text.splitlines())


def test_machines_get_every_number(results):
    found = json.loads(invoke(aggregate, results, "--table", "methods", "--format", "json", "--metric", "nmi,acc"))
    assert len(found) == 3 * 3 * 2
    first = next(one for one in found if (one["data"], one["method.name"], one["metric"]) == ("wine", "cc", "acc"))
    assert first["mean"] == pytest.approx(1 - 0.601)
    assert first["low"] < first["mean"] < first["high"]
    assert (first["n"], first["verdict"], first["config_key"]) == (3, "worse", "wine-cc-")
    rows = list(csv.DictReader(io.StringIO(invoke(aggregate, results, "--format", "csv"))))
    assert [row["data set"] for row in rows] == [name for name in ("digits", "iris", "wine") for _ in range(4)]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"] * 3


def test_several_metrics_of_one_data_set_are_side_by_side(results):
    where = ("--where", "data.name == 'iris'")
    text = invoke(aggregate, results, "--metric", "nmi, acc", *where)
    assert "nmi and acc on iris, by method:" in text
    assert "avg rank" not in text
    with pytest.raises(UserError, match="nothing to compare"):
        invoke(aggregate, results, "--table", "methods", *where)
    with pytest.raises(UserError, match="names no metric beside a comma"):
        invoke(aggregate, results, "--metric", "nmi,")


def test_the_report_and_pictures_rank_each_data_set(results, tmp_path):
    page = tmp_path / "page.html"
    invoke(report, results, "--out", page)
    text = page.read_text(encoding="utf-8")
    assert all(f"Data set {name}" in text and f"Best on {name}" in text for name in DATA)
    assert "Over all data sets" in text
    assert re.findall(r"<b>(0\.\d+) ±", text) == ["0.821", "0.621", "0.721"]
    paper = invoke(report, results, "--format", "latex")
    assert paper.count(r"\begin{table") == paper.count(r"\end{table") == 4
    assert "NMI and ACC on wine, by configuration" in paper
    invoke(plot, results, "leaderboard", "--out", tmp_path / "all.svg")
    drawn = (tmp_path / "all.svg").read_text(encoding="utf-8")
    assert all(drawn.count(f">{name}<") == 1 for name in DATA)
    assert drawn.count(">best<") == len(DATA)


def test_status_and_watch_tell_the_best_of_each(results):
    told = invoke(status, results)
    assert [line.split()[:5] for line in told.splitlines() if "best" in line] == [
        ["best", "nmi", "on", name, value]
        for name, value in (("digits", "0.821"), ("iris", "0.621"), ("wine", "0.721"))
    ]
    assert json.loads(invoke(status, results, "--format", "json"))[0]["best"] is None


def test_no_effect_of_a_data_set_is_ranked():
    trials = gather(to_table(study()), "nmi")
    found = effect(trials, "data.name", "max")
    assert "no score is compared across data sets" in found.refusal
    assert found.differences == ()
    assert not effect(trials, "method.name", "max").refusal
    one = [row for row in study() if row.params["data.name"] == "digits"]
    for row in one:
        row.params["data.scale"] = ("unit", "none")[row.params["method.name"] == "cc"]
    assert not effect(gather(to_table(one), "nmi"), "data.scale", "max").refusal


def test_hostile_names_stay_text(tmp_path):
    for one in study(("\x1b[31m<b>|&$", "wine")):
        writer.write(str(tmp_path), one)
    for fmt in ("table", "markdown", "latex", "csv"):
        assert "\x1b" not in invoke(aggregate, tmp_path, "--format", fmt)
    assert r"textless{}b\textgreater{}|\&\$" in invoke(aggregate, tmp_path, "--format", "latex")


def test_cells_of_several_studies_and_empty_ones_are_told(tmp_path):
    rows = [row for row in study() if (row.params["data.name"], row.params["method.name"]) != ("wine", "cc")]
    for row in rows:
        row.study = "t" if row.params["data.name"] == "iris" else "s"
        writer.write(str(tmp_path), row)
    said = " ".join(invoke(aggregate, tmp_path, "--table", "methods").split())
    assert "The cells are of 2 studies, whose other settings may differ: --study takes one." in said
    assert "An empty cell: this method has no value there." in said
    one = " ".join(invoke(aggregate, tmp_path, "--table", "methods", "--study", "s").split())
    assert "The cells are of" not in one


def test_the_time_of_trials_is_a_further_metric_and_does_not_rank(tmp_path):
    for row in study():
        row.seconds = {"cc": 3.0, "tcl": 2.0, "kmeans": 1.0}[row.params["method.name"]]
        writer.write(str(tmp_path), row)
    said = invoke(aggregate, tmp_path, "--table", "methods", "--metric", "nmi,seconds", columns=120)
    times = said[said.index("seconds by method") :].splitlines()[2:]
    assert [line.split()[:2] for line in times[2:5]] == [["kmeans", "1.000"], ["tcl", "2.000"], ["cc", "3.000"]]
    with pytest.raises(UserError, match="seconds, a trial's time, does not rank: begin with a score"):
        invoke(aggregate, tmp_path, "--metric", "seconds,nmi")


def test_a_heading_tells_a_setting_of_its_data_once(tmp_path):
    for row in study(("scikit-learn",)) + study(("digits",)):
        writer.write(str(tmp_path), row)
    for table in ("wine", "iris"):
        for row in study(("scikit-learn",)):
            row.params["data.table"], row.data_hash = table, table
            row.attempt_id = row.trial_key = f"{row.trial_key}-{table}"
            row.config_key = f"{row.config_key}-{table}"
            writer.write(str(tmp_path), row)
    said = invoke(aggregate, tmp_path, columns=120)
    assert "Data set wine" in said
    assert "table=" not in said


def test_bold_type_needs_no_sign_in_a_paper(results):
    said = invoke(aggregate, results, "--format", "latex", "--table", "leaderboard")
    assert "&  &" not in said
    assert "% = the seeds" not in said
