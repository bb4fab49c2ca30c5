import json
import os
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import UserError
from jobs.results import compact, layout, local, peek, reader, storage, writer
from jobs.results.schema import FIXED, HISTORY, Attempt, to_table


def attempt(key: str = "t0", **changes) -> Attempt:
    values = {"study": "s", "trial_key": key, "config_key": key[:1], "seed": 0, "attempt_id": "A", "status": "ok"}
    return Attempt(**{**values, **changes})


def trials(results: Path) -> list[Path]:
    return sorted((results / "study=s" / "trials").iterdir())


def test_a_written_attempt_reads_back_with_every_column(tmp_path):
    written = attempt(
        seed=3,
        reason="why",
        started=datetime(2026, 6, 7, 8, 18, 15, 123456, UTC),
        seconds=12.5,
        epochs_done=2,
        host="node",
        params={"optimiser.learning_rate": 1e-3, "batch_size": 256, "encoder.widths": [512, 256], "crop": None},
        env={"torch": "2.6"},
        best_metric="nmi",
        best_epoch=1,
        label_free_epoch=0,
        cluster_sizes=[5, 7],
        probe_labels=[0, 1, 1999],
        metrics={"nmi": 0.5},
        best={"nmi": 0.6},
        health={"collapse": 0},
        history=[(0, 0.1, "nmi", 0.6), (1, 0.2, "nmi", 0.5)],
    )
    writer.write(str(tmp_path), written)
    row = reader.read_results(str(tmp_path), history=True).to_pylist()[0]
    assert row["started"] == written.started
    assert json.loads(row["params_json"]) == written.params
    assert (row["param.batch_size"], type(row["param.batch_size"])) == (256.0, float)
    assert row["param.encoder.widths"] == "[512,256]"
    assert "param.crop" not in row  # a column of nothing but nulls has no type to clash with another file's
    assert (row["metric.nmi"], row["best.nmi"], row["health.collapse"]) == (0.5, 0.6, 0.0)
    assert row["history"][1] == {"epoch": 1, "t": 0.2, "metric": "nmi", "value": 0.5}
    assert (row["best_epoch"], row["label_free_epoch"], row["probe_labels"]) == (1, 0, [0, 1, 1999])
    assert (row["seed"], row["epochs_done"], row["cluster_sizes"], row["env_json"]) == (3, 2, [5, 7], '{"torch":"2.6"}')


def test_rows_of_before_the_verdict_are_read_compacted_and_asked_beside_newer_ones(tmp_path, command):
    old = to_table([attempt("old", params={"a": 1}, metrics={"nmi": 0.5}, health={"label_free": 0.4})])
    place = tmp_path / "study=s" / "compact" / "part-A.parquet"
    storage.put(place, writer.stored(old.drop_columns(["verdict", "performance_trend"]), "s"))
    health = {"label_free": 0.6, "trend_slope": 0.1}
    new = attempt("new", params={"a": 2}, health=health, verdict="COLLAPSED@12", performance_trend="plateau")
    writer.write(str(tmp_path), new)
    for _ in range(2):
        found = {row["trial_key"]: row for row in reader.read_results(str(tmp_path)).to_pylist()}
        assert (found["old"]["verdict"], found["old"]["performance_trend"]) == (None, None)
        assert (found["new"]["verdict"], found["new"]["performance_trend"]) == ("COLLAPSED@12", "plateau")
        assert found["old"]["health.trend_slope"] is None
        code, out, _ = command("sql", tmp_path, "select trial_key, verdict from trials order by trial_key")
        assert (code, "COLLAPSED@12" in out) == (0, True)
        assert command("aggregate", tmp_path)[0] == 0
        assert command("compact", tmp_path)[0] == 0


def test_the_file_has_the_schema_as_declared(tmp_path):
    path = writer.write(str(tmp_path), attempt(params={"a": 1}, metrics={"nmi": 1}))
    schema = pq.ParquetFile(path).schema_arrow
    inside = FIXED.remove(FIXED.get_field_index("study"))  # the folder says it
    assert "study" not in schema.names
    assert {name: schema.field(name).type for name in inside.names} == {f.name: f.type for f in inside}
    assert schema.field("history").type == HISTORY
    assert schema.field("probe_labels").type.value_type == pa.int16()
    assert schema.field("param.a").type == schema.field("metric.nmi").type == pa.float64()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001 (that is the case)
        (datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=8))), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_utc(moment, expected):
    assert to_table([attempt(started=moment)])["started"].to_pylist() == [expected]


def test_an_unknown_status_is_refused():
    with pytest.raises(ValueError, match="'done' of t0"):
        to_table([attempt(status="done")])


