"""Tables of other formats than Parquet and CSV, and the many ways in which people write numbers and texts."""

import json
import struct
import subprocess
import sys
from functools import partial

import numpy as np
import openpyxl
import polars as pl
import pytest
from scipy import sparse

from core.data import stored
from core.data.stored import Stored
from core.datasets import file, text
from core.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return str(path)


def first_column(path, **options):
    return file.load(path=str(path), scale="none", **options).samples[:, 0].tolist()


@pytest.mark.parametrize("mark", [",", "'", "\u2019", " ", "\u00a0", "\u202f"])
def test_marks_between_thousands_are_no_part_of_a_number(tmp_path, mark):
    (tmp_path / "a.csv").write_text(f'a,b\n"1{mark}234.5",1\n-7.25,2\n"{mark.join(["12", "345", "678"])}",3\nNA,4\n')
    with pytest.raises(UserError, match=r"row 4 \(counted from 1\), column 'a' is missing"):
        file.load(path=str(tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_text(f'a,b\n"1{mark}234.5",1\n-7.25,2\n"{mark.join(["12", "345", "678"])}",3\n')
    assert first_column(tmp_path / "a.csv") == [1234.5, -7.25, 12345678.0]


def test_names_that_look_like_numbers_with_marks_stay_names(tmp_path):
    (tmp_path / "a.csv").write_text("key,a,label\n12 345,1,1 000\n12 346,2,2 000\n12 347,4,2 000\n")
    found = file.load(path=str(tmp_path / "a.csv"))
    assert found.ids is not None
    assert (found.ids.tolist(), found.class_names) == (["12 345", "12 346", "12 347"], ("1 000", "2 000"))


def test_points_between_thousands_beside_decimal_commas(tmp_path):
    (tmp_path / "a.csv").write_text("a;b\n1.234,5;1\n-0,25;2\n12;3\n")
    assert first_column(tmp_path / "a.csv", decimal=",") == [1234.5, -0.25, 12.0]


def test_a_comma_that_may_be_the_decimal_one_is_asked_about(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n"1,234",1\n"5,678",2\n')
    with pytest.raises(UserError, match=r"it has decimal commas: set `decimal: \",\"`"):
        file.load(path=str(tmp_path / "a.csv"))


def test_ids_labels_and_decimal_commas_are_refused_at_once(tmp_path):
    """What the message says to set is all that is needed."""
    rows = "".join(f"W{i};{'ab'[i % 2]};{i},5;{i % 7},25;{i % 3}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("bottle;colour;acid;sugar;age\n" + rows)
    with pytest.raises(UserError) as error:
        file.load(path=str(tmp_path / "t.csv"))
    said = (
        "'bottle' like ids; 'colour' like labels; 'acid', 'sugar' like numbers with decimal commas. "
        'Set `id: bottle`, `labels: colour`, `decimal: ","`'
    )
    assert str(error.value).endswith(said)
    found = file.load(path=str(tmp_path / "t.csv"), id="bottle", labels="colour", decimal=",")
    assert (found.feature_names, found.class_names) == (("acid", "sugar", "age"), ("a", "b"))


def test_a_second_column_of_ids_is_to_be_ignored(tmp_path):
    rows = "".join(f"{i + 7},W{i},{'ab'[i % 2]},{i % 3},{i % 5}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("nr,bottle,colour,age,size\n" + rows)
    with pytest.raises(UserError, match=r"Set `id: nr`, `labels: colour`, `ignore: \[bottle\]`$"):
        file.load(path=str(tmp_path / "t.csv"))


def test_long_texts_beside_labels_may_be_the_samples(tmp_path):
    rows = "".join(f"{'a long text ' * 5}{i},{'ab'[i % 2]},{i % 3}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("said,colour,age\n" + rows)
    with pytest.raises(UserError, match=r"'said' like texts; 'colour' like labels.*`data: {name: text, text: said}`$"):
        file.load(path=str(tmp_path / "t.csv"))


def test_what_is_no_number_is_named_and_not_its_neighbours(tmp_path):
    (tmp_path / "a.csv").write_text("a;b\n1.234,5;1\nseven;2\n2.000.000;3\n")
    with pytest.raises(UserError, match=r"row 2 \(counted from 1\) is 'seven'; correct it"):
        file.load(path=str(tmp_path / "a.csv"), decimal=",")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_names_and_labels_are_right_in_every_encoding(tmp_path, encoding):
    rows = "länge;art\n" + "".join(f"{i / 2};{'Bär' if i % 2 else 'Fuß'}\n" for i in range(30))
    (tmp_path / "a.csv").write_text(rows, encoding=encoding)
    found = file.load(path=str(tmp_path / "a.csv"), labels="art", scale="none")
    assert (found.feature_names, found.class_names) == (("länge",), ("Bär", "Fuß"))
    assert any("Latin-1" in one for one in found.notes) == (encoding in {"latin-1", "cp1252"})
    texts = text.load(path=str(tmp_path / "a.csv"), text="art", labels="none", dimensions=1)
    assert texts.n_samples == 30
    assert any("Latin-1" in one for one in texts.notes) == (encoding in {"latin-1", "cp1252"})


def test_a_character_far_from_the_start_decides_the_encoding(tmp_path):
    rows = "".join(f"{i / 2},n{i % 2}\n" for i in range(20_000))
    (tmp_path / "a.csv").write_bytes(b"a,label\n" + rows.encode() + "1.5,Bär\n".encode("latin-1"))
    assert file.load(path=str(tmp_path / "a.csv")).class_names == ("Bär", "n0", "n1")


def test_one_sheet_of_several_is_read_by_its_name(tmp_path):
    path = workbook(tmp_path / "a.xlsx", Notes=[["read me"]], Data=[["a", "b"], [1, 2], [3, 5]])
    found = file.load(path=path, sheet="Data", scale="none")
    assert found.samples.tolist() == [[1, 2], [3, 5]]
    assert found.fingerprint == file.fingerprint(path=path, sheet="Data", scale="none")
    assert found.fingerprint != file.fingerprint(path=path, sheet="Notes", scale="none")
    with pytest.raises(UserError, match="`sheet: data` is none of its sheets: Notes, Data"):
        file.load(path=path, sheet="data")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([["Results of May"], ["a", "b"], [1, 2], [3, 4]], r"first row \(Results of May, \) does not name each column"),
        ([[0.5, 2], [3, 4], [5, 6]], r"first row \(0\.5, 2\) does not name each column"),
        ([["a", "b"]], "one row per sample, below a row that names the columns"),
        ([], "one row per sample"),
        ([["a", "b"], [1, 2], [3, "#DIV/0!"]], r"column 'b' is not numeric: row 2 .* is '#DIV/0!'"),
        ([["a", "b"], [1, 2], [3, None]], r"row 2 \(counted from 1\), column 'b' is missing"),
    ],
)
def test_a_sheet_that_is_no_table_is_refused_in_one_line(tmp_path, rows, says):
    with pytest.raises(UserError, match=says) as error:
        file.load(path=workbook(tmp_path / "a.xlsx", Data=rows))
    assert "\n" not in str(error.value)


def test_a_damaged_place_in_a_table_of_arrow_is_not_followed(tmp_path):
    path = tmp_path / "a.arrow"
    pl.DataFrame({"a": [0.5, 1.5, 2.5], "label": ["x" * 20, "y" * 20, "z" * 20]}).cast(
        {"label": pl.Categorical}
    ).write_ipc(path)
    whole = path.read_bytes()
    place = whole.rindex(struct.pack("<I", 20) + b"zzzz")  # a view: length, prefix, buffer, offset
    path.write_bytes(whole[: place + 12] + struct.pack("<i", 1 << 30) + whole[place + 16 :])
    code = f"from core.datasets import file\nfile.load(path={str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "cannot be read as .arrow" in done.stderr) == (1, True), done.stderr


def test_json_lines_in_another_encoding_are_refused(tmp_path):
    rows = [{"a": i, "title": f"Bär {i}", "label": "Bär"} for i in range(4)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in rows), "latin-1")
    for load in (file.load, partial(text.load, text="title")):
        with pytest.raises(UserError, match=r"it cannot be read.*UTF8"):
            load(path=str(tmp_path / "a.jsonl"))


def test_a_column_of_unlike_texts_may_be_names_and_that_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("patient,a\nJo,1\nAl,2\nMo,4\n")
    with pytest.raises(UserError, match="write `id: patient` if it names the samples; else correct it"):
        file.load(path=str(tmp_path / "a.csv"))
    assert file.load(path=str(tmp_path / "a.csv"), id="patient").ids.tolist() == ["Jo", "Al", "Mo"]
    (tmp_path / "a.csv").write_text("patient,a\nJo,1\nJo,2\nMo,4\n")
    with pytest.raises(UserError, match=r"row 1 \(counted from 1\) is 'Jo'; correct it"):
        file.load(path=str(tmp_path / "a.csv"))


def test_a_missing_openpyxl_comes_with_the_line_that_installs_it(tmp_path, monkeypatch):
    path = workbook(tmp_path / "a.xlsx", Data=[["a", "b"], [1, 2], [3, 5]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UserError, match="need openpyxl, which is not installed: uv sync --extra import"):
        file.load(path=path)


@pytest.mark.parametrize("suffix", [".jsonl", ".xlsx"])
def test_a_copy_of_the_labels_is_found_in_every_table(tmp_path, suffix):
    rows = [{"x": i * 0.37 % 1, "kind": "uv"[i % 2], "code": 7 - i % 2} for i in range(24)]
    path = tmp_path / f"a{suffix}"
    if suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        workbook(path, Data=[list(rows[0]), *(list(row.values()) for row in rows)])
    found = file.load(path=str(path), labels="kind")
    assert found.feature_names == ("x",)
    assert found.left_out == ("code (it repeats the labels one to one; `features: [..., code]` learns from it)",)


def test_a_folder_of_json_lines_is_one_data_set(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in range(2):
        rows = [{"name": f"s{part}{i}", "a": part + i / 4, "b": 1} for i in range(3)]
        (folder / f"{part}.ndjson").write_text("\n".join(map(json.dumps, rows)) + "\n")
    found = file.load(path=str(folder), scale="none", id="name")
    assert found.samples[:, 0].tolist() == [0, 0.25, 0.5, 1, 1.25, 1.5]
    assert found.ids is not None
    assert found.ids.tolist() == ["s00", "s01", "s02", "s10", "s11", "s12"]


def test_texts_of_a_workbook(tmp_path):
    rows = [[f"{word} {word} n{i}", word] for i, word in enumerate(["fox", "hen"] * 4)]
    path = workbook(tmp_path / "a.xlsx", Data=[["title", "label"], *rows])
    found = text.load(path=path, text="title")
    assert (found.n_samples, found.class_names) == (8, ("fox", "hen"))


def test_sparse_rows_stay_sparse_where_they_are_many(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    matrix = sparse.random(60, 90, 0.1, "csr", random_state=random)
    lines = []
    for row in range(60):
        one = matrix[row].tocoo()
        entries = sorted(zip(one.col.tolist(), one.data.tolist(), strict=True))
        lines.append(" ".join([str(row % 3), *(f"{place}:{value!r}" for place, value in entries)]))
    path = tmp_path / "a.libsvm"
    path.write_text("\n".join(lines) + "\n")
    whole = file.load(path=str(path), scale="none")
    assert isinstance(whole.samples, np.ndarray)
    for module in (stored, sys.modules["core.formats.svmlight"]):
        monkeypatch.setattr(module, "WHOLE", 1000)
    held = file.load(path=str(path), scale="none").samples
    assert isinstance(held, Stored)
    assert held.is_sparse
    for found in (held[:], whole.samples):
        np.testing.assert_array_equal(found, matrix.toarray()[:, : found.shape[1]].astype(np.float32))
        assert matrix.toarray()[:, found.shape[1] :].sum() == 0
    assert "indices count from 0" in whole.notes


def test_targets_that_are_no_classes_can_be_left_out(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("0.5 1:1\n0.75 2:1\n")
    with pytest.raises(UserError, match=r"label of row 1 .* is '0\.5', but .* `labels: none`"):
        file.load(path=str(path))
    assert file.load(path=str(path), labels="none", scale="none").samples.tolist() == [[1, 0], [0, 1]]
