"""Writes the clusters of samples as a table, into a copy of the study's .h5ad file, or as the map of a scene."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_plug_in
from core.data import remote
from core.data.object_store import bare, is_address
from core.errors import UserError, counted
from jobs.present.tables import Column, render
from jobs.present.visible import HARMFUL, csv_text
from jobs.results import debris, records, storage
from jobs.results.layout import STUDY_JSON, existing

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa

    from core.data.dataset import Dataset
    from jobs.models.assignments import KeptClusters
    from jobs.models.choice import ChosenTrial

TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}
H5AD = ".h5ad"
MAPS = (".png", ".npy")
WITH_DATA = (H5AD, *MAPS)
"""Files for which the study's data is read again."""
COLUMN = "conclus_cluster"
"""The column of `obs` in an .h5ad file."""


def check(out: Path) -> None:
    """Refuses a file to write whose ending is not known.

    Raises:
        UserError: it is not.
    """
    if out.suffix not in {*TABLES, *WITH_DATA}:
        raise UserError(f"--out {str(out)!r} should end in one of {', '.join([*TABLES, *WITH_DATA])}")


def text(table: pa.Table, most: int, width: int) -> str:
    """The first rows of a table, for a terminal of so many columns."""
    rows = table.slice(0, most).to_pylist()
    columns = [Column(name, right=name != "id") for name in table.column_names]
    return render(columns, [list(row.values()) for row in rows], "table", width=width)


def write_table(table: pa.Table, out: Path) -> None:
    """Writes a table as .parquet, .csv or .tsv, completely or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    sink = pa.BufferOutputStream()
    if delimiter := TABLES[out.suffix]:
        options = csv.WriteOptions(delimiter=delimiter)
        csv.write_csv(table.set_column(0, "id", _shown(table["id"])), sink, options)
    else:
        parquet.write_table(table, sink, compression="zstd")
    storage.put(out, sink.getvalue().to_pybytes())


def _shown(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids without control characters and formulas, for programs that show or run what is in a cell."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(ids.type):
        return ids
    harmful = pc.call_function("match_substring_regex", [ids], pc.MatchSubstringOptions(HARMFUL)).to_numpy()
    shown = ids.to_numpy()
    # Only the few that need it pass through Python.
    for row in np.flatnonzero(harmful):
        shown[row] = csv_text(shown[row])
    return pa.chunked_array([pa.array(shown, pa.string())])


def write_h5ad(choice: ChosenTrial, kept: KeptClusters, data: str | None, out: Path) -> None:
    """Writes a copy of the study's .h5ad file with the clusters as a column of `obs`.

    Args:
        choice: the trial.
        kept: its clusters.
        data: the study's data file; by default where the study says that it lies.
        out: the copy.

    Raises:
        UserError: the study's data is no .h5ad file, or it is not the file that the trial was trained on.
        StorageError: the copy cannot be written.
    """
    with _data(choice, "file", data, "no .h5ad file") as options:
        source = Path(options["path"])
        if source.suffix != H5AD:
            raise UserError(
                f"the study's data, {source.name}, is no .h5ad file: write the clusters as .csv or .parquet"
            )
        _refuse_data(out, source)
        copy_with_clusters(source, out, kept.table)


def write_map(choice: ChosenTrial, kept: KeptClusters, data: str | None, out: Path) -> None:
    """Writes the clusters of a scene where they lie in it: as a picture beside the ground truth, or as an array.

    The array is (height, width) of int32, -1 for pixels that were not trained on.

    Args:
        choice: the trial.
        kept: its clusters.
        data: the file of the scene; by default where the study says that it lies. The truth lies beside it.
        out: a .png or .npy file.

    Raises:
        UserError: the study's data is no scene, or it is not the one that the trial was trained on.
        StorageError: the file cannot be written.
    """
    import numpy as np

    from jobs.charts.scene_map import drawn, laid_out

    with _data(choice, "scene", data, "no scene") as options:
        source = Path(options["path"])
        _refuse_data(out, *(source.iterdir() if source.is_dir() else (source, source.parent / str(options["truth"]))))
        scene: Dataset = plugins.load("datasets", "scene")(**options)
    height, width = scene.scene
    pixels = kept.table["id"].to_numpy()
    if pixels.dtype.kind != "i" or pixels.min() < 0 or pixels.max() >= height * width:
        raise UserError(f"the ids of the samples are no numbers of the {height * width:,} pixels of {source.name}")
    clusters = laid_out((height, width), pixels, kept.table["cluster"].to_numpy())
    if out.suffix == ".npy":
        content = io.BytesIO()
        np.save(content, clusters)
        storage.put(out, content.getvalue())
        return
    truth = None
    if scene.labels is not None and scene.ids is not None:
        truth = laid_out((height, width), scene.ids, scene.labels)
    storage.put(out, drawn(clusters, truth, scene.class_names))


@contextlib.contextmanager
def _data(choice: ChosenTrial, kind: str, data: str | None, wrong: str) -> Generator[dict[str, Any]]:
    """The options of the data set that a trial was trained on, with a path on this machine.

    Args:
        choice: the trial.
        kind: the data set's name.
        data: its path; by default where the study says that it lies.
        wrong: what a data set of another name is not.

    Raises:
        UserError: it is another data set, or not the one that the trial was trained on.
    """
    options = _options(choice, kind, wrong)
    place = data or _place(choice, options)
    with remote.held({**options, "path": place}) as (there, _):
        if plugins.function("datasets", kind, "fingerprint")(**there) != choice.row["data_hash"]:
            raise UserError(f"{there['path']} is not what the trial was trained on: name that by --data")
        yield there


def _refuse_data(out: Path, *files: Path) -> None:
    if out.exists() and any(one.exists() and out.samefile(one) for one in files):
        raise UserError(f"--out {str(out)!r} is the study's data itself: give another name, it stays as it is")


def _options(choice: ChosenTrial, kind: str, wrong: str) -> dict[str, Any]:
    """The options of a data set of this name, as the trial's row tells them."""
    told = records.parameters(choice.row["params_json"])
    mistakes = Mistakes()
    mapping = {key.removeprefix("data."): value for key, value in told.items() if key.startswith("data.")}
    if mapping.get("name") != kind:
        raise UserError(f"the study's data is {mapping.get('name')!s}, {wrong}: write .csv or .parquet")
    options = dict(read_plug_in("datasets", mapping, ("data",), mistakes).options)
    if mistakes.found:
        raise UserError(f"the trial's options of its data cannot be used: {mistakes.found[0].text}")
    return options


