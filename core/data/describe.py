# ruff: noqa: RUF001, RUF002 - the sign of multiplication, as shapes are written
"""Describes how a data set was read, in one line that the user can check before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.data.columns import cut, listed
from core.data.dataset import UNLABELLED
from core.errors import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.data.dataset import Dataset
    from core.data.modalities import Modality

# The axes of samples that are images, in the order of `Dataset.samples`.
_IMAGE = ("channels", "height", "width")
# Up to so many names are all shown; of more names only the first and the last.
_SHOWN = 4


def described(data: Dataset) -> str:
    """One line: the name, the samples and their shape, the labels, and what stands in the file where there is none.

    As `mine: 240 samples × 6 features (a … f), labels: label, 3 classes (0, 1, 2), 48 unlabelled (-1)`, or of documents
    `mail: 90 documents × 812 words (able … zone), no labels`.
    """
    what = "sample" if data.corpus is None else "document"
    line = f"{data.name}: {counted(data.n_samples, what)} × {_shape(data)}, {_labels(data)}"
    return " ".join(line.splitlines())


def noted(data: Dataset) -> list[str]:
    """Further lines: why columns or arrays were left out, and the other decisions on how the data was read."""
    why = [f"left out: {listed(data.left_out)}"] if data.left_out else []
    return [" ".join(f"{data.name}: {one}".splitlines()) for one in (*why, *data.notes)]


def _shape(data: Dataset) -> str:
    if data.modalities:
        told = [_modality(one) for one in data.modalities]
        return f"{counted(len(told), 'view')} ({', '.join(told)})"
    if len(data.sample_shape) == len(_IMAGE):
        shape = " × ".join(f"{size} {_axis(axis, size)}" for size, axis in zip(data.sample_shape, _IMAGE, strict=True))
        told = [f"read as {' × '.join(data.axes)}"] if data.axes else []
    elif data.corpus is not None:
        shape, told = counted(data.sample_shape[0], "word"), [_span(data.feature_names)]
    else:
        shape = " × ".join(str(size) for size in data.sample_shape) + " feature" + "s" * (data.sample_shape != (1,))
        told = [_span(data.feature_names)] if data.feature_names else []
    return f"{shape} ({'; '.join(told)})" if told else shape


def _modality(one: Modality) -> str:
    *steps, features = one.shape
    return f"{cut(one.name)}: {''.join(f'{size} steps × ' for size in steps)}{counted(features, 'feature')}"


def _axis(name: str, size: int) -> str:
    return name.removesuffix("s") if size == 1 else name


def _labels(data: Dataset) -> str:
    if data.labels is None:
        return "no labels"
    name = f"{cut(data.label_name)}, " if data.label_name else ""
    text = f"labels: {name}{len(data.class_names)} classes ({_span(data.class_names)})"
    missing = int((data.labels == UNLABELLED).sum())
    if not missing:
        return text
    written = f" ({', '.join(data.unlabelled)})" if data.unlabelled else ""
    return f"{text}, {missing:,} unlabelled{written}"


def _span(names: Sequence[str]) -> str:
    shown = [cut(one) for one in names]
    return ", ".join(shown) if len(shown) <= _SHOWN else f"{shown[0]} … {shown[-1]}"
