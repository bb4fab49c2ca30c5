"""`conclus plan --probe` on real processes: a trial that gets what is proposed lives, one that gets less does not."""

import dataclasses
import sys
from functools import partial

import numpy as np
import pytest

from cluster import memory
from cluster.executor import ClusterError
from core.config import plugins
from core.config.trial import to_mapping
from jobs.planning import estimate, forecast, plan, probe
from jobs.planning.data_check import check_data
from jobs.study import plug_ins, study

# Takes 300 MB whenever it is scored, and 200 MB more towards the end of a trial.
HUNGRY = """import torch
from core.methods.cc import Method as Base

class Method(Base):
    def __init__(self, setting, **options):
        super().__init__(setting)
        self.late = 0.9 * setting.epochs

    def begin_epoch(self, epoch, samples):
        if epoch > self.late:
            self.held = torch.ones(50_000_000)

    def outputs(self, samples):
        spent = torch.ones(75_000_000).sum() * 0
        found = super().outputs(samples)
        return type(found)(found.features + spent, found.probabilities)
"""
STUDY = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: ./hungry.py}
  epochs: 3
space:
  batch_size: {grid: [16, 20]}
  encoder.widths: {choice: [[16, 8], [64, 32], [8, 8]]}
  learning_rate: {grid: [0.001, 0.002]}
seeds: [0, 1]
"""
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted on Linux alone")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(folder / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    (folder / "hungry.py").write_text(HUNGRY)
    (folder / "study.yaml").write_text(STUDY)
    return plan.make(study.load(folder / "study.yaml"))


@pytest.fixture(scope="module")
def found(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "_allowed", set())
        plugins.allow_named(*plug_ins.plug_in_files(made.study))
        return probe.probe(made)


def test_the_largest_has_the_most_parameters_times_batch_size(found):
    assert (found.config.encoder.options["widths"], found.config.batch_size) == ((64, 32), 20)
    assert found.n_considered == 12
    encoder = 5 * 64 + 2 * 64 + 64 * 32 + 2 * 32
    heads = 2 * (32 * 32 + 32) + 32 * 128 + 128 + 32 * 3 + 3
    assert found.n_parameters == encoder + heads


def test_the_peak_has_scoring_and_the_late_stage_in_it(found):
    assert 500e6 < found.memory_bytes < 1.5e9
    assert (found.device, found.gpu_bytes, found.gpu_total) == ("cpu", 0, 0)
    assert found.train_seconds > 0 < found.evaluation_seconds


def order(one, folder, gigabytes):
    """What a worker is told of a trial that gets so much memory."""
    told = {name: getattr(one, name) for name in ("trial_key", "config_key", "seed", "parameters", "data_hash")}
    told |= {"contents": one.plug_ins}
    told |= {"study": "s", "results": str(folder), "code_hash": "", "env": {}, "env_hash": "", "metric": "nmi"}
    told |= {"mode": "max", "checkpoint_share": 1.0, "memory_bytes": int(gigabytes * 1e9)}
    return told | {"trial": to_mapping(one.config)}


def run_all(orders):
    from jobs.execution.trial import run_trial

    return [dict(run_trial(one, lambda _: None)) for one in orders]


def test_what_is_proposed_is_enough_and_a_third_of_it_is_not(made, found, tmp_path):
    largest = next(one for one in made.trials if one.config == found.config)
    proposed = forecast.memory_gb(found.memory_bytes)
    files = plug_ins.plug_in_files(made.study)
    tasks = [order(largest, tmp_path / "enough", proposed), order(largest, tmp_path / "short", proposed / 3)]
    (enough, short), _ = memory.measured(partial(probe._load, plugins.allow_named(*files)), run_all, tasks)
    assert enough["status"] == "ok", enough
    assert (short["status"], short["reason"][:13]) == ("failed", "OUT_OF_MEMORY")


def test_what_is_printed(made, found, monkeypatch):
    seen = dataclasses.replace(found, memory_bytes=10**9, train_seconds=2.0, evaluation_seconds=5.0)
    monkeypatch.setattr(probe, "probe", lambda _: seen)
    monkeypatch.setattr(estimate, "_workers", lambda *_: 2)
    text = estimate.from_probe(made)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "the largest of 12 configurations" in text
    assert "main memory  1.00 GB" in text
    assert "GPU" not in text
    assert "an epoch     3 s: 2 s of training, 5 s of scoring every 5 epochs" in text
    assert "proposed: resources: {cpu: 1, memory_gb: 1.4}" in text
    assert "2 min on this machine: 24 trials, 72 epochs x 3 s / 2 workers" in text


@pytest.mark.parametrize(
    ("held", "words"), [(16, "gpu: 0.25, memory_gb: 1.4}"), (81, "cpu: 1, memory_gb: 1.4}\n  one GPU is too small")]
)
def test_what_is_printed_of_a_card(held, words, made, found, monkeypatch):
    card = {"device": "NVIDIA X", "gpu_bytes": held * 10**9, "gpu_total": 80 * 10**9, "memory_bytes": 10**9}
    monkeypatch.setattr(probe, "probe", lambda _: dataclasses.replace(found, **card))
    monkeypatch.setattr(estimate, "_workers", lambda *_: 16)
    text = estimate.from_probe(made)
    assert words in text
    assert f"GPU memory   {held}.00 GB of 80.0" in text


def test_what_cannot_be_tried_is_one_line(made, command, tmp_path):
    path = made.study.trial["data"]["path"]
    text = f"study: s\ntrial: {{data: {{name: file, path: {path}}}, encoder: convnet}}\n"
    (tmp_path / "study.yaml").write_text(text)
    code, _, err = command("plan", tmp_path / "study.yaml", "--probe")
    assert code == 2
    assert err.startswith("Error: the encoder 'convnet' needs images")
    assert len(err.splitlines()) == 1


def test_cells_that_are_still_to_be_chosen_are_tried_at_their_ends(made):
    search = made.study.search
    searched = dataclasses.replace(made.study, search=dataclasses.replace(search, name="optuna", trials=9))
    cells = probe._cells(plan.make(searched))
    assert {one.config.batch_size for one in cells} == {16, 20}
    assert {one.config.encoder.options["widths"] for one in cells} == {(16, 8), (64, 32), (8, 8)}


def leave(code):
    import os

    os._exit(code)


def test_a_process_that_dies_is_one_sentence():
    with pytest.raises(ClusterError, match=r"died before it was done \(exit code 3\)"):
        memory.measured(int, leave, 3)


def hold(size, seconds):
    import time

    held = bytearray(size)
    time.sleep(seconds)
    return len(held)


def test_what_is_held_is_counted_and_what_was_there_before_is_not():
    returned, most = memory.measured(int, hold, 200_000_000, 0.5)
    assert returned == 200_000_000
    assert 200_000_000 <= most < 260_000_000


PREPARED = """import numpy as np
from pathlib import Path
from core.data.dataset import Dataset
from core.data.prepared import prepared

