# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Tables as people have them, for tests/core/test_formats.py."""

import json
import warnings
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
from pyarrow import feather

from tests.core.kinds import Broken, Kind, cut

GRID = np.array([[1234.5, 0.25], [-2345678.75, 0.5], [12.0, 0.75], [7.5, 1.0], [0.0, 1.25], [99.0, 1.5]])
NAMES = ["Höhe", "Maß", "Höhe", "Maß", "Höhe", "-1"]


def _is_grid(data, ids=None):
    np.testing.assert_array_equal(data.samples, GRID.astype(np.float32))
    assert data.labels.tolist() == [0, 1, 0, 1, 0, -1]
    assert data.class_names == ("Höhe", "Maß")
    assert (None if data.ids is None else data.ids.tolist()) == ids


def _text(name, content, encoding="utf-8"):
    return lambda folder: (folder / name).write_bytes(content.encode(encoding))


# As German Excel saves "CSV": semicolons, Latin-1, decimal commas, points between thousands; a line end in a cell.
GERMAN = (
    'Probe;Länge;"Anteil\r\nin %";label\r\n'
    "P-1;1.234,5;0,25;Höhe\r\nP-2;-2.345.678,75;0,5;Maß\r\nP-3;12;0,75; Höhe\r\n"
    'P-4;7,5;1;"Maß"\r\nP-5;0;1,25;Höhe\r\nP-6;99;1,5;-1\r\n'
)


def _german_is(data):
    _is_grid(data, ["P-1", "P-2", "P-3", "P-4", "P-5", "P-6"])
    assert data.feature_names == ("Länge", "Anteil\r\nin %")
    assert data.left_out == ("Probe (by the option `id`)",)
    assert data.notes[:2] == (
        "it is not in UTF-8: its texts are read as Latin-1 (Windows-1252)",
        "Länge: '.' stands between thousands",
    )


# As spreadsheets copy cells: tabs, UTF-16 with its mark, commas between thousands; ids that nobody named.
ENGLISH = (
    "sample_id\tlength\tshare\tlabel\n"
    "a\t1,234.5\t0.25\tHöhe\nb\t-2,345,678.75\t0.5\tMaß\nc\t12\t0.75\tHöhe\n"
    "d\t7.5\t1\tMaß\ne\t0\t1.25\tHöhe\nf\t99\t1.5\t-1\n"
)


def _english_is(data):
    _is_grid(data, ["a", "b", "c", "d", "e", "f"])
    assert data.left_out == ("sample_id (unique texts)",)
    assert data.notes == ("length: ',' stands between thousands",)


def _frame(**more):
    return pd.DataFrame({"length": GRID[:, 0], "share": GRID[:, 1], "label": pd.Categorical(NAMES), **more})


def _feather(folder: Path):
    """From pandas, with a category and an index that has a name."""
    frame = _frame().set_index(pd.Index([f"s{i}" for i in range(6)], name="cell"))
    frame.reset_index().to_feather(folder / "cells.feather", compression="zstd")


def _feather_is(data):
    _is_grid(data, [f"s{i}" for i in range(6)])
    assert data.left_out == ("cell (unique texts)",)


