"""`conclus watch`: it says what changes, and ends with the study."""

import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.execution import driver
from jobs.health.status import standing
from jobs.live import ends
from jobs.live.following import Following
from jobs.present.status import summary
from jobs.results.layout import RUN_LOCK
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write


def attempt(results, seed, status, nmi=0.5, **more):
    row = Attempt(
        study="s", trial_key=f"t{seed}", config_key="c", seed=seed, attempt_id=new_attempt_id(), status=status,
        started=datetime(2026, 1, 1, 0, seed, tzinfo=UTC), seconds=60.0, epochs_done=3,
        metrics={"nmi": nmi} if status == "ok" else {}, **more,
    )  # fmt: skip
    write(results, row)


@pytest.fixture
def results(tmp_path):
    place = str(tmp_path / "results")
    for seed in (0, 1):
        attempt(place, seed, "ok", 0.5 + 0.1 * seed)
    plan = {"trials": [[f"t{seed}", "c", seed] for seed in range(3)], "select": {"metric": "nmi", "mode": "max"}}
    (tmp_path / "results" / "study=s" / "study.json").write_text(json.dumps(plan))
    return place


def test_it_says_what_changes_and_ends_when_the_study_is_done(results, command, monkeypatch):
    look, looked = Following.look, threading.Event()

    def told(self):
        found = look(self)
        looked.set()
        return found

    def finish():
        assert looked.wait(300)
        attempt(results, 2, "ok", 0.7)

    monkeypatch.setattr(Following, "look", told)

    thread = threading.Thread(target=finish)
    thread.start()
    code, out, _ = command("watch", results, "--every", "0.1")
    thread.join()
    assert code == 0
    first, last = out.splitlines()
    assert first.startswith("s: 2 of 3 trials done, 1 left, best nmi 0.550 -0.464 +0.391 (n=2)")
    assert last.startswith("s: 3 of 3 trials done, best nmi 0.600")


def lock_of(results, host):
    """The lock that a driver of that machine has left."""
    (Path(results) / "study=s" / RUN_LOCK).write_text(f"process 1 on {host}")


@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"], ids=["here", "elsewhere"])
def test_a_study_that_nothing_runs_ends_it_with_what_to_do(results, command, host):
    attempt(results, 2, "running", reason="INTERRUPTED")
    lock_of(results, host)
    code, out, _ = command("watch", results, "--every", "0.1")
    assert code == 3
    runs = "Nothing runs it any more" if host != "elsewhere" else "Nothing seems to run it: no sign of life"
    first, *told = out.splitlines()
    assert first.startswith("s: 2 of 3 trials done, 1 left")
    assert f"s: {runs}" in " ".join(told)
    assert told[-1] == f"  conclus resume {results}"
    assert command("watch", results, "--every", "0.1", "--study", "s")[0] == 3


def test_a_study_that_may_wait_for_machines_is_watched_until_long_after_the_last_news(results, command, monkeypatch):
    attempt(results, 2, "running", reason="INTERRUPTED")
    driver.write(driver.new_job("s", "http://head:8265", results, 1), None)
    followed = Following(Path(results) / "study=s")
    found = followed.look()
    assert ends.is_run(followed, found)
    followed.heard -= ends.UNHEARD_SECONDS
    assert not ends.is_run(followed, found)


def test_failed_trials_end_it_with_1(results, command):
    attempt(results, 2, "failed", reason="DIVERGED")
    code, out, _ = command("watch", results)
    assert code == 1
    assert "2 of 3 trials done, 1 failed" in out


def test_it_tells_how_many_trials_an_hour_end_while_one_runs(results, tmp_path):
    assert standing(tmp_path / "results" / "study=s").per_hour is None
    attempt(results, 2, "running")
    assert standing(tmp_path / "results" / "study=s").per_hour == pytest.approx(60)


def test_what_is_not_there_is_said_in_one_line(results, tmp_path, command):
    code, _, err = command("watch", tmp_path / "nothing")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = command("watch", results, "--study", "t")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["watch", "{}", "--every", "nan"], "nan is not a finite number"),
        (["watch", "{}", "--every", "inf"], "0.1<=x<=86400"),
        (["watch", "{}", "--every", "1e400"], "0.1<=x<=86400"),
        (["watch", "{}", "--every", "1e12"], "0.1<=x<=86400"),
        (["next", "{}", "--margin", "nan"], "nan is not a finite number"),
        (["confirm", "s", "--results", "{}", "--margin", "inf"], "inf is not a finite number"),
        (["confirm", "s", "--results", "{}", "--hours", "nan"], "nan is not a finite number"),
    ],
)
def test_a_number_that_is_not_finite_or_too_long_a_time_is_refused(results, command, words, why):
    code, _, err = command(*(word.format(results) for word in words))
    assert (code, why in " ".join(err.split()), "Traceback" in err) == (2, True, False), err


def test_many_trials_an_hour_are_a_plain_number(results, tmp_path):
    attempt(results, 2, "running")
    found = replace(standing(tmp_path / "results" / "study=s"), per_hour=1234.5, seconds_left=60.0)
    assert "  about 60 s left, 1,234 trials an hour" in summary(found, 80)
