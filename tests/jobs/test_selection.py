"""The consensus of label-free criteria: its invariances, against slow code, and where the truth is known."""

import csv
import io
import itertools
import json
import math
import subprocess
import sys
from statistics import fmean

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from core.errors import UserError
from core.evaluation.metrics import agreements
from core.seal import seal_json
from jobs.analysis.data_sets import SeveralDataSetsError
from jobs.analysis.effect import effect
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.scores import CRITERIA, NO_FAIR_SCORE, across_numbers, default_mode, uses_labels, within_trial
from jobs.analysis.selection import MixedError, Probes, comparable, criteria_report, spearman, with_consensus
from jobs.analysis.trials import gather
from jobs.commands.aggregate import command as aggregate
from jobs.commands.selection import command as selection
from jobs.health.status import standing
from jobs.present.comparison import leaderboard_text
from jobs.present.leaderboard import board_text
from jobs.report import contents
from jobs.results import reader, writer
from jobs.results.schema import Attempt, to_table

NAMES = [name for name in CRITERIA if name != "stability"]
TRUE_LABELS = np.arange(120) % 4


def trial(config, seed, health, *, study="s", status="ok", metrics=None, probe_labels=None):
    return Attempt(
        study=study,
        trial_key=f"{config}-{seed}",
        config_key=config,
        seed=seed,
        attempt_id="A",
        status=status,
        params={"lr": float(config[1:]), "epochs": 60.0},
        metrics=metrics or {},
        health=health,
        probe_labels=probe_labels,
    )


def single(values):
    """One seed of each configuration, with the criteria given as {name: [value per configuration]}."""
    count = len(next(iter(values.values())))
    rows = [{name: each[i] for name, each in values.items() if each[i] is not None} for i in range(count)]
    return to_table([trial(f"c{i:02}", 0, health) for i, health in enumerate(rows)])


def made_study(configurations=10, seeds=2, *, labelled=True, noise=0.02):
    """Trials whose true quality rises with the configuration's number; seeds of good ones agree."""
    rng, rows = np.random.default_rng(0), []
    for i in range(configurations):
        quality = 0.3 + 0.6 * i / configurations
        for seed in range(seeds):
            health = {name: quality + rng.normal(0, noise) for name in NAMES} | {"silhouette": 1 - quality}
            wrong = rng.random(120) > quality
            labels = np.where(wrong, rng.integers(0, 4, 120), TRUE_LABELS)
            metrics = {"nmi": quality, "acc": quality**2, "loss": 1.0} if labelled else {"loss": 1.0}
            rows.append(trial(f"c{i:02}", seed, health, metrics=metrics, probe_labels=labels.tolist()))
    return rows


def consensus(table):
    """The column of it, None where there is none."""
    values = with_consensus(table)["health.consensus"].to_pylist()
    return [None if math.isnan(value) else value for value in values]


def slow_consensus(columns):
    """Ranks by counting, one value at a time."""
    result = []
    for i in range(len(columns[0])):
        shares = []
        for column in columns:
            there = [value for value in column if value is not None]
            if column[i] is None or len(set(there)) < 2:
                continue
            below = sum(value < column[i] for value in there)
            equal = sum(value == column[i] for value in there) - 1
            shares.append((below + equal / 2) / (len(there) - 1))
        result.append(fmean(shares) if shares else None)
    return result


values_or_none = st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.4, 0.8]))


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(values_or_none, min_size=n, max_size=n), min_size=3)))
def test_the_consensus_agrees_with_counting(columns):
    columns = columns[:3]
    given_values = dict(zip(("raw_silhouette", "head_kmeans_nmi", "mutual_information"), columns, strict=True))
    found, expected = consensus(single(given_values)), slow_consensus(columns)
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        if other is None:
            assert one == (None if all(column[i] is None for column in columns) else 0.5)
        else:
            assert one == pytest.approx(other)


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=12), st.sampled_from([lambda x: x**3, np.exp, np.arctan]))
def test_only_the_order_of_a_criterion_counts(values, rising):
    others = [float(i % 3) for i in range(len(values))]
    plain = {"raw_silhouette": [float(v) for v in values], "mutual_information": others}
    changed = plain | {"raw_silhouette": [float(rising(float(v))) for v in values]}
    assert consensus(single(plain)) == consensus(single(changed))


