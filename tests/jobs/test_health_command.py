"""conclus health: verdicts, evidence, what helped, codes by setting; old, unfinished and hostile rows; its cost."""

import csv
import io
import json
import math
import time
from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import MonteCarloMethod, fisher_exact

from core.evaluation.health import RULES
from jobs.health.changes import helped, wilson
from jobs.health.courses import COLUMNS, courses, judged
from jobs.health.exact import DRAWS, adjusted, freeman_halton
from jobs.health.settings import settings
from jobs.results import writer
from jobs.results.layout import COMPACT, PREFIX
from jobs.results.reader import load
from jobs.results.schema import Attempt, to_table

WINDOW = next(rule.window for rule in RULES if rule.code == "COLLAPSED")
"""A collapse is seen in its last epoch."""
RATE, TEMPERATURE = "optimiser.learning_rate", "method.instance_temperature"


def course(epochs, collapsed_at=None, level=0.6):
    """The history of a trial that climbs, or whose clusters become few in an epoch."""
    rows = []
    for epoch in range(1, epochs + 1):
        is_bad = collapsed_at is not None and epoch >= collapsed_at
        nmi = 0.1 if is_bad else level * epoch / epochs
        told = {"nmi": nmi, "loss": 5.0 - nmi, "health.label_free": nmi / 2}
        told["health.marginal_entropy"] = 0.2 if is_bad else 0.9
        rows += [(epoch, epoch * 2.0, name, value) for name, value in told.items()]
    return rows


def trial(number, seed=0, *, study="s", epochs=20, history=None, **changes):
    """One finished trial; `params` are added to those that all have."""
    history = course(epochs) if history is None else history
    params = {"method.name": "cc", "epochs": epochs, "n_clusters": 4, "batch_size": 64} | changes.pop("params", {})
    content = {
        "study": study,
        "trial_key": f"{study}{number:03}{seed}",
        "config_key": f"{study}{number:03}",
        "seed": seed,
        "attempt_id": f"A{number:05}-{seed}",
        "status": "ok",
        "epochs_done": epochs,
        "seconds": 2.0 * epochs,
        "data_hash": "da7a",
        "history": history,
    }
    return Attempt(**{**content, **changes, "params": params})


def sweep(seeds=(0, 1, 2)):
    """Rates by temperatures: the highest rate collapses always, the one below for seed 0 alone."""
    rows = []
    for number, (rate, temperature) in enumerate(product((1e-3, 1e-2, 1e-1), (0.3, 0.5))):
        for seed in seeds:
            collapses = rate == 1e-1 or (rate == 1e-2 and seed == 0)
            history = course(20, 12 if collapses else None)
            rows.append(trial(number, seed, history=history, params={RATE: rate, TEMPERATURE: temperature}))
    return rows


def put(folder, rows, study="s"):
    writer.put(folder / f"{PREFIX}{study}" / COMPACT / "part-0.parquet", writer.serialise(to_table(rows)))
    return folder


def read(rows):
    """What is judged of these rows, without files."""
    return judged(to_table(rows))


def records(text):
    return list(csv.DictReader(io.StringIO(text)))


# Verdicts


def test_the_verdict_and_the_numbers_of_a_trial_are_those_of_its_course():
    good, bad = read([trial(0), trial(1, history=course(20, 12))])
    assert (good.verdict, good.codes, good.numbers["performance_trend"]) == ("OK", (), "improving")
    assert good.numbers["trend_slope"] == pytest.approx(0.03)
    assert (good.numbers["total_improvements"], good.numbers["total_degradations"]) == (19, 0)
    assert (good.numbers["best_epoch_nmi"], good.numbers["epoch_gap"]) == (20, 0)
    assert (bad.verdict, bad.codes) == (f"COLLAPSED@{11 + WINDOW}", ("COLLAPSED",))
    assert bad.findings[0].evidence == {"marginal_entropy": 0.2}
    assert bad.numbers["total_degradations"] == 1
    assert bad.numbers["best_epoch_nmi"] == 11


def test_a_trial_that_failed_has_the_code_of_its_failure():
    rows = [
        trial(0, status="failed", reason="DIVERGED: no step of epoch 3 had a finite loss", history=course(2)),
        trial(1, status="failed", reason="<b>boom\x1b[2J</b>"),
        trial(2, status="failed", reason="COLLAPSED: said twice", history=course(20, 5)),
    ]
    assert [one.codes for one in read(rows)] == [("DIVERGED",), ("FAILED",), ("COLLAPSED",)]
    assert read(rows)[2].verdict == f"COLLAPSED@{4 + WINDOW}"


