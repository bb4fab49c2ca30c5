"""The folder of `conclus clusters`: the page, and what it shows as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.present.visible import csv_text
from jobs.report import cluster_images, clusters, html
from jobs.report.cluster_contents import ClusterContents
from jobs.report.cluster_data import beginnings
from jobs.report.sections import Section
from jobs.results import records

PAGE = "clusters.html"
MARK = ".conclus-clusters.json"
"""JSON of the trial whose page a folder holds, and of its files: only a folder that has these alone is replaced."""


def files(found: ClusterContents, title: str, made: str) -> dict[str, bytes]:
    """All files by name.

    Args:
        found: What is shown.
        title: The heading of the page.
        made: A sentence on the program and the time that made it.
    """
    parts = [
        Section("trial", "Trial", clusters.introduction(found)),
        *(Section(*part, has_images=part[0] in {"images", "scene"}) for part in clusters.parts(found)),
        Section("reading", "How to read this page", clusters.reading()),
    ]
    page = html.document(title, "clusters", clusters.subtitle(found), parts, made)
    made_of = {f"{name}.csv": _csv(table) for name, table in tables(found).items()}
    return {PAGE: page.encode(), **{name: one for name, one in made_of.items() if one}, **dict(_sheets(found))}


def write(folder: Path, content: Mapping[str, bytes], trial: str) -> None:
    """Writes a folder of files, all or none; an older one that this function made for this trial is replaced.

    Args:
        folder: The folder.
        content: The files by name.
        trial: The study and the key of the trial.

    Raises:
        UserError: There is something else in its place, or it cannot be written.
    """
    refuse_foreign(folder, trial)
    mark = json.dumps({"trial": trial, "files": sorted(content)}).encode()
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    old = draft.with_suffix(".old")
    try:
        draft.mkdir(parents=True)
        for name, data in {**content, MARK: mark}.items():
            with (draft / name).open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        if folder.exists():
            folder.replace(old)
        draft.replace(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def refuse_foreign(folder: Path, trial: str | None = None) -> None:
    """Checks that nothing is lost when the folder is written for a trial, or for one that is still to be chosen.

    Raises:
        UserError: It has no name, nothing can be written there, or there is something in its place that this module did
            not make, or the page of another trial.
    """
    if folder.name in {"", ".."}:
        raise UserError(f"--out {str(folder)!r} has no name of its own: give the name of a new folder")
    try:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UserError(f"{folder} is there and is no folder: give --out a new one")
        above = next(one for one in folder.absolute().parents if one.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise UserError(f"--out {str(folder)!r}: nothing can be written into {above}: give another folder")
        if not folder.is_dir():
            return
        there = {one.name for one in folder.iterdir()}
        owner, made = _made(folder) if MARK in there else (None, set[str]())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from error
    if there - made:
        raise UserError(f"{folder} holds files that `conclus clusters` did not make: give --out another folder")
    if None not in {owner, trial} and owner != trial:
        raise UserError(f"{folder} holds the page of another trial, {owner}: give --out another folder, or delete it")


def _made(folder: Path) -> tuple[str | None, set[str]]:
    """The trial that the list in a folder names, and its files; none if it is damaged."""
    try:
        told = records.decode((folder / MARK).read_bytes(), {"trial": str, "files": [str]})
        return told["trial"], {MARK, *told["files"]}
    except (KeyError, ValueError):
        return None, set()


def _sheets(found: ClusterContents) -> Iterator[tuple[str, bytes]]:
    if found.has_images:
        for cluster, (near, far) in cluster_images.sheets(found).items():
            yield f"cluster-{cluster:03}-nearest.png", near
            yield f"cluster-{cluster:03}-least-sure.png", far
    if found.is_scene:
        yield "scene.png", cluster_images.scene_map(found)


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows as CSV, the first of them the names of the columns; nothing if there is none beside them."""
    text = io.StringIO()
    lines = [
        ["" if cell is None else csv_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode() if len(lines) > 1 else b""


def tables(found: ClusterContents) -> dict[str, Iterator[Iterable[Any]]]:
    """By name the rows of each table, the first of them the names of its columns."""
    return {
        "sizes": _sizes(found),
        "examples": _examples(found),
        "terms": _terms(found),
        "features": _features(found),
        "confusion": _confusion(found),
        "recall": _recall(found),
        "map": _map(found),
    }


def _sizes(found: ClusterContents) -> Iterator[Iterable[Any]]:
    yield ["cluster", "samples"]
    yield from enumerate(found.sizes)


def _examples(found: ClusterContents) -> Iterator[Iterable[Any]]:
    """The shown samples of each cluster, with their texts where they are texts."""
    shown = [
        (cluster, kind, row, name)
        for kind, most, samples in found.examples()
        for cluster, rows in samples.items()
        for row, name in zip(
            rows[:most].tolist(), found.clusters.kept.table["id"].take(rows[:most]).to_pylist(), strict=True
        )
    ]
    texts = _texts(found, [(row, name) for _, _, row, name in shown])
    yield ["cluster", "shown_as", "id", "class", *(["text"] if texts else [])]
    for cluster, kind, row, name in shown:
        yield [cluster, kind, name, found.class_of(row), *([clusters.cut(texts.get(row, ""))] if texts else [])]


def _texts(found: ClusterContents, shown: Sequence[tuple[int, Any]]) -> dict[int, str]:
    """The texts of samples by row, of documents their first words; `shown` has rows and ids."""
    held = found.clusters
    if held.texts:
        return {row: held.texts[row] for row, _ in shown}
    if held.data is None or held.data.corpus is None:
        return {}
    known = beginnings(held.folder, held.row, {str(name) for _, name in shown})
    return {row: known[str(name)] for row, name in shown if str(name) in known}


def _terms(found: ClusterContents) -> Iterator[Iterable[Any]]:
    yield ["cluster", "term", "weight"]
    for cluster, terms in found.terms.items():
        yield from ([cluster, term, weight] for term, weight in terms)


def _features(found: ClusterContents) -> Iterator[Iterable[Any]]:
    yield ["cluster", "feature", "standardised_difference", "mean_inside", "mean_outside"]
    for cluster, several in found.differences.items():
        for one in several:
            yield [cluster, found.feature_names[one.feature], one.effect, one.inside, one.outside]


def _confusion(found: ClusterContents) -> Iterator[Iterable[Any]]:
    if table := found.confusion:
        yield ["class", *(f"cluster_{one}" for one in table.clusters)]
        for label, counts in zip(table.classes, table.counts.tolist(), strict=True):
            yield [found.class_names[label], *counts]


def _recall(found: ClusterContents) -> Iterator[Iterable[Any]]:
    yield ["class", "samples", "cluster", "recall", "most_others_in_cluster"]
    yield from clusters.recall_rows(found)


def _map(found: ClusterContents) -> Iterator[Iterable[Any]]:
    yield ["id", "x", "y", "cluster", "class"]
    if (table := found.map) is None:
        return
    kept = found.clusters.kept.table.take(table.rows)
    for row, name, cluster, (x, y) in zip(
        table.rows.tolist(), kept["id"].to_pylist(), kept["cluster"].to_pylist(), table.places.tolist(), strict=True
    ):
        yield [name, x, y, cluster, found.class_of(row)]
