"""Imported rows without a score: they are failed, by their cells' word where there is one; and those without a seed."""

import pytest

from jobs.ledger.prepare import prepare
from jobs.results.reader import read_results

TABLE = """lr,batch,nmi,acc,note
0.1,32,0.5,0.6,
0.2,32,,nan,crashed
0.3,32,OOM,0.4,
0.4,32,failed,Crashed,
0.5,32,0.6,,fine
"""


@pytest.fixture
def told(tmp_path, command):
    """What the import says, and the rows by their learning rate."""

    def run(text):
        (tmp_path / "t.csv").write_text(text)
        code, shown, err = command("import", tmp_path / "t.csv", "--results", tmp_path / "r", "--yes")
        assert (code, err) == (0, "")
        rows = read_results(str(tmp_path / "r")).to_pylist()
        return " ".join(shown.split()), {row["param.optimiser.learning_rate"]: row for row in rows}

    return run


def test_a_row_without_a_score_is_failed_and_told(told):
    shown, rows = told(TABLE)
    assert {rate: (row["status"], row["reason"]) for rate, row in rows.items()} == {
        0.1: ("ok", ""),
        0.2: ("failed", "no score"),
        0.3: ("failed", "oom"),
        0.4: ("failed", "failed"),
        0.5: ("ok", ""),
    }
    assert (rows[0.3]["metric.nmi"], rows[0.3]["metric.acc"]) == (None, 0.4)
    assert "their rows are failed: crashed (1), failed (1), oom (1)." in shown
    assert "Without score or loss: 2 rows: imported as failed." in shown


def test_a_column_that_says_how_runs_ended_is_believed_unless_a_score_says_worse(told):
    shown, rows = told("lr,nmi,status\n0.1,0.5,finished\n0.2,,finished\n0.3,oom,finished\n0.4,oom,killed\n")
    ends = [(rows[rate]["status"], rows[rate]["reason"]) for rate in (0.1, 0.2, 0.3, 0.4)]
    assert ends == [("ok", ""), ("ok", ""), ("failed", "oom"), ("failed", "killed")]
    assert "imported as failed" not in shown


def test_a_table_of_parameters_alone_has_no_failures(told):
    _, rows = told("lr,batch\n0.1,32\n0.2,32\n")
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_a_word_in_a_parameter_is_still_a_mistake(tmp_path, command):
    (tmp_path / "t.csv").write_text("lr,nmi\n0.1,0.5\noom,0.4\n")
    code, _, err = command("import", tmp_path / "t.csv", "--results", tmp_path / "r", "--yes")
    assert (code, "'oom' is not a number" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "rows"), [("lr,nmi\n0.1,0.5\n0.2,0.4\n", "2 rows"), ("lr,nmi,seed\n0.1,0.5,\n0.2,0.4,3\n", "1 row")]
)
def test_what_stands_for_a_seed_that_is_not_given_is_said(told, text, rows):
    shown, found = told(text)
    assert f"No seed is in {rows}: each gets a negative number of its own in its place." in shown
    assert found[0.1]["seed"] < 0


def test_where_every_row_has_a_seed_nothing_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("lr,nmi,seed\n0.1,0.5,1\n0.2,0.4,3\n")
    assert prepare(tmp_path / "t.csv").notes == []