def test_a_running_trial_is_judged_by_the_epochs_that_it_has():
    rows = [
        trial(0, status="running", epochs_done=15, history=course(20, 12)[: 15 * 4]),
        trial(1, status="running", epochs_done=0, history=[]),
    ]
    found = read(rows)
    assert [one.verdict for one in found] == [f"COLLAPSED@{11 + WINDOW}", "unknown"]
    assert not any(one.has_ended for one in found)
    assert settings(found).trials == 0


def test_time_saved_is_that_of_trials_which_a_rule_stopped():
    saved = {"health": {"seconds_saved": 30.0}}
    rows = [
        trial(0, status="stopped", reason="COLLAPSED@5: stopped by its health", **saved),
        trial(1, status="stopped", reason="BEHIND: stopped after epoch 5 of 20 by its nmi"),
        trial(2, **saved),
        *(
            trial(3 + i, status="stopped", health={"seconds_saved": one})
            for i, one in enumerate([-1.0, math.nan, 1e99])
        ),
    ]
    assert [one.saved_seconds for one in read(rows)] == [30.0, None, None, None, None, None]


def test_a_trial_that_did_not_come_to_its_end_is_not_judged_as_one_that_did():
    """Clusters may be empty in the first half of the epochs."""
    empty = [(epoch, 1.0, "health.clusters_empty", 2.0) for epoch in range(1, 6)]
    rows = [trial(0, epochs=20, epochs_done=5, history=empty, status=status) for status in ("stopped", "running", "ok")]
    assert [one.verdict for one in read(rows)] == ["OK", "OK", "EMPTY_CLUSTERS=2"]


def test_rows_of_earlier_versions_give_what_they_can():
    whole = to_table([trial(0, health={"clusters_empty": 2.0}, metrics={"nmi": 0.1})])
    without = whole.drop_columns(["history", "verdict", "performance_trend", "data_hash", "cluster_sizes"])
    found = judged(without)[0]
    assert (found.verdict, found.data) == ("EMPTY_CLUSTERS=2", "study s")
    assert courses(without)[0].get("nmi") == [(20, 0.1)]
    no_signals = judged(whole.drop_columns(["history", "health.clusters_empty"]))[0]
    assert (no_signals.verdict, no_signals.codes) == ("unknown", ())


def test_courses_are_ascending_and_the_last_value_of_an_epoch_counts():
    history = [(3, 0.0, "nmi", 0.3), (1, 0.0, "nmi", 0.1), (3, 0.0, "nmi", 0.4), (2, 0.0, "hp.learning_rate", 9.0)]
    rows = [trial(0, history=history), trial(1, history=[]), trial(2, history=[(7, 0.0, "health.label_free", 0.5)])]
    found = courses(to_table(rows))
    assert [dict(one.series) for one in found] == [{"nmi": [(1, 0.1), (3, 0.4)]}, {}, {"label_free": [(7, 0.5)]}]
    assert (found[0].n_clusters, found[0].batch_size, found[0].epochs, found[0].ended) == (4, 64, 20, True)


# What helped


def test_what_helped_is_ordered_by_how_sure_it_is():
    trials = read(sweep())
    place = next(i for i, one in enumerate(trials) if one.params[RATE] == 0.1 and one.seed == 0)
    found = helped(trials, place, "COLLAPSED")
    assert [(one.key, one.own, one.value, one.without, one.n, one.own_without, one.own_n) for one in found] == [
        (RATE, 0.1, 0.001, 3, 3, 0, 3),
        (RATE, 0.1, 0.01, 2, 3, 0, 3),
    ]
    # Of one trial nothing is sure.
    more = [*sweep(), trial(90, params={RATE: 1e-1, TEMPERATURE: 0.9})]
    found = helped(read(more), place, "COLLAPSED")
    assert [(one.key, one.value, one.n) for one in found] == [(RATE, 0.001, 3), (RATE, 0.01, 3), (TEMPERATURE, 0.9, 1)]
    assert wilson(19, 20) > wilson(3, 3) > wilson(1, 1) > wilson(0, 5) == 0


