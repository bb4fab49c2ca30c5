"""Trials that ask for a graphics card: with one, and without."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from core.training import device
from jobs.execution import trial
from jobs.results import reader
from tests.jobs.test_trial import history, ignore, payload, row  # noqa: F401 - the fixture

GPU = {"device": "cuda", "gpu": 0.5}
STUDY = """study: s
trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 2, batch_size: 8, encoder: {name: mlp, widths: [4]}}
seeds: [0, 1]
resources: {gpu: 0.25}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A study that asks for a card, on a machine that shows none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    rows = "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "mine.csv").write_text("u,v,label\n" + rows)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_without_a_card_it_is_said_before_anything_starts(folder, command):
    code, _, err = command("run", "study.yaml", "--workers", "1")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "ask for a GPU, but this machine has none" in err
    assert "`conclus run --allow-cpu`" in err
    assert not (folder / "results").exists()
    code, out, err = command("plan", "study.yaml")
    assert (code, "2 missing" in out, "--allow-cpu" in err) == (0, True, True)


def test_allowed_to_it_runs_on_the_cpu_and_the_rows_say_so(folder, command):
    code, _, err = command("run", "study.yaml", "--workers", "1", "--allow-cpu")
    assert (code, "all 2 trials are done" in err) == (0, True)
    table = reader.read_results(["results"])
    assert table["device"].to_pylist() == ["cpu", "cpu"]
    assert table["precision"].to_pylist() == ["f32", "f32"]


def test_plan_foretells_from_the_trials_that_are_done(folder, command):
    assert "to go" not in command("plan", "study.yaml")[1]
    command("run", "study.yaml", "--workers", "1", "--allow-cpu")
    assert "to go" not in command("plan", "study.yaml")[1]
    median = np.median(reader.read_results(["results"])["seconds"].to_pylist())
    out = command("plan", "study.yaml", "--set", "seeds=[0, 1, 2, 3, 4]", "--set", "resources.cpu=1024")[1]
    assert f"3 trials x {median:.3g} s / 1 worker" in out
    assert "median of 2 done trials" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_the_precision_of_a_row_is_what_auto_came_to(payload):  # noqa: F811
    for wanted, came_to in (("auto", "f32"), ("bf16", "bf16")):
        order = payload(wanted, [f"precision={wanted}"])
        trial.run_trial(order, ignore)
        assert (row(order)["precision"], row(order)["param.precision"]) == (came_to, wanted)


