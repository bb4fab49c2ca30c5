"""Searches that go by results, stop early or change values on the way: small real studies, in one process."""

import json
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.executor import Event
from core.errors import UserError
from jobs.execution import runner as running
from jobs.planning import pbt, tpe
from jobs.planning import plan as planning
from jobs.results import identity, reader
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from jobs.study import search as searches
from jobs.study.search import Search
from jobs.study.space import Integer, LogUniform, Uniform, Values
from jobs.study.study import load

STUDY = """study: s
trial:
  data: {name: scikit-learn, table: iris}
  encoder: {name: mlp, widths: [8]}
  method: cc
  epochs: 3
  evaluation: {every: 3}
space: {learning_rate: {log_uniform: [1.0e-4, 1.0e-2]}, cluster_temperature: {grid: [0.5, 1.0]}}
seeds: [0, 1]
search: {name: optuna, trials: 3}
"""


@pytest.fixture
def study(tmp_path):
    """Reads the study above with a text replaced, or overrides put over it."""

    def read(old="", new="", *overrides):
        (tmp_path / "study.yaml").write_text(STUDY.replace(old, new) if old else STUDY)
        return load(tmp_path / "study.yaml", overrides)

    return read


def rows(results):
    return reader.read_results([str(results)]).to_pylist()


def attempt(study, trial, **values) -> Attempt:
    """A row of a trial as an attempt leaves it."""
    return Attempt(
        study=study.name,
        trial_key=trial.trial_key,
        config_key=trial.config_key,
        seed=trial.seed,
        attempt_id=new_attempt_id(),
        source="run",
        started=datetime.now(UTC),
        host="here",
        params=dict(trial.parameters),
        data_hash=trial.data_hash,
        best_metric="nmi",
        **values,
    )


def go(study, results):
    return running.run(study, results=str(results), workers=1)


# Early stopping


@pytest.mark.ray
@pytest.mark.slow
def test_early_stopping_from_the_first_run_on_which_need_not_be_repeated(study, tmp_path):
    results = tmp_path / "results"
    early = "search: {name: random, trials: 6, scheduler: asha, grace: 1}"
    read = study("search: {name: optuna, trials: 3}", early, "trial.epochs=9", "trial.evaluation.every=1")
    first = running.run(read, results=str(results), workers=2)
    assert (first.done, first.missing) == (12, 0)
    found = {row["trial_key"]: row for row in rows(results)}
    assert {(row["status"], row["epochs_done"] < 9) for row in found.values()} == {("ok", False), ("stopped", True)}
    second = running.run(read, results=str(results), workers=2)
    assert (second.done, second.missing) == (12, 0)
    assert {row["attempt_id"] for row in rows(results)} == {row["attempt_id"] for row in found.values()}


# Optuna


def test_a_search_stops_at_its_budget_and_goes_on_with_what_the_store_knows(study, tmp_path):
    results = tmp_path / "results"
    first = go(study("", "", "budget.trials=3"), results)
    assert (first.done, first.missing, first.spent) == (3, 3, True)
    begun = {row["trial_key"]: row["attempt_id"] for row in rows(results)}
    second = go(study(), results)
    assert (second.done, second.missing, second.spent) == (6, 0, False)
    found = rows(results)
    assert len(found) == 6
    assert len({row["config_key"] for row in found}) == 3
    assert {row["seed"] for row in found} == {0, 1}
    # What was done stays as it was, and its cell was finished rather than left with one seed.
    assert begun.items() <= {row["trial_key"]: row["attempt_id"] for row in found}.items()
    third = go(study(), results)
    assert (third.done, third.missing) == (6, 0)
    assert len(rows(results)) == 6


def test_more_trials_go_on_where_the_search_was(study, tmp_path):
    results = tmp_path / "results"
    go(study("", "", "search.trials=2", "seeds=[0]"), results)
    before = {row["config_key"] for row in rows(results)}
    go(study("", "", "search.trials=4", "seeds=[0]"), results)
    after = {row["config_key"] for row in rows(results)}
    assert before < after
    assert len(after) == 4