def test_trials_that_are_not_comparable_tell_nothing():
    bad = {"history": course(20, 5)}
    base = {RATE: 0.1, TEMPERATURE: 0.5}
    rows = [
        trial(0, params=base, **bad),
        trial(1, params={RATE: 0.01, TEMPERATURE: 0.3}),  # two parameters differ
        trial(2, params={**base, RATE: 0.01}, data_hash="other"),
        trial(3, params={**base, "method.name": "tcl"}),
        trial(4, params={**base, RATE: 0.02}, status="stopped", reason="BEHIND: x", epochs_done=2, history=course(2)),
        trial(5, params={**base, RATE: 0.03}, status="failed", reason="OUT_OF_MEMORY: x", history=course(2)),
        trial(6, params={**base, "epochs": 2}, history=course(2)),
        trial(7, params={**base, RATE: 0.04}, **bad),
    ]
    assert helped(read(rows), 0, "COLLAPSED") == []


# Codes by setting


def slow_test(having, sizes):
    """All choices of trials, one by one: the probability of counts that are at most as likely as those seen."""
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    tables = Counter(
        tuple(sum(groups[i] == group for i in chosen) for group in range(len(sizes)))
        for chosen in combinations(range(len(groups)), sum(having))
    )
    total, seen, least = sum(tables.values()), tables[tuple(having)], min(tables.values())
    return [sum(n for n in tables.values() if n <= bound) / total for bound in (seen, least)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=4))
def test_the_exact_test_is_that_of_all_choices(groups):
    having, sizes = [min(count, size) for count, size in groups], [size for _, size in groups]
    found = freeman_halton(having, sizes)
    assert [found.p, found.least] == pytest.approx(slow_test(having, sizes))
    assert not found.is_drawn


@pytest.mark.parametrize(("having", "sizes"), [((1, 1, 1), (2, 2, 5)), ((0, 0, 5), (2, 2, 8))])
def test_equally_likely_counts_are_equal_in_spite_of_rounding(having, sizes):
    assert freeman_halton(having, sizes).p == pytest.approx(slow_test(having, sizes)[0])


def test_the_exact_test_is_fishers_for_two_groups():
    rng = np.random.default_rng(0)
    for _ in range(30):
        sizes = rng.integers(1, 60, 2)
        having = rng.integers(0, sizes + 1)
        expected = fisher_exact([having, sizes - having]).pvalue
        assert freeman_halton(having.tolist(), sizes.tolist()).p == pytest.approx(expected)


def test_many_tables_are_drawn_and_the_same_twice():
    sizes, having = [12] * 6, [3, 5, 6, 7, 8, 9]
    exact, drawn = freeman_halton(having[:4], sizes[:4]), freeman_halton([*having, 1, 9], [*sizes, 12, 12])
    assert (exact.is_drawn, drawn.is_drawn) == (False, True)
    assert drawn == freeman_halton([*having, 1, 9], [*sizes, 12, 12])
    # Against scipy's own sampling of tables: within five standard errors of both.
    method = MonteCarloMethod(rng=np.random.default_rng(1), n_resamples=DRAWS)
    table = np.array([[3, 5, 6, 7, 8, 9, 6, 6], [9, 7, 6, 5, 4, 3, 6, 6]])
    expected = fisher_exact(table, method=method).pvalue
    found = freeman_halton(table[0].tolist(), table.sum(axis=0).tolist())
    assert found.is_drawn
    assert found.p == pytest.approx(expected, abs=5 * math.sqrt(expected / DRAWS * 2))


@pytest.mark.parametrize(("group", "lacking", "is_drawn"), [(500, 10, True), (500, 3, False), (50, 10, True)])
def test_groups_that_nearly_all_have_the_code_have_as_many_tables_as_those_that_lack_it(group, lacking, is_drawn):
    """20 groups of 500 trials, of which 10 lack the code: 20,030,010 tables, too many for the memory."""
    sizes = [group] * 20
    without = [lacking, *[0] * 19]
    found = freeman_halton([size - count for size, count in zip(sizes, without, strict=True)], sizes)
    assert found.is_drawn == is_drawn
    assert found == freeman_halton(without, sizes)
    # All that lack it are in one group.
    expected = 20 * math.comb(group, lacking) / math.comb(20 * group, lacking)
    assert found.p == pytest.approx(max(expected, 1 / (DRAWS + 1)), rel=1e-6)