def _old_feather(folder: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of pyarrow say that it is old
        feather.write_feather(pa.table({"a": [1.0, 2.0]}), folder / "cells.feather", version=1)


def _arrow(folder: Path):
    """A stream, as Hugging Face's `datasets` keeps its tables, from polars: views of strings and large lists."""
    table = pl.DataFrame({"emb": GRID.tolist(), "label": pl.Series(NAMES, dtype=pl.Categorical)})
    table.write_ipc_stream(folder / "vectors.arrow")


def _arrow_is(data):
    _is_grid(data)
    assert data.feature_names == ("emb[0]", "emb[1]")


def _lines(name, *rows):
    return _text(name, "\ufeff" + "\n".join(rows) + "\n")


# The first numbers are whole, and the objects have their keys in any order.
JSON = [json.dumps({"label": one, "v": row}) for one, row in zip(NAMES, GRID.tolist(), strict=True)]
JSON[2] = '{"v": [12, 0.75], "note": null, "label": "Höhe"}'
JSON[5] = '{"v": [99, 1.5], "label": null}'


def _json_is(data):
    _is_grid(data)
    assert data.feature_names == ("v[0]", "v[1]")
    assert data.left_out == ("note (beside the vectors of v)",)


def _book(folder: Path, change=None):
    """A sheet with an empty first column and row, numbers in cells of text, a blank line, and an empty second sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    rows = [["probe", "length", "share", "label"], *([f"p{i}", *GRID[i], NAMES[i]] for i in range(6))]
    rows[6][3] = None
    rows.insert(4, [None] * 4)
    for place, row in enumerate(rows):
        for column, value in enumerate(row):
            sheet.cell(place + 2, column + 2, str(value) if column == 2 and place > 0 and value is not None else value)
    book.create_sheet("Tabelle2")
    if change:
        change(book)
    book.save(folder / "lab.xlsx")


def _book_is(data):
    _is_grid(data, [f"p{i}" for i in range(6)])


def _second_sheet(book):
    book["Tabelle2"]["A1"] = "notes"


def _formula(book):
    book.active["C3"] = "=1+1"


def _svm(folder: Path):
    """Of LIBSVM's tools: indices from 1, comments, labels 1 and -1; `qid` as for ranking."""
    rows = (
        "# made by hand",
        "+1 qid:1 1:0.5 4:2 # first",
        "-1 qid:1 2:1e-3",
        "1 qid:2 3:-1",
        "-1 qid:2",
    )
    (folder / "a1a.svm").write_text("\n".join(rows) + "\n")


def _svm_is(data):
    np.testing.assert_array_equal(
        data.samples, np.float32([[0.5, 0, 0, 2], [0, 1e-3, 0, 0], [0, 0, -1, 0], [0, 0, 0, 0]])
    )
    assert data.labels.tolist() == [1, 0, 1, 0]
    assert data.class_names == ("-1", "1")
    assert data.left_out == ("qid (numbers of queries)",)
    assert "indices count from 1" in data.notes


def _texts(folder: Path):
    rows = [{"id": i, "title": f"{word} {word} noun{i}", "label": word} for i, word in enumerate(["fox", "hen"] * 6)]
    _lines("titles.jsonl", *map(json.dumps, rows))(folder)


def _texts_are(data):
    assert data.labels.tolist() == [0, 1] * 6
    similar = data.samples @ data.samples.T
    assert similar[0, 2] > 0.1 > similar[0, 1]
    assert data.left_out == ("id (beside the texts)",)


KINDS = (
    Kind(
        title="CSV of a German Excel: `;`, decimal commas, Latin-1",
        data='{name: file, path: proben.csv, decimal: ",", id: Probe, scale: none}',
        line="proben: 6 samples × 2 features (Länge, Anteil in %), labels: label, 2 classes (Höhe, Maß), "
        "1 unlabelled (-1)",
        make=_text("proben.csv", GERMAN, "latin-1"),
        check=_german_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "proben.csv", 0.6), said="line 5 has 3 fields, but"),
            "wrong type": Broken(
                make=_text("proben.csv", GERMAN.replace("7,5", "seven"), "latin-1"),
                said="column 'Länge' is not numeric: row 4 .* is 'seven'",
            ),
            "ambiguous": Broken(
                make=_text("proben.csv", GERMAN.replace("Probe;", "target;"), "latin-1"),
                said="several could be the labels: target, label",
                data='{name: file, path: proben.csv, decimal: ","}',
            ),
        },
    ),
    Kind(
        title='tabs in UTF-16, as Excel\'s "Unicode text", with ids',
        data="{name: file, path: cells.tsv, scale: none}",
        line="cells: 6 samples × 2 features (length, share), labels: label, 2 classes (Höhe, Maß), 1 unlabelled (-1)",
        make=_text("cells.tsv", ENGLISH, "utf-16"),
        check=_english_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "cells.tsv", 0.6), said="line 4 has 2 fields, but"),
            "wrong type": Broken(
                make=lambda folder: (folder / "cells.tsv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff"),
                said=r"cannot be read as \.tsv",
            ),
            "ambiguous": Broken(
                make=_text("cells.tsv", ENGLISH.replace("share", "length")),
                said="several columns have the name 'length'",
            ),
        },
    ),
    Kind(
        title="Feather (pandas)",
        data="{name: file, path: cells.feather, scale: none}",
        line="cells: 6 samples × 2 features (length, share), labels: label, 2 classes (Höhe, Maß), 1 unlabelled (-1)",
        make=_feather,
        check=_feather_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "cells.feather"), said=r"cannot be read as \.feather"),
            "wrong type": Broken(make=_old_feather, said="Feather's old format, version 1: save it again"),
            "ambiguous": Broken(
                make=lambda folder: _frame(y=range(6)).to_feather(folder / "cells.feather"),
                said="several could be the labels: label, y",
            ),
        },
    ),
    Kind(
        title="a stream of Arrow tables, with vectors (polars, `datasets`)",
        data="{name: file, path: vectors.arrow, scale: none}",
        line="vectors: 6 samples × 2 features (emb[0], emb[1]), labels: label, 2 classes (Höhe, Maß), "
        "1 unlabelled (-1)",
        make=_arrow,
        check=_arrow_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "vectors.arrow"), said=r"cannot be read as \.arrow"),
            "wrong type": Broken(
                make=lambda folder: pl.DataFrame({"emb": [["a"], ["b"]]}).write_ipc(folder / "vectors.arrow"),
                said="column 'emb' holds lists of",
            ),
            "ambiguous": Broken(
                make=lambda folder: pl.DataFrame({"a": [[1.0]], "b": [[2.0]]}).write_ipc(folder / "vectors.arrow"),
                said="several columns hold vectors: a, b; name one, `features: a`, or read all",
            ),
        },
    ),
    Kind(
        title="JSON Lines with vectors",
        data="{name: file, path: emb.jsonl, scale: none}",
        line="emb: 6 samples × 2 features (v[0], v[1]), labels: label, 2 classes (Höhe, Maß), 1 unlabelled (empty)",
        make=_lines("emb.jsonl", *JSON),
        check=_json_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "emb.jsonl"), said=r"cannot be read as \.jsonl"),
            "wrong type": Broken(
                make=_lines("emb.jsonl", *JSON, '{"v": {"a": 1}}'),
                said=r"cannot be read as \.jsonl .*from array to obj",
            ),
            "ambiguous": Broken(
                make=_lines("emb.jsonl", *JSON, '{"v": [1, 2, 3]}'), said=r"the list in row 7 .* has 3 numbers, but"
            ),
        },
    ),
    Kind(
        title="an Excel workbook",
        data="{name: file, path: lab.xlsx, id: probe, scale: none}",
        line="lab: 6 samples × 2 features (length, share), labels: label, 2 classes (Höhe, Maß), 1 unlabelled (empty)",
        make=_book,
        check=_book_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "lab.xlsx"), said=r"cannot be read as \.xlsx"),
            "wrong type": Broken(
                make=lambda folder: _book(folder, _formula), said="the formula in C3 has no stored value: open"
            ),
            "ambiguous": Broken(
                make=lambda folder: _book(folder, _second_sheet),
                said="several sheets have cells: Sheet, Tabelle2; name one",
            ),
        },
    ),
    Kind(
        title="sparse rows of svmlight and LIBSVM",
        data="{name: file, path: a1a.svm, scale: none}",
        line="a1a: 4 samples × 4 features, labels: 2 classes (-1, 1)",
        make=_svm,
        check=_svm_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "a1a.svm", 0.7), said="a line is not of the form"),
            "wrong type": Broken(make=_text("a1a.svm", "a,b\n1,2\n"), said="a line is not of the form .*'a,b'"),
            "ambiguous": Broken(make=_text("a1a.svm", "1 2:1 2:3\n"), said="a line is not of the form .*unique"),
        },
    ),
    Kind(
        title="texts in JSON Lines",
        data="{name: text, path: titles.jsonl, text: title, scale: none}",
        line="titles: 12 samples × 11 features, labels: label, 2 classes (fox, hen)",
        make=_texts,
        check=_texts_are,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "titles.jsonl", 0.55), said="it cannot be read"),
            "wrong type": Broken(
                make=_texts,
                said="the column of the texts is of type int64",
                data="{name: text, path: titles.jsonl, text: id}",
            ),
            "ambiguous": Broken(
                make=_lines("titles.jsonl", *['{"title": "a b", "label": 1, "y": 2}'] * 3),
                said="several could be the labels: label, y",
            ),
        },
    ),
)
