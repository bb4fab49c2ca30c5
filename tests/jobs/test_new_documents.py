# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""A model trained on documents: its plan, its clusters, and vectors of new documents."""

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.datasets import documents
from core.seal import seal_json, unseal_json
from core.training.fit import fit
from jobs.models.best import BestModel
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
def model(tmp_path, monkeypatch, texts):
    """The folder of a model that was trained on them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parquet.write_table(pa.table({"text": texts, "label": [i % 4 for i in range(300)]}), "t.parquet")
    mistakes = Mistakes()
    config = read_trial(TRIAL, ("trial",), mistakes)
    assert not mistakes.found
    data = documents.load(**config.data.options)
    *_, last = fit(config, data, seed=0, device="cpu")
    assert last.scores.metrics["nmi"] > 0.9
    best = BestModel(storage.at(str(tmp_path / "model")), {"trial_key": "k"})
    best.keep(last.state(), last.epoch, "nmi", last.scores.metrics["nmi"])
    best.write(config, data)
    return tmp_path / "model"


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