def test_the_exact_test_refuses_what_are_no_counts():
    for having, sizes in [([], []), ([2], [1]), ([-1], [1]), ([0, 0], [1]), ([0], [0])]:
        with pytest.raises(ValueError, match="no counts"):
            freeman_halton(having, sizes)


def test_corrected_p_values_are_holms():
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([0.5, 0.9]) == [1.0, 1.0]
    assert adjusted([]) == []


def test_codes_are_counted_by_setting():
    found = settings(read(sweep()))
    assert found.trials == 18
    first, second = found.found
    assert (first.key, first.verdict) == (RATE, "differs")
    assert [(one.value, one.having, one.n) for one in first.groups] == [(0.001, 0, 6), (0.01, 2, 6), (0.1, 6, 6)]
    assert first.p == pytest.approx(slow_test([0, 2, 6], [6, 6, 6])[0])
    assert first.corrected == pytest.approx(2 * first.p)
    assert (second.key, second.verdict, second.p) == (TEMPERATURE, "no difference shown", 1.0)


def test_a_trial_that_two_studies_hold_counts_once(tmp_path, command):
    again = [replace(one, study="b", attempt_id=f"B{one.attempt_id}") for one in sweep()]
    stopped = replace(again[-1], status="stopped", history=course(3), epochs_done=3)
    both = read([*again[:-1], stopped, *sweep()])
    alone = settings(read(sweep()))
    found = settings(both)
    assert (found.found, found.trials, found.again) == (alone.found, 18, 18)
    place = next(i for i, one in enumerate(both) if one.params[RATE] == 0.1 and one.seed == 0)
    assert [(one.value, one.n, one.own_n) for one in helped(both, place, "COLLAPSED")] == [(0.001, 3, 3), (0.01, 3, 3)]
    put(tmp_path, sweep())
    put(tmp_path, again, study="b")
    assert "over 18 trials that ended (18 more of other studies are the same trials)" in " ".join(
        command("health", tmp_path)[1].split()
    )


def test_it_is_told_since_when_a_code_holds(tmp_path, command):
    empty = [(epoch, 1.0, "health.clusters_empty", 2.0) for epoch in range(3, 21)]
    below = [(20, 1.0, "nmi", 0.2), (20, 1.0, "input_kmeans_nmi", 0.5)]
    folder = put(tmp_path, [trial(0, history=empty + below)])
    code, out, _ = command("health", folder, "--trial", "s", "--format", "markdown")
    assert code == 0
    out = out.replace("\\_", "_").replace("\\=", "=")
    assert "EMPTY_CLUSTERS=2, since epoch 3: " in out
    assert "BELOW_INPUT, at the end: " in out


def test_the_trend_of_one_scored_epoch_is_unknown(tmp_path, command):
    folder = put(tmp_path, [trial(0, history=[(20, 1.0, "nmi", 0.5), (20, 1.0, "loss", 1.0)])])
    _, out, _ = command("health", folder, "--trial", "s", "--format", "markdown")
    out = out.replace("\\_", "_")
    assert "unknown (1 scored epoch; 5 are needed)" in out
    assert "unknown (fewer than 3 scored epochs of nmi)" in out
    assert "plateau" not in out


def test_a_running_trial_without_a_score_is_told_to_have_none_yet(tmp_path, command):
    """It is on labelled data, so the forecast is to be of the NMI."""
    new = trial(1, status="running", epochs_done=0, history=[])
    unscored = trial(2, status="running", epochs_done=1, history=[(1, 1.0, "loss", 3.0)])
    folder = put(tmp_path, [trial(0), new, unscored])
    for key, said in [("s0010", "No epoch has ended yet."), ("s0020", "No epoch has a score yet.")]:
        code, out, _ = command("health", folder, "--trial", key)
        assert code == 0
        lines = out.splitlines()
        assert said in lines
        assert not any(line.split() == ["number", "value"] for line in lines)
        assert "has a nmi" in " ".join(lines)
        assert "label_free" not in out
    assert "no epoch has ended yet" in " ".join(command("health", folder)[1].split())


