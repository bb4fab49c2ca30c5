"""Rows of any types and values under a digest that fits: commands read the others, tell of these, and end well."""

import contextlib
import datetime as dt
import io
import math
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import conclus
from jobs.results import compact, file_rows, peek, reader, writer
from jobs.results.header import KEY, HeaderRow, encode, seal
from jobs.results.misfit import misfit
from jobs.results.schema import FIXED, HISTORY, LARGEST, Attempt, to_table

READING = [
    ["aggregate", "r"],
    ["aggregate", "r", "--columns", "ledger"],
    ["aggregate", "r", "--attempts", "--format", "json"],
    ["compact", "copy"],
    ["diff", "r", "sound"],
    ["effect", "r", "rate"],
    ["importance", "r"],
    ["interaction", "r", "rate", "width"],
    ["logs", "r"],
    ["next", "r"],
    ["plot", "r", "leaderboard", "--out", "p.svg"],
    ["report", "r", "--out", "r.html"],
    ["report", "r", "--out", "r.tex"],
    ["selection", "r"],
    ["sql", "r", "select * from trials"],
    ["sql", "r", "select * from history"],
    ["status", "r"],
    ["topics", "r"],
]


def attempts():
    for number in range(12):
        yield Attempt(
            study="s",
            trial_key=f"t{number}",
            config_key=f"c{number // 2}",
            seed=number % 2,
            attempt_id=f"A{number}",
            status="ok",
            started=dt.datetime(2026, 1, 1, number, tzinfo=dt.UTC),
            seconds=10.0 + number,
            epochs_done=2,
            params={"rate": number // 2 % 3 * 0.1, "width": float(number // 6), "epochs": 2},
            metrics={"nmi": 0.5 + number / 100, "loss": 1.0, "npmi": 0.1},
            best={"nmi": 0.6},
            health={"label_free": 0.5},
            best_metric="nmi",
            best_epoch=1,
            topics=[(topic, f"w{topic}{place}", 1.0) for topic in range(2) for place in range(3)],
            topic_coherence=[0.1, 0.2],
            topic_documents=[(0, "d")],
            cluster_sizes=[2, 1],
            history=[(1, 1.0, "nmi", 0.5), (2, 2.0, "nmi", 0.5 + number / 100)],
        )


ROW = to_table([next(attempts())])


def put(folder, table, name):
    path = folder / "study=s" / "trials" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=True) as file:
        file.write_table(table)
        rows = [HeaderRow("t0", "A0", "ok")] * table.num_rows
        file.add_key_value_metadata({KEY.decode(): encode(rows, "s").decode()})
    path.write_bytes(seal(sink.getvalue().to_pybytes()))
    return path


def with_column(table, name, column):
    if name not in table.column_names:
        return table.append_column(name, column)
    return table.set_column(table.column_names.index(name), name, column)


FLOATS = [float("inf"), -float("inf"), float("nan"), 1.7e308, -1e308, 1e150, -5.0, 0.0, 5e-324]
WHOLE = [-(2**63), 2**63 - 1, -(2**31), 2**31 - 1, -1, 0]
MICROSECONDS = [-62135596800000000, 9 * 10**18, 253402300799000000, -(2**63), -1]
CELLS = [
    *[pa.array([value]) for value in FLOATS],
    *[pa.array([value], pa.float32()) for value in FLOATS[:3]],
    *[pa.array([value]) for value in WHOLE],
    pa.array([2**64 - 1], pa.uint64()),
    pa.array([1], pa.int8()),
    *[pa.array([value], pa.int64()).cast(pa.timestamp("us", tz="UTC")) for value in MICROSECONDS],
    pa.array([9 * 10**18], pa.int64()).cast(pa.timestamp("us")),
    pa.array([9 * 10**18], pa.int64()).cast(pa.duration("s")),
    pa.array([dt.time(1, 2)]),
    pa.array([1], pa.int64()).cast(pa.decimal128(38, 2)),
    pa.array([b"\xff\xfe"]),
    pa.array(["a"]).dictionary_encode(),
    pa.array(["a"], pa.large_string()),
    pa.array([""]),
    pa.array(["a\nError: b"]),
    pa.array(["[" * 5000]),
    pa.array(['{"a": NaN, "epochs": 1e999}']),
    pa.array([True]),
    pa.array([None]),
    pa.array([None], pa.float64()),
    pa.array([None], pa.string()),
    pa.array([[1, None]], pa.list_(pa.int32())),
    pa.array([[{"epoch": None, "t": 1.0, "metric": "nmi", "value": 0.5}]], HISTORY),
    pa.array([[{"epoch": 2**31 - 1, "t": float("nan"), "metric": None, "value": 1e300}]], HISTORY),
    pa.array([[None]], HISTORY),
    pa.array([[{"topic": 1999, "word": "a\nError: b", "weight": float("nan")}]], FIXED.field("topics").type),
    pa.array([[{"topic": 2000, "word": "", "weight": 1e300}]], FIXED.field("topics").type),
    pa.array([[]], FIXED.field("topics").type),
    pa.array([[{"topic": 7, "id": "a\nError: b"}]], FIXED.field("topic_documents").type),
    pa.array([[{"epoch": -5, "t": -1.0, "metric": "nmi", "value": float("inf")}]], HISTORY),
]
NAMES = [*FIXED.names[1:], "history", "metric.nmi", "metric.x", "best.nmi", "health.label_free", "param.rate",
         "param.x", "param.epochs", "param.", "", "x"]  # fmt: skip


