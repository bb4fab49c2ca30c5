"""`conclus data`: what is read from a file or a folder, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import UserError, counted
from jobs.present.output import say, width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.config.schema import PlugIn
    from core.data.dataset import Dataset

# Rows and columns of the first rows, and images of a contact sheet.
_ROWS, _COLUMNS, _IMAGES, _IN_A_ROW = 10, 8, 100, 10
# Words of a document.
_WORDS = 20


@click.command()
@click.argument("path", metavar="PATH")
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the study's `data:`, such as size=96 or name=text; repeatable.",
)
@click.option("--head", is_flag=True, help="Show the first rows or texts; of images write a contact sheet.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The PNG for the images of --head; NAME-head.png without it.",
)
def command(path: str, given: tuple[str, ...], *, head: bool, out: Path | None) -> None:
    """Show what is read from PATH: samples, shape, classes and their sizes, duplicates, memory.

    PATH is a file or folder of data, its address in an object store, or the name of a data set, such as digits.

    For example: conclus data photos --set size=96 --head --out photos.png
    """
    from core.data.describe import described, noted
    from core.training.data_cache import read
    from jobs.planning.data_options import chosen
    from jobs.planning.data_summary import facts
    from jobs.present.bar import preparing

    if out is not None and not head:
        raise UserError(f"--out {str(out)!r} is for the images of --head: add --head")
    if out is not None and out.suffix != ".png":
        raise UserError(f"--out {str(out)!r} should end in .png: it is a PNG with the images of --head")
    plug_in = chosen(path, given)
    with preparing():
        data = read(plug_in)
        is_sheet = head and len(data.sample_shape) == 3
        if out is not None and not is_sheet:
            raise UserError(f"--out {str(out)!r} is for images, and {data.name} has none: leave it out")
        sheet = out or Path(f"{data.name.replace('/', '-')}-head.png")
        if is_sheet and out is None and sheet.exists():
            raise UserError(f"--head would write {sheet}, which exists: name another file, as --out other.png")
        found = facts(data, plug_in, {one.partition("=")[0].removeprefix("data.") for one in given})
    for line in (described(data), *noted(data)):
        say(line)
    for word, sentence in found:
        say(f"  {word:<10}  {sentence}")
    if is_sheet:
        _write_sheet(data, sheet)
    elif head:
        click.echo(_first(data, plug_in), nl=False)


def _first(data: Dataset, plug_in: PlugIn) -> str:
    """The first samples as a table."""
    if plug_in.name == "text":
        return _first_texts(data, plug_in.options)
    return _first_rows(data) if data.corpus is None else _first_documents(data)


def _first_rows(data: Dataset) -> str:
    """The first samples as a table, their numbers as in the file."""
    import numpy as np

    from core.data.columns import cut
    from jobs.present.tables import Column, render
    from jobs.present.visible import one_line

    values, labels = _as_in_file(data, slice(0, _ROWS)), _labels(data, range(min(_ROWS, data.n_samples)))
    names = data.feature_names or [f"{place + 1}" for place in range(values.shape[1])]
    columns = [one_line(cut(one, 24)) for one in names[:_COLUMNS]]
    # Six digits of the largest in its column: what was scaled may come back as 1e-9 in place of 0.
    digits = 5 - np.floor(np.log10(np.fmax.reduce(np.abs(values), axis=0, initial=1e-30))).astype(int)
    rows = [
        [f"{round(x, n) + 0.0:.6g}" for x, n in zip(row[:_COLUMNS].tolist(), digits.tolist(), strict=False)]
        for row in values
    ]
    if len(names) > _COLUMNS:
        columns, rows = [*columns, f"… {len(names):,}"], [[*row, "…"] for row in rows]
    if labels:
        columns = ["label", *columns]
        rows = [[one_line(cut(one, 24)), *row] for row, one in zip(rows, labels, strict=True)]
    if data.ids is not None:
        columns = ["id", *columns]
        rows = [[one_line(cut(str(one), 40)), *row] for row, one in zip(rows, data.ids, strict=False)]
    return render([Column(one, drop=place) for place, one in enumerate(columns)], rows, "table", width=width())


def _first_texts(data: Dataset, options: Mapping[str, Any]) -> str:
    """The first texts as a table: the numbers that they become say nothing to a person."""
    from core.formats.records import read_texts, texts_file

    column = options["text"]
    texts = read_texts(texts_file(options["path"]), column, options["labels"]).texts[:_ROWS]
    return _texts_table(data, column, texts)


def _first_documents(data: Dataset) -> str:
    """The first documents as a table, the words of each by their weights."""
    words: list[str] = []
    for row in range(min(_ROWS, data.n_samples)):
        weights = data.samples[row : row + 1][0]
        order = (-weights).argsort(kind="stable")[:_WORDS]
        words.append(" ".join(data.feature_names[one] for one in order.tolist() if weights[one] > 0))
    return _texts_table(data, "heaviest words", words)


def _texts_table(data: Dataset, title: str, texts: Sequence[str]) -> str:
    """A text for each of the first samples, beside the label."""
    from core.data.columns import cut
    from jobs.present.tables import Column, render
    from jobs.present.visible import one_line

    labels = _labels(data, range(len(texts)))
    room = max(20, (width() or 120) - 30 * bool(labels))
    rows = [[cut(one_line(one), room)] for one in texts]
    if labels:
        rows = [[one_line(cut(one, 24)), *row] for row, one in zip(rows, labels, strict=True)]
    columns = ["label"] * bool(labels) + [one_line(cut(title, 24))]
    return render(
        [Column(one, right=False, drop=place) for place, one in enumerate(columns)], rows, "table", width=width()
    )


def _write_sheet(data: Dataset, out: Path) -> None:
    import numpy as np

    from jobs.charts.contact_sheet import contact_sheet
    from jobs.results.storage import put

    chosen = np.unique(np.linspace(0, data.n_samples - 1, min(_IMAGES, data.n_samples)).astype(np.int64))
    put(out, contact_sheet(_as_in_file(data, chosen), _labels(data, chosen.tolist()), columns=_IN_A_ROW))
    spread = ", evenly spread," if len(chosen) < data.n_samples else ""
    say(f"Wrote {counted(len(chosen), 'image')} of {data.n_samples:,}{spread} to {out}.")


def _labels(data: Dataset, rows: Any) -> list[str]:
    """The class of each of some samples, `-` without one; empty without labels."""
    if data.labels is None:
        return []
    codes = [int(data.labels[row]) for row in rows]
    return [data.class_names[code] if code >= 0 else "-" for code in codes]


def _as_in_file(data: Dataset, rows: Any) -> Any:
    """Some samples in the units of the file."""
    values = data.samples[rows]
    if data.scaling is None:
        return values
    axes = (1,) * (values.ndim - 2)
    offset, divisor = (one.reshape(-1, *axes) if one.size > 1 else one for one in data.scaling)
    return values * divisor + offset
