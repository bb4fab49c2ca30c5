# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Documents of words: against scikit-learn, in all forms, hostile bags, splits without leaks, and the cache."""

import csv
import hashlib
import io
import json
import os
import pickle
import re
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from scipy import sparse
from sklearn.datasets import _twenty_newsgroups, fetch_20newsgroups
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer, TfidfTransformer, TfidfVectorizer

from core.data import corpus as corpus_module
from core.data import pickles, vocabulary
from core.data.corpus import inverse_frequencies
from core.data.dataset import cache_folder
from core.data.describe import described
from core.data.source import on_device
from core.datasets import documents, file
from core.datasets import text as text_data
from core.errors import UserError
from core.formats import text_sources
from core.training.chosen import are_shares
from core.views import words as words_views
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "data" / "topic"
DRAW = np.random.default_rng(3)
LETTERS = np.array(["".join(one) for one in DRAW.choice(list("abcdefgh"), (60, 4))])
TEXTS = [" ".join(DRAW.choice(LETTERS[:40], DRAW.integers(4, 20))) + ", The and; A." for _ in range(60)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SCIKIT_LEARN_DATA", raising=False)


def table(path, texts=TEXTS, **columns):
    parquet.write_table(pa.table({"text": list(texts), **columns}), path)
    return str(path)


def bag(path, counts, **changed):
    counts = sparse.csr_matrix(np.asarray(counts))
    arrays = {name: getattr(counts, name) for name in ("data", "indices", "indptr")}
    arrays |= {"shape": np.array(counts.shape), "vocab": np.array([f"w{i}" for i in range(counts.shape[1])])}
    np.savez(path, **{name: one for name, one in (arrays | changed).items() if one is not None})
    return str(path)


def rows(data):
    return data.samples[np.arange(data.n_samples)]


def saying(match, **options):
    with pytest.raises(UserError, match=match) as error:
        documents.load(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"min_df": 5},
        {"min_df": 0.1, "max_df": 0.5},
        {"max_df": 12, "stop_words": "none"},
        {"token_pattern": r"[a-d]+", "lowercase": False, "min_df": 1},
    ],
)
def test_words_and_weights_are_those_of_scikit_learn(tmp_path, rules):
    data = documents.load(path=table(tmp_path / "t.parquet"), **rules)
    theirs = {"min_df": 2, "stop_words": "english", **rules}
    theirs["stop_words"] = None if theirs["stop_words"] == "none" else "english"
    counting, weighting = CountVectorizer(**theirs), TfidfVectorizer(norm=None, **theirs)
    counts = counting.fit_transform(TEXTS)[data.ids]
    assert counts.sum() == counting.transform(TEXTS).sum()
    # Inverse frequencies are those of the documents that are there.
    weighting.set_params(vocabulary=counting.vocabulary_, min_df=1, max_df=1.0)
    weights = weighting.fit_transform([TEXTS[one] for one in data.ids]).toarray()
    assert data.feature_names == tuple(counting.get_feature_names_out())
    assert np.array_equal(data.corpus.counts.toarray(), counts.toarray())
    assert np.allclose(rows(data), weights / weights.sum(1, keepdims=True), atol=1e-7)
    assert np.allclose(rows(data).sum(1), 1, atol=1e-6)


def test_the_most_frequent_words_are_kept_and_of_equal_ones_the_first(tmp_path):
    path = table(tmp_path / "t.parquet", ["dd dd cc bb", "dd bb cc aa", "aa ee ee ee", "dd ee bb"])
    assert documents.load(path=path, max_features=3).feature_names == ("bb", "dd", "ee")
    assert documents.load(path=path, max_features=4).feature_names == ("aa", "bb", "dd", "ee")


def test_the_order_of_words_is_kept_with_places_for_those_outside(tmp_path):
    path = table(
        tmp_path / "t.parquet", ["The cat sat, the Cat ran", "alone here", "a rare dog and a cat sat", "Dog: sat!"]
    )
    data = documents.load(path=path)
    assert data.feature_names == ("cat", "dog", "sat")
    assert data.corpus.sequence.tolist() == [-1, 0, 2, -1, 0, -1, -1, 1, -1, 0, 2, 1, 2]
    assert data.corpus.ends.tolist() == [0, 6, 11, 13]
    assert data.ids.tolist() == [0, 2, 3]
    assert "1 document without a word of the vocabulary left out" in data.notes[-1]


