# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Kinds of documents: a folder of texts in two parts, and a ready bag of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.core.kinds import Broken, Kind, cut

POSTS = {
    "train/sky/1.txt": "The sun and the moon: the moon is near.",
    "train/sky/2.txt": "Sun, moon, stars; a far sun.",
    "train/sea/1.txt": "The boat and the wave. The wave is high!",
    "train/sea/2.txt": "Wave on wave, and no boat near.",
    "test/sky/1.txt": "A moon and unknown things",
    "test/sea/1.txt": "Nothing of it.",
}
ROWS = np.array([[2, 1, 0], [0, 1, 1], [1, 0, 3], [0, 0, 1]])


def _posts(folder: Path):
    for name, content in POSTS.items():
        file = folder / "posts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")


def _emptied(folder: Path):
    for file in (folder / "posts").rglob("*.txt"):
        file.write_text("")


def _posts_are(data):
    assert data.feature_names == ("boat", "moon", "near", "sun", "wave")
    assert data.corpus.counts.toarray().tolist() == [
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 2],
        [1, 0, 1, 0, 2],
        [0, 2, 1, 1, 0],
        [0, 1, 0, 2, 0],
    ]
    assert data.ids.tolist() == [
        "test/sky/1.txt",
        "train/sea/1.txt",
        "train/sea/2.txt",
        "train/sky/1.txt",
        "train/sky/2.txt",
    ]
    assert data.labels.tolist() == [1, 0, 0, 1, 1]
    assert data.parts.tolist() == [2, 0, 0, 0, 0]
    assert "1 document without a word of the vocabulary left out" in data.notes[-1]


def _bag(folder: Path, **changed):
    filled = ROWS > 0
    arrays = {
        "data": ROWS[filled],
        "indices": filled.nonzero()[1],
        "indptr": np.concatenate([[0], np.cumsum(filled.sum(1))]),
        "shape": np.array(ROWS.shape),
        "vocab": np.array(["moon", "sun", "wave"]),
        "split": np.array([0, 0, 0, 1]),
        "label": np.array([0, 1, 1, 0]),
        "label_names": np.array(["sky", "sea"]),
    } | changed
    np.savez(folder / "bag.npz", **arrays)


def _bag_is(data):
    assert data.corpus.counts.toarray().tolist() == ROWS.tolist()
    assert data.labels.tolist() == [0, 1, 1, 0]
    assert data.parts.tolist() == [0, 0, 0, 2]


KINDS = (
    Kind(
        title="a folder of texts in two parts, with a sub-folder for each label",
        data="{name: documents, path: posts}",
        line="posts: 5 documents × 5 words (boat … wave), labels: folder, 2 classes (sea, sky)",
        make=_posts,
        check=_posts_are,
        broken={
            "cut short": Broken(make=_emptied, said="only 0 words and 0 training documents are left"),
            "wrong type": Broken(
                make=lambda folder: (folder / "posts" / "train" / "sky" / "3.txt").write_bytes(b"a\0b"),
                said="3.txt: it holds bytes of value 0",
            ),
            "ambiguous": Broken(
                make=_posts,
                data="{name: documents, path: posts, test: 0.5}",
                said="`test: 0.5`: the data says already which documents are for testing",
            ),
        },
    ),
    Kind(
        title="a ready bag of words in `.npz` (data, indices, indptr, shape, vocab)",
        data="{name: documents, path: bag.npz}",
        line="bag: 4 documents × 3 words (moon, sun, wave), labels: label, 2 classes (sky, sea)",
        make=_bag,
        check=_bag_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "bag.npz"), said="cannot be read as .npz"),
            "wrong type": Broken(
                make=lambda folder: _bag(folder, data=np.array([2.0, 1, 1, 0.5, 1, 3, 1])),
                said="number 4 of `data` is 0.5, but it must be how often a word occurs",
            ),
            "ambiguous": Broken(make=lambda folder: _bag(folder, y=np.arange(4)), said="label.*y|y.*label"),
        },
    ),
)
