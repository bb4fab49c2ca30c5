"""A run that has to leave by a moment: what it starts, what it saves, and its exit code."""

import signal
import time
from datetime import UTC, datetime

import pytest

import conclus
from cluster.executor import Event
from jobs.execution import console, dispatch, driver, trial
from jobs.execution.dispatch import LEAVE_SECONDS, Orders, Pace
from jobs.execution.runner import Summary
from jobs.planning import plan
from jobs.planning.source import TrialList
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from jobs.study import sections
from jobs.study import study as studies
from jobs.study.sections import Budget
from tests.faults.runs import SLOW, Folder, repeated


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert trial  # what takes seconds to import is there before the time runs
    made = Folder(tmp_path)
    made.prepare(SLOW.format(pause=1, epochs=80, seeds=[0, 1]))
    return made


def moment(seconds):
    """An end so long after the moment at which a run leaves at the latest."""
    return datetime.fromtimestamp(time.time() + LEAVE_SECONDS + seconds, UTC).isoformat()


def test_at_its_end_a_run_leaves_what_can_be_resumed_and_the_same_command_goes_on(study, command):
    for seconds in (5, 30, 120):  # On a busy machine there may not be time for an epoch.
        code, _, err = command("run", "study.yaml", "--workers", "1", "--set", f"budget.until={moment(seconds)}")
        if "no trial got through an epoch" not in err and "no time to start a trial" not in err:
            break
    assert code == 3, err
    assert f"until {datetime.now().astimezone():%Y-%m-%d}" in err
    assert "trials that ran are kept resumable" in err
    assert "2 trials are left; go on with: conclus run study.yaml --workers 1 --set budget.until=…\n" in err
    (row,) = study.rows()
    assert row["reason"] == "INTERRUPTED"
    assert 1 <= row["epochs_done"] < 80
    study.mend()
    assert command("run", "study.yaml", "--workers", "1")[0] == 0
    study.check_whole({})
    assert not repeated(study.epochs())


def test_a_trial_that_would_not_get_through_an_epoch_does_not_start(study, command):
    (study.path / "study.yaml").write_text(SLOW.format(pause=0, epochs=1, seeds=[0, 1]))
    first, _ = plan.make(studies.load(study.path / "study.yaml")).trials
    row = Attempt(
        study="s", trial_key=first.trial_key, config_key=first.config_key, seed=0, attempt_id=new_attempt_id(),
        status="ok", epochs_done=1, seconds=600.0, metrics={"nmi": 0.5},
    )  # fmt: skip
    write("results", row)
    code, _, err = command("run", "study.yaml", "--workers", "1", "--set", f"budget.until={moment(300)}")
    assert code == 1
    assert "1 trial did not start: not enough time for an epoch" in err
    assert "1 trial is left, and no trial got through an epoch: the run needs a later moment: conclus run" in err
    assert not study.epochs()