@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=6), min_size=1, max_size=8), st.integers(1, 9))
def test_counts_in_blocks_are_counts(texts, at_once):
    words = vocabulary.WordSequence.of([" ".join(one) for one in texts], str.split, known="abcd")
    kept, corpus_module._AT_ONCE = corpus_module._AT_ONCE, at_once
    try:
        counts = vocabulary.counted_words(words.sequence, words.ends, 4).toarray()
        training = np.arange(len(texts)) % 2 == 0
        frequencies, totals = vocabulary.frequencies_of(words, training)
    finally:
        corpus_module._AT_ONCE = kept
    expected = np.array([[one.count(letter) for letter in "abcd"] for one in texts])
    assert np.array_equal(counts, expected)
    assert np.array_equal(frequencies, (expected[training] > 0).sum(0))
    assert np.array_equal(totals, expected[training].sum(0))


def test_texts_a_folder_and_their_bag_are_the_same_documents(tmp_path):
    labels = [f"c{i % 3}" for i in range(60)]
    parts = ["test" if i % 4 == 0 else "train" for i in range(60)]
    data = documents.load(path=table(tmp_path / "t.parquet", label=labels, split=parts), max_features=30)
    assert data.left_out == ()
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["body", "kind", "part"], *zip(TEXTS, labels, parts, strict=True)])
    options = {"text": "body", "labels": "kind", "split_by": "part", "max_features": 30}
    others = [documents.load(path=str(tmp_path / "t.csv"), **options)]
    for place, (text, label, part) in enumerate(zip(TEXTS, labels, parts, strict=True)):
        post = tmp_path / "posts" / f"news-{part}" / label / f"{place:02}"
        post.parent.mkdir(parents=True, exist_ok=True)
        post.write_text(text)
    others.append(documents.load(path=str(tmp_path / "posts"), max_features=30))
    counts = data.corpus.counts
    arrays = {"vocab": np.array(data.feature_names), "label": data.labels, "label_names": np.array(["c0", "c1", "c2"])}
    path = bag(tmp_path / "b.npz", counts.toarray(), split=data.parts // 2, **arrays)
    others.append(documents.load(path=path))
    for other in others:
        # A folder's documents are in the order of its files.
        places = [int(str(one)[-2:]) for one in other.ids] if other.name == "posts" else np.arange(60)
        assert other.feature_names == data.feature_names
        assert np.array_equal(rows(other), rows(data)[places])
        assert np.array_equal(other.corpus.counts.toarray(), counts.toarray()[places])
        assert other.class_names == data.class_names
        assert np.array_equal(other.labels, data.labels[places])
        assert np.array_equal(other.parts, data.parts[places])
    assert others[-1].corpus.sequence is None


@pytest.mark.parametrize("form", ["texts", "bag"])
def test_a_test_document_changes_no_training_row(tmp_path, form):
    split = np.arange(60) % 5 == 4
    if form == "texts":
        changed = [TEXTS[i - 1] * 2 + " other other" if test else TEXTS[i] for i, test in enumerate(split)]
        loaded = [
            documents.load(path=table(tmp_path / f"{i}.parquet", texts, split=split.astype(int)), max_features=25)
            for i, texts in enumerate((TEXTS, changed))
        ]
    else:
        counts = np.random.default_rng(0).integers(0, 3, (60, 12))
        changed = np.where(split[:, None], counts[::-1] * 5, counts)
        loaded = [
            documents.load(path=bag(tmp_path / f"{i}.npz", one, split=split.astype(int)), min_df=2, max_features=9)
            for i, one in enumerate((counts, changed))
        ]
    first, second = loaded
    assert first.fingerprint != second.fingerprint
    assert first.feature_names == second.feature_names
    assert np.array_equal(rows(first.part("train")), rows(second.part("train")))
    assert not np.array_equal(rows(first.part("test")), rows(second.part("test")))


def test_a_drawn_part_depends_on_its_seed_alone(tmp_path):
    path = table(tmp_path / "t.parquet")
    first, again, other = (documents.load(path=path, test=0.4, split_seed=seed) for seed in (0, 0, 1))
    assert first.held_parts == ("train", "test")
    assert (first.parts == 2).sum() == 24
    assert np.array_equal(first.parts, again.parts)
    assert not np.array_equal(first.parts, other.parts)
    assert documents.load(path=path).parts is None
    saying("`test: 1` leaves no document to train on", path=path, test=1.0)


def test_every_option_but_paths_is_part_of_the_fingerprint(tmp_path):
    path = table(tmp_path / "t.parquet", split=np.arange(60) % 2)
    (tmp_path / "stop.txt").write_text("aaaa\n")
    table(tmp_path / "r.parquet", TEXTS[:9])
    options = [
        {},
        {"min_df": 1},
        {"min_df": 1.0},
        {"max_df": 0.9},
        {"max_features": 9},
        {"min_words": 2},
        {"stop_words": "none"},
        {"stop_words": str(tmp_path / "stop.txt")},
        {"token_pattern": "[a-z]+"},
        {"lowercase": False},
        {"analyzer": "char"},
        {"split_by": "none"},
        {"split_by": "none", "test": 0.1},
        {"labels": "none"},
        {"sublinear_tf": True},
        {"reference": str(tmp_path / "r.parquet")},
    ]
    found = [documents.fingerprint(path=path, **one) for one in options]
    assert len(set(found)) == len(found)
    (tmp_path / "moved").mkdir()
    (tmp_path / "t.parquet").rename(tmp_path / "moved" / "u.parquet")
    assert documents.fingerprint(path=str(tmp_path / "moved" / "u.parquet")) == found[0]
    (tmp_path / "stop.txt").write_text("bbbb\n")
    table(tmp_path / "r.parquet", TEXTS[:8])
    moved = str(tmp_path / "moved" / "u.parquet")
    assert documents.fingerprint(path=moved, stop_words=str(tmp_path / "stop.txt")) != found[7]
    assert documents.fingerprint(path=moved, reference=str(tmp_path / "r.parquet")) != found[-1]


def test_your_own_stop_words(tmp_path):
    (tmp_path / "stop.txt").write_text("\ufeffcat\n\n dog \n", encoding="utf-8")
    path = table(tmp_path / "t.parquet", ["the cat sat on a mat", "the dog sat on a mat mat"])
    data = documents.load(path=path, stop_words=str(tmp_path / "stop.txt"))
    assert data.feature_names == ("mat", "on", "sat", "the")
    assert "without 2 stop words" in data.notes[1]
    (tmp_path / "stop.txt").write_bytes(b"\xff\xfe\x00")
    saying("stop words cannot be read", path=path, stop_words=str(tmp_path / "stop.txt"))
    saying("no such file", path=path, stop_words="german")


@pytest.mark.parametrize("form", ["texts", "bag"])
def test_a_reference_is_counted_over_the_same_words(tmp_path, form):
    path = table(tmp_path / "t.parquet", ["cat sat mat", "cat mat dog", "dog sat cow", "cow cat"])
    if form == "texts":
        reference = table(tmp_path / "r.parquet", ["new cat, Sat", "nothing here", "sat sat cow"])
    else:
        counts = [[1, 1, 7, 0], [0, 0, 1, 0], [0, 2, 0, 1]]
        reference = bag(tmp_path / "r.npz", counts, vocab=np.array(["cat", "sat", "new", "cow"]))
    data = documents.load(path=path, reference=reference)
    assert data.feature_names == ("cat", "cow", "dog", "mat", "sat")
    assert data.reference.counts.toarray().tolist() == [[1, 0, 0, 0, 1], [0] * 5, [0, 1, 0, 0, 2]]
    assert data.notes[-1] == "coherence is counted in r (3 documents), in which 2 of the 5 words do not occur"
    if form == "texts":
        assert data.reference.sequence.tolist() == [-1, 0, 4, -1, -1, 4, 4, 1]
    assert len(data.part("train").reference) == 3


def test_what_is_kept_in_the_cache_is_what_was_read(tmp_path, monkeypatch):
    monkeypatch.setattr("core.datasets._documents._SMALL_TEXTS", 10)
    reference = table(tmp_path / "r.parquet", TEXTS[:9])
    path = table(tmp_path / "t.parquet", [*TEXTS, "rare"], label=[i % 3 for i in range(61)])
    fresh, kept = (documents.load(path=path, test=0.2, reference=reference) for _ in range(2))
    again = documents.load(path=path, test=0.2, reference=reference)
    entry = cache_folder() / "data" / again.fingerprint
    files = {one.name for one in entry.iterdir()}
    assert {"corpus.data.npy", "reference.indices.npy", "corpus.sequence.npy"} <= files
    assert "corpus.indices.npy" not in files
    assert np.shares_memory(again.corpus.values.indices, again.samples.values.indices)
    monkeypatch.setattr("core.datasets._documents._SMALL_TEXTS", 1 << 30)
    read = documents.load(path=path, test=0.2, reference=reference)
    for name in ("feature_names", "class_names", "notes", "left_out", "fingerprint", "name", "label_name"):
        assert getattr(fresh, name) == getattr(kept, name) == getattr(read, name)
    for one in (fresh, kept):
        assert np.array_equal(rows(one), rows(read))
        for name in ("labels", "parts", "ids"):
            assert np.array_equal(getattr(one, name), getattr(read, name))
        for role, corpus in read.documents():
            other = getattr(one, role)
            assert other.name == corpus.name
            assert (other.counts != corpus.counts).nnz == 0
            assert np.array_equal(other.sequence, corpus.sequence)
            assert np.array_equal(other.ends, corpus.ends)


GRID = np.array([[2, 1, 0], [0, 1, 1], [1, 0, 3], [0, 0, 1]])
HOSTILE = {
    "a place too large": (
        {"indices": [0, 1, 1, 2, 0, 2, 3]},
        "`indices` holds 3, but the places of 3 words are 0 to 2",
    ),
    "a place below 0": ({"indices": [0, 1, 1, 2, 0, 2, -1]}, "`indices` holds -1"),
    "places that are no whole numbers": ({"indices": np.zeros(7)}, "`indices` is of type float64"),
    "ends that fall": ({"indptr": [0, 4, 2, 6, 7]}, "`indptr` must rise from 0 to the 7 numbers"),
    "ends beyond": ({"indptr": [0, 2, 4, 6, 9]}, "`indptr` must rise from 0 to the 7 numbers"),
    "ends that are huge": ({"indptr": np.array([0, 2, 4, 6, 2**63], np.uint64)}, "`indptr` must rise"),
    "too few ends": ({"indptr": [0, 2, 7]}, "for 4 documents it must be 5"),
    "fewer counts": ({"data": [1, 2]}, "`indices` 7 and `data` 2"),
    "a count below 0": ({"data": [1, 1, -1, 1, 1, 1, 1]}, "number 3 of `data` is -1"),
    "NaN": ({"data": [1, 1, np.nan, 1, 1, 1, 1]}, "number 3 of `data` is nan"),
    "infinity": ({"data": [1, 1, np.inf, 1, 1, 1, 1]}, "number 3 of `data` is inf"),
    "weights": ({"data": np.full(7, 0.5)}, "weights such as TF-IDF are made from the counts here"),
    "texts for counts": ({"data": np.full(7, "1")}, "`data` is of type <U1"),
    "too large a count": ({"data": [1, 1, 2**40, 1, 1, 1, 1]}, "number 3 of `data` is 1099511627776"),
    "too large a sum": ({"data": [2**31 - 1] * 7, "indices": [0, 0, 1, 2, 0, 2, 2]}, "4,294,967,294 is too large"),
    "a huge shape": ({"shape": [4, 2**40]}, "`shape` is .*it must be the numbers of documents and words"),
    "a shape of three": ({"shape": [4, 3, 1]}, "it must be the numbers of documents and words"),
    "a matrix for a row": ({"indices": np.zeros((7, 1), int)}, r"`indices` has the shape \(7, 1\)"),
    "words that are equal": ({"vocab": ["a", "b", "a"]}, "`vocab` holds 'a' twice"),
    "an empty word": ({"vocab": ["a", "", "c"]}, "word 2 of `vocab` is empty"),
    "too few words": ({"vocab": ["a", "b"]}, "`vocab` has 2 words for the 3 columns"),
    "words that are numbers": ({"vocab": [1, 2, 3]}, "`vocab` is of type int64"),
    "pickled words": ({"vocab": np.array(["a", "b", "c"], object)}, "`vocab` holds pickled Python objects"),
    "pickled counts": ({"data": np.array([1] * 7, object)}, "pickled Python objects"),
    "no words": ({"vocab": None}, "it lacks vocab: a bag of words holds"),
    "a split of another length": ({"split": [0, 1]}, r"`split` has the shape \(2,\), but it must be \(4,\)"),
    "a strange split": ({"split": ["train", "left", "train", "test"]}, "'left' is not a part of a split"),
    "nothing to train on": ({"split": [1, 1, 1, 1]}, "the split has no part to train on"),
    "one document to train on": ({"split": [0, 1, 1, 1]}, "1 training document are left"),
    "half of a letter in a word": (
        {"vocab": ["a", "b", "c\ud800"]},
        r"word 3 of `vocab`, 'c\\ud800', is no valid text",
    ),
    "half of a letter in a label": ({"label": ["a", "b\ud800", "a", "a"]}, r"label 2, 'b\\ud800', is no valid text"),
    "half of a letter in the name of a class": (
        {"label": [0, 1, 0, 1], "label_names": ["\udc80", "b"]},
        r"name 1 of `label_names`, '\\udc80', is no valid text",
    ),
    "labels of another length": ({"label": [0, 1]}, r"`label` has the shape \(2,\)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bags_are_refused_in_one_line(tmp_path, name):
    changed, said = HOSTILE[name]
    changed = {key: one if one is None else np.asarray(one) for key, one in changed.items()}
    saying(said, path=bag(tmp_path / "b.npz", GRID, **changed))


def test_a_bag_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "b.npz"
    counts = sparse.csr_matrix(GRID)
    zeros = np.zeros(30_000_000, np.uint8)
    np.savez_compressed(
        path, data=zeros, indices=zeros, indptr=counts.indptr, shape=np.array(counts.shape), vocab=np.array(["a"])
    )
    saying("would become 60,000,.* bytes of arrays", path=str(path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_bag_that_is_cut_short_is_refused(tmp_path, share):
    path = tmp_path / "b.npz"
    bag(path, GRID)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    saying("it cannot be read as .npz", path=str(path))


def test_counts_that_are_there_twice_are_added_and_zeros_left_out(tmp_path):
    counts = {"data": [1, 2, 0, 1, 1.0], "indices": [1, 1, 0, 0, 2], "indptr": [0, 3, 5]}
    path = bag(tmp_path / "b.npz", GRID[:2], **{name: np.asarray(one) for name, one in counts.items()})
    data = documents.load(path=path)
    assert data.corpus.counts.toarray().tolist() == [[0, 3, 0], [1, 0, 1]]
    assert data.corpus.counts.has_sorted_indices
    assert data.corpus.counts.nnz == 3
    assert data.notes[0] == "1 count of a word that its document had already, added up"


def test_counts_of_a_small_type_are_counts(tmp_path):
    path = bag(tmp_path / "b.npz", GRID, data=np.array([2, 1, 1, 1, 1, 3, 1], np.float16))
    assert documents.load(path=path).corpus.counts.toarray().tolist() == GRID.tolist()


def test_rules_for_the_words_of_a_bag(tmp_path):
    path = bag(tmp_path / "b.npz", [[2, 1, 0, 1], [0, 1, 1, 1], [1, 0, 3, 1], [0, 0, 1, 1]])
    assert documents.load(path=path, max_df=0.75).feature_names == ("w0", "w1", "w2")
    assert documents.load(path=path, min_df=3).feature_names == ("w2", "w3")
    found = documents.load(path=path, max_features=2, min_words=2)
    assert found.feature_names == ("w2", "w3")
    assert found.ids.tolist() == [1, 2, 3]
    assert "1 document with fewer than 2 words of the vocabulary left out" in found.notes[-1]
    options = {"stop_words": "english", "token_pattern": "a", "lowercase": False, "analyzer": "char", "text": "t"}
    for name, value in options.items():
        saying(f"`{name}` is for .*a ready bag of words has its words already", path=path, **{name: value})
    saying("`remove` is for `path: 20newsgroups`", path=path, remove=("headers",))
    saying("only 1 word and", path=path, max_df=2, min_df=2, max_features=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": "body"}, "`text` must name one of its columns, and none is 'body'"),
        ({"split_by": "part"}, "`split_by: part` names none of its other columns: it has none"),
        ({"labels": "kind"}, "`labels: kind`"),
        (
            {"min_df": 1.0},
            "`min_df: 1.0` keeps only words that are in all training documents: for one document, write 1",
        ),
        ({"max_df": 1}, "`max_df: 1` keeps only words of a single training document: for all documents, write 1.0"),
        ({"min_df": 100}, "only 0 words and 0 training documents are left"),
        ({"token_pattern": "("}, "is not a regular expression"),
        ({"token_pattern": "(a)(b)"}, "has 2 groups"),
        ({"analyzer": "char", "token_pattern": "a"}, "`analyzer: char` splits texts in its own way"),
        ({"analyzer": "words"}, "'words' is unknown"),
        ({"remove": ("headers",)}, "`remove` is for `path: 20newsgroups`"),
        ({"reference": "s3://a/b.parquet"}, "only `path` may be the address"),
        ({"reference": "nowhere"}, "no such file or folder"),
    ],
)
def test_what_does_not_fit_texts_is_said(tmp_path, options, said):
    saying(said, path=table(tmp_path / "t.parquet"), **options)


def test_a_reference_without_a_common_word_is_refused(tmp_path):
    saying(
        "none of its documents, the `reference`, has a word",
        path=table(tmp_path / "t.parquet"),
        reference=table(tmp_path / "r.parquet", ["xx yy", "zz"]),
    )


def test_texts_without_spaces_need_an_analyzer(tmp_path):
    texts = ["我们今天去北京看长城天气很好", "天气很好我们去公园散步看花", "今天公园里的花很好看人很多"]
    path = table(tmp_path / "t.parquet", texts)
    saying("data.analyzer: 100% of the texts are one word each", path=path)
    data = documents.load(path=path, analyzer="char")
    assert "我们" in data.feature_names
    assert data.corpus.sequence is None
    pytest.importorskip("jieba")
    cut = documents.load(path=path, analyzer="chinese")
    assert {"公园", "今天"} <= set(cut.feature_names)
    assert cut.corpus.sequence is not None


def test_a_folder_of_odd_files(tmp_path):
    folder = tmp_path / "posts"
    (folder / "a" / ".hidden").mkdir(parents=True)
    (folder / "a" / ".hidden" / "x.txt").write_text("cat dog")
    (folder / "a" / "1.txt").write_bytes("caf\xe9 cat dog".encode("latin-1"))
    (folder / "a" / "2.TXT").write_text("\ufeffcat dog dog", encoding="utf-8")
    (folder / "notes.md").write_text("cat")
    (folder / "3.txt").write_text("dog caf\xe9", encoding="utf-8")
    data = documents.load(path=str(folder))
    assert data.ids.tolist() == ["3.txt", "a/1.txt", "a/2.TXT"]
    assert data.feature_names == ("caf\xe9", "cat", "dog")
    assert data.labels is None
    saying("`labels: kind` is for a table", path=str(folder), labels="kind")
    with pytest.raises(UserError, match=r"\.txt files are read by `name: documents`"):
        file.load(path=str(folder))
    saying("`text` is for a table of texts", path=str(folder), text="body")
    (tmp_path / "empty").mkdir()
    saying("there is no .txt file in this folder", path=str(tmp_path / "empty"))


def test_empty_texts_are_left_out_and_told_alike_of_a_table_and_of_a_folder(tmp_path):
    texts = ["cat dog", "", "dog cat cat", " \n", "cat cow dog", "cow"]
    labels = ["a", "a", "b", "", "b", "a"]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    columns = {"text": [one or None for one in texts], "label": [one or None for one in labels]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    (tmp_path / "folder").mkdir()
    for place, text in enumerate(texts):
        (tmp_path / "folder" / f"{place}.txt").write_text(text, encoding="utf-8")
    csv_file, parquet_file, folder = (documents.load(path=str(tmp_path / f)) for f in ("t.csv", "t.parquet", "folder"))
    for data in (csv_file, parquet_file, folder):
        assert rows(data).tolist() == rows(folder).tolist()
        assert "2 documents without a word of the vocabulary left out" in " ".join(data.notes)
    assert csv_file.ids.tolist() == parquet_file.ids.tolist() == [0, 2, 4, 5]
    assert csv_file.labels.tolist() == parquet_file.labels.tolist() == [0, 1, 1, 0]
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        with pytest.raises(UserError, match=r"the text of row 2 .* is missing, 2 in all"):
            text_data.load(path=str(path))


def test_what_may_be_documents_is_told_where_it_is_read_as_numbers(tmp_path, command):
    path = bag(tmp_path / "b.npz", np.tile(GRID, (20, 1)), label=np.arange(80) % 2)
    code, out, err = command("data", path)
    assert code == 0, err
    assert "name: documents, path" in out + err
    plain = tmp_path / "plain.npz"
    np.savez(plain, counts=np.tile(GRID, (20, 1)), label=np.arange(80) % 2)
    code, out, err = command("data", plain)
    assert code == 0, err
    assert "name: documents" not in out + err
    code, _, err = command("data", bag(tmp_path / "long.npz", np.eye(30, 20)))
    assert (code, "`layout: nf`" in err, "name: documents, path" in err) == (2, True, True)
    code, _, err = command("data", table(tmp_path / "t.parquet"))
    assert (code, "{name: documents, text: text}" in err) == (2, True)


def test_names_of_files_and_folders_that_are_no_text_are_shown_with_escapes(tmp_path):
    for name in (b"a\xff", b"b"):
        (tmp_path / "posts" / os.fsdecode(name)).mkdir(parents=True)
        (tmp_path / "posts" / os.fsdecode(name) / "1.txt").write_text("cat dog")
        (tmp_path / "posts" / os.fsdecode(name) / "2.txt").write_text("cat cow")
    data = documents.load(path=str(tmp_path / "posts"))
    assert data.class_names == (r"a\xff", "b")
    assert data.ids.tolist() == [r"a\xff/1.txt", r"a\xff/2.txt", "b/1.txt", "b/2.txt"]


def test_hostile_words_are_shown_as_they_are(tmp_path, command):
    path = bag(tmp_path / "b.npz", GRID, vocab=np.array(["\x1b[31mred", "new\nline", "=cmd"]))
    code, out, err = command("data", path, "--set=name=documents", "--head")
    assert code == 0, err
    assert "\x1b" not in out
    assert r"\x1b[31mred" in out


@pytest.fixture
def newsgroups(tmp_path, monkeypatch):
    """The file of scikit-learn's 20 Newsgroups, written by scikit-learn itself, of an archive with ten posts."""
    names, archive, home = ["rec.autos", "sci.space"], tmp_path / "posts.tar.gz", tmp_path / "home"
    with tarfile.open(archive, "w:gz") as packed:
        for part, times in (("train", 6), ("test", 4)):
            for i in range(times):
                text = f"From: J\xe9r\xf4me\nSubject: {names[i % 2]}\n\nword{i % 3} moon car".encode("latin1")
                post = tarfile.TarInfo(f"20news-bydate-{part}/{names[i % 2]}/{i}")
                post.size = len(text)
                packed.addfile(post, io.BytesIO(text))
    hashed = hashlib.sha256(archive.read_bytes()).hexdigest()
    # The address of the real archive is the only thing that is another.
    here = _twenty_newsgroups.ARCHIVE._replace(url=archive.as_uri(), checksum=hashed)
    monkeypatch.setattr(_twenty_newsgroups, "ARCHIVE", here)
    fetch_20newsgroups(data_home=home)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(home))
    return home / "20news-bydate_py3.pkz"


def test_twenty_newsgroups_are_read_where_they_are(newsgroups):
    data = documents.load(path="20newsgroups")
    assert data.feature_names == (
        *("autos", "car", "jérôme", "moon", "rec", "sci"),
        *("space", "subject", "word0", "word1", "word2"),
    )
    assert data.parts.tolist() == [0] * 6 + [2] * 4
    assert data.class_names == ("rec.autos", "sci.space")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):  # The default one grows with Python.
        held = pickle.loads(zlib.decompress(newsgroups.read_bytes()))
        newsgroups.write_bytes(zlib.compress(pickle.dumps(held, protocol)))
        assert documents.load(path="20newsgroups").feature_names == data.feature_names
    bare = documents.load(path="20newsgroups", remove=("headers",), labels="none", split_by="none")
    assert bare.feature_names == ("car", "moon", "word0", "word1", "word2")
    assert (bare.labels, bare.parts) == (None, None)
    saying("`remove` names 'signatures'", path="20newsgroups", remove=("signatures",))
    newsgroups.write_bytes(b"broken")
    saying("scikit-learn cannot read it", path="20newsgroups")
    newsgroups.unlink()
    saying("is not on this machine, and conclus downloads nothing", path="20newsgroups")
    assert not newsgroups.exists()


NESTED = b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s."
# An array of objects at an address that the file names.
POINTER = (
    b"\x80\x03c_codecs\nencode\ncnumpy\nndarray\n(K\x01\x85cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R"
    b"C\x08AAAAAAAAtRX\x06\x00\x00\x00latin1\x86R."
)
LISTS = b"\x80\x02c_codecs\nencode\n](" + b"]q\x00h\x00h\x00" * 3 + b"eX\x06\x00\x00\x00latin1\x86R."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cposix\nmkdir\n(Vran\ntR.", "it asks for posix.mkdir, which is never run"),
        (NESTED, "it has more than 1,000 tuples"),
        (LISTS, "it encodes what is no text"),
        (POINTER, "it encodes what is no text"),
        (b"N" * 70_000, "it has more than 1,000 tuples, or 60,000 steps"),
        (b"N" * 90_000, "it holds more than 0 MiB"),
    ],
    ids=["runs", "nested", "lists", "a pointer", "long", "large"],
)
def test_a_hostile_file_of_twenty_newsgroups_is_refused(newsgroups, monkeypatch, content, told):
    monkeypatch.setattr(text_sources, "_UNPACKED", 80_000 if content[:1] == b"N" else 1 << 20)
    monkeypatch.setattr(pickles, "_STEPS", 60_000)
    newsgroups.write_bytes(zlib.compress(content, 1))
    saying(told, path="20newsgroups")
    assert not Path("ran").exists()


def test_a_study_of_twenty_newsgroups_runs(newsgroups, command):
    trial = {"data": {"name": "documents", "path": "20newsgroups", "remove": ["headers"]}, "method": "nmf"}
    study = {"study": "posts", "trial": {**trial, "n_clusters": 2}, "seeds": [0], "select": {"metric": "mean5.npmi"}}
    Path("s.yaml").write_text(json.dumps(study))
    code, _, err = command("run", "s.yaml", "--workers", "1")
    assert (code, "1 trial is done" in err) == (0, True), err
    assert "6 training documents of 20newsgroups" in command("topics")[1]


def test_new_documents_become_rows_over_the_words_of_the_training(tmp_path):
    path = table(tmp_path / "t.parquet", split=np.arange(60) % 3 // 2)
    data = documents.load(path=path, max_features=30)
    idf = inverse_frequencies(data.part("train").corpus.counts)
    new = documents.samples_of(table(tmp_path / "n.parquet", [*TEXTS, "nothing"]), data.feature_names, idf.tolist())
    assert np.array_equal(rows(new), rows(data))
    assert new.ids.tolist() == list(range(60))
    assert new.notes == ("1 document without a word of the vocabulary left out",)
    with pytest.raises(UserError, match="none of its documents has a word of the vocabulary"):
        documents.samples_of(table(tmp_path / "n.parquet", ["xx", "yy"]), data.feature_names, idf.tolist())


def test_views_of_documents_leave_out_words():
    counts = sparse.csr_matrix(np.random.default_rng(0).integers(0, 3, (64, 50)))
    samples = on_device(documents.simplex(counts, None), words_views.torch.device("cpu"))
    assert are_shares(samples.stored)
    halves = samples.stored.scaling.factor / 2
    assert not are_shares(replace(samples.stored, scaling=replace(samples.stored.scaling, factor=halves)))
    batch = type("Drawn", (), {"samples": samples[slice(0, 64)], "views": words_views.torch.Generator().manual_seed(0)})
    views = words_views.Views((50,), dropout=0.4)
    for view, share in ((views(batch), 0.4), (views.weak(batch), 1 - 0.6**0.5), (views.strong(batch), 0.64)):
        assert words_views.torch.allclose(view.sum(1), words_views.torch.ones(64))
        left = 1 - float((view > 0).sum() / (batch.samples > 0).sum())
        assert abs(left - share) < 0.05
        assert not ((view > 0) & (batch.samples == 0)).any()
    whole = words_views.Views((50,), dropout=1.0)(batch)
    assert words_views.torch.equal(whole, batch.samples)


def test_documents_are_told_as_documents(tmp_path):
    data = documents.load(path=table(tmp_path / "t.parquet"))
    said = rf"t: 60 documents × {len(data.feature_names)} words \(\w+ … \w+\), no labels"
    assert re.fullmatch(said, described(data))
    assert data.notes[1].startswith(f"{len(data.feature_names)} of ")
    assert f"without {len(ENGLISH_STOP_WORDS)} stop words" in data.notes[1]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data of topics is not here")
def test_real_bags_of_20_newsgroups():
    data = documents.load(path=str(SHARED / "ng20_clean_like1883.npz"))
    assert (data.n_samples, len(data.feature_names), data.n_classes) == (18845, 1883, 20)
    assert [len(data.part(one).samples) for one in ("train", "test")] == [11314, 7531]
    with np.load(SHARED / "ng20_clean_like1883.npz") as held:
        assert data.corpus.counts.sum() == held["data"].sum()
        assert np.array_equal(data.labels, held["label"])
        assert data.class_names == tuple(held["label_names"])
    other = documents.load(path=str(SHARED / "ng20_ecrtm5000.npz"), reference=str(SHARED / "ng20_clean_like1883.npz"))
    assert len(other.reference) == 18845


def test_sublinear_rows_are_those_of_scikit_learn_divided_by_their_sum():
    counts = sparse.csr_matrix(np.array([[3, 1, 0], [1, 0, 20], [0, 2, 2]], np.uint16))
    found = documents.simplex(counts, None, sublinear=True)
    expected = TfidfTransformer(norm="l1", sublinear_tf=True).fit_transform(counts).toarray()
    assert found.values.toarray() == pytest.approx(expected, abs=1e-6)
    assert not np.allclose(found.values.toarray(), documents.simplex(counts, None).values.toarray(), atol=1e-2)
