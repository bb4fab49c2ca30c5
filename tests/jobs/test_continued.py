"""A finished study goes on: a trial of more epochs from the state of one of fewer equals one that was never ended."""

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from core.training.state import TrainingState
from jobs.results import reader

TEXT = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: cc}
  encoder: {name: mlp, widths: [16, 8]}
  batch_size: 16
  epochs: 9
  evaluation: {every: 2}
select: {save_state: true, save_assignments: true}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    inputs = rng.normal(size=(3, 5))[labels] * 2 + rng.normal(size=(60, 5))
    np.savez(tmp_path / "mine.npz", X=inputs, y=labels)
    np.savez(tmp_path / "pairs.npz", input=inputs, target=inputs @ rng.normal(size=(5, 3)))
    (tmp_path / "s.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, command):
    """Runs the study in this process, with so many epochs."""

    def run(epochs, *words, results="results", code=0):
        settings = [part for word in (f"epochs={epochs}", *words) for part in ("--set", word)]
        found = command("run", "s.yaml", "--workers", "1", "--results", results, *settings)
        assert found[0] == code, found[2]
        return found[1] + found[2]

    return run


def row(epochs, results="results"):
    table = reader.read_results([results], history=True)
    (found,) = [one for one in table.to_pylist() if one["param.epochs"] == epochs]
    return found


def clusters(found, results="results"):
    return parquet.read_table(
        Path(results, "study=s", "_assignments", f"{found['trial_key']}.{found['attempt_id']}.pq")
    )


def states(results="results"):
    return sorted(Path(results, "study=s", "_states").glob("*"))


OWN = {"attempt_id", "started", "seconds", "own_seconds", "continued_from", "history", "host"}
"""What two rows of the same trial need not have in common."""


def the_same(one, other, results=("results", "straight")):
    # A column that only another row has is None in this one.
    first, second = (
        {name: cell for name, cell in row.items() if name not in OWN and cell is not None} for row in (one, other)
    )
    assert first == second
    first, second = (
        [(step["epoch"], step["metric"], step["value"]) for step in row["history"]] for row in (one, other)
    )
    assert first == second
    if one["cluster_sizes"]:
        assert clusters(one, results[0]).equals(clusters(other, results[1]))


METHODS = {
    "cc": (),
    "sccl": ("method=sccl",),
    "propos": ("method={name: propos, warmup: 0}", "select.metric=kmeans_nmi"),
    "tcl": ("method={name: tcl, boost: 0}",),
    "paired": ("method=paired", "data={name: pairs, path: pairs.npz}", "select.metric=mse", "select.mode=min"),
}


@pytest.mark.parametrize("method", METHODS)
def test_it_equals_an_uninterrupted_trial_bit_for_bit(run, method):
    words = METHODS[method]
    run(13, *words, results="straight")
    # 5 is scored because it is the last epoch alone, 8 also because it is due, and 9 goes on from both.
    for epochs in (5, 8, 13):
        run(epochs, *words)
    for before, after in itertools.pairwise((5, 8, 13)):
        assert row(after)["continued_from"] == f"{row(before)['trial_key']}:{before}"
    the_same(row(13), row(13, "straight"))
    assert row(13, "straight")["continued_from"] == row(5)["continued_from"] == ""
    (state,) = states()
    assert state.name.endswith(".000000013.pt")  # those of fewer epochs are deleted


def test_a_trial_that_keeps_its_state_has_the_same_row_as_one_that_does_not(run):
    run(8)
    run(8, "select.save_state=false", results="plain")
    the_same(row(8), row(8, "plain"), ("results", "plain"))
    assert len(states()) == 1
    assert not states("plain")


def test_early_stopping_counts_on_where_it_was(run):
    early = {"metric": "loss", "mode": "min", "patience": 2}
    words = (*(f"early_stopping.{key}={value}" for key, value in early.items()), "learning_rate=0.05")
    run(40, *words, results="straight")
    end = row(40, "straight")["epochs_done"]
    assert 4 < end < 40
    run(end - 1, *words)
    run(40, *words)
    assert row(40)["continued_from"] == f"{row(end - 1)['trial_key']}:{end - 1}"
    the_same(row(40), row(40, "straight"))
    # The trial that early stopping ended has no state to go on from: of 50 epochs it ends at the same one.
    shutil.rmtree("results/study=s/_states", ignore_errors=True)
    run(50, *words)
    assert (row(50)["continued_from"], row(50)["epochs_done"]) == ("", end)
    assert row(50)["metric.loss"] == row(40)["metric.loss"]


def test_every_configuration_and_seed_goes_on_from_its_own(run):
    several = ("space={learning_rate: {grid: [0.001, 0.01]}}", "seeds=[0, 1]")
    said = run(4, *several)
    assert "states are kept of 4 trials (" in said
    assert "on from epoch" not in said
    assert "Continued" not in said
    said = run(6, *several)
    assert said.count("\n4 trials go on from epoch 4\n") == 1
    sentence = (
        "Continued, so no rivals of the shorter trials that they went on from: 4 trials of 6 epochs from epoch 4."
    )
    assert sentence in " ".join(said.split())
    table = reader.read_results(["results"]).to_pylist()
    found = {(one["param.epochs"], one["param.optimiser.learning_rate"], one["seed"]): one for one in table}
    for rate, seed in itertools.product((0.001, 0.01), (0, 1)):
        assert found[6, rate, seed]["continued_from"] == f"{found[4, rate, seed]['trial_key']}:4"
    assert len(states()) == 4


def test_an_interrupted_one_says_where_it_came_from(run, command, folder):
    run(4)
    run(8, results="straight")
    from core.config.trial import to_mapping
    from jobs.execution import dispatch
    from jobs.execution.trial import run_trial
    from jobs.planning import plan
    from jobs.study import study

    read = study.load(folder / "s.yaml", ["epochs=8"])
    (one,) = plan.make(read).trials
    shared = dispatch.shared(read, "results", (), device="cpu")
    order = {**shared, **dispatch._of_trial(one)}
    assert order["trial"] == to_mapping(one.config)

    def stop(news):
        if news["epoch"] == 6:
            raise SystemExit

    with pytest.raises(SystemExit):
        run_trial(order, stop)
    run(8)
    assert row(8)["continued_from"] == f"{row(4)['trial_key']}:4"
    the_same(row(8), row(8, "straight"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("optimiser.schedule=cosine",), "trial.optimiser.schedule: cosine spreads the learning rate"),
        (("optimiser.warmup=0.1",), "trial.optimiser.warmup is a share of all the epochs"),
        (("method=conclus",), "what the method conclus does in an epoch depends on the number of epochs"),
        (("method=propos",), "trial.method.warmup is a share of all the epochs (0 would do)"),
        (("method=tcl",), "trial.method.boost is a share of all the epochs (0 would do)"),
        (("method=./mine.py",), "mine.py does in an epoch depends on the number of epochs"),
        (("select.save_model=true",), "select.save_state: the model of the best epoch is not kept"),
        (("search={name: random, trials: 4, scheduler: asha}",), "trials that asha stops or changes cannot go on"),
    ],
)
def test_what_depends_on_the_number_of_epochs_is_refused_in_one_line(run, folder, words, said):
    (folder / "mine.py").write_text("from core.methods.cc import Method as Base\nclass Method(Base):\n    pass\n")
    (folder / "s.yaml").write_text(
        TEXT + "space: {learning_rate: {uniform: [0.001, 0.01]}}\n" if "asha" in words[0] else TEXT
    )
    told = run(9, *words, code=2)
    assert told.count("\n") == 1
    assert said in told
    assert not Path("results").exists()