def test_too_few_trials_are_called_so_and_are_not_corrected_for():
    rows = [trial(i, params={RATE: 10.0**-i}, history=course(20, 5 if i else None)) for i in range(3)]
    (found,) = settings(read(rows)).found
    assert (found.verdict, found.corrected) == ("too few", None)
    assert found.p == 1.0


def test_many_numbers_become_ranges_and_many_words_are_left_out():
    rows = [
        trial(i, params={RATE: 1e-4 * (i + 1), "note": f"w{i}"}, history=course(20, 5 if i >= 20 else None))
        for i in range(30)
    ]
    found = settings(read(rows))
    assert found.left_out == ("note",)
    (one,) = found.found
    assert [(group.value, group.having, group.n) for group in one.groups] == [
        ("0.0001 … 0.001", 0, 10),
        ("0.0011 … 0.002", 0, 10),
        ("0.0021 … 0.003", 10, 10),
    ]
    assert one.verdict == "differs"


def test_the_ranges_of_numbers_with_gaps_and_repeats_hold_all_trials_once():
    rates = [1e-4] * 20 + [2e-4, 3e-4, 4e-4, 5e-4, 6e-4, 7e-4, 8e-4]
    rows = [trial(i, params={RATE: rate}, history=course(20, 5 if i % 2 else None)) for i, rate in enumerate(rates)]
    rows.append(trial(90))
    (one,) = settings(read(rows)).found
    assert [(group.value, group.n) for group in one.groups] == [("0.0001", 20), ("0.0002 … 0.0008", 7)]


# The command


