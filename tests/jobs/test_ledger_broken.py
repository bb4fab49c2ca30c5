# ruff: noqa: E501, RUF001 - one case a line, as people write it
"""Broken tables: exit code 2, one line that says what and where, no traceback, nothing written."""

import openpyxl
import pytest

HEAD = "| lr | nmi | loss |\n| --- | --- | --- |\n"


def md(*rows, head=HEAD):
    return head + "".join(f"| {row} |\n" for row in rows)


def tex(body):
    return "\\begin{tabular}{rrr}\n\\toprule\n" + body + "\n\\bottomrule\n\\end{tabular}\n"


# File's ending, content, and words of its one line.
BROKEN = {
    "a word for a number": ("md", md("1e-3 | good | 1"), "t.md:3: nmi: 'good' is not a number"),
    "a word among numbers of a parameter": ("md", md("1e-3 | .5 | 1", "fast | .5 | 1"), "t.md:4: lr: 'fast' is not a number"),
    "letter O for zero": ("md", md("0.001 | .5 | 1", "0.OO1 | .5 | 1"), "t.md:4: lr: '0.OO1' is not a number"),
    "too many cells": ("md", md("1e-3 | .5 | 1 | 2"), "t.md:3: the row has 4 cells, but the header (line 1) has 3"),
    "too few cells": ("md", md("1e-3 | .5"), "t.md:3: the row has 2 cells"),
    "no row": ("md", HEAD, "t.md:1: the table has no row"),
    "blank rows alone": ("md", md(" | | "), "t.md:1: the table has no row"),
    "no table": ("md", "# Notes\n\nnothing here\n", "t.md has no table"),
    "no rule": ("md", "| lr | nmi |\n| 1 | 2 |\n", "t.md has no table"),
    "a table in a code fence": ("md", f"```\n{md('1 | .5 | 1')}```\n", "t.md has no table"),
    "empty": ("md", "", "t.md has no table"),
    "no name, but a value": ("md", "| lr | |\n|---|---|\n| 1 | 2 |\n", "'2' is in column 2, which has no name"),
    "a name twice": ("md", "| lr | lr |\n|---|---|\n| 1 | 2 |\n", "t.md:1: two columns are named 'lr'"),
    "two names, one meaning": ("md", "| lr | 学习率 |\n|---|---|\n| 1 | 2 |\n", "'lr' and '学习率' both mean param.optimiser"),
    "no known name": ("md", "| a | b |\n|---|---|\n| 1 | 2 |\n", "none of the columns a, b is known"),
    "fraction and percent": ("md", md("1 | 0.84 | 1", "2 | 85 | 1"), "t.md:4: nmi: is above 1, but line 3 is not"),
    "percent sign here and not there": ("md", md("1 | 84% | 1", "2 | 0.85 | 1"), "t.md:4: nmi: some cells have %"),
    "more than all": ("md", md("1 | 101 | 1"), "t.md:3: nmi: '101' is not a share"),
    "a backward range": ("md", md("1 | .5 | 0.76~0.74"), "t.md:3: loss: the range 0.76 to 0.74 has its larger end first"),
    "a range for a parameter": ("md", md("0.1~0.2 | .5 | 1"), "t.md:3: lr: '0.1~0.2' is not a single number"),
    "a spread for a parameter": ("md", md("0.1±0.2 | .5 | 1"), "t.md:3: lr: '0.1±0.2' is not a single number"),
    "about": ("md", md("1 | .5 | ~1.5"), "t.md:3: loss: '~1.5' is not a number"),
    "below": ("md", md("1 | .5 | <0.1"), "t.md:3: loss: '<0.1' is not a number"),
    "too large": ("md", md("1 | .5 | 1e999"), "t.md:3: loss: '1e999' is too large"),
    "struck out": ("md", md("1 | .5 | ~~0.5~~"), "t.md:3: loss: '~~0.5~~' is not a number"),
    "a month 13": ("md", "| date | lr |\n|---|---|\n| 13-01 08:00:00 | 1 |\n", "t.md:3: date: '13-01 08:00:00' is not a date"),
    "an hour 25": ("md", "| date | lr |\n|---|---|\n| 6月11日 25:00:00 | 1 |\n", "'6月11日 25:00:00' is not a date"),
    "day or month first": ("md", "| date | lr |\n|---|---|\n| 06/07 08:00 | 1 |\n", "'06/07 08:00' is not a date"),
    "half a seed": ("md", "| seed | lr |\n|---|---|\n| 0.5 | 1 |\n", "t.md:3: seed: '0.5' is not a seed"),
    "a negative seed": ("md", "| seed | lr |\n|---|---|\n| -1 | 1 |\n", "t.md:3: seed: '-1' is not a seed"),
    "one seed twice": ("md", "| seed | lr |\n|---|---|\n| 1 | 1 |\n| 1 | 1 |\n", "t.md:4: the parameters and the seed are"),
    "one date twice": ("md", "| date | lr |\n|---|---|\n| 06-07 | 1 |\n| 06-07 | 1 |\n", "t.md:4: the parameters and the date"),
    "damaged beyond repair": ("md", "| lr | å‚æ•°å |\n|---|---|\n| 1 | 2 |\n", "t.md:1: '傿\ufffd°\ufffd' is damaged"),
    "lost characters": ("md", "| lr | method |\n|---|---|\n| 1 | \ufffd\ufffd |\n", "t.md:3: '\ufffd\ufffd' is damaged"),
    "said twice": ("md", f"**lr:** 3\n\n{md('1 | .5 | 1')}", "t.md:1: 'lr' is given above the table"),
    "not UTF-8": ("md", "| lr | 温度 |\n|---|---|\n| 1 | 2 |\n".encode("gb18030"), "t.md:1: this is not utf-8 text"),
    "bytes": ("csv", b"lr,nmi\n1,\0\n", "t.csv:2: this is not a text file"),
    "no delimiter": ("csv", "lr\n1\n", "t.csv:1: the header has no comma, semicolon, tab or bar"),
    "two delimiters": ("csv", "lr,a;nmi\n1,2;3\n", "t.csv:1: the header may be separated by comma and semicolon"),
    "an open quote": ("csv", 'lr,nmi\n1,"2\n', "t.csv:2: the quotes of this row do not match"),
    "a ragged row": ("csv", "lr,nmi\n1,2\n1,2,3\n", "t.csv:3: the row has 3 cells"),
    "comma and point": ("csv", "lr;nmi\n0,1;0.5\n", "t.csv:2: '0,1' has a decimal comma and other cells have points"),
    "a thousand or one": ("csv", "lr;k\n1;1,024\n", "t.csv:2: '1,024' may mean thousands or a fraction"),
    "a text that is no table": ("txt", "lr nmi\n1 2\n", "t.txt:1: the header has no comma"),
    "merged columns": ("tex", tex(r"\multicolumn{2}{c}{a} & b \\ lr & nmi & c \\ 1 & 2 & 3 \\"), "t.tex:3: the row has a merged"),
    "merged rows": ("tex", tex("lr & nmi & k \\\\\n\\multirow{2}{*}{1} & .5 & 3 \\\\"), "t.tex:4: the row has a merged cell"),
    "an unknown command": ("tex", tex("lr & nmi & k \\\\\n1 & \\foo{2} & 3 \\\\"), "t.tex:4: the command \\foo is not known"),
    "no end": ("tex", "\\begin{tabular}{rr}\nlr & nmi \\\\ 1 & 2\n", "t.tex:1: \\begin{tabular} has no \\end"),
    "no tabular": ("tex", "text\n", "t.tex has no table"),
    "no workbook": ("xlsx", "lr,nmi\n", "t.xlsx is not an Excel workbook"),
    "another kind": ("doc", "x", "t.doc: the file must end in one of .md"),
}  # fmt: skip