def test_without_save_state_it_begins_with_the_first_epoch(run):
    run(4)
    run(6, "select.save_state=false", "optimiser.schedule=cosine")
    assert row(6)["continued_from"] == ""


def cut(file):
    file.write_bytes(file.read_bytes()[:-50])


def other_code(file):
    state, extra = TrainingState.from_bytes(file.read_bytes())
    file.write_bytes(state.to_bytes(**extra | {"origin": extra["origin"] | {"code_hash": "older"}}))


def a_link(file):
    file.unlink()
    file.symlink_to("/etc/passwd")


def forged(**changes):
    """A state with other parts and a digest that fits."""

    def harm(file):
        state, extra = TrainingState.from_bytes(file.read_bytes())
        file.write_bytes(replace(state, **changes).to_bytes(**extra))

    return harm


def of_another_seed(file):
    state, extra = TrainingState.from_bytes(file.read_bytes())
    file.write_bytes(state.to_bytes(**extra | {"origin": extra["origin"] | {"base": "f" * 16}}))


def a_fifo(file):
    file.unlink()
    os.mkfifo(file)


def endless(file):
    with file.open("r+b") as stream:
        stream.truncate(2**35)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (cut, "digest"),
        (other_code, "other code or data"),
        (of_another_seed, "other parameters, seed or epochs"),
        (forged(epoch=6), "seed or epochs"),
        (forged(epoch=-1), "seed or epochs"),
        (forged(method=[]), "not the state of a trial"),
        (a_link, "digest"),
        (a_fifo, "StorageError"),
        (endless, "StorageError"),
    ],
)
def test_a_state_that_cannot_be_used_costs_only_its_epochs_and_is_told(run, harm, said):
    run(4)
    run(6, results="straight")
    harm(states()[0])
    run(6)
    assert row(6)["continued_from"] == ""
    assert row(6)["reason"].startswith("RESTARTED: the state of fewer epochs could not be used (")
    assert said in row(6)["reason"]
    assert [one["value"] for one in row(6)["history"]] == [one["value"] for one in row(6, "straight")["history"]]


