# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""A model trained on documents: its plan, its clusters, and vectors of new documents."""

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from pyarrow import parquet

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.source import on_device
from core.datasets import documents
from core.seal import seal_json, unseal_json
from core.training.fit import build, fit, kinds_of
from jobs.models.best import BestModel
from jobs.models.embedding import features
from jobs.results import storage
from tests.core.topical import topical

TRIAL = {
    "data": {"name": "documents", "path": "t.parquet", "test": 0.25, "stop_words": "none"},
    "method": "cc",
    "encoder": {"name": "mlp", "widths": [32]},
    "epochs": 12,
    "batch_size": 60,
}


@pytest.fixture(scope="module")
def texts():
    """Documents of four topics, as texts."""
    corpus = topical(300, 40, 4).corpus
    return [" ".join(f"w{one:02}" for one in row) for row in corpus.sequence.reshape(300, -1).tolist()]


@pytest.fixture
def folder(tmp_path, monkeypatch, texts):
    """A folder with the texts as `t.parquet`, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parquet.write_table(pa.table({"text": texts, "label": [i % 4 for i in range(300)]}), "t.parquet")
    return tmp_path


def saved(folder, trial):
    """The folder of a model that was trained on the texts, their samples, and the method with its documents."""
    mistakes = Mistakes()
    config = read_trial(trial, ("trial",), mistakes)
    assert not mistakes.found
    data = documents.load(**config.data.options)
    *_, last = fit(config, data, seed=0, device="cpu")
    assert config.method.name != "cc" or last.scores.metrics["nmi"] > 0.9
    best = BestModel(storage.at(str(folder / "model")), {"trial_key": "k"})
    best.keep(last.state(), last.epoch, "nmi", last.scores.metrics["nmi"])
    best.write(config, data)
    training = data.part("train")
    method = build(config, on_device(training.samples, torch.device("cpu")), 4, seed=9, **kinds_of(training))
    method.load_state(last.state().method)
    return folder / "model", data.samples[:], method.eval()


@pytest.fixture
def model(folder):
    """The folder of a model of a method for any data."""
    return saved(folder, TRIAL)[0]


def test_new_documents_are_embedded_with_the_words_of_the_training(model, texts, command):
    new = [*texts[:40], "nothing of it", "W00 w01, unknown; w02"]
    parquet.write_table(pa.table({"body": new}), "n.parquet")
    code, out, err = command("embed", model, "n.parquet", "--column", "body", "--out", "v.parquet")
    assert code == 0, err
    assert "40 words matched by name" in out + err
    assert "1 document without a word of the vocabulary left out" in out + err
    found = parquet.read_table("v.parquet").to_pydict()
    assert found["id"] == [*range(40), 41]
    # Each topic is a cluster, and the words of the last document are of the first topic.
    assert len({(one % 4, found["cluster"][one]) for one in range(40)}) == 4
    assert found["cluster"][-1] == found["cluster"][0]


@pytest.mark.parametrize("method", ["nmf", "lda", "prodlda", "bat"])
def test_a_topic_model_embeds_without_the_documents_of_its_training(method, folder, texts, command):
    used = {"encoder"} if method in {"prodlda", "bat"} else {"encoder", "epochs", "batch_size"}
    trial = {key: one for key, one in TRIAL.items() if key not in used} | {"method": method}
    model, samples, trained = saved(folder, trial)
    theta = trained.outputs(torch.from_numpy(samples)).probabilities.detach().numpy()
    # The clusters' map embeds the samples of the training.
    np.testing.assert_allclose(features(storage.at(str(model)), samples), theta, atol=1e-5)
    parquet.write_table(pa.table({"text": texts[:40]}), "n.parquet")
    code, out, err = command("embed", model, "n.parquet", "--out", "v.parquet")
    assert code == 0, out + err
    found = parquet.read_table("v.parquet").to_pydict()
    np.testing.assert_allclose(found["vector"], theta[:40], atol=1e-5)
    assert found["cluster"] == theta[:40].argmax(axis=1).tolist()


def test_a_description_with_other_words_is_refused(model, command):
    file = model / "best_model.json"
    told = unseal_json(file.read_bytes())
    for key, value in (("idf", [1.0] * 39), ("idf", [-1.0] * 40), ("feature_names", ["a"] * 40), ("idf", None)):
        file.write_bytes(seal_json(told | {key: value}))
        code, _, err = command("embed", model, "t.parquet", "--out", "v.parquet")
        assert code == 2
        assert "does not hold its words and their frequencies" in err


def test_the_plan_of_a_study_tells_of_its_documents(tmp_path, monkeypatch, texts, command):
    monkeypatch.chdir(tmp_path)
    parquet.write_table(pa.table({"text": texts, "label": np.arange(300) % 4}), "t.parquet")
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"study": "words", "trial": TRIAL, "seeds": [0]}))
    code, out, err = command("plan", "s.yaml")
    assert code == 0, err
    assert "t: 300 documents × 40 words (w00 … w39), labels: label, 4 classes" in out + err
    assert "30 words a document" in out + err


def test_a_contrast_needs_two_documents_in_a_batch(folder, command):
    trial = {"data": TRIAL["data"], "method": "gc_atm", "epochs": 1, "batch_size": 1}
    (folder / "s.yaml").write_text(yaml.safe_dump({"study": "words", "trial": trial, "seeds": [0]}))
    code, out, err = command("plan", "s.yaml")
    assert code == 2, out
    assert "trial.batch_size: 1 is too small for the method gc-atm" in err
    assert command("plan", "s.yaml", "--set", "trial.method=bat")[0] == 0


def test_words_of_other_libraries_lead_to_those_of_conclus(folder, command):
    trial = {"data": TRIAL["data"], "method": "bat", "epochs": 1}
    (folder / "s.yaml").write_text(yaml.safe_dump({"study": "words", "trial": trial, "seeds": [0]}))
    for key in ("trial.n_topics", "trial.method.n_topics"):
        code, _, err = command("plan", "s.yaml", "--set", f"{key}=5")
        assert (code, "the number of topics is `trial.n_clusters`. Allowed" in err) == (2, True), err
    code, _, err = command("plan", "s.yaml", "--set", "trial.method.temperature=1")
    assert (code, "; gc-atm, propos have it" in err) == (2, True), err
    code, _, err = command("plan", "s.yaml", "--set", "select.metric=coherence")
    assert (code, "of bat on t; did you mean 'npmi'?" in err) == (2, True), err