def test_the_store_tells_optuna_what_was_seen(study, tmp_path):
    read = study("", "", "seeds=[0]")
    go(read, tmp_path / "results")
    known = tpe.known_cells(read, str(tmp_path / "results"))
    search = tpe._optuna_study(read, known)
    values = {row["param.optimiser.learning_rate"]: row["metric.nmi"] for row in rows(tmp_path / "results")}
    assert {one.params["optimiser.learning_rate"]: one.value for one in search.trials} == pytest.approx(values)
    assert search.best_value == pytest.approx(max(values.values()))


def test_rows_of_another_base_are_no_part_of_the_search(study, tmp_path):
    results = tmp_path / "results"
    go(study("", "", "search.trials=2", "seeds=[0]", "epochs=2"), results)
    assert tpe.known_cells(study("", "", "seeds=[0]"), str(results)) == []


def test_a_finite_space_ends_the_search_when_it_holds_no_more(study, tmp_path):
    read = study("learning_rate: {log_uniform: [1.0e-4, 1.0e-2]}, ", "", "search.trials=5", "seeds=[0]")
    summary = go(read, tmp_path / "results")
    assert summary.done == 2
    assert len(rows(tmp_path / "results")) == 2


def test_a_failed_cell_is_told_as_failed_and_the_search_goes_on(study, tmp_path):
    (tmp_path / "half.py").write_text(
        "from core.methods import cc\n"
        "class Method(cc.Method):\n"
        "    def begin_epoch(self, epoch, samples):\n"
        "        (optimiser, *_) = self.optimisers.values()\n"
        "        if optimiser.param_groups[0]['configured_lr'] > 1e-3:\n"
        "            raise ValueError('too fast')\n"
    )
    text = STUDY.replace("method: cc", "method: {name: ./half.py}").replace(
        ", cluster_temperature: {grid: [0.5, 1.0]}", ""
    )
    read = study(STUDY, text, "search.trials=6", "seeds=[0]")
    summary = running.run(read, results=str(tmp_path / "results"), workers=1, keep_going=True)
    statuses = {row["param.optimiser.learning_rate"]: row["status"] for row in rows(tmp_path / "results")}
    assert len(statuses) == 6
    assert all((status == "failed") == (rate > 1e-3) for rate, status in statuses.items())
    assert summary.failed == sum(status == "failed" for status in statuses.values())


@pytest.mark.parametrize(
    ("one", "value", "given_by_optuna"),
    [
        (Uniform(0.0, 1.0), 0.25, 0.25),
        (LogUniform(1e-4, 1.0), 1e-2, 1e-2),
        (Integer(1, 9), 4, 4),
        (Values(("a", [1, 2])), [1, 2], 1),
    ],
)
def test_values_come_back_from_optuna_as_they_went(one, value, given_by_optuna):
    assert tpe._stored(one, value) == given_by_optuna
    assert tpe._value(one, given_by_optuna) == value
    assert tpe._distribution(one)._contains(given_by_optuna)


# Populations

PBT = {
    "search: {name: optuna, trials: 3}": "search: {name: random, trials: 4, scheduler: pbt, grace: 1}",
    ", cluster_temperature: {grid: [0.5, 1.0]}": "",
    "seeds: [0, 1]": "seeds: [0]",
    "evaluation: {every: 3}": "evaluation: {every: 1}",
}


@pytest.fixture
def members(tmp_path):
    """Reads a study of four members that exchange after every epoch."""

    def read(*overrides):
        text = STUDY
        for old, new in PBT.items():
            text = text.replace(old, new)
        (tmp_path / "pbt.yaml").write_text(text)
        return load(tmp_path / "pbt.yaml", overrides)

    return read


def history(row, metric):
    return {one["epoch"]: one["value"] for one in row["history"] if one["metric"] == metric}


def members_rows(results):
    return reader.read_results([str(results)], history=True).to_pylist()


def test_the_worst_of_a_population_takes_over_from_the_best(members, tmp_path):
    summary = go(members(), tmp_path / "results")
    assert (summary.done, summary.failed, summary.missing) == (4, 0, 0)
    found = members_rows(tmp_path / "results")
    assert {row["source"] for row in found} == {"pbt"}
    rates = [history(row, "hp.optimiser.learning_rate") for row in found]
    assert all(list(one) == [1, 2, 3] for one in rates)
    scores = [history(row, "nmi") for row in found]
    assert all(list(one) == [1, 2, 3] for one in scores)
    for epoch in (1, 2):
        worst = min(range(4), key=lambda one, at=epoch: scores[one][at])
        changed = [one for one in range(4) if rates[one][epoch + 1] != rates[one][epoch]]
        assert changed == [worst]
    # The row says what it ended with.
    assert all(row["param.optimiser.learning_rate"] == one[3] for row, one in zip(found, rates, strict=True))
    assert not list((tmp_path / "results").glob("*/_exchanges/*"))