def test_a_criterion_by_which_all_are_equal_takes_no_part():
    values = {"raw_silhouette": [0.1, 0.2, 0.3], "head_kmeans_nmi": [0.5, 0.9, 0.7]}
    assert consensus(single(values | {"mutual_information": [0.4] * 3})) == consensus(single(values))


def test_a_missing_value_leaves_the_others():
    values = {"raw_silhouette": [0.1, 0.2, 0.3], "mutual_information": [None, 0.9, 0.1]}
    assert consensus(single(values)) == [0, 0.75, 0.5]


@pytest.mark.parametrize("stored", [0.0, 1.0])  # Before conclus 0.3 the consistency of one cluster was 1.
def test_one_cluster_alone_is_last(stored):
    values = {"raw_silhouette": [None, 0.1, 0.2], "knn_consistency": [stored, 0.7, 0.8]}
    assert consensus(single(values)) == [0, 0.5, 1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_missing(value):
    assert consensus(single({"mutual_information": [value, 0.9, 0.1]})) == [None, 1, 0]


def test_one_trial_is_in_the_middle_and_none_without_criteria():
    assert consensus(single({"mutual_information": [0.3]})) == [0.5]
    assert consensus(to_table([trial("c0", 0, {})])) == [None]
    assert consensus(to_table([])) == []


def test_trials_that_have_not_finished_are_not_ranked():
    rows = [trial(f"c{i}", 0, {"mutual_information": i / 4}) for i in range(3)]
    rows.append(trial("c9", 0, {"mutual_information": 0.9}, status="failed"))
    assert consensus(to_table(rows)) == [0, 0.5, 1, None]


def test_every_study_is_ranked_by_itself():
    rows = [trial(f"c{i}", 0, {"mutual_information": i / 4}) for i in range(3)]
    others = [trial(f"c{i}", 0, {"mutual_information": 9 - i}, study="t") for i in range(2)]
    assert consensus(to_table(rows + others)) == [0, 0.5, 1, 1, 0]


def test_files_from_before_there_were_criteria_still_read(tmp_path):
    table = to_table([trial("c0", 0, {}, metrics={"nmi": 0.5})]).drop_columns(["probe_labels", "label_free_epoch"])
    writer.put(tmp_path / "study=s" / "trials" / "c0-0.A.parquet", writer.serialise(table))
    writer.write(str(tmp_path), trial("c1", 0, {"mutual_information": 0.5}, metrics={"nmi": 0.4}, probe_labels=[0, 1]))
    read = reader.read_results(str(tmp_path))
    assert read["probe_labels"].to_pylist() == [None, [0, 1]]
    assert consensus(read) == [None, 0.5]
    assert [entry.config_key for entry in leaderboard(read, "nmi", "max").entries] == ["c0", "c1"]


# Agreement of seeds


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 6))
def test_agreement_is_the_adjusted_rand_index(seed, n, k):
    rng = np.random.default_rng(seed)
    labellings = np.stack([rng.integers(0, most, n).astype(np.int16) for most in (k, 4, 4)])
    found = agreements(labellings)
    assert np.isnan(found.diagonal()).all()
    for (i, a), (j, b) in itertools.permutations(enumerate(labellings), 2):
        is_trivial = len(set(a)) == len(set(b)) == 1 or len(set(a)) == len(set(b)) == n
        assert found[i, j] == (0 if is_trivial else pytest.approx(adjusted_rand_score(a, b)))


def test_stability_compares_seeds_of_as_many_samples_and_configurations_of_any():
    rows = made_study(configurations=3, seeds=2)
    whole = Probes()
    whole.take_out(to_table(rows))
    expected = whole.with_stability(to_table(rows))["health.stability"].to_pylist()
    for row in rows[2:4]:  # as of a study whose data set became smaller
        row.probe_labels = row.probe_labels[:60]
    cut = Probes()
    cut.take_out(to_table(rows))
    found = cut.with_stability(to_table(rows))["health.stability"].to_pylist()
    assert found[:2] + found[4:] == expected[:2] + expected[4:]
    assert found[2] == found[3] != expected[2]