def refused(command, path, words, *more):
    results = path.parent / "results"
    code, out, err = command("import", path, "--results", results, "--yes", *more)
    assert code == 2, out + err
    assert err.count("\n") == 1, err
    assert words in err
    assert "Traceback" not in out + err
    assert not results.exists()


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_table_gets_one_line_and_leaves_nothing(command, tmp_path, kind):
    suffix, content, words = BROKEN[kind]
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(command, path, words)


def book(tmp_path, fill):
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["lr", "nmi"], [0.1, 0.5], [0.2, 0.6]):
        sheet.append(row)
    fill(sheet)
    book.save(tmp_path / "t.xlsx")
    return tmp_path / "t.xlsx"


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (lambda sheet: sheet.merge_cells("A2:A3"), "t.xlsx: the cells A2:A3 are merged"),
        (lambda sheet: sheet.cell(2, 2, "=1/3"), "t.xlsx:2: the formula in B2 has no stored value"),
        (lambda sheet: sheet.cell(3, 1, "x"), "t.xlsx:3: lr: 'x' is not a number"),
        (lambda sheet: sheet.delete_rows(1, 3), "t.xlsx has no table"),
    ],
)
def test_a_broken_workbook_is_refused(command, tmp_path, fill, words):
    refused(command, book(tmp_path, fill), words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--map", "x=lr"], "t.md has no column 'x'; there are: lr, nmi, loss"),
        (["--map", "lr=foo"], "'foo' is not a known name: write param.NAME"),
        (["--map", "lr"], "--map 'lr' should be HEADER=NAME"),
        (["--map", "lr=nmi"], "'lr' and 'nmi' both mean metric.nmi"),
        (["--table", "2"], "--table 2: t.md has 1 table."),
        (["--sheet", "a"], "--sheet is for Excel workbooks"),
        (["--study", "a/b"], "'a/b' cannot name a study"),
        (["--encoding", "klingon"], "There is no encoding 'klingon'"),
    ],
)
def test_a_wrong_option_is_refused(command, tmp_path, more, words):
    (tmp_path / "t.md").write_text(md("1e-3 | .5 | 1"))
    refused(command, tmp_path / "t.md", words, *more)


