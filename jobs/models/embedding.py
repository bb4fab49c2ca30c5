"""Vectors of any data from a trained model: reads the files of `jobs.models.best` and a data file, makes a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data import remote
from core.data.columns import listed
from core.data.object_store import bare, is_address
from core.data.stored import dense
from core.errors import UserError, counted
from jobs.models.assignments import ids_of, table_of
from jobs.models.best import NAME, refuse_damaged
from jobs.results import records, storage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from core.data.dataset import Dataset
    from core.training.export import Embedded

_DESCRIPTION = {
    "trial": {"data": dict},
    "sample_shape": [int],
    "n_samples": int,
    "n_clusters": int,
    "arrays": {str: [int]},
    "modalities": ([{"name": str, "shape": [int]}], None),
    "scaling": (list, None),
    "idf": ([float], None),
    "feature_names": ([str], None),
    "files": ({str: str}, None),
    "frozen": ({"sample_shape": [int], "weights": str, "scaling": [[float]]}, None),
}
"""The keys of `best_model.json` that are used."""
_COLOURS = 3
# The options of documents that say how a text becomes words.
_SPLITTING = {"text", "token_pattern", "lowercase", "analyzer"}
_GREY = "the grey channel is repeated, because the model was trained on colours"


def embed(
    checkpoint: str, data: str, *, column: str | None = None, decimal: str | None = None, device: str = "cpu"
) -> tuple[pa.Table, str]:
    """The vectors of a file's samples, a row each, in the file's order, and a sentence on what of it was matched.

    Args:
        checkpoint: a trial's `best_model.pt` or `.safetensors`, or its folder.
        data: a file in a format of the model's data set, or its address in an object store; it needs no targets,
            labels or parts.
        column: the array or column with the samples (texts, if the model was trained on texts); by default the name
            used in training. Several columns with commas between, in the order of those of the training.
        decimal: the decimal point of numbers in CSV and TSV; by default that of the training.
        device: the torch device that runs the model.

    Returns:
        A table with `id` (the file's own, else the row number from 0), for a clustering model the other columns of
        `jobs.models.assignments`, and `vector` (a fixed-size list of float32).

    Raises:
        UserError: there is no such model or device, or the samples do not fit the model.
    """
    from core.training.device import named
    from core.training.export import embed as embedded
    from core.training.export import rebuilt

    device = str(named(device))
    folder, name, weights = _files(checkpoint)
    told = _description(folder)
    refuse_damaged(told, name, weights)
    model, told = told, told | ({"sample_shape": told["frozen"]["sample_shape"]} if told.get("frozen") else {})
    with remote.held({"path": data}) as (here, _):
        found = _samples(told, here["path"], column, decimal)
    samples, data = found.samples, bare(data) if is_address(data) else data
    if list(samples.shape[1:]) != told["sample_shape"]:
        raise UserError(f"{data}: {_misfit(told, found, column)}")
    if told.get("frozen"):
        samples = _encoded(told, samples, device)
    method, places = rebuilt(model, weights, _rest(folder, told), device)
    return _table(embedded(method, places, samples, device), ids_of(replace(found, parts=None))), _matched(
        told, found, data
    )


def _encoded(told: Mapping[str, Any], samples: Any, device: str) -> Any:
    """The vectors of samples for a model that was trained on those of a frozen encoder."""
    from core.config.schema import Mistakes
    from core.config.trial import read_trial
    from core.training import frozen

    mistakes = Mistakes()
    config = read_trial(told["trial"], ("trial",), mistakes)
    if mistakes.found:
        raise UserError(f"the model's configuration is not valid here: {mistakes.found[0].text}")
    return frozen.again(config, told["frozen"], samples, device)


def features(folder: storage.Place, samples: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The features (n, dim) of samples (n, *sample_shape) of the training's data set; None if no model is saved.

    Args:
        folder: the folder of a trial's model, `models/_TRIAL`.
        samples: scaled as in training.

    Raises:
        UserError: the model is damaged, or the samples do not fit it.
    """
    from core.training.export import embed as embedded
    from core.training.export import rebuilt

    file = folder / f"{NAME}.pt"
    if not storage.is_file(file):
        return None
    weights, told = storage.read_regular(file, storage.LARGEST_MODEL), _description(folder)
    refuse_damaged(told, file.name, weights)
    shape = (told.get("frozen") or told)["sample_shape"]
    if list(samples.shape[1:]) != shape:
        raise UserError(f"{folder}: the model was trained on samples of the shape {tuple(shape)}")
    method, centroids = rebuilt(told, weights, _rest(folder, told), "cpu")
    return embedded(method, centroids, _encoded(told, samples, "cpu") if told.get("frozen") else samples, "cpu").vectors


def _misfit(told: Mapping[str, Any], found: Dataset, column: str | None) -> str:
    """What is wrong with samples of another shape than those of the training."""
    wanted: list[int] = told["sample_shape"]
    if column is None or not found.feature_names or len(wanted) > 1:
        return f"its samples have the shape {found.sample_shape}, the model was trained on {tuple(wanted)}"
    names = f" ({listed(known)})" if (known := told.get("feature_names")) else ""
    return (
        f"`--column {column}` names {len(found.feature_names)} of the {wanted[0]} columns that the model was "
        f"trained on{names}: name all, with commas between, or leave it out"
    )


def _matched(told: Mapping[str, Any], found: Dataset, data: str) -> str:
    """What of a file the model was given."""
    if found.modalities:
        names = [one.name for one in found.modalities]
        said = f"{counted(len(names), 'view')} matched by name ({listed(names)})"
    elif found.feature_names and found.feature_names == tuple(told.get("feature_names") or ()):
        noun = "column" if found.corpus is None else "word"
        said = f"{counted(len(found.feature_names), noun)} matched by name ({listed(found.feature_names)})"
    elif found.feature_names:
        columns = counted(len(found.feature_names), "column")
        said = f"{columns} in the order of the training ({listed(found.feature_names)})"
    else:
        said = f"samples of shape {found.sample_shape}, matched by position"
    left = f"; left out: {listed(found.left_out)}" if found.left_out else ""
    return f"{data}: {counted(found.n_samples, 'sample')}, {'; '.join([said, *found.notes])}{left}"


def _files(checkpoint: str) -> tuple[storage.Place, str, bytes]:
    """The folder of a model, and the name and content of its file of weights."""
    place = storage.at(checkpoint)
    file = place if place.name.endswith((".pt", ".safetensors")) else place / f"{NAME}.pt"
    folder = storage.at(checkpoint.rpartition("/")[0] or ".") if file is place else place
    if not storage.is_file(file):
        raise UserError(
            f"{checkpoint} is not a model: give the folder models/_TRIAL of a study that was run with "
            "`select: {save_model: true}`"
        )
    return folder, file.name, storage.read_regular(file, storage.LARGEST_MODEL)


def _rest(folder: storage.Place, told: Mapping[str, Any]) -> bytes | None:
    file = folder / f"{NAME}.rest"
    content = storage.read_regular(file, storage.LARGEST_MODEL) if storage.is_file(file) else None
    refuse_damaged(told, file.name, content)
    return content


def _description(folder: storage.Place) -> dict[str, Any]:
    file = folder / f"{NAME}.json"
    try:
        return records.read(file, _DESCRIPTION)
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {NAME}.json beside the weights, which describes the model: copy it there"
        ) from error


