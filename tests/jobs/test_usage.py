"""Who used how much: hours and card-hours of a study by person, failed, killed and resumed attempts included."""

import json
import math
import os
import random
import signal
import time

import pytest

from cluster import inprocess
from cluster.executor import Event, Stop
from core.config import plugins
from jobs.execution import dispatch, stored, tasks
from jobs.execution.dispatch import CardHours, Orders
from jobs.health.usage import usage
from jobs.planning import plan
from jobs.planning.cpu_fallback import on_cpu
from jobs.planning.source import TrialList
from jobs.results import provenance, reader
from jobs.results.query import query
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, serialise, write
from jobs.study import study
from jobs.study.plug_ins import plug_in_files
from tests.faults.runs import SLOW, Folder

QUERY = (
    'select study, "by", sum(own_seconds) / 3600 as hours, sum(own_seconds * gpu) / 3600 as card_hours '
    "from attempts group by all order by hours desc"
)


def attempt(trial, status, seconds, **values):
    """An attempt that took this long, of no one and no card unless told otherwise."""
    time.sleep(0.002)  # attempts are told apart by their milliseconds
    own = {"study": "s", "config_key": "c", "seed": 0, "own_seconds": seconds, "attempt_id": new_attempt_id()}
    return Attempt(trial_key=trial, status=status, **own | values)


def test_the_sums_are_those_of_a_slow_count_over_the_attempts(tmp_path, command):
    chance = random.Random(3)
    rows = [
        attempt(f"t{chance.randrange(9)}", "failed", chance.uniform(0, 1e5), by=person, gpu=chance.choice([0, 0.5, 2]))
        for person in ("ann", "bob\x1b[31m", "ann")
        for _ in range(6)
    ]
    rows += [attempt("t9", "ok", 7200.0, by="ann", gpu=0.25), attempt("t9", "ok", None, source="import")]
    for row in rows:
        write(str(tmp_path), row)
    hours, cards, failed = 0.0, 0.0, 0.0
    for row in rows:
        hours += (row.own_seconds or 0) / 3600
        cards += (row.own_seconds or 0) / 3600 * (row.gpu or 0)
        failed += (row.own_seconds or 0) / 3600 * row.gpu if row.status == "failed" else 0
    found = usage(reader.read_results(str(tmp_path), attempts=True))
    total = found.total
    assert (total.hours, total.card_hours, total.failed_card_hours) == pytest.approx((hours, cards, failed))
    assert (len(found.people), found.untold) == (2, 0)
    told = {one["by"]: one for one in query([str(tmp_path)], QUERY).table.to_pylist() if one["hours"]}
    assert {one.by for one in found.people} == set(told)
    for one in found.people:
        assert (one.hours, one.card_hours) == pytest.approx((told[one.by]["hours"], told[one.by]["card_hours"]))
    code, out, _ = command("status", tmp_path)
    assert code == 0
    shown = f"{total.hours:.0f} hours, {total.card_hours:.0f} card-hours ({failed:.0f} of them in failed attempts)"
    assert f"  {shown}\n    " in out
    assert "bob\\x1b[31m: " in out
    (one,) = json.loads(command("status", tmp_path, "--format", "json")[1])
    assert one["used"]["people"][0]["hours"] == pytest.approx(max(one.hours for one in found.people))


def test_a_killed_attempt_counts_as_failed_only_where_its_trial_was_never_done():
    def lost(*rows):
        return usage(reader.pa.concat_tables(map(table_of, rows))).total.failed_hours

    killed, failed, done = attempt("t", "running", 3600), attempt("t", "failed", 1800), attempt("t", "ok", 3600)
    assert lost(killed) == 0.0
    assert lost(killed, failed) == 1.5
    assert lost(killed, failed, done) == 0.5
    assert lost(failed, attempt("t", "running", 3600)) == 0.5  # it may still run


def test_fewer_hours_than_a_tenth_are_told_in_seconds(tmp_path, command):
    write(str(tmp_path), attempt("t0", "ok", 20.0, by="ann", gpu=0.5))
    write(str(tmp_path), attempt("t1", "failed", 99.0, by="ann", gpu=0.0))
    shown = "2 min in all, 10 s of a whole card"
    assert f"  {shown}\n" in command("status", tmp_path)[1]
    write(str(tmp_path), attempt("t1", "failed", 100.0, by="ann", gpu=0.5))
    shown = "4 min in all, 60 s of a whole card (50 s of them in failed attempts)"
    assert f"  {shown}\n" in command("status", tmp_path)[1]


def table_of(row):
    from jobs.results.schema import to_table

    return to_table([row])


def test_rows_of_older_versions_are_read_and_counted_apart(tmp_path, command):
    old = table_of(attempt("t0", "ok", None)).drop_columns(["own_seconds", "by", "gpu"])
    folder = tmp_path / "study=s" / "trials"
    folder.mkdir(parents=True)
    (folder / f"t0.{old['attempt_id'][0]}.parquet").write_bytes(serialise(old))
    assert "hours" not in command("status", tmp_path)[1]
    write(str(tmp_path), attempt("t1", "ok", 3600.0, by="ann", gpu=0.0))
    assert command("status", tmp_path)[1].splitlines()[1] == "  1 hour; 1 older attempt not counted"
    first, second = reader.read_results(str(tmp_path)).to_pylist()
    assert (first["own_seconds"], first["by"], second["own_seconds"]) == (None, None, 3600.0)
    assert command("compact", tmp_path)[0] == 0
    assert command("status", tmp_path)[1].splitlines()[1] == "  1 hour; 1 older attempt not counted"


