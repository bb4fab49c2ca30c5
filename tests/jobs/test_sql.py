# ruff: noqa: E501 - queries stay whole
import json

import pyarrow.parquet as pq
import pytest

from core.errors import UserError
from jobs.results.query import query
from jobs.results.reader import read_results
from jobs.results.schema import Attempt
from jobs.results.writer import write


@pytest.fixture
def results(tmp_path):
    """Three trials of two configurations; the first was tried twice."""
    folder = tmp_path / "results"
    for config, seed, attempt, status in (
        ("a", 0, "A", "failed"),
        ("a", 0, "B", "ok"),
        ("a", 1, "A", "ok"),
        ("b", 0, "A", "ok"),
    ):
        history = [(epoch, float(epoch), name, epoch / 10) for epoch in (1, 2) for name in ("nmi", "loss")]
        write(
            str(folder),
            Attempt(
                study="s", trial_key=f"{config}{seed}", config_key=config, seed=seed, attempt_id=attempt, status=status,
                params={"optimiser.learning_rate": 0.1 if config == "a" else 0.2}, metrics={"nmi": 0.5 + seed / 10},
                history=history if status == "ok" else [],
            ),
        )  # fmt: skip
    return folder


def answer(results, text):
    return query([str(results)], text).table.to_pylist()


def test_trials_are_the_readers_rows(results):
    found = query([str(results)], "select * from trials order by config_key, seed, trial_key").table
    assert found.to_pylist() == read_results(str(results)).to_pylist()


def test_attempts_are_all_and_history_has_a_row_per_epoch_and_metric(results):
    assert answer(results, "select count(*) n from attempts") == [{"n": 4}]
    assert answer(results, "select count(*) n, sum(value) s, max(epoch) e from history") == [
        {"n": 12, "s": pytest.approx(1.8), "e": 2}
    ]
    expected = {
        (row["trial_key"], one["epoch"], one["t"], one["metric"], one["value"])
        for row in read_results(str(results), history=True).to_pylist()
        for one in row["history"]
    }
    found = answer(results, "from HISTORY")
    assert {(row["trial_key"], row["epoch"], row["t"], row["metric"], row["value"]) for row in found} == expected


@pytest.mark.parametrize("view", ["trials", "attempts", "history"])
def test_a_study_that_has_only_begun_has_no_rows(tmp_path, view):
    (tmp_path / "study=s").mkdir()
    assert answer(tmp_path, f"from {view}") == []


def test_views_may_be_joined_and_parameters_named(results):
    text = """with best as (select trial_key, max(value) v from history where metric = 'nmi' group by all)
    select "param.optimiser.learning_rate" lr, count(*) n, max(v) v from trials join best using (trial_key) group by 1 order by 1"""
    assert answer(results, text) == [{"lr": 0.1, "n": 2, "v": 0.2}, {"lr": 0.2, "n": 1, "v": 0.2}]


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        ("table", "study  n  half\n─────  ─  ────\ns      3   0.5\n"),
        ("markdown", "| study |   n | half |\n| ----- | --: | ---: |\n| s     |   3 |  0.5 |\n"),
        ("csv", "study,n,half\ns,3,0.5\n"),
    ],
)
def test_it_prints_in_every_format(command, results, fmt, text):
    code, out, _ = command("sql", results, "select study, count(*) n, 0.5 half from trials group by 1", "--format", fmt)
    assert (code, out) == (0, text)


def test_json_holds_lists_dates_and_large_sums(command, results):
    text = (
        "select [1, 2] l, {a: 0.5, t: timestamp '2026-01-01'} s, "
        " sum(seed)::hugeint h, date '2026-01-01' d, null z from trials"
    )
    _, out, _ = command("sql", results, text, "--format", "json")
    assert json.loads(out) == [
        {"l": [1, 2], "s": {"a": 0.5, "t": "2026-01-01 00:00:00"}, "h": 1, "d": "2026-01-01", "z": None}
    ]