def test_agreement_of_many_labellings_is_that_of_two_whatever_fits_at_once(monkeypatch):
    labellings = np.random.default_rng(0).integers(0, 5, (7, 30))
    whole = agreements(labellings)
    monkeypatch.setattr("core.evaluation.metrics._COUNTS", 60)  # two pairs
    assert np.array_equal(agreements(labellings), whole, equal_nan=True)
    assert whole[2, 5] == agreements(labellings[[2, 5]])[0, 1]
    both = agreements(np.stack([labellings, labellings[::-1]]))
    assert np.array_equal(both, [whole, whole[::-1, ::-1]], equal_nan=True)


def test_clusters_that_are_taken_out_of_the_rows_give_the_same_consensus():
    rng = np.random.default_rng(0)
    rows = [
        trial(f"c{i}", seed, {"mutual_information": rng.random()}, probe_labels=rng.integers(0, most, 30).tolist())
        for i, most in enumerate((2, 5, 300))  # 300 clusters are more than a byte holds
        for seed in range(3)
    ]
    rows += [trial("c3", 0, {"mutual_information": 0.1}), trial("c3", 1, {}, probe_labels=[1, 2])]
    table = to_table(rows)
    probes = Probes()
    parts = [probes.take_out(table.slice(start, 4)) for start in range(0, table.num_rows, 4)]
    light = probes.with_stability(pa.concat_tables(parts[::-1]))
    assert "probe_labels" not in light.column_names
    found = dict(zip(light["trial_key"].to_pylist(), consensus(light), strict=True))
    assert [found[key] for key in table["trial_key"].to_pylist()] == consensus(table)


