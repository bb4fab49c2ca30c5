"""`conclus confirm`: it adds seeds to the contenders alone, goes on where it was, and says how it ended."""

import json
import os
import shutil
import signal
import threading
import time

import pytest

from jobs.execution import tasks
from jobs.execution.runner import run
from jobs.planning import confirm
from jobs.results.reader import read_results
from jobs.results.schema import Attempt
from jobs.results.writer import write
from jobs.study import study

STUDY = """study: s
trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 2, batch_size: 8, encoder: {name: mlp, widths: [4]}}
space: {learning_rate: {grid: [1.0e-3, 1.0e-2, 1.0e-1]}}
seeds: [0, 4]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which the study is done."""
    path = tmp_path_factory.mktemp("done")
    rows = "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    (path / "mine.csv").write_text("u,v,label\n" + rows)
    (path / "study.yaml").write_text(STUDY)
    assert run(study.load(path / "study.yaml"), results=str(path / "results"), workers=1).done == 6
    return path


@pytest.fixture
def folder(done, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(shutil.copytree(done, tmp_path / "copy"))
    return tmp_path / "copy"


def seeds():
    found = {}
    for row in read_results("results", columns=["param.optimiser.learning_rate"]).to_pylist():
        found.setdefault(row["config_key"], []).append(row["seed"])
    return found


def confirm_loss(command, *more):
    """The loss differs with every seed, so that it is not decided at once."""
    options = ("--metric", "loss", "--margin", "0", "--workers", "1", "--seeds-at-most", "4", "--top", "2")
    return command("confirm", "results", *options, *more)


def test_the_contenders_alone_get_the_next_unused_seeds_and_an_undecided_end_is_1(folder, command):
    code, out, err = confirm_loss(command)
    assert sorted(map(len, seeds().values())) == [2, 4, 4]
    assert [0, 4, 5, 6] in seeds().values()
    assert "4 trials to run: seeds 5, 6 of 2 contenders" in err
    assert "round 2: 4 seeds, 2 configurations" in out
    assert code == ("Undecided" in out)
    assert "surely" not in out
    assert "On the added seeds alone, which did not choose the contenders: " in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines())
    before = sorted((folder / "results").rglob("*.parquet"))
    again = confirm_loss(command)
    assert again[1] == out
    assert sorted((folder / "results").rglob("*.parquet")) == before


def test_a_seed_whose_training_failed_counts_as_the_worst_and_is_not_run_again(folder, command):
    for number, key in enumerate(seeds()):
        reason = {"status": "failed", "reason": "DIVERGED: the loss is inf"}
        write("results", Attempt(study="s", trial_key=f"k{number}", config_key=key, seed=5, attempt_id="A", **reason))
    _, out, err = confirm_loss(command)
    assert "2 trials to run: seed 6 of 2 contenders" in err
    assert "Training failed in 2 trials: each counts as the worst value." in " ".join(out.split())


def test_the_study_keeps_its_seeds_and_its_plan_gets_the_added_trials(folder, command):
    confirm_loss(command)
    content = json.loads((folder / "results" / "study=s" / "_study.json").read_text())
    assert content["seeds"] == [0, 4]
    assert len(content["trials"]) == 6 + 4
    assert "6 done" in command("plan", "study.yaml")[1]


def test_a_study_file_does_as_well(folder, command):
    from_results = confirm_loss(command)
    code, out, err = command(
        *("confirm", "study.yaml", "--metric", "loss", "--margin", "0", "--workers", "1"),
        *("--seeds-at-most", "4", "--top", "2"),
    )
    assert (code, out) == from_results[:2]
    assert "to run" not in err


def test_ctrl_c_leaves_it_to_be_gone_on_with(folder, command):
    def press():
        while len(list((folder / "results").rglob("*.parquet"))) == 6:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    code, _, err = confirm_loss(command, "--seeds-at-most", "12")
    thread.join()
    assert code == 130
    assert "go on with: conclus confirm results" in err
    kept = len(read_results("results"))
    code, _, _ = confirm_loss(command)
    assert code in {0, 1}
    assert len(read_results("results")) == max(kept, 10)