@pytest.mark.parametrize(("column", "value"), [("own_seconds", -1.0), ("gpu", -0.5), ("gpu", float("inf"))])
def test_what_conclus_would_not_write_is_not_counted(tmp_path, command, column, value):
    table = table_of(attempt("t0", "ok", 1.0, gpu=1.0))
    place = table.column_names.index(column)
    folder = tmp_path / "study=s" / "trials"
    folder.mkdir(parents=True)
    odd = table.set_column(place, column, reader.pa.array([value], reader.pa.float64()))
    (folder / "t0.A.parquet").write_bytes(serialise(odd))
    code, _, err = command("status", tmp_path)
    assert (code, f"({column} is no" in err) == (0, True)


def test_a_trial_that_was_interrupted_killed_and_resumed_counts_each_second_once(tmp_path, command, monkeypatch):
    monkeypatch.setenv(provenance.BY, "ann")
    folder = Folder(tmp_path)
    folder.prepare(SLOW.format(pause=0.1, epochs=100, seeds=[0]))
    try:
        began = time.monotonic()
        run = folder.start("--workers", "1")
        run.wait_until(lambda: len(folder.epochs()) >= 11)
        run.interrupt()
        assert run.end()[0] == 130
        run = folder.start("--workers", "1")
        run.wait_until(lambda: len(folder.epochs()) >= 14)
        os.kill(run.process.pid, signal.SIGKILL)
        run.end()
        folder.mend()
        code, _, err = folder.go_on(command)
        assert code == 0, err
        wall = time.monotonic() - began
    finally:
        folder.end()
    rows = sorted(folder.rows(attempts=True), key=lambda row: row["attempt_id"])
    assert (rows[0]["reason"], rows[-1]["status"], rows[-1]["epochs_done"]) == ("INTERRUPTED", "ok", 100)
    assert (len(rows), rows[0]["own_seconds"] > 1.0) == (3, True)
    for row in rows:  # none has seconds of another: it cannot have taken longer than from its start to its last write
        file = tmp_path / "results" / "study=s" / "trials" / f"{row['trial_key']}.{row['attempt_id']}.parquet"
        assert row["own_seconds"] <= file.stat().st_mtime - row["started"].timestamp()
    total = usage(reader.read_results(str(tmp_path / "results"), attempts=True)).total
    assert sum(row["own_seconds"] for row in rows) == pytest.approx(total.hours * 3600)
    assert 1.2 < total.hours * 3600 < wall
    assert {(row["by"], row["gpu"]) for row in rows} == {("ann", 0.0)}
    assert f"\n  {math.ceil(total.hours * 3600)} s in all\n" in command("status", tmp_path / "results")[1]


# A budget of card-hours


def test_a_run_within_its_card_hours_counts_earlier_attempts_and_starts_no_more_trials_after_them(tmp_path, command):
    folder = Folder(tmp_path)
    folder.prepare(SLOW.format(pause=0.2, epochs=2, seeds=list(range(8))))
    limit = 1.2 / 3600  # 1.2 card-seconds, 2.4 seconds of half a card
    text = (tmp_path / "study.yaml").read_text()
    (tmp_path / "study.yaml").write_text(f"{text}resources: {{gpu: 0.5}}\nbudget: {{gpu_hours: {limit}}}\n")
    read = study.load(tmp_path / "study.yaml")
    results = str(tmp_path / "results")
    write(results, attempt("t", "failed", 0.8, gpu=0.5))  # of an earlier run: a third of it is used
    feed = go(read, results)
    assert 0 < len(feed.taken) < 8
    assert "the card-hours of the budget are used up" in feed.limit
    used = stored.card_hours(results, "s")
    assert used == pytest.approx(sum(row["own_seconds"] * 0.5 / 3600 for row in folder.rows(attempts=True)))
    # The last trial began before they were used up, and ended. The driver counts an attempt's start and end, too.
    assert used - 0.5 * max(row["own_seconds"] for row in folder.rows()) / 3600 < limit
    assert feed.cards.used() >= max(used, limit)
    write(results, attempt("t", "failed", 2.4, gpu=0.5))  # the rest, for certain
    again = go(read, results)
    assert (len(again.taken), again.limit[:11]) == (0, "the card-ho")
    assert on_cpu(read).budget.gpu_hours is None
    (tmp_path / "study.yaml").write_text(f"{text}budget: {{gpu_hours: 1}}\n")
    code, _, err = command("run", tmp_path / "study.yaml", "--results", results)
    assert (code, err.count("\n")) == (2, 1)
    assert "budget.gpu_hours: the study's trials hold no GPU" in err


def go(read, results):
    """Trains the study's trials in this process, on the CPU, as if it were a share of a card."""
    files = plug_in_files(read)
    plugins.allow_named(*files)
    shared = dispatch.shared(read, results, files, device="cpu")
    feed = Orders(TrialList(plan.make(read).missing(results)), shared, read.budget)
    feed.cards = CardHours(stored.card_hours(results, read.name), read.resources.gpu)
    inprocess.run(tasks.work_here, feed, on_event=feed.hear, stop=Stop())
    return feed


def test_an_attempt_that_begins_again_has_ended_before_and_what_runs_counts(monkeypatch):
    now = iter([0.0, 10.0, 10.0, 16.0, 20.0])
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: next(now))
    cards = CardHours(1.0, 0.25)
    cards.hear(Event("started", "a"))  # at 0
    cards.hear(Event("started", "a"))  # at 10, in another process
    cards.hear(Event("reported", "a"))
    assert cards.used() == pytest.approx(1.0 + 16 * 0.25 / 3600)
    cards.hear(Event("died", "a"))
    assert cards.used() == pytest.approx(1.0 + 20 * 0.25 / 3600)