def test_seeds_that_agree_are_stable_whatever_their_numbers_and_collapse_is_not():
    stable = [np.arange(20) % 4, 3 - np.arange(20) % 4]
    shaky = [np.arange(20) % 4, np.arange(20) // 5]
    collapsed = [np.zeros(20, int)] * 2
    rows = [
        trial(f"c{i}", seed, {}, probe_labels=labels.tolist())
        for i, pair in enumerate([stable, shaky, collapsed])
        for seed, labels in enumerate(pair)
    ]
    found = consensus(to_table(rows))
    assert found[0] == found[1] == max(found)
    assert max(found[4:]) < 0.6


def test_stability_is_the_mean_over_pairs_of_seeds():
    labels = [np.arange(20) % 4, np.arange(20) % 4, np.arange(20) % 5]
    rows = [trial("c0", seed, {}, probe_labels=one.tolist()) for seed, one in enumerate(labels)]
    rows += [trial("c1", 0, {"mutual_information": 0.1}, probe_labels=[0, 1])]
    found = consensus(to_table(rows))
    assert found[0] == found[1] > found[2]
    assert found[3] == 0.5


# Where the truth is known


def test_twenty_trials_of_known_quality_are_put_in_order():
    rows = made_study()
    found = consensus(to_table(rows))
    truth = [row.metrics["nmi"] for row in rows]
    assert stats.spearmanr(found, truth).statistic > 0.95
    (report,) = criteria_report(to_table(rows))
    choices = {choice.criterion: choice for choice in report.choices}
    assert next(iter(choices)) == "consensus"
    assert choices["consensus"].correlations["nmi"] > 0.95
    assert choices["consensus"].correlations["acc"] == choices["consensus"].correlations["nmi"]
    assert choices["consensus"].regret == 0
    assert choices["consensus"].nmi == report.best == pytest.approx(0.84)
    assert choices["consensus"].params == {"lr": 9.0}
    assert choices["stability"].correlations["nmi"] > 0.8
    assert choices["silhouette"].correlations["nmi"] == pytest.approx(-1)
    assert choices["silhouette"].regret == pytest.approx(0.54)
    assert report.average == pytest.approx(0.57)


def test_one_misleading_criterion_does_not_mislead_the_consensus():
    rows = made_study()
    for row in rows:
        row.health["knn_consistency"] = -row.health["knn_consistency"]
    (report,) = criteria_report(to_table(rows))
    choices = {choice.criterion: choice for choice in report.choices}
    assert choices["knn_consistency"].correlations["nmi"] < -0.9
    assert choices["consensus"].correlations["nmi"] > 0.9


def test_a_shared_first_place_gets_the_mean_of_those_who_share_it():
    rows = [trial(f"c{i}", 0, {"knn_consistency": 1.0}, metrics={"nmi": i / 10, "acc": 0.5}) for i in range(3)]
    (report,) = criteria_report(to_table(rows))
    (choice,) = [one for one in report.choices if one.criterion == "knn_consistency"]
    assert (choice.nmi, choice.regret) == (pytest.approx(0.1), pytest.approx(0.1))
    assert choice.correlations == {"nmi": None, "acc": None}


def test_without_labels_there_are_choices_and_no_verdicts():
    (report,) = criteria_report(to_table(made_study(labelled=False)))
    assert (report.best, report.average) == (None, None)
    assert all((one.nmi, one.regret) == (None, None) for one in report.choices)
    assert report.choices[0].params == {"lr": 9.0}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_the_rank_correlation_is_spearmans(pairs):
    a, b = np.array(pairs, float).T
    found = spearman(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(a, b).statistic)
    assert spearman(a[:2], b[:2]) is None


# As a metric


def test_the_consensus_ranks_a_leaderboard_with_intervals_and_without_labels():
    board = leaderboard(to_table(made_study(noise=0.001)), "consensus", "max")
    assert board.entries[0].config_key == "c09"
    assert board.entries[0].score.n == 2
    assert board.entries[-1].tied is False
    assert "uses no labels" in board.notes[0]
    assert "nmi" in board.entries[0].secondary


@pytest.mark.parametrize("name", ["raw_silhouette", "health.raw_silhouette"])
def test_any_signal_ranks_a_leaderboard(name):
    board = leaderboard(to_table(made_study()), name, "max")
    assert board.metric == "health.raw_silhouette"
    assert board.notes[0] == "Ranked by raw_silhouette, which uses no labels."


def test_a_leaderboard_by_labels_says_what_choosing_without_them_gives():
    rows = made_study()
    assert leaderboard(to_table(rows), "nmi", "max").notes[-1] == (
        "The first by consensus, which uses no labels, has nmi 0.840: the best."
    )
    best = max(leaderboard(to_table(rows), "consensus", "max").entries, key=lambda one: one.score.mean).config_key
    for row in rows:
        row.metrics["nmi"] = 0.5 + (row.config_key in {"c00", best}) * 0.25
    assert leaderboard(to_table(rows), "nmi", "max").notes[-1].endswith("nmi 0.750: as good as the best.")
    for row in rows:
        row.metrics["nmi"] = 0.5 + (row.config_key == "c00") * 0.25
    assert "nmi 0.500: 0.250 below the best." in leaderboard(to_table(rows), "nmi", "max").notes[-1]
    assert not any("The first by consensus" in note for note in leaderboard(to_table(rows), "consensus", "max").notes)
    others = made_study()
    for row in others:
        row.study = "t"
    for row in rows + others:
        row.data_hash = "d"
    both = leaderboard(to_table(rows + others), "nmi", "max").notes
    assert any("a rank within one study and cannot be compared" in note for note in both)


def test_trials_are_ranked_within_one_number_of_clusters_and_one_data_set_and_refused_over_several():
    rows = made_study()
    alone = with_consensus(to_table(rows))["health.consensus"].to_pylist()
    for name, change in {
        "number of clusters": lambda row: row.params.update(n_clusters=20),
        "data set": lambda row: setattr(row, "data_hash", "other"),
        "study": lambda row: setattr(row, "study", "t"),
    }.items():
        first, others = made_study(), made_study(noise=0.1)
        for row in first:
            row.params["n_clusters"], row.data_hash = 4, "digits"
        for row in others:
            row.params["n_clusters"], row.data_hash, row.config_key = 4, "digits", f"c1{row.config_key[1:]}"
            change(row)
        table = to_table(first + others)
        assert with_consensus(table)["health.consensus"].to_pylist()[: len(rows)] == alone
        told = (
            rf"by consensus only within one {name}, and these have several: choose one|of 2 {name}s \(digits, other\)"
        )
        for compare in (lambda of: leaderboard(of, "consensus", "max"), lambda of: gather(of, "consensus")):
            with pytest.raises((MixedError, SeveralDataSetsError), match=told):
                compare(table)
        if name != "data set":  # no leaderboard is of several
            assert not any("has nmi" in note for note in leaderboard(table, "nmi", "max").notes)
        assert len(criteria_report(table)) == 2
        assert leaderboard(to_table(first), "consensus", "max").entries


def test_it_is_said_that_the_consensus_depends_on_which_trials_are_there():
    told = leaderboard(to_table(made_study()), "consensus", "max").notes[0]
    assert told.endswith("It depends on which trials are there: other trials beside these can change their order.")
    a, b = {"raw_silhouette": 0.3, "knn_consistency": 0.8}, {"raw_silhouette": 0.2, "knn_consistency": 0.85}
    between = [{"raw_silhouette": 0.21 + 0.01 * i, "knn_consistency": 0.1} for i in range(6)]
    two, eight = (
        consensus(to_table([trial(f"c{i}", 0, one) for i, one in enumerate(trials)]))
        for trials in ([a, b], [a, b, *between])
    )
    assert two[0] == two[1]
    assert eight[0] > eight[1] + 0.3


def test_results_without_criteria_have_no_consensus_and_no_note():
    table = to_table([trial(f"c{i}", 0, {}, metrics={"nmi": i / 4}) for i in range(3)])
    assert not any("onsensus" in note for note in leaderboard(table, "nmi", "max").notes)
    with pytest.raises(UserError, match="No trial has a value of 'consensus': name another metric, such as nmi"):
        leaderboard(table, "consensus", "max")


def test_the_column_stands_beside_the_others():
    assert with_consensus(single({"mutual_information": [0.1, 0.2]}))["health.consensus"].to_pylist() == [0, 1]


@pytest.mark.parametrize(
    ("metric", "inside", "mode"),
    [
        ("consensus", "label_free", "max"),
        ("health.label_free", "label_free", "max"),
        ("nmi", "nmi", "max"),
        ("health.label_flips", "label_flips", "min"),
    ],
)
def test_what_a_trial_by_itself_has_of_a_metric(metric, inside, mode):
    assert (within_trial(metric), default_mode(metric)) == (inside, mode)


def test_signals_and_consensus_use_no_labels():
    assert not any(uses_labels(name) for name in (*CRITERIA, "consensus", "label_free", "health.head_kmeans_nmi"))


# The commands


@pytest.fixture
def results(tmp_path):
    for row in made_study():
        writer.write(str(tmp_path), row)
    return tmp_path


def invoke(run, *arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(run, list(map(str, arguments)), catch_exceptions=False)


def test_selection_shows_every_criterion_with_what_its_choice_costs(results):
    lines = invoke(selection, results).stdout.splitlines()
    assert lines[0].split() == [
        *("criterion", "n", "rank_corr_nmi", "rank_corr_acc", "nmi_of_choice", "below_best", "choice")
    ]
    assert [line.split()[0] for line in lines[2:8]] == ["consensus", *CRITERIA]
    assert lines[2].split()[-1] == "lr=9"
    assert "s: best nmi 0.840, choosing by chance 0.570." in lines
    assert any("No criterion uses labels" in line for line in lines)


def test_selection_as_csv_and_json(results, tmp_path):
    (first, *_) = csv.DictReader(io.StringIO(invoke(selection, results, "--format", "csv").stdout))
    assert (first["criterion"], float(first["below_best"])) == ("consensus", 0)
    out = tmp_path / "criteria.json"
    done = invoke(selection, results, "--out", out)
    assert json.loads(out.read_text())[0]["nmi_of_choice"] == pytest.approx(0.84)
    assert "No criterion uses labels" in done.stderr


def test_selection_without_labels_leaves_those_columns_out(tmp_path):
    for row in made_study(labelled=False):
        writer.write(str(tmp_path), row)
    lines = invoke(selection, tmp_path).stdout.splitlines()
    assert lines[0].split() == ["criterion", "n", "choice"]
    assert " ".join(lines).count("Without labels nothing tells how good these choices are.") == 1
    assert not any("no labels" in line for line in lines)


def test_of_several_studies_those_without_labels_say_so(tmp_path):
    for row in [*made_study(), *made_study(labelled=False)]:
        row.study = row.study if row.metrics.get("nmi") else "blind"
        writer.write(str(tmp_path), row)
    told = " ".join(invoke(selection, tmp_path).stdout.split())
    assert "blind: no labels, so the quality of a choice is unknown. s: best nmi" in told


def test_aggregate_ranks_by_the_consensus_or_a_signal(results):
    for metric in ("consensus", "label_free", "raw_silhouette"):
        if metric == "label_free":
            (results / "study=s" / "study.json").write_text('{"select": {"metric": "mutual_information"}}')
            lines = invoke(aggregate, results).stdout.splitlines()
            assert lines[0].split()[2] == "mutual_information"
        else:
            lines = invoke(aggregate, results, "--metric", metric).stdout.splitlines()
            assert lines[0].split()[2] == metric
        assert lines[2].split()[1] == "9"


def test_the_last_table_of_a_run_is_of_the_consensus_where_the_study_says_so(results):
    text = leaderboard_text([str(results)], "s", "consensus", "max", 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "Ranked by consensus, which uses no labels" in text


def test_a_study_that_selects_by_consensus_runs_to_its_table(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 2 * 9 + i / 10},{i % 3}\n" for i in range(30))
    (tmp_path / "mine.csv").write_text("u,v\n" + rows)
    (tmp_path / "study.yaml").write_text(
        "study: s\n"
        "trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 2, batch_size: 8,"
        " encoder: {name: mlp, widths: [4]}, evaluation: {every: 1}}\n"
        "space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}}\n"
        "seeds: [0, 1]\n"
        "select: {metric: consensus}\n"
    )
    code, out, err = command("run", "study.yaml", "--workers", "1")
    assert code == 0, err
    assert "label_free is shown until they are done" in err
    assert "best label_free 0." in err
    assert "Ranked by consensus" in out
    read = reader.read_results("results").to_pylist()
    assert {row["best_metric"] for row in read} == {"label_free"}
    assert all(row["best_epoch"] == row["label_free_epoch"] for row in read)
    assert all(len(row["probe_labels"]) == 30 for row in read)
    assert all(row["best.label_free"] >= row["health.label_free"] for row in read)


def test_choosing_loads_neither_torch_nor_sklearn_nor_pandas(results):
    code = (
        "import sys; from jobs.commands.selection import command\n"
        "command(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'ray', 'pandas', 'sklearn', 'scipy.stats'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(results)], check=True, stdout=subprocess.DEVNULL)


def test_rows_without_criteria_are_told_in_one_sentence(tmp_path):
    for seed in (0, 1):
        writer.write(tmp_path, trial("c1", seed, {}, metrics={"nmi": 0.5}))
    done = CliRunner().invoke(selection, [str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert "There is nothing to choose: it takes two configurations" in str(done.exception)


def test_the_refusal_of_several_numbers_of_clusters_names_one_that_is_there():
    rows = made_study()
    for place, row in enumerate(rows):
        row.params["n_clusters"] = 2.0 + place % 2
    with pytest.raises(MixedError, match=r"choose one with --where 'n_clusters == [23]', or name .*No score without"):
        gather(to_table(rows), "consensus")


def test_a_command_that_is_offered_has_no_text_of_a_strangers_results():
    rows = made_study()
    for place, row in enumerate(rows):
        row.params["n_clusters"] = f"{place % 2}'; touch here; '"
    with pytest.raises(MixedError, match="choose one with --where, or name") as refused:
        gather(to_table(rows), "consensus")
    assert "touch" not in str(refused.value)


def test_a_report_by_consensus_of_several_data_sets_has_a_table_of_each_and_compares_none(tmp_path):
    for place, row in enumerate(made_study(configurations=4, labelled=False)):
        row.data_hash = "ab"[place % 2] * 64
        writer.write(tmp_path, row)
    page = contents.gather([str(tmp_path)], "consensus", "max")
    assert [len(board.entries) for _, board in page.boards] == [4, 4]
    assert (page.refused, page.trials) == (None, None)


def test_the_parts_that_a_metric_compares_have_names_of_their_own():
    rows = [*made_study(configurations=2), *made_study(configurations=2)]
    for place, row in enumerate(rows):
        row.study, row.data_hash = "st"[place // 4], "d" * 64
        row.params["n_clusters"] = 2.0 + (row.config_key == "c01")
    table = with_consensus(to_table(rows))
    every = ["s (n_clusters 2)", "s (n_clusters 3)", "t (n_clusters 2)", "t (n_clusters 3)"]
    assert [name for name, _ in comparable(table, "consensus")] == every
    (alone, part), *_ = comparable(table.filter(pc.equal(table["study"], "t")), "consensus")
    assert (alone, {*part["study"].to_pylist()}) == ("n_clusters 2", {"t"})
    assert [part.num_rows for _, part in comparable(table, "nmi")] == [len(rows)]


def test_only_a_score_without_labels_is_unfair_to_numbers_of_clusters():
    assert "(2, 10)" in across_numbers("health.label_free", [10, 2.0, 2, None])
    assert across_numbers("metric.nmi", [2, 10]) == across_numbers("health.label_free", [2, None]) == ""


def test_one_configuration_of_each_number_of_clusters_has_neither_a_consensus_nor_a_choice():
    rows = made_study(configurations=2, labelled=False)
    for row in rows:
        row.params["n_clusters"] = 2.0 + (row.config_key == "c01")
        row.health["label_free"] = 0.25 + row.seed / 64
    board = leaderboard(to_table(rows), "raw_silhouette", "max")
    assert "consensus" not in board_text(board, None).split("\n")[0]
    assert NO_FAIR_SCORE in board.notes
    assert NO_FAIR_SCORE in effect(gather(to_table(rows), "raw_silhouette"), "n_clusters", "max").notes
    assert [(one.study, one.choices) for one in criteria_report(to_table(rows))] == [
        ("s (n_clusters 2)", ()),
        ("s (n_clusters 3)", ()),
    ]
    assert not any("consensus" in entry.secondary for entry in board.entries)
    # Its seeds alone would share the ranks; one that only failed is no other.
    failed = leaderboard(to_table([*rows[:2], trial("c02", 0, {}, status="failed")]), "raw_silhouette", "max")
    assert "consensus" not in failed.entries[0].secondary
    alone = leaderboard(to_table(rows[:2]), "consensus", "max")
    assert "consensus" not in alone.entries[0].secondary
    assert alone.metric == "health.label_free"
    assert alone.entries[0].score.mean == 0.25 + 0.5 / 64
    assert any("has no rank among others" in note for note in alone.notes)


def test_the_state_and_the_report_of_several_numbers_of_clusters_say_why_none_is_the_best(tmp_path):
    for place, row in enumerate(made_study(configurations=2, labelled=False)):
        row.params["n_clusters"] = 2.0 + place % 2
        writer.write(tmp_path, row)
    folder = tmp_path / "study=s"
    (folder / "_study.json").write_bytes(seal_json({"study": "s", "select": {"metric": "consensus", "mode": "max"}}))
    one = standing(folder)
    assert (one.done, one.best) == (4, None)
    assert NO_FAIR_SCORE.removesuffix(".") in "; ".join(one.apart)
    page = contents.gather([str(tmp_path)], "consensus", "max")
    assert NO_FAIR_SCORE in str(page.refused)
    assert len(page.health.trials) == 4