# Two processes that are killed, each with its results; what both import is imported once.
CHILD = """
import os, signal, sys
sys.path.insert(0, ROOT)
import conclus, jobs.execution.trial
from jobs.results import local, storage
whole, through = local.put_through, local._write_through

def put(path, data):
    whole(path, data)
    if path.parent.name == "_states" and WHEN == "after":
        os.kill(os.getpid(), signal.SIGKILL)

def write(path, data):
    if path.parent.name == "_states" and WHEN == "while":
        path.write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    through(path, data)

storage.put_through, local._write_through = put, write
for WHEN in ("while", "after"):
    if (pid := os.fork()) == 0:
        sys.argv = ["conclus", "run", "s.yaml", "--workers", "1", "--results", WHEN, "--set", "epochs=4"]
        conclus.main()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
"""


def test_killed_while_it_writes_a_state_nothing_of_half_of_it_is_read(run, root):
    code = CHILD.replace("ROOT", repr(str(root)))
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    for when in ("while", "after"):
        assert len([one for one in states(when) if one.suffix == ".pt"]) == (when == "after")
        run(6, results=when)
        assert row(6, when)["continued_from"].endswith(":4") == (when == "after")
        assert "RESTARTED" not in row(6, when)["reason"]


def test_strange_names_among_the_states_are_passed_over(run):
    run(4)
    (state,) = states()
    base = state.name.split(".")[0]
    for name in (f"{base}.pt", f"{base}.\u0665.pt", f"{base}.-00000001.pt", f"{base}.0000000055.pt"):
        state.with_name(name).write_bytes(b"?")
    assert "1 trial goes on from epoch 4\n" in run(6)
    assert row(6)["continued_from"].endswith(":4")


def test_a_folder_of_states_that_is_a_link_is_not_written_through(run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    Path("results/study=s").mkdir(parents=True)
    Path("results/study=s/_states").symlink_to(outside)
    run(4)
    assert not list(outside.iterdir())
