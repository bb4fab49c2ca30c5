"""Whatever lies in a results folder: one sentence for each thing that cannot be read, and the rest is read."""

import json
import os
import shutil
import signal
import socket
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import UserError
from jobs.execution.queue import Queue
from jobs.present.visible import visible
from jobs.results import compact, peek, reader, records, storage, writer
from jobs.results.header import HeaderRow, encode, seal
from jobs.results.schema import Attempt
from jobs.results.where import Where
from jobs.study import yaml_document


def attempt(key="a", study="s"):
    return Attempt(
        study=study, trial_key=key, config_key=key, seed=0, attempt_id="1", status="ok", metrics={"nmi": 0.5}
    )


def listen(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


ODD = {
    "a link to nothing": lambda path: path.symlink_to("/nowhere/x"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a folder": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a socket": listen,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "an endless file": lambda path: path.symlink_to("/proc/self/mem"),
    "nothing in it": lambda path: path.touch(),
    "far too long": lambda path: (path.touch(), os.truncate(path, 2**40)),
    "foreign": lambda path: path.write_bytes(b"PAR1" + bytes(range(256)) + b"PAR1"),
    "not UTF-8": lambda path: path.with_name("\udcff.parquet").touch(),
}


@pytest.fixture(autouse=True)
def _alarm():
    """A hang is a failure, and no test that never ends."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture(params=ODD)
def results(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = writer.write("r", attempt())
    ODD[request.param](Path(path.parent, "z.parquet"))
    assert len(list(path.parent.iterdir())) == 2
    return "r"


def test_one_entry_that_cannot_be_read_is_one_sentence_and_the_rest_is_read(results):
    for statuses, skipped in (peek.statuses(results, "s"),):
        assert statuses == {"a": "ok"}
        assert len(skipped) == 1
    loaded = reader.load([results])
    assert loaded.table["trial_key"].to_pylist() == ["a"]
    (sentence,) = loaded.skipped
    assert ".parquet is skipped: " in sentence
    (done,) = compact.compact(results)
    assert (done.rows, len(done.skipped)) == (1, 1)
    assert reader.load([results]).table["trial_key"].to_pylist() == ["a"]


@pytest.mark.parametrize("name", [*ODD, "a file"])
def test_a_folder_of_rows_that_is_something_else(tmp_path, name):
    writer.write(str(tmp_path), attempt())
    compact.compact(str(tmp_path))
    folder = tmp_path / "study=s" / "trials"
    folder.rmdir()
    ODD.get(name, lambda path: path.write_text("x"))(folder)
    assert reader.load([str(tmp_path)]).table["trial_key"].to_pylist() == ["a"]
    assert peek.statuses(str(tmp_path), "s").statuses == {"a": "ok"}
    compact.compact(str(tmp_path))


@pytest.mark.parametrize("name", ["a link to nothing", "a link to itself", "a FIFO", "a socket", "nothing in it"])
def test_a_study_that_is_no_folder_is_passed_over(tmp_path, name):
    writer.write(str(tmp_path), attempt())
    ODD[name](tmp_path / "study=odd")
    assert reader.load([str(tmp_path)]).table["trial_key"].to_pylist() == ["a"]


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "\udcff", "/proc/self/mem/x", "loop"])
def test_results_that_cannot_be_there_are_one_line(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError) as caught:
        reader.load([path])
    assert str(caught.value).count("\n") == 0


def test_what_the_system_answers_becomes_a_sentence(tmp_path, monkeypatch):
    path = writer.write(str(tmp_path), attempt())
    for number in (5, 116, 13, 36, 40):  # EIO, ESTALE, EACCES, ENAMETOOLONG, ELOOP

        def refuse(*_arguments, number=number, **_options):
            raise OSError(number, os.strerror(number), str(path))

        with monkeypatch.context() as patch:
            patch.setattr(storage.os, "open", refuse)
            (sentence,) = reader.load([str(tmp_path)]).skipped
            assert sentence == f"{path} is skipped: {os.strerror(number)}."
            with pytest.raises(storage.StorageError, match="cannot be written"):
                storage.open_to_lock(tmp_path / "x")
        with monkeypatch.context() as patch:
            patch.setattr(storage.os, "scandir", refuse)
            with pytest.raises(storage.StorageError, match=os.strerror(number)):
                storage.folders(tmp_path, "study=")


# Records

SHAPE = {"name": str, "count": int | None, "trials": ([[str]], None), "env": ({str: str}, None)}
BAD = {
    "deep": "[" * 100_000,
    "deep, yet Python reads it": '{"name": ' + "[" * 60 + "]" * 60 + "}",
    "a list": "[]",
    "cut": '{"name": "x',
    "a number for a text": '{"name": 5}',
    "no name": "{}",
    "true for a number": '{"name": "x", "count": true}',
    "a number among trials": '{"name": "x", "trials": [["a"], 1]}',
    "a number in env": '{"name": "x", "env": {"a": 1}}',
    "half a character": '{"name": "\\ud800"}',
    "long number": '{"name": "x", "count": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("name", BAD)
def test_a_record_of_another_shape_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "x.json").write_text(BAD[name])
    with pytest.raises(records.RecordError, match=r"x\.json cannot be read \(") as caught:
        records.read(tmp_path / "x.json", SHAPE)
    assert len(str(caught.value)) < 300


def test_a_record_of_the_right_shape_is_read(tmp_path):
    content = {"name": "x", "trials": [["a"], []], "env": {"torch": "2"}, "more": {"deep": [[1.5]]}}
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert records.read(tmp_path / "x.json", SHAPE) == content
    with pytest.raises(FileNotFoundError):
        records.read(tmp_path / "y.json", SHAPE)
    os.mkfifo(tmp_path / "z.json")
    with pytest.raises(records.RecordError, match="a FIFO"):
        records.read(tmp_path / "z.json", SHAPE)


def test_a_hostile_header_is_skipped(tmp_path):
    for number, header in enumerate([b"[" * 100_000, b'{"schema_version":1,"rows":[[1,2,"ok"]]}', b"5"]):
        path = writer.write(str(tmp_path), attempt(f"k{number}"))
        table = pq.read_table(path)
        with pq.ParquetWriter(path, table.schema, store_schema=False) as file:
            file.write_table(table)
            file.add_key_value_metadata({"conclus": header.decode()})
    statuses, skipped = peek.statuses(str(tmp_path), "s")
    assert (statuses, len(skipped)) == ({}, 3)
    assert not any("no header" in sentence for sentence in skipped)


# The queue


@pytest.mark.parametrize("name", [*ODD, "deep"])
def test_an_odd_entry_of_the_queue_is_one_sentence_and_the_others_are_read(tmp_path, name):
    queue = Queue(str(tmp_path))
    queue.add("s", "copy", ["a"])
    ODD.get(name, lambda path: path.write_text("[" * 100_000))(tmp_path / "_queue" / "2.json")
    for other in ("007.json", "٣.json", "x.json", "-1.json", "9" * 200 + ".json"):
        (tmp_path / "_queue" / other).touch()
    entries, skipped = queue.read()
    assert [one.study for one in entries] == ["s"]
    assert len(skipped) == (0 if name == "not UTF-8" else 1)


@pytest.mark.parametrize("kind", ["lock", "log"])
def test_a_lock_or_a_log_that_is_a_link_leads_nowhere(tmp_path, kind):
    """A stranger's results could have the user's own files overwritten."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path = tmp_path / f"x.{kind}"
    path.symlink_to(precious)
    with pytest.raises(storage.StorageError):
        storage.open_to_lock(path)
    assert precious.read_text() == "mine"


# Study files and --where

STUDIES = {
    "cycle": "trial: &x\n  data: *x\n",
    "deep": "trial: " + "[" * 3000 + "]" * 3000,
    "very deep": "trial: " + "[" * 500_000,
    "deep in blocks": "\n".join(" " * i + "a:" for i in range(300)),
    "deep by aliases": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200)),
    "bomb": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
    "bomb of merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i} {{a: *a{i - 1}, b: *a{i - 1}, c: *a{i - 1}}}\n" for i in range(1, 14)),
    "long integer": "epochs: " + "9" * 5000,
    "integer beyond floats": "lr: " + "9" * 400,
    "float beyond floats": "lr: 1e999",
    "long float": "lr: 0." + "9" * 100_000,
    "NUL": "a: \0",
    "tag": "a: !!python/object/apply:os.system ['true']",
    "twice": "a: 1\na: 2",
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_file_is_bounded_before_it_is_built(name):
    with pytest.raises(UserError) as caught:
        yaml_document.read(STUDIES[name], "s.yaml")
    assert str(caught.value).startswith("s.yaml")
    assert str(caught.value).count("\n") == 0
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["a FIFO", "a folder", "a device", "far too long", "a link to itself", "a socket"])
def test_a_study_file_that_is_none_is_one_line(tmp_path, name, command):
    ODD[name](tmp_path / "s.yaml")
    code, _, err = command("plan", tmp_path / "s.yaml")
    assert (code, "cannot be read" in err or "File" in err, "Traceback" in err) == (2, True, False)