def test_when_the_hours_are_over_nothing_more_starts(folder, command):
    code, _, err = confirm_loss(command, "--hours", "1e-9")
    assert code == 1
    assert "undecided: the hours of the budget are over; 4 trials of this round left" in err
    assert len(read_results("results")) == 6


def fail(payload, report):
    raise OSError("it burst")


def test_a_round_whose_trials_fail_is_not_taken_for_one(folder, command, monkeypatch):
    monkeypatch.setattr(tasks, "work_here", fail)
    code, _, err = confirm_loss(command)
    assert code == 1
    assert "undecided: the first trials failed alike (OSError: it burst)" in err
    assert "4 trials of this round left; go on with" in err


def test_a_decided_study_runs_nothing(folder, command):
    code, out, _ = command("confirm", "results", "--margin", "1000", "--workers", "1")
    assert code == 0
    assert "As good: the 3 remaining configurations differ from the best by at most" in out
    assert "a difference of 1000 does not matter." in " ".join(out.split())
    assert len(read_results("results")) == 6


@pytest.mark.parametrize(
    ("changes", "options", "told"),
    [
        ((), ["--seeds-at-most", "2"], "the study already has 2 seeds"),
        ((), ["--metric", "consensus"], "the consensus ranks all trials"),
        ((), ["--metric", "nmis"], "did you mean 'nmi'"),
        ((), ["--study", "t"], "There is no study"),
        (["search={name: random, trials: 4, scheduler: pbt}", "space={learning_rate: {log_uniform: [0.001, 0.1]}}"],
         ["--metric", "nmi"], "members of a population change values while they train"),
        (["seeds=[0, 4, 9]"], [], "no configuration is done with every seed"),
    ],
)  # fmt: skip
def test_what_cannot_be_confirmed_is_refused_in_one_line(folder, command, changes, options, told):
    place = "results"
    if changes:
        place = "other.yaml"
        (folder / place).write_text(study.load("study.yaml", changes).whole())
    code, _, err = command("confirm", place, "--workers", "1", *options)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1


def test_configurations_that_lack_a_seed_stay_out(folder, command):
    gone = min((folder / "results").rglob("*.parquet"))
    gone.unlink()
    heat = confirm.Confirmation(study.load("study.yaml"), "results", "nmi", "max", most=4, top=5, margin=0.0).heat()
    assert heat.left_out == ["1 configuration without all seeds of the study: left out"]
    assert len(heat.values) == 2
    assert gone.name.split(".")[0] not in {one.trial_key for one in heat.lacking}


def test_where_all_others_failed_in_training_nothing_is_raced(folder, command):
    found = read_results("results", columns=["param.optimiser.learning_rate"]).to_pylist()
    for file in (folder / "results").rglob("*.parquet"):
        file.unlink()
    for row in found:
        rate = row["param.optimiser.learning_rate"]
        end = {"status": "ok", "metrics": {"nmi": 0.5 + row["seed"] / 100}}
        if rate > 0.001:
            end = {"status": "stopped", "reason": "DIVERGED@1: the loss is not finite"}
        params = {"optimiser.learning_rate": rate}
        keys = {name: row[name] for name in ("study", "trial_key", "config_key", "seed")}
        write("results", Attempt(**keys, attempt_id="B", data_hash="d", params=params, **end))
    code, out, err = command("confirm", "results", "--workers", "1")
    assert code == 0
    assert "2 configurations failed in training with every seed, the worst outcome: no contenders" in err
    assert "Nothing to race: there is no other contender." in out
    assert "The best: learning_rate=0.001: nmi 0.520" in out
    assert "Separated" not in out
    assert command("report", "results", "--out", "r.md")[0] == 0
    report = " ".join((folder / "r.md").read_text().split())
    assert "4 of them failed in training (a rule of health) and count as the worst value" in report
    assert "learning_rate=0.001: nmi 0.520" in report