def test_out_writes_a_file_by_its_ending(command, results, tmp_path):
    assert command("sql", results, "select 1 a from trials", "--out", tmp_path / "x.parquet")[0] == 0
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [{"a": 1}] * 3
    command("sql", results, "select 1 a from trials", "--out", tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "a\n1\n1\n1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select foo from trials", 'SQL, line 1, column 8: Referenced column "foo" not found'),
        ("select 1,\n'日本', foo from trials", 'SQL, line 2, column 7: Referenced column "foo"'),
        ("selec 1 from trials", 'SQL, line 1, column 1: syntax error at or near "selec"'),
        ("select * from trails", "SQL, line 1, column 15: Table with name trails does not exist"),
        ("select cast(study as int) from trials", "SQL, line 1, column 8: Could not convert string 's'"),
        ("select * from '/etc/hostname'", "SQL, line 1, column 15: Table with name /etc/hostname does not exist"),
        ("select * from read_csv('/etc/hostname')", "file system operations are disabled"),
        ("select * from read_text('/etc/hostname')", "file system operations are disabled"),
        ("select * from glob('/*')", "file system operations are disabled"),
        ("select * from results", "Table with name results does not exist"),
        ("copy trials to 'x.csv'", "The query is a copy: results are only read"),
        ("attach 'x.db'", "The query is a attach: results are only read"),
        ("create table x as select 1", "The query is a create: results are only read"),
        ("set enable_external_access = true", "The query is a set"),
        ("install httpfs", "The query is a load"),
        ("drop view trials", "The query is a drop"),
        ("select 1; select 2", "The query holds 2 statements: write one select"),
        ("", "The query holds 0 statements"),
        ("trials", "'trials' is no query: it comes last"),
    ],
)
def test_what_is_wrong_or_not_allowed_gets_one_line(command, results, tmp_path, text, words):
    code, out, err = command("sql", results, text)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert words in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


def test_torn_files_are_named_and_no_results_refused(command, results, tmp_path):
    (results / "study=s" / "trials" / "torn.A.parquet").write_bytes(b"PAR1")
    code, out, err = command("sql", results, "select count(*) n from trials", "--format", "csv")
    assert (code, out) == (0, "n\n3\n")
    assert err.startswith("Warning: ")
    assert command("sql", tmp_path / "none", "select 1 from trials")[0] == 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("timestamp 'infinity'", "infinity"),
        ("timestamp '-infinity'", "-infinity"),
        ("timestamptz 'infinity'", "infinity"),
        ("date 'infinity'", "infinity"),
        ("date '290000-01-01'", "290000-01-01"),
        ("timestamp '290000-01-01'", "290000-01-01 00:00:00"),
        ("date '0044-03-15 (BC)'", "0044-03-15 (BC)"),
        ("timestamp_ns '2020-01-01 00:00:00.123456789'", "2020-01-01 00:00:00.123456789"),
        ("[timestamp 'infinity']", "[infinity]"),
        ("{a: date '290000-01-01'}", "{'a': 290000-01-01}"),
        ("map([1], [date 'infinity'])", "{1=infinity}"),
        ("1e400", None),
        ("'-infinity'::double", None),
    ],
)
def test_what_python_has_no_value_for_is_text_or_null(command, results, value, shown):
    text = f"select {value} x union all select null"
    assert command("sql", results, text)[0] == 0
    code, out, _ = command("sql", results, text, "--format", "json")
    assert (code, json.loads(out)) == (0, [{"x": shown}, {"x": None}])


@pytest.mark.parametrize("name", ["metric.nmi", "param.optimiser.learning_rate", "best.nmi", "health.silhouette"])
def test_a_column_without_its_quotes(command, results, name):
    code, _, said = command("sql", results, "select 1,\n max(COLUMN) from trials".replace("COLUMN", name))
    assert (code, said) == (
        2, f'Error: SQL, line 2, column 6: a column whose name has a dot stands in double quotes: "{name}"\n'
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("select nmi from trials", 'SQL, line 1, column 8: there is no column nmi; write "metric.nmi"'),
        (
            "select study from trials\nwhere lr < 1",
            'line 2, column 7: there is no column lr; write "param.optimiser.learning_rate"',
        ),
        ("select zzz from trials", "not found in FROM clause"),
    ],
)
def test_a_column_by_its_short_name_is_told_with_its_whole_one(results, text, column):
    with pytest.raises(UserError) as caught:
        query([str(results)], text)
    assert column in str(caught.value)
