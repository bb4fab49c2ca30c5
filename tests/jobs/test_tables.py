import csv
import io
import json
import math
from datetime import UTC, datetime

import pytest

from core.errors import UserError
from jobs.analysis.intervals import plus_minus
from jobs.ledger import latex
from jobs.present.tables import Column, numbers, render

COLUMNS = [Column("name", right=False), Column("score", strong=True), Column("more", drop=1), Column("most", drop=2)]
ROWS = [["a|b_1", 0.5, None, True], ["聚类", 1e-5, 3, False]]


def test_a_terminal_table_lines_up_also_with_wide_characters():
    assert render(COLUMNS, ROWS, "table") == (
        "name   score  more   most\n─────  ─────  ────  ─────\na|b_1    0.5         true\n聚类   1e-05     3  false\n"
    )


@pytest.mark.parametrize(("width", "names"), [(25, 4), (24, 3), (18, 3), (17, 2), (5, 2), (None, 4)])
def test_the_least_important_columns_go_and_the_others_stay_whole(width, names):
    lines = render(COLUMNS, ROWS, "table", width=width).splitlines()
    assert len(lines[0].split()) == names
    assert lines[2].startswith("a|b_1    0.5")


def test_long_heads_are_folded_when_no_more_column_can_go():
    columns = [Column("cluster_temperature"), Column("nmi", right=False), Column("kmeans_acc", drop=1)]
    assert render(columns, [[0.5, "0.9 ±0.1", 0.25]], "table", width=30) == (
        "cluster_temperature  nmi\n───────────────────  ────────\n                0.5  0.9 ±0.1\n"
    )
    assert render(columns, [[0.5, "0.9 ±0.1", 0.25]], "table", width=22) == (
        "   cluster_\ntemperature  nmi\n───────────  ────────\n        0.5  0.9 ±0.1\n"
    )


def test_markdown_escapes_and_stresses():
    assert render(COLUMNS[:2], [row[:2] for row in ROWS], "markdown", bold=[1]) == (
        "| name   |     score |\n| ------ | --------: |\n| a\\|b_1 |       0.5 |\n| 聚类   | **1e-05** |\n"
    )


def test_latex_escapes_and_stresses():
    text = render([Column("a_b", right=False, strong=True)], [["x & 50%"], ["0.9 ±0.1"], ["\\~^"]], "latex", bold=[1])
    assert text.splitlines() == [
        r"\begin{tabular}{l}",
        r"\toprule",
        r"a\_b \\",
        r"\midrule",
        r"x \& 50\% \\",
        r"\textbf{0.9 $\pm$0.1} \\",
        r"\textbackslash{}\textasciitilde{}\textasciicircum{} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_csv_and_json_keep_every_digit_and_plain_types():
    rows = [[0.1 + 0.2, 'say "hi", you', math.nan, None, datetime(2026, 6, 7, 8, 18, 15, tzinfo=UTC)]]
    names = ["a", "b", "c", "d", "e"]
    (record,) = csv.DictReader(io.StringIO(render(names, rows, "csv")))
    assert float(record["a"]) == 0.1 + 0.2
    assert (record["b"], record["d"]) == ('say "hi", you', "")
    (parsed,) = json.loads(render(names, rows, "json"))
    assert parsed == {"a": 0.1 + 0.2, "b": 'say "hi", you', "c": None, "d": None, "e": "2026-06-07 08:18:15+00:00"}


def test_an_unknown_format_is_refused():
    with pytest.raises(UserError, match=r"no format 'xml'.*table, markdown"):
        render(["a"], [], "xml")


def test_a_column_has_as_few_digits_as_tell_its_values_apart():
    assert numbers([0.1 * 3, 256.0, None, "x", True]) == ["0.3", "256", None, "x", True]
    assert numbers([0.123456, 0.123457]) == ["0.123456", "0.123457"]


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (0.87345, 0.0123, "0.873 ±0.012"),
        (0.87345, None, "0.873"),
        (0.87345, 0.0, "0.873 ±0.000"),
        (0.873456, 0.000012, "0.873456 ±0.000012"),
    ],
)
def test_an_interval_reads_as_people_write_it(mean, half, text):
    assert plus_minus(mean, half) == text


@pytest.mark.parametrize("cell", ["[16]", "[0.1, 0.2] wide", "*", "*[2]", "["])
def test_latex_takes_no_first_cell_for_an_argument(cell):
    text = render([Column(cell), Column("b")], [[cell, 1], [cell, 2]], "latex", bold=[0])
    assert text.count(f"\n{{}}{cell} & ") == 3
    (table,) = latex.tables(text, "x.tex")
    assert [line.cells for line in (table.header, *table.rows)] == [(cell, "b"), (cell, "1"), (cell, "2")]


def test_texts_are_folded_between_words_where_there_is_no_room():
    columns = [Column("what"), Column("text", right=False), Column("score", right=False)]
    rows = [["a", "some words of a text", "0.821 ±0.002 *"], ["b", "few", "0.7"]]
    assert render(columns, rows, "table", width=36).splitlines() == [
        "what  text           score",
        "────  ─────────────  ──────────────",
        "   a  some words of  0.821 ±0.002 *",
        "      a text",
        "   b  few            0.7",
    ]


def test_a_table_that_is_still_too_wide_is_shown_in_parts_with_the_first_column():
    columns = [Column("key", right=False), *(Column(f"score{i}") for i in range(3))]
    rows = [["one", 0.1234, 0.2345, 0.3456], ["two", 1, 2, 3]]
    assert render(columns, rows, "table", width=20).splitlines() == [
        "key  score0  score1",
        "───  ──────  ──────",
        "one  0.1234  0.2345",
        "two       1       2",
        "",
        "key  score2",
        "───  ──────",
        "one  0.3456",
        "two       3",
    ]
    assert "score2" in render(columns, rows, "table", width=29).splitlines()[0]
    assert render(columns, rows, "csv").count("\n") == 3


def test_huge_numbers_have_one_form_and_seeds_stay_whole():
    assert numbers([1e12, 2e12, 10**15, 1e300]) == ["1e+12", "2e+12", "1e+15", "1e+300"]
    assert numbers([2**31 - 1, 2.0**32, -5]) == ["2147483647", "4294967296", "-5"]
    assert numbers([123456789012.0, 123456789013]) == ["123456789012", "123456789013"]
    assert render(["n"], [[2000000000000], [1e15]], "markdown").split("\n")[2:4] == ["| 2e+12 |", "| 1e+15 |"]
