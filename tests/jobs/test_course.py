"""The epochs of a trial that runs: written as they end, read by whoever looks, gone when the trial is."""

import json
import os
import time

import pytest

from jobs.health.status import standing
from jobs.results import course
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write

PLAN = {"trials": [["t0", "c", 0], ["t1", "c", 1]], "select": {"metric": "nmi", "mode": "max"}, "n_trials": 2}


@pytest.fixture
def results(tmp_path):
    """A study with a trial that has begun an hour ago and has written its row then."""
    (tmp_path / "study=s").mkdir()
    (tmp_path / "study=s" / "study.json").write_text(json.dumps(PLAN))
    return tmp_path


@pytest.fixture
def at_once(monkeypatch):
    """Every epoch is written as it ends."""
    monkeypatch.setattr(course, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(course, "_SHARE", 1e9)


def row(results, **values):
    attempt = Attempt(
        study="s", trial_key="t0", config_key="c", seed=0, attempt_id=new_attempt_id(), status="running",
        params={"epochs": 10}, **values,
    )  # fmt: skip
    path = write(str(results), attempt)
    os.utime(path, (time.time() - 3600,) * 2)
    return attempt


def payload(results, **more):
    return {"results": str(results), "study": "s", "trial_key": "t0"} | more


def told(epoch, **more):
    return {
        "epoch": epoch,
        "epochs": 10,
        "seconds": 2.0 * epoch,
        "loss": 1 / epoch,
        "value": 0.5,
        "scored": True,
    } | more


def test_status_tells_the_last_epoch_of_a_row_that_is_an_hour_old(results, at_once):
    attempt = row(results)
    (before,) = standing(results / "study=s").begun
    assert (before.state, before.epoch, before.seconds_left) == ("silent", 0, None)
    with course.kept(payload(results), "nmi", attempt.attempt_id) as add:
        add(told(1))
        add(told(2, value=0.5, scored=False))
        found = standing(results / "study=s")
        (one,) = found.begun
        assert (one.state, one.epoch, one.seconds, one.loss, one.value) == ("running", 2, 4.0, 0.5, 0.5)
        assert one.seconds_left == pytest.approx(8 * 2.0)
        assert found.seconds_left == pytest.approx(16 + 20)  # itself, and the one that has not begun
        read = course.read(results / "study=s", "t0", attempt.attempt_id)
        assert (read.metric, read.epochs) == ("nmi", 10)
        assert read.done == (course.Epoch(1, 2.0, 1.0, 0.5), course.Epoch(2, 4.0, 0.5, None))
    assert course.read(results / "study=s", "t0", attempt.attempt_id) is None
    assert list((results / "study=s" / "_progress").iterdir()) == []


def test_it_is_written_after_a_pause_and_never_takes_more_than_its_share(results, monkeypatch):
    now, takes = [0.0], 0.25
    monkeypatch.setattr(course.time, "monotonic", lambda: now[0])
    opened = course.storage.open_to_lock

    def slow(*given):
        now[0] += takes
        return opened(*given)

    monkeypatch.setattr(course.storage, "open_to_lock", slow)
    writes = []
    with course.kept(payload(results), "nmi", "A") as add:
        for epoch in range(1, 4001):
            before = now[0]
            add(told(epoch))
            writes += [before] if now[0] > before else []
            now[0] += 0.1
    assert 1.0 <= writes[0] < 1.2  # Shorter trials write nothing.
    assert takes * len(writes) / now[0] < 0.01
    assert len(writes) > 5


def test_what_is_torn_or_not_ours_is_none_and_half_a_line_is_passed_over(results, at_once):
    place = results / "study=s" / "_progress" / "t0.A.jsonl"
    place.parent.mkdir()
    head = '{"metric": "nmi", "epochs": 10}\n'
    place.write_text(f"{head}[1, 2.0, null, 0.5]\n[2, 4.0, nu")
    assert course.read(results / "study=s", "t0", "A").done == (course.Epoch(1, 2.0, None, 0.5),)
    place.write_text(f"{head}[1, 2.0, NaN, Infinity]\n")
    assert course.read(results / "study=s", "t0", "A").done == (course.Epoch(1, 2.0, None, None),)
    for text in ("", "\n", "[]\n", "{}\n", head + "[1, 2]\n", head + '["1", 2, 3, 4]\n', head + "[true, 1, 1, 1]\n",
                 head + "[-1, 2, 3, 4]\n", head + "[1, NaN, 3, 4]\n", "[" * 100_000 + "\n", head + "{}\n"):  # fmt: skip
        place.write_text(text)
        assert course.read(results / "study=s", "t0", "A") is None, text
    place.write_bytes(b"\xff\n")
    assert course.read(results / "study=s", "t0", "A") is None
    (results / "study=s" / "t0.A.jsonl").write_text(f"{head}[1, 2.0, null, 0.5]\n")
    assert course.read(results / "study=s", "../t0", "A") is None


def test_what_a_killed_attempt_left_goes_with_the_next_one(results, at_once):
    left = results / "study=s" / "_progress" / "t0.OLD.jsonl"
    other = results / "study=s" / "_progress" / "t1.OLD.jsonl"
    left.parent.mkdir()
    left.touch()
    other.touch()
    with course.kept(payload(results, again=True), "nmi", "A"):
        assert (left.exists(), other.exists()) == (False, True)


def test_a_folder_that_leads_elsewhere_gets_nothing_and_the_trial_goes_on(results, tmp_path_factory, at_once):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (results / "study=s" / "_progress").symlink_to(elsewhere)
    with course.kept(payload(results), "nmi", "A") as add:
        add(told(1))
        assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "lines",
    [
        ['{"metric": "nmi", "epochs": 3}', f"[1, 1, 1{'0' * 400}, 0.5]"],
        ['{"metric": "nmi", "epochs": Infinity}', "[1, 1.0, 0.5, 0.5]"],
        ['{"metric": "nmi", "epochs": 3}', "[99999999999, 1.0, 0.5, 0.5]"],
    ],
    ids=["a number without end", "epochs without end", "an epoch after the last"],
)
def test_a_file_that_conclus_did_not_write_is_none(results, lines):
    attempt = row(results)
    folder = results / "study=s" / "_progress"
    folder.mkdir()
    (folder / f"t0.{attempt.attempt_id}.jsonl").write_text("\n".join([*lines, ""]))
    assert course.read(results / "study=s", "t0", attempt.attempt_id) is None
    (one,) = standing(results / "study=s").begun
    assert (one.state, one.epoch) == ("silent", 0)