def _samples(told: Mapping[str, Any], path: str, column: str | None, decimal: str | None) -> Dataset:
    """The samples of a file, read and scaled as those of the training were."""
    import numpy as np

    from core.datasets import file, text

    data = told["trial"]["data"]
    if data["name"] == "scene":
        raise UserError(
            "the model was trained on the pixels of a scene, whose components and scale no other file has: "
            "`conclus assign` gives the clusters of its pixels"
        )
    if data["name"] == "documents":
        return _documents(told, path, column, decimal)
    if data["name"] == "multiview":
        return _scaled(told, _views(told, path, column, decimal))
    if data["name"] == "text" or data.get("texts") in {"inputs", "both"}:
        if data["name"] == "text" and data["scale"] != "none":
            raise UserError(
                "the model was trained on scaled vectors of texts, and no scale was saved: train with `scale: none`"
            )
        name = column or data.get("text") or data["inputs"]
        encoding = {key: data[key] for key in ("model", "dimensions", "tfidf_weight") if key in data}
        if encoding["model"] == "tfidf" or encoding.get("tfidf_weight"):
            raise UserError("TF-IDF vectors cannot be made for new texts: train with `minilm` or a model folder")
        return text.load(path=path, text=name, labels="none", scale="none", **encoding)
    point: str = decimal or data.get("decimal") or "."
    known = column or data.get("inputs") or data.get("features")
    # Unnamed samples are all columns but the labels, which are to be found as they were in training.
    try:
        found = file.samples_of(
            path,
            () if column else told.get("feature_names", ()),
            features=known,
            labels="none" if known else data.get("labels"),
            shape=data.get("shape"),
            decimal=point,
            **{name: data[name] for name in ("id", "layout", "view", "log1p", "size", "broken") if data.get(name)},
        )
    except UserError as error:
        # Here the option is called otherwise than in a study.
        said = str(error).replace("option `features: ", "option `--column ").replace("`features` ", "`--column` ")
        raise UserError(said if column else str(error)) from error
    if len(found.sample_shape) == 3 and (found.sample_shape[0], told["sample_shape"][0]) == (1, _COLOURS):
        # As in training, where grey images lie among coloured ones.
        found = replace(found, samples=np.repeat(dense(found.samples), _COLOURS, axis=1), notes=(_GREY,))
    return _scaled(told, found)