def test_attempt_ids_sort_by_time_and_do_not_repeat(monkeypatch):
    now = 1_700_000_000_000_000_000
    ids = []
    for step in range(50):
        monkeypatch.setattr(writer.time, "time_ns", lambda step=step: now + step * 1_000_000)
        ids.append(writer.new_attempt_id())
    assert ids == sorted(set(ids))
    assert all(len(i) == 26 and not set(i) & set("ILOUilou") for i in ids)


def test_an_attempt_rewrites_its_own_file(tmp_path):
    for status in ("running", "ok"):
        writer.write(str(tmp_path), attempt(status=status))
    assert len(trials(tmp_path)) == 1
    assert reader.read_results(str(tmp_path))["status"].to_pylist() == ["ok"]


def test_a_full_disk_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch):
    writer.write(str(tmp_path), attempt(status="running"))

    def full(*_):
        (debris,) = [path for path in trials(tmp_path) if path.name != "t0.A.parquet"]
        assert debris.suffix != ".parquet"  # the globs of other tools would take it for a result
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        writer.write(str(tmp_path), attempt(status="ok"))
    assert len(trials(tmp_path)) == 1
    assert reader.read_results(str(tmp_path))["status"].to_pylist() == ["running"]


def test_the_folder_is_flushed_after_the_file_has_its_name(tmp_path, monkeypatch):
    """Else a power cut could lose the name of a file whose content is on the disk."""
    flushed, real = [], os.fsync

    def noted(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        flushed.append((kind, (tmp_path / "inner" / "row").exists()))
        real(descriptor)

    monkeypatch.setattr(local.os, "fsync", noted)
    local.put_through(tmp_path / "inner" / "row", b"x")
    assert flushed == [("file", False), ("folder", True)]


@pytest.mark.parametrize(
    ("attempts", "shown"),
    [
        ([("A", "failed"), ("B", "ok")], "B"),
        ([("A", "stopped"), ("B", "ok")], "B"),
        ([("A", "ok"), ("B", "ok")], "A"),
        ([("A", "running"), ("B", "failed"), ("C", "stopped")], "C"),
    ],
)
def test_one_row_stands_for_a_trial(tmp_path, attempts, shown):
    for attempt_id, status in attempts:
        writer.write(str(tmp_path), attempt(attempt_id=attempt_id, status=status))
    assert reader.read_results(str(tmp_path))["attempt_id"].to_pylist() == [shown]
    every = reader.read_results(str(tmp_path), attempts=True)["attempt_id"].to_pylist()
    assert every == [attempt_id for attempt_id, _ in attempts]


def test_rows_are_ordered_by_study_configuration_and_seed(tmp_path):
    for study, config, seed in [("b", "x", 0), ("a", "y", 10), ("a", "y", 2), ("a", "x", 1)]:
        writer.write(str(tmp_path), attempt(f"{config}{seed}", study=study, config_key=config, seed=seed))
    table = reader.read_results(str(tmp_path), columns=[])
    rows = list(zip(*(table[name].to_pylist() for name in ("study", "config_key", "seed")), strict=True))
    assert rows == [("a", "x", 1), ("a", "y", 2), ("a", "y", 10), ("b", "x", 0)]
    assert table.column_names == list(reader.IDENTITY)


def test_folders_studies_and_files_are_all_results(tmp_path):
    paths = [writer.write(str(tmp_path / str(i)), attempt(f"t{i}")) for i in range(3)]
    given = [str(tmp_path / "0"), str(tmp_path / "1" / "study=s"), str(paths[2])]
    assert reader.read_results(given)["trial_key"].to_pylist() == ["t0", "t1", "t2"]


def test_a_number_here_and_a_word_there_become_text_everywhere(tmp_path):
    for key, value in {"t0": 0.9, "t1": "auto", "t2": 1, "t3": None, "t4": True}.items():
        writer.write(str(tmp_path), attempt(key, params={"threshold": value}))
    read = reader.read_results(str(tmp_path))["param.threshold"].to_pylist()
    assert read == ["0.9", "auto", "1.0", None, "true"]
    compact.compact(str(tmp_path))
    assert reader.read_results(str(tmp_path))["param.threshold"].to_pylist() == read


def test_history_is_read_only_when_asked(tmp_path):
    writer.write(str(tmp_path), attempt(history=[(0, 0.0, "nmi", 1.0)]))
    assert "history" not in reader.read_results(str(tmp_path)).column_names
    assert reader.read_results(str(tmp_path), history=True)["history"].to_pylist()[0][0]["value"] == 1.0


def test_torn_and_foreign_files_are_skipped_and_named(tmp_path):
    whole = writer.write(str(tmp_path), attempt("t0"))
    whole.with_name("torn.B.parquet").write_bytes(whole.read_bytes()[:-20])
    whole.with_name("tail.B.parquet").write_bytes(whole.read_bytes()[:-4] + b"XXXX")
    whole.with_name("empty.B.parquet").touch()
    pq.write_table(pa.table({"x": [1]}), whole.with_name("foreign.B.parquet"))
    with pytest.warns(UserWarning, match="is skipped") as caught:
        table = reader.read_results(str(tmp_path))
    named = " ".join(str(warning.message) for warning in caught)
    assert all(name in named for name in ("torn.B", "tail.B", "empty.B", "foreign.B"))
    assert table["trial_key"].to_pylist() == ["t0"]
    seen = peek.statuses(str(tmp_path), "s")
    assert seen.statuses == {"t0": "ok"}
    assert len(seen.skipped) == 4


@pytest.mark.parametrize("make", [Path, Path.mkdir, lambda path: (path / "other").mkdir(parents=True)])
def test_a_place_without_results_is_named(tmp_path, make):
    make(tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere"):
        reader.read_results(str(tmp_path / "nowhere"))


def test_peek_of_a_study_that_has_not_run_is_empty(tmp_path):
    assert peek.statuses(str(tmp_path), "s") == ({}, [])


def test_compaction_moves_what_has_ended_and_leaves_what_runs(tmp_path):
    for key, status in {"t0": "ok", "t1": "failed", "t2": "running", "t3": "stopped"}.items():
        writer.write(str(tmp_path), attempt(key, status=status, history=[(0, 0.0, "nmi", 1.0)]))
    before = reader.read_results(str(tmp_path), history=True)
    (done,) = compact.compact(str(tmp_path))
    assert (done.rows, done.parts, done.skipped) == (3, 1, [])
    assert [path.name for path in trials(tmp_path)] == ["t2.A.parquet"]
    assert reader.read_results(str(tmp_path), history=True).equals(before)
    assert compact.compact(str(tmp_path))[0].parts == 0


def test_compaction_cut_short_leaves_copies_that_nobody_sees(tmp_path, monkeypatch):
    for key in ("t0", "t1"):
        writer.write(str(tmp_path), attempt(key))
    before = reader.read_results(str(tmp_path))
    monkeypatch.setattr(compact, "_remove", lambda _: None)
    compact.compact(str(tmp_path))
    assert len(layout.row_files(tmp_path / "study=s")) == 3
    assert reader.read_results(str(tmp_path)).equals(before)
    assert reader.read_results(str(tmp_path), attempts=True).equals(before)
    monkeypatch.undo()
    compact.compact(str(tmp_path))
    assert trials(tmp_path) == []
    assert reader.read_results(str(tmp_path)).equals(before)


def test_compaction_does_not_delete_what_was_rewritten_meanwhile(tmp_path, monkeypatch):
    writer.write(str(tmp_path), attempt(status="failed"))

    def late(path, data):
        writer.put(path, data)
        writer.write(str(tmp_path), attempt(status="ok"))

    monkeypatch.setattr(compact, "put", late)
    compact.compact(str(tmp_path))
    assert reader.read_results(str(tmp_path))["status"].to_pylist() == ["ok"]


def test_a_compaction_while_reading_loses_no_trial(tmp_path, monkeypatch):
    for key in ("t0", "t1"):
        writer.write(str(tmp_path), attempt(key))
    listed = reader.row_files

    def compacted_after_listing(folder):
        files = listed(folder)
        compact.compact(str(tmp_path))
        return files

    monkeypatch.setattr(reader, "row_files", compacted_after_listing)
    assert reader.read_results(str(tmp_path))["trial_key"].to_pylist() == ["t0", "t1"]


def test_compaction_sweeps_up_what_dead_writers_left_and_spares_the_living(tmp_path):
    whole = writer.write(str(tmp_path), attempt(status="running"))
    old, new = (whole.with_name(f".{name}-0123abcd-1-1.tmp") for name in ("0" * 8, "1" * 8))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    compact.compact(str(tmp_path))
    assert (old.exists(), new.exists(), whole.exists()) == (False, True, True)


def test_a_large_compaction_is_split_into_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(compact, "_ROWS_PER_PART", 2)
    for i in range(5):
        writer.write(str(tmp_path), attempt(f"t{i}"))
    assert (compact.compact(str(tmp_path))[0].rows, len(trials(tmp_path))) == (5, 0)
    assert len(list((tmp_path / "study=s" / "compact").iterdir())) == 3
    assert reader.read_results(str(tmp_path)).num_rows == 5


def test_a_wanted_column_that_no_file_has_is_told(tmp_path):
    content = {"study": "s", "trial_key": "t", "config_key": "c", "seed": 0, "attempt_id": "a", "status": "ok"}
    writer.write(str(tmp_path), Attempt(**content, metrics={"nmi": 0.5}))
    with pytest.warns(UserWarning, match=r"No file has a column 'metric\.nmy'; did you mean 'metric\.nmi'\?"):
        reader.read_results(str(tmp_path), columns=["metric.nmy", "param.*"])