def test_a_study_file_in_another_encoding_is_one_line(tmp_path):
    (tmp_path / "s.yaml").write_bytes("study: s".encode("utf-16"))
    with pytest.raises(UserError, match="not UTF-8"):
        yaml_document.load(tmp_path / "s.yaml")
    (tmp_path / "s.yaml").write_bytes("study: s".encode("utf-8-sig"))
    assert yaml_document.load(tmp_path / "s.yaml").value == {"study": "s"}


EXPRESSIONS = {
    "not": "not " * 900 + "nmi",
    "long": "nmi > 1 and " * 1000 + "nmi > 1",
    "lists": "nmi in " + "[" * 90 + "]" * 90,
    "brackets": "(" * 150 + "nmi" + ")" * 150 + " > " + "not " * 60 + "1",
    "signs": "nmi > " + "-" * 900 + "1",
    "dots": "nmi" + ".x" * 900 + " > 1",
    "huge": "nmi > " + "9" * 5000,
    "huge enough": "nmi in [" + "9" * 3990,
    "NUL": "nmi > 1\0",
    "bytes in a list": "nmi == [b'x']",
    "half a character": "nmi == '\udcff' +",
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_condition_is_bounded(name):
    with pytest.raises(UserError, match="The expression") as caught:
        Where(EXPRESSIONS[name])
    assert len(str(caught.value)) < 500
    str(caught.value).encode()


def test_a_long_condition_within_bounds_is_read():
    matches = Where(" or ".join(f"seed == {i}" for i in range(200))).matcher(["seed"])
    assert [matches({"seed": seed}) for seed in (0, 199, 200)] == [True, True, False]


WRONG = {
    "trial_key": [pa.array([[1]]), pa.nulls(1)],
    "seed": [pa.array(["x"])],
    "status": [pa.array([5])],
    "started": [pa.array(["x"]), pa.array([5])],
    "epochs_done": [pa.array(["x"])],
    "history": [pa.array(["x"]), pa.array([[1]])],
    "env_json": [pa.array([5])],
    "reason": [pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())],
    "metric.nmi": [pa.array(["x"]), pa.array([[1]])],
}


