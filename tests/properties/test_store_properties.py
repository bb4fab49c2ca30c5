import json
import math
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from core.seal import canonical_json
from jobs.results import compact, header, peek, reader, writer
from jobs.results.schema import LARGEST, Attempt

NAMES = st.from_regex(r"[a-z][a-z_]{0,6}(\.[a-z_]{1,6})?", fullmatch=True)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(-LARGEST, LARGEST),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.lists(st.integers(0, 9), max_size=3),
)
SCORES = st.one_of(st.floats(-LARGEST, LARGEST), st.sampled_from([math.nan, math.inf, -math.inf]))
NUMBERS = st.dictionaries(NAMES, SCORES, max_size=4)
HISTORY = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(0, 1e9), NAMES, SCORES), max_size=5)
STATUS = st.sampled_from(header.STATUSES)


@st.composite
def attempts(draw):
    """Attempts at a handful of trials, each attempt with its own id."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        trial = draw(st.integers(0, 3))
        found.append(
            Attempt(
                study="s",
                trial_key=f"t{trial}",
                config_key="c",
                seed=trial,
                attempt_id=f"{draw(st.integers(0, 99)):02}{number}",
                status=draw(STATUS),
                reason=draw(st.text(st.characters(codec="utf-8"), max_size=5)),
                params=draw(st.dictionaries(NAMES, SCALARS, max_size=4)),
                metrics=draw(NUMBERS),
                health=draw(NUMBERS),
                history=draw(HISTORY),
            )
        )
    return found


def same(left, right):
    return left == right or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


def expected_cell(value, is_text):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return canonical_json(value)
    typed = value if isinstance(value, bool) else float(value)
    return json.dumps(typed) if is_text else typed


def kind(value):
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else str


@settings(max_examples=30, deadline=None)
@given(attempts())
def test_what_is_written_is_what_is_read(written):
    with tempfile.TemporaryDirectory() as folder:
        check_read_back(folder, written)


@settings(max_examples=6, deadline=None)
@given(attempts())
def test_what_is_written_to_an_object_store_is_what_is_read(s3_server, written):
    check_read_back(prefix(s3_server), written)


def prefix(server):
    return f"s3://key:secret@bucket/{secrets.token_hex(4)}?scheme=http&endpoint_override={server}"


def check_read_back(results, written):
    for attempt in written:
        writer.write(results, attempt)
    table = reader.read_results(results, attempts=True, history=True)
    rows = {row["attempt_id"]: row for row in table.to_pylist()}
    assert rows.keys() == {attempt.attempt_id for attempt in written}
    for attempt in written:
        check_row(attempt, rows[attempt.attempt_id], written)


def check_row(attempt, row, written):
    assert (row["reason"], row["seed"], row["status"]) == (attempt.reason, attempt.seed, attempt.status)
    assert json.loads(row["params_json"]) == attempt.params
    for name, value in attempt.params.items():
        kinds = {kind(a.params[name]) for a in written if a.params.get(name) is not None}
        # -0.0 == 0.0 and 1 == 1.0 == True: compare the types as well.
        expected = expected_cell(value, kinds not in ({bool}, {float}))
        found = row.get(f"param.{name}")
        assert (found, type(found)) == (expected, type(expected))
    for name, value in attempt.metrics.items():
        assert same(row[f"metric.{name}"], value)
    flat = [(h["epoch"], h["t"], h["metric"], h["value"]) for h in row["history"]]
    assert all(same(x, y) for a, b in zip(flat, attempt.history, strict=True) for x, y in zip(a, b, strict=True))


@settings(max_examples=25, deadline=None)
@given(attempts(), st.integers(0, 6))
def test_peek_and_reader_choose_the_same_rows(written, compact_after):
    with tempfile.TemporaryDirectory() as folder:
        check_choice(folder, written, compact_after)


@settings(max_examples=6, deadline=None)
@given(attempts(), st.integers(0, 6))
def test_peek_and_reader_choose_the_same_rows_of_an_object_store(s3_server, written, compact_after):
    check_choice(prefix(s3_server), written, compact_after)


def check_choice(results, written, compact_after):
    for number, attempt in enumerate(written):
        writer.write(results, attempt)
        if number == compact_after:
            compact.compact(results)
    table = reader.read_results(results, columns=[])
    seen = peek.statuses(results, "s")
    keys = table["trial_key"].to_pylist()
    assert seen.skipped == []
    assert len(keys) == len(set(keys)) == len({attempt.trial_key for attempt in written})
    assert seen.statuses == dict(zip(keys, table["status"].to_pylist(), strict=True))
    for key in keys:
        tried = {attempt.status for attempt in written if attempt.trial_key == key}
        assert seen.statuses[key] == next(s for s in ("ok", "stopped", "failed", "running") if s in tried)


@settings(max_examples=40, deadline=None)
@given(attempts(), st.data())
def test_a_torn_file_is_never_taken_for_a_whole_one(written, data):
    with tempfile.TemporaryDirectory() as folder:
        path = writer.write(folder, written[0])
        whole = path.read_bytes()
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        loaded = reader.load(folder, columns=[])
        seen = peek.statuses(folder, "s")
    assert (loaded.table.num_rows, len(loaded.skipped)) == (0, 1)
    assert (seen.statuses, len(seen.skipped)) == ({}, 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), STATUS), max_size=300))
def test_the_header_is_found_where_pyarrow_sees_it(rows):
    table = pa.table({f"x\x18\x07conclus\x18{i}": [1.0] for i in range(3)})
    encoded = header.encode([header.HeaderRow(*row) for row in rows], "s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.parquet")
        with pq.ParquetWriter(path, table.schema, store_schema=False) as file:
            file.write_table(table)
            file.add_key_value_metadata({"before": "y" * 200, header.KEY.decode(): encoded.decode(), "after": "z"})
        path.write_bytes(header.seal(path.read_bytes()))
        seen = json.loads(pq.ParquetFile(path).metadata.metadata[header.KEY])
        found = peek.read_header(str(path))
    assert [list(row) for row in found.rows] == seen["rows"] == [list(row) for row in rows]
    assert (found.study, found.is_sealed, seen["sha256"] == "0" * 64) == ("s", True, False)


# Its files reach the disk in two halves with a pause between: a kill often falls there.
WORKER = """
import pathlib, sys, time
opened = pathlib.Path.open
class Slow:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()
    def write(self, data):
        self.file.write(data[:len(data) // 2]); self.file.flush(); time.sleep(0.006)
        return self.file.write(data[len(data) // 2:])
pathlib.Path.open = lambda *args, **kw: Slow(opened(*args, **kw))
from jobs.results import writer
from jobs.results.schema import Attempt
results, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for trial in range(first, last):
    attempt = Attempt(study="s", trial_key=f"t{trial:03}", config_key="c", seed=trial,
                      attempt_id=writer.new_attempt_id(), params={"x": trial if trial % 2 else trial / 3})
    for epoch in range(4):
        attempt.history += [(epoch, 0.0, "nmi", 0.5)] * 200
        attempt.status = "ok" if epoch == 3 else "running"
        writer.write(results, attempt)
print("done", flush=True)
"""
TRIALS = 20


def start(results, first, last):
    arguments = [sys.executable, "-c", WORKER, str(results), str(first), str(last)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL)


def test_killed_writers_a_duplicate_and_compactions_leave_one_row_per_trial(tmp_path):
    rng = random.Random(0)
    (tmp_path / "study=s" / "trials").mkdir(parents=True)
    for _ in range(3):
        workers = [start(tmp_path, 0, TRIALS), start(tmp_path, TRIALS // 2, TRIALS)]
        wait_for_writes(tmp_path)
        time.sleep(0.2 * rng.random())
        compact.compact(str(tmp_path))
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        check_store(tmp_path)
    # The plan's last run, on two machines at once by mistake.
    assert [worker.wait() for worker in (start(tmp_path, 0, TRIALS), start(tmp_path, 0, TRIALS))] == [0, 0]
    compact.compact(str(tmp_path))
    table = check_store(tmp_path)
    assert table["status"].to_pylist() == ["ok"] * TRIALS
    assert table["param.x"].to_pylist() == [float(i if i % 2 else i / 3) for i in range(TRIALS)]
    assert reader.read_results(str(tmp_path), attempts=True).num_rows > TRIALS


def wait_for_writes(results):
    """Python takes its time to start, more so on a busy machine."""
    folder = results / "study=s" / "trials"
    before = set(folder.iterdir())
    while set(folder.iterdir()) == before:
        time.sleep(0.01)


def check_store(results):
    loaded = reader.load(str(results))
    keys = loaded.table["trial_key"].to_pylist()
    assert len(keys) == len(set(keys))
    assert loaded.skipped == peek.statuses(str(results), "s").skipped == []
    return loaded.table
