"""Studies with encoders of other libraries: frozen ones, whose vectors are computed once, and fine-tuned ones."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

from core.data import prepared
from core.training import frozen
from core.training.data_cache import load_data
from jobs.execution import dispatch
from jobs.execution.trial import run_trial
from jobs.planning import plan
from jobs.results import reader
from jobs.study import study

STUDY = """study: s
trial:
  data: {name: file, path: images.npz}
  encoder: {name: timm, model: test_resnet, weights: weights.pt, frozen: true}
  method: cc
  epochs: 2
  batch_size: 32
space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}}
seeds: [0, 1]
select: {save_model: true}
"""
OWN = """
from core.training.method import Encoder as Base


class Encoder(Base):
    def __init__(self, sample_shape, *, weights: str | None = None, frozen: bool = False):
        super().__init__()
        self.dim = 1

    def forward(self, samples):
        return samples.mean((1, 2, 3))[:, None]
"""
# A process that gets the vectors of the encoder above, and tells how often it computed some.
PROCESS = """
import sys
from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data import told
from core.training import data_cache, frozen

plugins.allow_named("own.py")
encoder = {"name": "./own.py", "weights": sys.argv[2], "frozen": True}
trial = read_trial({"data": {"name": "file", "path": sys.argv[1]}, "encoder": encoder}, (), Mistakes())
data, computed = data_cache.read(trial.data), []
frozen._BATCH = 2
print("ready", flush=True)
input()
with told.watched(lambda work, done, total: computed.append((work, done, total))):
    frozen.encoded(trial, data, "cpu")