def _scaled(told: Mapping[str, Any], found: Dataset) -> Dataset:
    """The same samples, scaled as those of the training."""
    import numpy as np

    if told["scaling"] is not None and list(found.samples.shape[1:]) == told["sample_shape"]:
        offset, divisor = (np.asarray(one) for one in told["scaling"])
        found = replace(found, samples=(found.samples - offset) / divisor)
    return replace(found, samples=np.ascontiguousarray(found.samples, dtype=np.float32))


def _documents(told: Mapping[str, Any], path: str, column: str | None, decimal: str | None) -> Dataset:
    """Documents over the words of the training, with the frequencies of the training."""
    from math import isfinite

    from core.config.schema import Mistakes
    from core.config.trial import read_plug_in
    from core.datasets import documents

    words, idf, mistakes = told.get("feature_names") or [], told.get("idf") or [], Mistakes()
    if decimal:
        raise UserError("the model was trained on documents, which have no numbers: leave out `--decimal`")
    given = read_plug_in("datasets", told["trial"]["data"], ("trial", "data"), mistakes)
    right = [len(words), len(idf)] == [*told["sample_shape"]] * 2 and all(isfinite(one) and one > 0 for one in idf)
    if mistakes.found or not right or len(set(words)) < len(words):
        raise UserError("the description of the model does not hold its words and their frequencies: it is damaged")
    options = {name: value for name, value in given.options.items() if name in _SPLITTING}
    return documents.samples_of(path, words, idf, **options | ({"text": column} if column else {}))


def _views(told: Mapping[str, Any], path: str, column: str | None, decimal: str | None) -> Dataset:
    """The samples of several views, by the names of the views."""
    from core.config import plugins
    from core.data.modalities import missing
    from core.datasets import multiview

    if column or decimal:
        raise UserError(
            "the model was trained on several views, which are found by their names: leave out "
            f"`{'--column' if column else '--decimal'}`"
        )
    known = {one["name"]: tuple(one["shape"]) for one in told.get("modalities") or ()}
    encoder = told["trial"].get("encoder")
    if not known or not isinstance(encoder, dict):
        raise UserError("the description of the model does not name its views: it is damaged")
    options = {name: value for name, value in told["trial"]["data"].items() if name not in {"name", "path"}}
    found = multiview.samples_of(path, known, **options)
    name, lacking = str(encoder.get("name")), missing(dense(found.samples), found.modalities)
    if lacking and not plugins.constant("encoders", name, "by_modality", default=False):
        said = ", ".join(f"{view} for {count:,}" for view, count in lacking.items())
        raise UserError(
            f"{path}: some of its samples lack a view ({said}), which the model's encoder {name} cannot take"
        )
    return found


def _table(found: Embedded, ids: pa.Array) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    table = pa.table({"id": ids}) if found.assignment is None else table_of(found.assignment, ids)
    flat = pa.array(np.ascontiguousarray(found.vectors).reshape(-1), pa.float32())
    return table.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, found.vectors.shape[1]))


def write(table: pa.Table, out: Path) -> None:
    """Writes the table as a Parquet file, completely or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    storage.put(out, sink.getvalue().to_pybytes())