def test_a_trial_goes_on_on_another_device_and_stays_marked(payload, monkeypatch):  # noqa: F811
    heard = []

    def stop_after_two(news):
        heard.append(news["epoch"])
        if len(heard) % 2 == 0:
            raise SystemExit

    order = payload()
    with pytest.raises(SystemExit):
        trial.run_trial(order, stop_after_two)
    monkeypatch.setattr(device, "prepare", lambda *_, **__: "NVIDIA X")
    with pytest.raises(SystemExit):
        trial.run_trial(order, stop_after_two)
    trial.run_trial(order, lambda news: heard.append(news["epoch"]))  # no third device: the mark is that of before
    found = row(order)
    assert heard == list(range(1, len(heard) + 1))
    assert found["status"] == "ok"
    assert found["reason"].startswith("RESUMED_ELSEWHERE: trained on cpu (f32), then on NVIDIA X (f32)")
    assert "NVIDIA X (f32), then" not in found["reason"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_card_that_is_full_is_out_of_memory(error, payload, monkeypatch):  # noqa: F811
    def full(*_, **__):
        raise error
        yield

    monkeypatch.setattr(trial, "fit", full)
    outcome = trial.run_trial(payload(), ignore)
    assert (outcome["status"], outcome["reason"][:14]) == ("failed", "OUT_OF_MEMORY:")


# What only a card can show.


@pytest.mark.gpu
def test_a_trial_on_a_card_names_it_and_repeats_itself(payload):  # noqa: F811
    first, second = payload("first", **GPU), payload("second", **GPU)
    for order in (first, second):
        assert trial.run_trial(order, ignore)["status"] == "ok"
        assert row(order)["device"] == torch.cuda.get_device_name()
    assert history(first) == history(second)


@pytest.mark.gpu
def test_a_trial_on_a_card_is_resumed_exactly(payload):  # noqa: F811
    straight, order = payload("straight", **GPU), payload("stopped", **GPU)
    trial.run_trial(straight, ignore)

    def stop(news):
        if news["epoch"] == 3:
            raise SystemExit

    with pytest.raises(SystemExit):
        trial.run_trial(order, stop)
    assert trial.run_trial(order, ignore)["status"] == "ok"
    assert history(order) == history(straight)


@pytest.mark.gpu
def test_a_trial_of_the_cpu_goes_on_on_a_card(payload):  # noqa: F811
    heard = []

    def stop(news):
        heard.append(news["epoch"])
        raise SystemExit

    with pytest.raises(SystemExit):
        trial.run_trial(payload(), stop)
    order = payload(**GPU)
    assert trial.run_trial(order, lambda news: heard.append(news["epoch"]))["status"] == "ok"
    assert heard[:2] == [1, 2]
    assert row(order)["reason"].startswith("RESUMED_ELSEWHERE: trained on cpu (f32), then on ")


@pytest.mark.gpu
def test_auto_is_bf16_for_convolutions_on_a_card_that_has_it(tmp_path, payload):  # noqa: F811
    np.savez(tmp_path / "mine.npz", X=np.random.default_rng(0).random((60, 1, 8, 8), np.float32), y=np.arange(60) % 3)
    order = payload("results", ["encoder=convnet"], **GPU)
    assert trial.run_trial(order, ignore)["status"] == "ok"
    assert row(order)["precision"] == ("bf16" if torch.cuda.get_device_capability() >= (8, 0) else "f32")


@pytest.mark.gpu
def test_a_trial_that_wants_more_than_its_share_fails_alone(payload, monkeypatch):  # noqa: F811
    greedy, order = payload("greedy", **GPU), payload("modest", **GPU)
    total = torch.cuda.get_device_properties(0).total_memory

    def want(config, data, **_):
        yield torch.empty(int(0.6 * total), dtype=torch.uint8, device="cuda")

    with monkeypatch.context() as changed:
        changed.setattr(trial, "fit", want)
        outcome = trial.run_trial(greedy, ignore)
    assert (outcome["status"], outcome["reason"][:14]) == ("failed", "OUT_OF_MEMORY:")
    assert trial.run_trial(order, ignore)["status"] == "ok"


SHARED = """study: s
trial: {data: {name: file, path: mine.npz}, n_clusters: 3, epochs: 30, batch_size: 32, encoder: convnet}
seeds: [0, 1, 2, 3, 4, 5, 6, 7]
resources: {gpu: 0.25}
"""


def conclus(folder, *arguments):
    """A command in a process of its own, as people start it."""
    command = [sys.executable, "-m", "conclus", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def shared(tmp_path):
    """A study of images whose trials take a quarter of a card each."""
    samples = np.random.default_rng(0).random((600, 1, 16, 16), np.float32)
    np.savez(tmp_path / "mine.npz", X=samples, y=np.arange(600) % 3)
    (tmp_path / "study.yaml").write_text(SHARED)
    return tmp_path


@pytest.mark.gpu
@pytest.mark.ray
def test_four_trials_of_a_quarter_share_a_card_at_a_time(shared):
    conclus(shared, "run", "study.yaml")
    rows = sorted(reader.read_results([str(shared / "results")]).to_pylist(), key=lambda one: one["started"])
    assert [one["status"] for one in rows] == ["ok"] * 8
    assert {one["device"] for one in rows} == {torch.cuda.get_device_name()}
    spans = [(one["started"].timestamp(), one["started"].timestamp() + one["seconds"]) for one in rows]
    beside = [sum(begin <= start < end for begin, end in spans) for start, _ in spans]
    assert 2 <= max(beside) <= 4


@pytest.mark.gpu
@pytest.mark.ray
def test_a_card_that_is_hidden_is_not_there(shared, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(AssertionError, match="this machine has none"):
        conclus(shared, "run", "study.yaml")


@pytest.mark.gpu
def test_the_probe_proposes_a_share_of_the_card(shared):
    said = conclus(shared, "plan", "study.yaml", "--probe")
    assert torch.cuda.get_device_name() in said
    assert "GPU memory" in said
    assert "gpu: 0." in said