def test_a_population_that_is_interrupted_anywhere_ends_as_if_it_had_not_been(members, tmp_path):
    go(members(), tmp_path / "straight")
    for _ in range(14):
        summary = go(members("budget.trials=1"), tmp_path / "pieces")
        if not summary.missing:
            break
    assert summary.done == 4
    for name in ("nmi", "loss", "hp.optimiser.learning_rate"):
        straight = {row["trial_key"]: history(row, name) for row in members_rows(tmp_path / "straight")}
        pieces = {row["trial_key"]: history(row, name) for row in members_rows(tmp_path / "pieces")}
        assert straight == pieces


def spoil(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("spoilt", ["given", "all"])
def test_a_damaged_exchange_counts_as_missing_and_the_population_goes_on(members, tmp_path, spoilt):
    results = tmp_path / "results"
    go(members("budget.trials=4"), results)  # to the first exchange
    (file,) = results.glob("*/_population-*.json")
    origins = {key: one["origin"] for key, one in json.loads(file.read_bytes())["members"].items()}
    ((loser, best),) = [pair for pair in origins.items() if pair[0] != pair[1]]
    exchanges = {one.name.partition(".")[0]: one for one in results.glob("*/_exchanges/*")}
    for key in [best] if spoilt == "given" else exchanges:
        spoil(exchanges[key])
    rate = "hp.optimiser.learning_rate"
    before = {row["trial_key"]: history(row, rate)[1] for row in members_rows(results)}
    told = []
    summary = running.run(members(), results=str(results), workers=1, on_event=told.append)
    assert (summary.done, summary.failed, summary.missing) == (4, 0, 0)
    hit = {loser, best} if spoilt == "given" else set(origins)
    said = [one for one in told if one.data.get("reason", "").startswith("RESTARTED: the exchange could not be read")]
    assert {one.key for one in said} == hit
    assert all("digest" in one.data["reason"] for one in said)
    changed = set()
    for row in members_rows(results):
        assert list(history(row, "nmi")) == [1, 2, 3]
        changed |= {row["trial_key"]} if history(row, rate)[1] != before[row["trial_key"]] else set()
    # Where its own weights are left a member goes on with them and its history; without any it begins anew.
    assert changed == ({loser} if spoilt == "all" else set())


def test_members_are_no_samples_of_a_configuration(members):
    plain = members("search.scheduler=none", "search.grace=null")
    ours = {one.config_key for one in planning.make(members()).trials}
    assert not ours & {one.config_key for one in planning.make(plain).trials}


@given(st.integers(0, 10**6), st.floats(1e-4, 1e-1))
def test_explored_values_stay_in_their_ranges(seed, value):
    space = {"a": LogUniform(1e-4, 1e-1), "b": Values((0.5, 0.1, 1.0))}
    moved = pbt.explore({"a": value, "b": 0.5}, space, random.Random(seed))
    assert 1e-4 <= moved["a"] <= 1e-1
    assert moved["b"] in {0.1, 0.5, 1.0}


def test_an_exchange_that_half_of_the_members_did_not_live_to_see(members, tmp_path):
    plan = planning.make(members())
    one = pbt.Population(plan, str(tmp_path))
    keys = [one.take().trial.trial_key for _ in range(4)]
    assert one.take() is None
    for key, value in zip(keys, (0.1, 0.9, None, None), strict=True):
        paused = Event("finished", key, {"status": "paused", "value": value})
        one.hear(Event("died", key, error="x") if value is None else paused)
    again = {one.take().trial.trial_key: None for _ in range(4)}
    assert list(again) == keys
    stored = json.loads(next(tmp_path.glob("*/_population-*.json")).read_text())["members"]
    assert stored[keys[1]]["origin"] == keys[1]
    assert {stored[key]["origin"] for key in keys[2:]} == {keys[1]}


# Mistakes and defaults


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search={name: optuna}"], "optuna needs 'trials'"),
        (["search={name: optuna, trials: 3}", "space={}"], "optuna needs a space"),
        (["search={name: random, trials: 2, scheduler: pbt}"], "a population needs 4 members"),
        (["search={name: grid, scheduler: pbt}"], "it needs name: random"),
        (
            ["search={name: random, trials: 8, scheduler: pbt}", "space={batch_size: {int: [8, 64]}}"],
            "only real numbers",
        ),
        (["search={name: random, trials: 8, scheduler: asha, grace: 3}"], "3 epochs are not fewer"),
        (["search={name: random, trials: 8, reduction: 1}"], "above 1"),
        (["budget={hours: 0}"], "above 0"),
        (["resources={memory_gb: -1}"], "above 0"),
    ],
)
def test_mistakes_in_a_search_are_told_before_anything_starts(study, overrides, said):
    with pytest.raises(UserError, match=said):
        study("", "", *overrides)