@pytest.mark.parametrize(("name", "values"), [(name, one) for name, every in WRONG.items() for one in every])
def test_a_file_with_our_header_and_other_columns_is_skipped(tmp_path, name, values):
    path = writer.write(str(tmp_path), attempt())
    with pq.ParquetFile(path) as file:
        table = file.read()
    other = path.with_name("z.parquet")
    table = table.set_column(table.column_names.index(name), name, values)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as file:
        file.write_table(table)
        file.add_key_value_metadata({"conclus": encode([HeaderRow("z", "2", "ok")], "s").decode()})
    other.write_bytes(seal(sink.getvalue().to_pybytes()))
    for attempts in (False, True):
        loaded = reader.load([str(tmp_path)], attempts=attempts, history=True)
        assert loaded.table["trial_key"].to_pylist() == ["a"]
        assert [one.partition(" is skipped")[0] for one in loaded.skipped] == [str(other)]
        assert "not as conclus writes it" in loaded.skipped[0]


# Folders


@pytest.mark.parametrize("name", ["study=", "study=\udcff\udcfe"])
def test_a_folder_that_no_study_is_called_by_is_told_and_never_touched(tmp_path, command, monkeypatch, name):
    """Its rows cannot be given a study: compaction made a file of them that nobody reads, and deleted them."""
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        own = {"params": {"x": float(number)}, "seconds": 1.0, "metrics": {"nmi": 0.5 + number / 10}}
        writer.write("r", Attempt(**vars_of(attempt(str(number))) | own))
    odd = tmp_path / "r" / name
    shutil.copytree(tmp_path / "r" / "study=s", odd)
    before = sorted((path, path.read_bytes()) for path in odd.rglob("*.parquet"))
    walk = [
        *(["aggregate", "r", "--format", fmt] for fmt in ("table", "json")),
        ["aggregate", "r", "--attempts"],
        ["status", "r"],
        ["report", "r", "--out", "r.html"],
        ["compact", "r"],
        ["sql", "r", "select * from trials"],
        ["diff", "r", "r"],
        ["importance", "r"],
        ["effect", "r", "x"],
    ]
    for words in walk:
        code, out, err = command(*words)
        assert code == 0, (words, out, err)
        assert "Traceback" not in err
        assert f"{visible(f'r/{name}')} is skipped: its name" in err, (words, err)
    assert before == sorted((path, path.read_bytes()) for path in odd.rglob("*.parquet"))
    code, _, err = command("compact", f"r/{name}")
    assert code == 2
    assert "holds no results" in err
    assert before == sorted((path, path.read_bytes()) for path in odd.rglob("*.parquet"))


def vars_of(one):
    return {field.name: getattr(one, field.name) for field in fields(one)}


def test_rows_that_do_not_read_back_from_the_new_file_stay_where_they_are(tmp_path, monkeypatch):
    for key in "abc":
        writer.write(str(tmp_path), attempt(key))
    files = sorted(tmp_path.rglob("*.parquet"))
    monkeypatch.setattr(compact, "stored", lambda table, study: writer.stored(table.slice(1), study))
    (done,) = compact.compact(str(tmp_path))
    assert done.rows == 0
    assert "do not read back" in done.skipped[0]
    assert sorted(tmp_path.rglob("*.parquet")) == files
    monkeypatch.undo()
    assert compact.compact(str(tmp_path))[0].rows == 3


def test_compaction_moves_no_rows_of_other_results_through_a_link(tmp_path):
    writer.write(str(tmp_path / "mine"), attempt())
    theirs = tmp_path / "theirs" / "study=s"
    theirs.mkdir(parents=True)
    (theirs / "trials").symlink_to(tmp_path / "mine" / "study=s" / "trials")
    assert reader.load([str(tmp_path / "theirs")]).table.num_rows == 1
    (done,) = compact.compact(str(tmp_path / "theirs"))
    assert (done.rows, len(done.skipped)) == (0, 1)
    assert reader.load([str(tmp_path / "mine")]).table.num_rows == 1