def test_the_command_shows_all_trials(tmp_path, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = command("health", put(tmp_path, sweep()))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "18 trials: 10 OK, 8 with codes."
    assert "COLLAPSED: Most samples share few clusters." in lines
    assert ["OK", "10", "4"] in [line.split() for line in lines]
    assert ["COLLAPSED", "8", "4"] in [line.split() for line in lines]
    assert sum(line.startswith(f"COLLAPSED@{11 + WINDOW} ") for line in lines) == 8
    assert any("learning_rate" in line and "0 of 6" in line and "differs" in line for line in lines)


def test_where_the_window_is_too_narrow_the_p_value_outlives_the_corrected_one(tmp_path, command, monkeypatch):
    """The verdict tells what the corrected one would."""
    folder = put(tmp_path, sweep())
    for columns, shown in [("100", ["p", "corrected"]), ("80", ["p"])]:
        monkeypatch.setenv("COLUMNS", columns)
        lines = command("health", folder, "--table", "settings")[1].splitlines()
        (head,) = [line.split() for line in lines if line.startswith("code ")]
        assert [one for one in head if one in {"p", "corrected"}] == shown


def test_the_command_shows_one_trial(tmp_path, command):
    folder = put(tmp_path, sweep())
    code, out, _ = command("health", folder, "--trial", "s0040", "--format", "markdown")
    assert code == 0
    assert out.startswith(f"s s0040, seed 0: COLLAPSED\\@{11 + WINDOW} (ok, 20 of 20 epochs)")
    assert "marginal_entropy 0.2" in out
    assert "What helped in comparable trials" in out
    assert "3 of 3" in out
    assert "0 of 3" in out
    assert "p = " in out


def test_without_comparable_trials_the_rules_own_list_is_said_to_be_that(tmp_path, command):
    folder = put(tmp_path, [trial(0, history=course(20, 5), params={"method.entropy_weight": 1.0})])
    _, out, _ = command("health", folder, "--trial", "s", "--format", "markdown")
    assert "The rule's own list: raise method.entropy_weight" in out.replace("\\_", "_")
    _, text, _ = command("health", folder, "--trial", "s", "--format", "csv", "--table", "changes")
    found = records(text)
    assert {one["from"] for one in found} == {"rule"}
    assert found[0]["key"] == "method.entropy_weight"


def test_a_rules_own_list_has_no_option_of_another_method(tmp_path, command):
    flips = [(epoch, 1.0, "health.probe_label_flips", 0.9) for epoch in range(1, 21)]
    words = ("--format", "csv", "--table", "changes")
    options = {"method.name": "umc", "method.thres": 0.1, "method.delta": 0.05}
    folder = put(tmp_path, [trial(0, history=flips), trial(1, history=flips, params=options, data_hash="d")])
    told = [
        [one["key"] for one in records(command("health", folder, "--trial", key, *words)[1])]
        for key in ("s0000", "s0010")
    ]
    rest = ["n_clusters", "optimiser.schedule"]
    assert told == [[RATE, *rest], [RATE, "method.thres", "method.delta", *rest]]
    unequal = [(20, 1.0, f"health.imbalance_{name}", value) for name, value in [("pred", 1.0), ("true", 50.0)]]
    _, out, _ = command(
        "health", put(tmp_path / "b", [trial(0, history=unequal)]), "--trial", "s", "--format", "markdown"
    )
    assert "The rule's own list has nothing for this method." in out


def test_samples_that_the_method_labelled_are_told_apart_from_the_smallest_cluster(tmp_path, command):
    values = {"selected": 750.0, "selected_share": 0.5, "selected_min": 62.0, "cluster_size_min": 145.0}
    history = [*course(20), *((20, 1.0, f"health.{name}", value) for name, value in values.items())]
    folder = put(tmp_path, [trial(0, history=history)])
    _, out, _ = command("health", folder, "--trial", "s")
    lines = " ".join(out.split())
    assert "selected 750 samples (50.0%) labelled by the method itself" in lines
    assert "selected_min 62 of them in the cluster that has the fewest" in lines
    assert "cluster_size_min 145 samples, labelled or not, in the smallest cluster" in lines
    told = records(command("health", folder, "--trial", "s", "--format", "csv", "--table", "numbers")[1])
    assert {one["number"]: float(one["value"]) for one in told if one["number"] in values} == values


def test_machines_get_every_number(tmp_path, command):
    folder = put(tmp_path, sweep())
    trials = json.loads(command("health", folder, "--format", "json")[1])
    assert len(trials) == 18
    assert trials[0]["verdict"] == f"COLLAPSED@{11 + WINDOW}"
    assert trials[-1]["trend_slope"] == pytest.approx(0.03)
    rows = records(command("health", folder, "--format", "csv", "--table", "settings")[1])
    assert sum(int(one["trials"]) for one in rows if one["parameter"] == RATE) == 18
    numbers = records(command("health", folder, "--format", "csv", "--trial", "s0000", "--table", "numbers")[1])
    told = {one["number"]: one["value"] for one in numbers}
    assert (told["performance_trend"], told["score"], told["trend_n"]) == ("improving", "nmi", "10")
    assert float(told["trend_p"]) == pytest.approx(2 / math.factorial(10))
    found = records(command("health", folder, "--format", "csv", "--trial", "s0000", "--table", "course")[1])
    assert [one["value"] for one in found if one["name"] == "marginal_entropy"] == ["0.9"] * 20
    out = tmp_path / "t.csv"
    assert command("health", folder, "--out", out)[0] == 0
    assert len(records(out.read_text())) == 18


def test_where_and_study_choose_trials(tmp_path, command):
    put(tmp_path, sweep())
    put(tmp_path, [trial(0, study="b")], study="b")
    assert command("health", tmp_path, "--study", "b")[1].startswith("1 trial: 1 OK.")
    assert command("health", tmp_path, "--where", "learning_rate > 0.05")[1].startswith("6 trials: 6 with codes.")


def test_mistakes_are_one_line_and_code_2(tmp_path, command):
    put(tmp_path, sweep())
    put(tmp_path, [trial(0, study="b", trial_key="s0000")], study="b")
    (tmp_path / "empty").mkdir()
    for words, said in [
        (("--trial", "x"), "No trial begins with 'x'"),
        (("--trial", "s00"), "begin with 's00'"),
        (("--trial", "s0000"), "in several studies (b, s)"),
        (("--table", "course"), "add --trial KEY"),
        (("--table", "codes", "--trial", "s0001"), "leave out --trial"),
        (("--where", "no_such > 1"), "no_such"),
        (("--study", "no"), "no"),
    ]:
        code, out, err = command("health", tmp_path, *words)
        assert (code, out) == (2, ""), words
        assert said in err
        assert len(err.splitlines()) == 1
    code, _, err = command("health", tmp_path / "empty")
    assert code == 2
    assert len(err.splitlines()) == 1


# Hostile rows


def hostile_rows():
    evil = "\x1b[2Jx\r\n# <script>alert(1)</script>|\u202e"
    numbers = [math.nan, math.inf, -math.inf, 1e100, -1e100, 0.0, 1e-300]
    history = [
        (epoch, 1.0, name, numbers[(epoch + place) % len(numbers)])
        for epoch in (-(2**31), -1, 0, 1, 2, 5, 9, 9, 2**31 - 1)
        for place, name in enumerate(
            ("nmi", "loss", "health.label_free", "health.marginal_entropy", "health.clusters_empty", evil, "")
        )
    ]
    return [
        trial(0, history=history, params={RATE: evil, "epochs": 1e99, "n_clusters": -3.0, "batch_size": evil}),
        trial(1, history=history, reason=evil, status="failed", params={RATE: "b"}, cluster_sizes=[2**31 - 1, 0]),
        trial(2, status="stopped", reason=f"COLLAPSED@{evil}", seconds=0.0, epochs_done=0, params={"epochs": evil}),
        trial(3, history=[], metrics={"nmi": math.nan}, health={"label_free": -math.inf}, params={evil: evil}),
    ]


@pytest.mark.parametrize("words", [(), ("--trial", "s0000"), ("--trial", "s0010"), ("--trial", "s0030")])
@pytest.mark.parametrize("fmt", ["table", "markdown", "csv", "json", "latex"])
def test_hostile_rows_are_data(tmp_path, command, words, fmt):
    code, out, err = command("health", put(tmp_path, hostile_rows()), *words, "--format", fmt)
    assert code == 0, err
    assert not any(sign in out + err for sign in ("\x1b", "\r", "\u202e"))
    assert "Traceback" not in err
    if fmt == "json":
        json.loads(out)


def test_a_history_of_100_000_entries_is_judged_in_seconds(tmp_path, command):
    one_name = [(epoch, 1.0, name, 0.5) for epoch in range(25_000) for name in ("loss", "nmi", "health.label_free")]
    many_names = [(1, 1.0, f"n{i}", 1.0) for i in range(100_000)]
    rows = [trial(0, history=one_name), trial(1, history=many_names)]
    began = time.process_time()
    code, out, err = command("health", put(tmp_path, rows), "--trial", "s0000")
    assert code == 0, err
    assert "25000" in out
    assert time.process_time() - began < 10


def test_a_thousand_trials_are_judged_in_a_few_seconds(tmp_path, command):
    """Of 60 epochs each; the time grows with the number of entries in the histories."""
    history = course(60, 30)
    rows = [trial(i // 4, i % 4, epochs=60, history=history, params={RATE: i % 7}) for i in range(1000)]
    folder = put(tmp_path, rows)
    began = time.process_time()
    code, out, _ = command("health", folder)
    assert code == 0
    assert out.startswith("1,000 trials: 1,000 with codes.")
    assert time.process_time() - began < 15
    assert len(load([folder], columns=COLUMNS, history=True).table) == 1000


def test_a_topic_model_is_judged_by_npmi_and_its_critic_s_loss_is_no_sign(tmp_path, command):
    scores = {"npmi": 0.1, "topic_diversity": 0.5, "nmi": -0.1, "loss": 0.0, "loss_critic": 0.0}
    signals = {"health.active_topics": 1.0, "health.label_free": 0.1}
    told = [
        (epoch, 1.0, name, abs(slope) + slope * epoch + 0.5)
        for epoch in range(1, 8)
        for name, slope in {**scores, **signals}.items()
    ]
    bat = {"method.name": "bat", "data.name": "documents"}
    folder = put(tmp_path, [trial(1, history=told, epochs=7, params=bat)])
    ranked = tmp_path / "study=s" / "_study.json"
    ranked.write_text('{"study": "s", "select": {"metric": "mean5.npmi", "mode": "max"}}')
    code, out, _ = command("health", folder, "--trial", "s0010")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "improving: npmi +" in " ".join(out.split())
    assert lines["npmi"].split()[1] == lines["topic_diversity"].split()[1] == "7"
    code, page, _ = command("report", folder, "--style", "status", "--trial", "s0010")
    assert code == 0
    assert "Trend, stability, rises and falls are those of npmi." in page
    assert "loss" not in page.lower()
    assert "the documents are read as counts of words" in page
    ranked.write_text('{"study": "s", "select": {"metric": "mean5.nmi", "mode": "max"}}')
    assert "declining: nmi -" in " ".join(command("health", folder, "--trial", "s0010")[1].split())