def load():
    def make():
        with Path(__file__).with_suffix(".log").open("a") as log:
            log.write("made\\n")
        spent = np.ones(50_000_000).sum()
        samples = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
        return Dataset("mine", samples, np.arange(60) % 3, ("a", "b", "c"), "f00d")
    return prepared("f00d", make)

def fingerprint():
    return "f00d"
"""


def test_the_peak_has_the_preparation_of_the_data_in_it_although_they_are_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plugins, "_allowed", set())
    (tmp_path / "mine.py").write_text(PREPARED)
    (tmp_path / "cache" / "conclus" / "objects").mkdir(parents=True)
    (tmp_path / "s.yaml").write_text(
        "study: s\ntrial: {data: {name: ./mine.py}, method: cc, batch_size: 20, encoder: {name: mlp, widths: [8, 8]}}\n"
    )
    read = study.load(tmp_path / "s.yaml")
    plugins.allow_named(*plug_ins.plug_in_files(read))
    made = plan.make(read)
    check_data(made)
    assert 400e6 < probe.probe(made).memory_bytes < 800e6
    assert (tmp_path / "mine.log").read_text().split() == ["made"] * 2  # once for all, and once to measure it
    assert sorted(one.name for one in (tmp_path / "cache" / "conclus").iterdir()) == ["data", "objects"]