print(len([one for one in computed if one[0] == "computing vectors"]))
"""


@pytest.fixture(scope="module", autouse=True)
def _library():
    """It takes seconds to import, so no process does that but the one that runs this file."""
    globals().update(timm=pytest.importorskip("timm"))


def write_weights(file, seed=0):
    """Random weights, with running statistics of their own."""
    torch.manual_seed(seed)
    model = timm.create_model("test_resnet").train()
    with torch.no_grad():
        model(torch.rand(4, 3, 32, 32))
    torch.save(model.state_dict(), file)
    return model.eval()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """60 images of three colours, and a model with random weights."""
    monkeypatch.chdir(tmp_path)
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 90, (60, 3, 32, 32), dtype=np.uint8)
    images[np.arange(60), labels] += 160
    np.savez(tmp_path / "images.npz", X=images, y=labels)
    write_weights(tmp_path / "weights.pt")
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def computed(monkeypatch):
    """How many samples were given to a frozen encoder, each time that vectors were computed."""
    found, whole = [], frozen.vectors

    def counting(config, samples, device):
        found.append(len(samples))
        return whole(config, samples, device)

    monkeypatch.setattr(frozen, "vectors", counting)
    return found


def kept() -> np.ndarray:
    """The only vectors in the cache."""
    (entry,) = (one for one in prepared.entries(prepared.entries_folder()) if (one / "samples.npy").is_file())
    return np.load(entry / "samples.npy")


def keys(*overrides):
    return {one.trial_key for one in plan.make(study.load("study.yaml", overrides)).trials}


def test_a_study_of_four_trials_computes_the_vectors_once_and_they_are_the_models_own(folder, command, computed):
    code, _, err = command("run", "study.yaml", "--workers", "1")
    assert (code, "all 4 trials are done" in err) == (0, True)
    assert computed == [60]
    assert command("run", "study.yaml", "--workers", "1", "--set", "epochs=1", "--set", "seeds=[7]")[0] == 0
    assert computed == [60]
    model = timm.create_model("test_resnet")
    model.load_state_dict(torch.load("weights.pt", weights_only=True))
    with np.load("images.npz") as file:
        images = torch.from_numpy(file["X"]).float()
    low, high = images.min(), images.max()
    with torch.no_grad():
        normal = ((images - low) / (high - low) - 0.5) / 0.5
        outputs = [model.eval().forward_head(model.forward_features(one), pre_logits=True) for one in normal.split(32)]
    assert np.array_equal(kept(), torch.cat(outputs).numpy())
    assert kept().std() > 1e-3


def test_trials_get_them_standardised_and_mapped(folder):
    trial = plan.make(study.load("study.yaml")).trials[0]
    found = load_data(trial.config, trial.data_hash)
    assert isinstance(found.samples.values, np.memmap)
    samples = found.samples[:]
    assert np.abs(samples.mean(0)).max() < 1e-5
    moving = found.samples.values.std(0) > 0
    np.testing.assert_allclose(samples.std(0)[moving], 1, rtol=1e-4)
    assert found.fingerprint != trial.data_hash
    assert found.labels is not None


def test_of_two_processes_at_once_one_computes(folder):
    """Also with an encoder of one's own, of which only the options `weights` and `frozen` are asked."""
    (folder / "own.py").write_text(OWN)
    begin = [sys.executable, "-c", PROCESS, str(folder / "images.npz"), str(folder / "weights.pt")]
    both = [
        subprocess.Popen(begin, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    found = [one.communicate("\n", timeout=300)[0].strip() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(found) == ["0", "30"]


def test_the_content_of_the_weights_is_part_of_the_key_and_their_place_is_not(folder):
    before = keys()
    (folder / "elsewhere").mkdir()
    (folder / "weights.pt").rename(folder / "elsewhere" / "other.pt")
    moved = ("encoder.weights=elsewhere/other.pt",)
    assert keys(*moved) == before
    time.sleep(0.01)
    write_weights(folder / "elsewhere" / "other.pt", seed=1)
    assert not keys(*moved) & before
    assert not keys("encoder.weights=null", "encoder.frozen=false") & before


def test_other_weights_give_other_vectors_and_rows_that_are_told_apart(folder, command, computed):
    command("run", "study.yaml", "--workers", "1", "--set", "seeds=[0]")
    write_weights(folder / "weights.pt", seed=1)
    _, _, err = command("run", "study.yaml", "--workers", "1", "--set", "seeds=[0]")
    assert "another content of weights.pt" in err
    assert computed == [60, 60]
    rows = reader.read_results(["results"]).to_pylist()
    assert {one["param.encoder.weights"] for one in rows} == {"weights.pt"}
    assert len({one["plug_ins_json"] for one in rows}) == 2
    assert len({one["trial_key"] for one in rows}) == 4


def test_weights_that_change_after_the_plan_are_refused(folder, computed):
    made = plan.make(study.load("study.yaml"))
    order = dispatch.shared(made.study, "results", (), device="cpu") | dispatch._of_trial(made.trials[0])
    write_weights(folder / "weights.pt", seed=1)
    outcome = run_trial(order, lambda _: None)
    assert outcome["status"] == "failed"
    assert "a file of weights was edited after the study was planned" in outcome["reason"]
    assert computed == []


def test_a_model_maps_new_images_as_it_mapped_those_of_the_training(folder, command):
    command("run", "study.yaml", "--workers", "1", "--set", "seeds=[0]", "--set", "learning_rate=0.01")
    (model,) = {one.parent for one in folder.rglob("best_model.json")}
    assert command("embed", model, "images.npz", "--out", "vectors.parquet")[0] == 0
    vectors = np.stack(parquet.read_table("vectors.parquet")["vector"].to_pylist())
    raw = kept()
    spread = np.where(raw.std(0) > 0, raw.std(0), 1)
    # The encoder of the trial hands vectors on: what comes out is the standardised vectors.
    np.testing.assert_allclose(vectors, (raw - raw.mean(0)) / spread, atol=1e-3)
    write_weights(folder / "weights.pt", seed=1)
    code, _, err = command("embed", model, "images.npz", "--out", "vectors.parquet")
    assert (code, "has other weights than those of the training" in err) == (2, True)
    (folder / "weights.pt").unlink()
    code, _, err = command("embed", model, "images.npz", "--out", "vectors.parquet")
    assert (code, "there is no file" in err, len(err.splitlines())) == (2, True, 1)


def test_plan_says_what_it_does_with_the_images(folder, command):
    code, _, err = command("plan", "study.yaml")
    assert code == 0
    assert "encoder test_resnet: pixels in 0..1 are normalised by its mean (0.5, 0.5, 0.5)" in err
    assert "frozen: its 96 numbers of each sample are computed once, by the first trial" in err
    assert "random" not in err
    _, _, err = command("plan", "study.yaml", "--set", "encoder.frozen=false", "--set", "encoder.weights=null")
    assert "encoder test_resnet: its weights are random: name a file of weights by `weights`" in err


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["views=image"], "trial.views: image are not for vectors, and the frozen encoder gives vectors of 96"),
        (["views=affine"], "use auto, noise, tabular or neighbours"),
        (["encoder.weights=null"], "trial.encoder.frozen: random weights must be trained: name a file"),
        (["encoder_learning_rate=0.001"], "encoder_learning_rate: a frozen encoder is not trained: leave it out"),
        (["data.scale=standard"], "timm needs images with pixels in 0..1, and those of images are in -"),
        (["encoder=identity", "encoder_learning_rate=0.001"], "identity has no weights to train"),
        (["encoder.model=test_vit"], "does not hold the weights of test_vit"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(folder, command, overrides, words):
    arguments = [part for one in overrides for part in ("--set", one)]
    code, _, err = command("run", "study.yaml", "--workers", "1", *arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert words in err
    assert not (folder / "results").exists()


def test_the_number_of_clusters_is_estimated_from_the_vectors(folder, command):
    code, _, err = command("run", "study.yaml", "--workers", "1", "--set", "n_clusters=auto", "--set", "seeds=[0]")
    assert (code, "all 2 trials are done" in err) == (0, True)
    assert "is estimated" not in err


FINE = ["encoder.frozen=false", "encoder_learning_rate=1.0e-4", "seeds=[0]", "learning_rate=0.01", "epochs=1"]


def test_a_model_is_fine_tuned_the_same_each_time_and_maps_images_without_its_file(folder, command):
    arguments = [part for one in FINE for part in ("--set", one)]
    for results in ("first", "second"):
        assert command("run", "study.yaml", "--workers", "1", "--results", results, *arguments)[0] == 0
    rows = [reader.read_results([one]).to_pylist()[0] for one in ("first", "second")]
    assert rows[0]["metric.loss"] == rows[1]["metric.loss"]
    assert rows[0]["param.optimiser.encoder_learning_rate"] == 1e-4
    (folder / "weights.pt").unlink()
    model, *_ = {one.parent for one in folder.rglob("best_model.json")}
    assert command("embed", model, "images.npz", "--out", "vectors.parquet")[0] == 0
    assert parquet.read_table("vectors.parquet").num_rows == 60