def _place(choice: ChosenTrial, options: dict[str, Any]) -> str:
    """Where the study says that the data lies; rows have the file's name alone.

    Raises:
        UserError: it is not known, or it is an address, which only the user may name.
    """
    lost = f"where {options['path']} lies is not known: name it by --data"
    try:
        trial = records.read(existing(choice.folder, STUDY_JSON), records.STUDY).get("trial") or {}
    except (FileNotFoundError, records.RecordError) as error:
        raise UserError(lost) from error
    data = trial.get("data")
    place = data.get("path") if isinstance(data, dict) else None
    if not isinstance(place, str) or Path(place.partition("?")[0]).name != options["path"]:
        raise UserError(lost)
    if is_address(place):
        # A request would be signed with the user's credentials, and the address may lead to any host.
        raise UserError(f"the data is at {bare(remote.checked(place))}: name it with --data")
    return place


def copy_with_clusters(source: Path, out: Path, table: pa.Table) -> None:
    """Copies an .h5ad file and adds the categorical column `conclus_cluster` to the copy's `obs`.

    A sample that is not in the table, as one of a held-out part, has no value there.

    Args:
        source: the file.
        out: the copy; if it exists, it is replaced when the new one is complete.
        table: columns `id` (names of `obs`, or row numbers from 0) and `cluster`.

    Raises:
        UserError: the file is not as AnnData 0.7 or later writes it, or the ids are not its own.
        StorageError: the copy cannot be written.

    Reference:
        https://anndata.readthedocs.io/en/latest/fileformat-prose.html
    """
    import h5py

    part = out.with_name(debris.temporary_name())
    try:
        shutil.copyfile(source, part)
        with h5py.File(part, "r+") as file:
            _add(file, table, source)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(out)
    except UserError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise storage.StorageError(f"{out} cannot be written: {storage.reason(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _add(file: Any, table: pa.Table, source: Path) -> None:
    import h5py
    import numpy as np

    wrong = f"{source} is no .h5ad file of AnnData 0.7 or later: its obs is no table in groups"
    # A link may lead to another file, which must stay as it is.
    if not isinstance(file.get("obs", getlink=True), h5py.HardLink) or not isinstance(file["obs"], h5py.Group):
        raise UserError(wrong)
    obs = file["obs"]
    index = obs.attrs.get("_index")
    if obs.attrs.get("encoding-type") != "dataframe" or index not in obs:
        raise UserError(wrong)
    clusters = table["cluster"].to_numpy()
    names, numbers = np.unique(clusters, return_inverse=True)
    codes = np.full(len(obs[index]), -1, np.int32)
    codes[_places(table, obs[index], source)] = numbers
    columns = [one for one in obs.attrs["column-order"] if one != COLUMN]
    if COLUMN in obs:
        del obs[COLUMN]
    text = h5py.string_dtype()
    group = obs.create_group(COLUMN)
    group.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
    for name, values, kind in (("categories", names.astype(str).astype(object), text), ("codes", codes, np.int32)):
        one = group.create_dataset(name, data=values, dtype=kind)
        encoding = "string-array" if name == "categories" else "array"
        one.attrs.update({"encoding-type": encoding, "encoding-version": "0.2.0"})
    obs.attrs["column-order"] = np.array([*columns, COLUMN], dtype=text)


def _places(table: pa.Table, index: Any, source: Path) -> Any:
    """The row in `obs` of each sample of the table."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = table["id"]
    if pa.types.is_integer(ids.type):
        rows = ids.to_numpy()
    else:
        known = pa.array(index.asstr()[:], pa.string())
        found: Any = pc.call_function("index_in", [ids], pc.SetLookupOptions(known))
        rows = found.fill_null(-1).to_numpy()
    if not len(rows) or rows.min() < 0 or rows.max() >= len(index) or len(np.unique(rows)) < len(rows):
        n = counted(len(index), "name")
        raise UserError(f"{source}: the samples of the trial are not, each once, among the {n} of its obs")
    return rows