@st.composite
def odd_rows(draw):
    table = ROW.drop_columns(["study"])
    for _ in range(draw(st.integers(1, 3))):
        name, cell = draw(st.sampled_from(NAMES)), draw(st.sampled_from(CELLS))
        table = with_column(table, name, cell)
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from(table.column_names))
        table = table.append_column(name, table[name])
    return table


def run(words):
    """The command as the console script runs it; what is no exit is a traceback, and ends the test."""
    sys.argv = ["conclus", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            conclus.main()
        except SystemExit as leave:
            return leave.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def lay(folder, table):
    for place in ("r", "copy", "sound"):
        for one in attempts():
            if place == "sound" or one.trial_key != "t0":
                writer.write(str(folder / place), one)
    return [put(folder / place, table, "t0.A0.parquet") for place in ("r", "copy")]


@pytest.fixture(autouse=True)
def _argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)


# Each runs all commands: two seconds. The five below are always among them.
@settings(max_examples=settings.default.max_examples // 30)
@given(odd_rows())
@example(with_column(ROW, "metric.nmi", pa.array([1.7e308])).drop_columns(["study"]))
@example(with_column(ROW, "seconds", pa.array([float("inf")])).drop_columns(["study"]))
@example(with_column(ROW, "param.rate", pa.array([float("nan")])).drop_columns(["study"]))
@example(with_column(ROW, "param.rate", pa.array([-1], pa.int64()).cast(pa.timestamp("us"))).drop_columns(["study"]))
@example(ROW.drop_columns(["study"]).append_column("metric.nmi", ROW["metric.nmi"]))
def test_no_row_of_whatever_types_and_values_ends_a_command_in_a_traceback(table):
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        lay(Path(name), table)
        loaded = reader.load(["r"], history=True)
        assert (loaded.table.num_rows, len(loaded.skipped)) in {(12, 0), (11, 1)}
        for words in READING:
            code, _, err = run(words)
            assert code in {0, 2}, err
            assert not [line for line in err.split("\n") if line.startswith("Error: b")]
        # Compaction moves the rows that are read, and leaves the file that is not.
        again = reader.load(["copy"], history=True)
        assert (again.table.num_rows, len(again.skipped)) == (loaded.table.num_rows, len(loaded.skipped))


ODD = {
    "a column twice": lambda: ROW.append_column("metric.nmi", ROW["metric.nmi"]),
    "a parameter twice": lambda: ROW.append_column("param.rate", ROW["param.rate"]),
    "a time as a parameter": lambda: with_column(ROW, "param.x", TIME),
    "a time that no calendar has": lambda: with_column(ROW, "started", TIME.cast(pa.timestamp("us", tz="UTC"))),
    "a huge score": lambda: with_column(ROW, "metric.nmi", pa.array([1.7e308])),
    "a huge negative score": lambda: with_column(ROW, "metric.nmi", pa.array([-1e308])),
    "infinite seconds": lambda: with_column(ROW, "seconds", pa.array([float("inf")])),
    "no number of seconds": lambda: with_column(ROW, "seconds", pa.array([float("nan")])),
    "seconds below zero": lambda: with_column(ROW, "seconds", pa.array([-5.0])),
    "an infinite parameter": lambda: with_column(ROW, "param.rate", pa.array([float("inf")])),
    "a parameter that is no number": lambda: with_column(ROW, "param.rate", pa.array([float("nan")])),
    "bytes": lambda: with_column(ROW, "param.x", pa.array([b"\xff"])),
    "a status of its own": lambda: with_column(ROW, "status", pa.array(["odd"])),
    "a history with a gap": lambda: with_column(ROW, "history", pa.array([[None]], HISTORY)),
    "a huge history": lambda: with_column(ROW, "history", CELLS[-3]),
    "a count beyond 32 bits": lambda: with_column(ROW, "epochs_done", pa.array([2**40])),
}
TIME = pa.array([9 * 10**18], pa.int64()).cast(pa.timestamp("us"))


@pytest.mark.parametrize("name", ODD)
def test_an_odd_row_is_skipped_in_one_sentence_by_every_reader_and_stays(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    odd = ODD[name]()
    file, copy = lay(tmp_path, odd.drop_columns(["study"]))
    loaded = reader.load(["r"], history=True)
    assert (loaded.table.num_rows, len(loaded.skipped)) == (11, 1)
    assert loaded.skipped[0].startswith(f"{file.relative_to(tmp_path)} is skipped: it is not as conclus writes it (")
    (done,) = compact.compact("copy")
    assert (done.rows, len(done.skipped)) == (11, 1)
    assert copy.exists()
    # The same inside a file of many rows.
    parts = tmp_path / "parts"
    put(parts, odd.drop_columns(["study"]), "../compact/part-0.parquet")
    (parts / "study=s" / "trials").rmdir()
    assert len(reader.load(["parts"], history=True).skipped) == 1


@given(st.floats(), st.floats(), st.datetimes(), st.floats() | st.integers(-(10**120), 10**120))
def test_nothing_is_written_that_is_not_read(score, seconds, started, parameter):
    row = Attempt(
        study="s",
        trial_key="a",
        config_key="a",
        seed=0,
        attempt_id="1",
        started=started,
        seconds=seconds,
        params={"x": parameter},
        metrics={"nmi": score},
        history=[(1, seconds, "nmi", score)],
    )
    table = to_table([row])
    assert misfit(table) == ""
    found = table["metric.nmi"][0].as_py()
    assert found == score or abs(score) > LARGEST or math.isnan(score)
    if abs(score) > LARGEST:
        assert abs(found) == float("inf")
        assert (found > 0) == (score > 0)


def test_rows_beyond_those_of_the_header_are_not_unpacked(tmp_path):
    """Equal rows take no space in a file: 4 GB of memory were needed for 1.7 MB."""
    row = ROW.drop_columns(["study", "history", "cluster_sizes", "probe_labels"])
    many = pa.table({name: pa.repeat(row[name][0], 200_000) for name in row.column_names})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, many.schema, store_schema=False, compression="zstd") as file:
        file.write_table(many)
        file.add_key_value_metadata({KEY.decode(): encode([HeaderRow("t0", "A0", "ok")], "s").decode()})
    bomb = tmp_path / "study=s" / "trials" / "t0.A0.parquet"
    bomb.parent.mkdir(parents=True)
    bomb.write_bytes(seal(sink.getvalue().to_pybytes()))
    assert bomb.stat().st_size < 200_000
    pool, usual = pa.system_memory_pool(), pa.default_memory_pool()
    before = pool.max_memory()
    pa.set_memory_pool(pool)
    try:
        loaded = reader.load([str(tmp_path)])
        assert pool.max_memory() < before + 2_000_000
        # The attack reaches its target: unpacked, it takes what its rows take.
        pq.read_table(bomb, partitioning=None)
        assert pool.max_memory() > before + 30_000_000
    finally:
        pa.set_memory_pool(usual)
    assert loaded.table.num_rows == 0
    assert loaded.skipped == [f"{bomb} is skipped: it holds 200,000 rows, and its header tells of 1."]


def test_a_history_without_end_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(file_rows, "_MOST_VALUES", 1000)
    long = [{"epoch": 1, "t": 1.0, "metric": "nmi", "value": 0.5}] * 1001
    put(tmp_path, with_column(ROW, "history", pa.array([long], HISTORY)).drop_columns(["study"]), "t0.A0.parquet")
    (sentence,) = reader.load([str(tmp_path)]).skipped
    assert "it has 1,001 values in lists, more than 1,000" in sentence


def test_a_file_under_the_name_of_another_trial_is_told_and_its_row_counts_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for one in attempts():
        writer.write("r", one)
    trials = tmp_path / "r" / "study=s" / "trials"
    shutil.copy(trials / "t0.A0.parquet", trials / "t1.A1.parquet")
    told = "r/study=s/trials/t1.A1.parquet holds the row of trial t0, and its name says another one"
    for attempt in (False, True):
        loaded = reader.load(["r"], attempts=attempt)
        assert sorted(loaded.table["trial_key"].to_pylist()) == sorted(f"t{i}" for i in range(12) if i != 1)
        assert len(loaded.notes) == 1
        assert loaded.notes[0].startswith(told)
    seen = peek.statuses("r", "s")
    assert len(seen.statuses) == 11
    assert seen.skipped[0].startswith(told)
    assert run(["aggregate", "r"])[2].startswith(f"Warning: {told}")
    (done,) = compact.compact("r")
    assert done.rows == 11
    assert done.skipped[0].startswith(told)
    assert (trials / "t1.A1.parquet").exists()
    # Alone, the row counts for the trial that it tells of.
    shutil.rmtree(tmp_path / "r" / "study=s" / "compact")
    assert reader.load(["r"]).table["trial_key"].to_pylist() == ["t0"]
