"""The tables of docs/benchmarks.md are whole, and a measurement changes its own row alone."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import measure, peers, rows
from benchmarks.quality import FOLDER, GOALS, WHAT

LINES = measure.PAGE.read_text(encoding="utf-8").splitlines()
ROWS = [row for table in measure.tables(LINES) for row in table.rows.values()]
COMMON = {"machine": "A CPU, 2 cores, load 0.1", "commit, date": "abc1234, 2027-01-01"}


def changes(row):
    """The lines that leave the page and those that come."""
    after = measure.updated("\n".join(LINES), row).splitlines()
    gone, come = set(LINES) - set(after), set(after) - set(LINES)
    assert [line for line in LINES if line not in gone] == [line for line in after if line not in come]
    return after, gone, come


def test_every_row_names_a_script_that_is_there_and_no_two_are_of_the_same():
    for row in ROWS:
        script = re.fullmatch(r"`(\w+\.py)( \w+)?`", row["script"])
        assert script is None or (measure.HERE / script[1]).is_file(), row["script"]
        assert re.fullmatch(r"[0-9a-f]{7,}\+?, \d{4}-\d\d-\d\d", row["commit, date"])
    named = [(row["script"], row["what"]) for row in ROWS if row["script"].startswith("`")]
    assert len(set(named)) == len(named) > 40


@pytest.mark.parametrize("what", ["`conclus --help`, CPU", "digits, 120 epochs"])
def test_what_is_measured_again_changes_its_row_alone(what):
    (known,) = [row for row in ROWS if row["what"] == what]
    after, gone, come = changes(known | COMMON)
    assert (len(gone), len(come)) == (1, 1)
    assert next(iter(gone)).startswith(f"| {what} |")
    assert LINES.index(*gone) == after.index(*come)


def test_what_is_measured_for_the_first_time_comes_after_the_rows_of_its_script():
    row = {"what": "a \\| b", "script": "`retrieval.py`", "measured": "1 s", **COMMON}
    after, gone, (come,) = changes(row)
    assert not gone
    assert "| `retrieval.py` |" in after[after.index(come) - 1]
    assert [one for table in measure.tables(after) for one in table.rows.values()].count(row) == 1


def test_figures_that_no_table_has_columns_for_are_refused():
    with pytest.raises(ValueError, match=r"no table of benchmarks\.md has the columns what, speed"):
        measure.updated("\n".join(LINES), {"what": "a", "speed": "1"})


def test_a_benchmark_keeps_its_rows_where_it_is_told_to(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(rows.KEPT_IN, str(tmp_path / "rows"))
    rows.tell("a", "1 s")
    rows.tell("b", {"ACC": "0.9", "NMI": "0.8"})
    kept = [json.loads(line) for line in Path(tmp_path, "rows").read_text().splitlines()]
    assert kept == [{"what": "a", "measured": "1 s"}, {"what": "b", "ACC": "0.9", "NMI": "0.8"}]
    assert capsys.readouterr().out == "a: 1 s\nb: 0.9, 0.8\n"


def test_every_study_of_quality_is_on_the_page():
    for name, what in WHAT.items():
        assert any(row["script"] == f"`quality.py {name}`" and row["what"].startswith(what) for row in ROWS), name


def test_the_table_of_methods_is_that_of_the_scores_of_each_seed(tmp_path, monkeypatch):
    monkeypatch.setenv(rows.KEPT_IN, str(tmp_path / "rows"))
    peers.tell_table(WHAT["peers"], peers.read(FOLDER / "peers.csv"), GOALS["peers"])
    kept = [json.loads(line) for line in Path(tmp_path, "rows").read_text().splitlines()]
    shown = [{key: row[key] for key in row if key not in {"script", *COMMON}} for row in ROWS if _is_of_peers(row)]
    assert len(kept) > 10
    assert sorted(shown, key=str) == sorted(kept, key=str)


def _is_of_peers(row):
    return row["script"] == "`quality.py peers`"