def test_without_any_time_nothing_starts(study, command, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", f"{time.time() + LEAVE_SECONDS - 2:.0f}")
    code, _, err = command("run", "study.yaml", "--workers", "1")
    assert code == 1
    assert "the run needs more time or a larger budget" in err  # no `--set` moves the end of a Slurm job
    assert "no time to start a trial" in err or "2 trials did not start" in err
    assert not study.epochs()


def test_a_moment_that_is_past_is_refused_before_anything_starts(study, command, monkeypatch):
    past = datetime(2026, 1, 2, 10, 0, 7).astimezone()
    given = ("--set", f"budget.until={past.isoformat()}")
    sentence = "budget.until, 2026-01-02 10:00:07, is over: give a later moment, as by --set budget.until=…\n"
    submit = ("submit", "study.yaml", "--address", "http://127.0.0.1:1", "--results", "/shared")
    for arguments in (("run", "study.yaml", "--workers", "1"), submit):
        assert command(*arguments, *given) == (2, "", f"Error: {sentence}")
    assert not (study.path / "results").exists()
    code, out, err = command("plan", "study.yaml", *given)
    assert (code, "2 missing" in out, f"warning: {sentence}" in err) == (0, True, True)
    assert command("run", "study.yaml", "--workers", "1", "--set", "epochs=1")[0] == 0
    assert command("run", "study.yaml", "--workers", "1", "--set", "epochs=1", *given)[0] == 0  # nothing is left
    assert sections.moment(datetime(2026, 1, 2, 10, 0).timestamp()) == "2026-01-02 10:00"  # noqa: DTZ001
    # In a submitted job it is the command of the one who submitted it.
    monkeypatch.setenv(driver.AGAIN, "conclus resume /shared")
    monkeypatch.setenv(driver.SUBMIT_AGAIN, "conclus submit study.yaml")
    assert console.again() == "conclus resume /shared"
    assert console.again(later=True) == "conclus submit study.yaml --set budget.until=…"


@pytest.mark.parametrize("text", ["18:00", "0001-01-01T00:00+14:00"])
def test_until_must_be_a_moment(study, command, text):
    code, _, err = command("run", "study.yaml", "--set", f"budget.until={text}")
    assert code == 2
    assert f"budget.until: '{text}' is wrong: a moment is needed, such as 2026-12-01T18:00 (local time)" in err


def test_the_earlier_end_counts(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1000")
    assert dispatch.end_of(Budget()) == 1000
    assert dispatch.end_of(Budget(until="1970-01-01T00:10:00+00:00")) == 600
    assert dispatch.end_of(Budget(until="1970-01-01T01:00:00+00:00")) == 1000
    monkeypatch.setenv("SLURM_JOB_END_TIME", "")
    assert dispatch.end_of(Budget()) is None
    assert dispatch.end_of(Budget(until="2026-12-01T18:00")) == datetime(2026, 12, 1, 18).timestamp()  # noqa: DTZ001


def test_shorter_trials_start_while_longer_ones_have_no_time_left(study, monkeypatch):
    (study.path / "study.yaml").write_text(
        (study.path / "study.yaml").read_text() + "space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}}\n"
    )
    trials = plan.make(studies.load(study.path / "study.yaml")).trials
    slow, quick = (one.config_key for one in trials if one.seed == 0)
    feed = Orders(TrialList(trials), {}, Budget(until=moment(60)))
    feed.pace = Pace([(slow, 300.0, 3), (slow, 330.0, 3), (quick, 60.0, 3), (quick, None, None)])
    started = [task.key for task in iter(feed.take, None)]
    assert started == [one.trial_key for one in trials if one.config_key == quick]
    assert "2 trials did not start" in feed.limit


def test_the_pace_is_learnt_from_trials_as_they_end():
    pace = Pace()
    assert pace.epoch_seconds("a") == 0
    pace.hear(Event("finished", "1", {"config_key": "a", "seconds": 30.0, "epochs": 3}))
    pace.hear(Event("finished", "2", {"config_key": "a", "seconds": 0.0, "epochs": 0}))  # it failed at once
    pace.hear(Event("finished", "3", {"config_key": "b", "seconds": 90.0, "epochs": 3}))
    assert (pace.epoch_seconds("a"), pace.epoch_seconds("b"), pace.epoch_seconds("c")) == (10, 30, 20)


@pytest.mark.parametrize(
    ("code", "summary"),
    [
        (0, Summary(2, 0, 0)),
        (0, Summary(2, 0, 0, stopped=True, signal=signal.SIGTERM)),
        (1, Summary(1, 1, 0, stopped=True, spent=True, advanced=True)),
        (3, Summary(1, 1, 1, spent=True, advanced=True)),
        (3, Summary(0, 0, 2, stopped=True, signal=signal.SIGTERM)),
        (3, Summary(0, 0, 2, stopped=True, advanced=True, signal=signal.SIGUSR1)),
        (1, Summary(0, 0, 2, stopped=True, signal=signal.SIGUSR1)),  # it would come as early the next time
        (1, Summary(1, 0, 1, spent=True)),
        (130, Summary(1, 0, 1, stopped=True, signal=signal.SIGINT)),
        (1, Summary(0, 3, 1, stopped=True, paused="ERROR")),
        (1, Summary(0, 0, 1, stopped=True, unwritable="full")),
    ],
)
def test_an_exit_code_tells_what_is_left_from_what_failed(code, summary):
    assert summary.exit_code == code


def test_from_python_the_summary_tells_it(study):
    summary = conclus.run(conclus.load_study("study.yaml", ["budget.trials=1", "epochs=1"]), workers=1)
    assert (summary.spent, summary.limit, summary.exit_code) == (True, "the budget is spent", 3)