def test_defaults_follow_the_length_of_a_trial():
    assert searches.halving_grace(Search(reduction=3.0), 90) == 10
    assert searches.halving_grace(Search(reduction=3.0), 5) == 1
    assert searches.exchange_epochs(Search(), 25) == [3, 6, 9, 12, 15, 18, 21, 24, 25]
    assert searches.exchange_epochs(Search(grace=10), 20) == [10, 20]


# Live and resumed searches


@pytest.mark.parametrize("outcome", ["failed", "stopped", "died", "ok"])
def test_a_live_search_proposes_what_one_made_anew_from_the_rows_does(study, tmp_path, outcome):
    """Every third cell fails, is stopped or dies after it had scored well: only what its row says may count."""
    results, read = str(tmp_path / "results"), study("", "", "search.trials=16", "seeds=[0]")
    live, proposed = tpe.Asking(read, results), []
    for number in range(16):
        taken, anew = live.take().trial, tpe.Asking(read, results)
        # Made anew it runs failed trials again first.
        again = next(one for _ in range(17) if (one := anew.take().trial).trial_key not in proposed)
        assert again.parameters == taken.parameters, number
        proposed.append(taken.trial_key)
        status = outcome if number % 3 == 0 else "ok"
        value = 0.99 if number % 3 == 0 else number / 16
        write(results, attempt(read, taken, metrics={"nmi": value}, status="failed" if status == "died" else status))
        kind = "died" if status == "died" else "finished"
        live.hear(Event(kind, taken.trial_key, {"value": value, "status": status}))
    assert len(set(proposed)) == len(proposed)


def test_each_key_of_a_search_is_hashed_once_however_many_cells_there_are(study, tmp_path, monkeypatch):
    hashed, digest = [], identity.digest
    monkeypatch.setattr(identity, "digest", lambda text: hashed.append(text) or digest(text))
    read = study("", "", "search.trials=24")
    live = tpe.Asking(read, str(tmp_path / "results"))
    while taken := live.take():
        key = taken.trial.trial_key
        live.hear(Event("started", key))
        live.hear(Event("finished", key, {"value": len(hashed) % 7 / 7, "status": "ok"}))
    assert len(hashed) == len(set(hashed)) == 24 * (1 + len(read.seeds))


@pytest.mark.parametrize("kind", ["finished", "died"])
def test_a_failed_trial_leaves_no_value_whatever_it_had_reached(study, tmp_path, kind):
    read = study("", "", "search.trials=3", "seeds=[0]")
    live = tpe.Asking(read, str(tmp_path / "results"))
    key = live.take().trial.trial_key
    live.hear(Event(kind, key, {"value": 0.99, "status": "failed"}))
    (asked,) = live._asked.values()
    assert asked.values == {0: None}
    assert asked.mean() is None


def test_fewer_seeds_of_a_population_than_before_go_on_and_the_others_are_kept(members, tmp_path):
    go(members("seeds=[0, 1]", "budget.trials=3"), tmp_path / "results")
    summary = go(members(), tmp_path / "results")
    assert (summary.done, summary.missing) == (4, 0)
    (file,) = (tmp_path / "results" / "study=s").glob("_population-*.json")
    assert len(json.loads(file.read_bytes())["members"]) == 8
    assert go(members("seeds=[0, 1]"), tmp_path / "results").done == 8