def test_missing_files_and_sheets_are_named(command, tmp_path):
    refused(command, tmp_path / "none.csv", "none.csv: the file cannot be read: No such file")
    path = book(tmp_path, lambda _: None)
    refused(command, path, "t.xlsx has no sheet 'b'; there are: Sheet", "--sheet", "b")


def test_the_29th_of_february_needs_its_year(command, tmp_path):
    path = tmp_path / "t.md"
    path.write_text("| date | lr |\n|---|---|\n| 02-29 10:00:00 | 1 |\n")
    refused(command, path, "t.md:3: there is no 02-29 10:00:00 in the year 2025", "--year", "2025")


def test_every_mistake_gets_a_line_up_to_ten(command, tmp_path):
    path = tmp_path / "t.md"
    path.write_text(md(*["1e-3 | bad | 1"] * 12))
    code, _, err = command("import", path, "--results", tmp_path / "results", "--yes")
    assert code == 2
    assert err.count("is not a number") == 10
    assert "and 2 more" in err


def test_without_a_terminal_and_without_yes_nothing_is_written(command, tmp_path):
    (tmp_path / "t.md").write_text(md("1e-3 | .5 | 1"))
    code, out, err = command("import", tmp_path / "t.md", "--results", tmp_path / "results")
    assert code == 2
    assert "param.optimiser.learning_rate" in out
    assert err == "Error: Nothing was written: look at the columns above, and say --yes if they are right.\n"
    assert not (tmp_path / "results").exists()


def test_results_that_cannot_be_written_are_named(command, tmp_path):
    (tmp_path / "t.md").write_text(md("1e-3 | .5 | 1"))
    (tmp_path / "taken").write_text("a file")
    code, _, err = command("import", tmp_path / "t.md", "--results", tmp_path / "taken", "--yes")
    assert code == 2
    assert "the rows cannot be written" in err
    assert err.count("\n") == 1
