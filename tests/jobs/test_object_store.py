"""Results in an object store: the same store as in a folder, over a real S3 server."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from core.errors import UserError
from jobs.results import compact, layout, lock, peek, reader, storage, writer
from jobs.results.schema import Attempt
from jobs.study import state_folder

STUDY = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: cc}
  encoder: {name: mlp, widths: [16, 8]}
  batch_size: 16
  epochs: 2
seeds: [0, 1]
"""


def attempt(key="t0", **changes):
    values = {"study": "s", "trial_key": key, "config_key": key[:1], "seed": 0, "attempt_id": "A", "status": "ok"}
    return Attempt(**{**values, **changes})


@pytest.fixture
def study(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_a_study_from_its_plan_to_its_leaderboard(command, study, s3):
    results = s3()
    assert "2 missing" in command("plan", study, "--results", results)[1]
    code, out, err = command("run", study, "--results", results, "--workers", 1)
    assert code == 0, err
    assert "Ranked by nmi" in out
    before = command("aggregate", results)[1]
    assert "Ranked by nmi" in before
    assert command("compact", results)[1] == "s: 2 rows moved to 1 new file.\n"
    assert command("aggregate", results)[1] == before
    assert "2 done" in command("plan", study, "--results", results)[1]
    code, out, err = command("run", study, "--results", results, "--workers", 1)
    told, done = err.splitlines()
    place = results.replace("key:secret@", "").partition("?")[0]
    assert (code, done) == (0, "all 2 trials are done")
    assert told.endswith(f"those of the best by nmi: conclus assign {place} --out clusters.csv")
    assert "id  cluster" in command("assign", results)[1]
    assert reader.read_results(results, attempts=True).num_rows == 2
    assert "There is nothing to choose" in command("selection", results)[2]
    left = [name for name, is_file in (storage.at(results) / "study=s").children() if is_file]
    assert left == ["_study.json", "_study.yaml"]  # and no lock


def test_a_queue_lies_on_the_machine_and_its_results_in_the_store(command, study, s3):
    results = s3()
    code, out, err = command("queue", "add", study, "--results", results, "--set", "epochs=1", "--set", "seeds=[0]")
    assert code == 0, err
    assert "queued as number 1, place 1 of 1" in out
    (folder,) = state_folder.folder().glob("queues/*/_queue")
    assert f"the queue lies on this machine, in {folder}: run it here" in out
    assert "secret" not in out
    assert "is empty" in command("queue", "list", "--results", s3())[1]
    code, _, err = command("queue", "run", "--results", results, "--workers", 1)
    assert code == 0, err
    assert "ended: 1 done" in err
    listed = json.loads(command("queue", "list", "--results", results, "--format", "json")[1])
    assert [(one["state"], one["done"], one["total"]) for one in listed] == [("done", 1, 1)]
    assert reader.read_results(results).num_rows == 1


def test_reading_a_single_object_and_a_study_folder(s3):
    results = s3()
    place = writer.write(results, attempt(history=[(0, 0.0, "nmi", 1.0)]))
    base, _, query = results.partition("?")
    for path in (f"{base}/study=s?{query}", f"{base}/study=s/trials/{place.name}?{query}"):
        assert reader.read_results(path, history=True)["history"].to_pylist()[0][0]["value"] == 1.0


def test_compaction_leaves_what_runs_and_what_was_written_anew(s3, monkeypatch):
    results = s3()
    for key, status in {"t0": "failed", "t1": "ok", "t2": "running"}.items():
        writer.write(results, attempt(key, status=status))

    def late(place, data):
        storage.put(place, data)
        writer.write(results, attempt("t0", status="ok"))

    monkeypatch.setattr(compact, "put", late)
    (done,) = compact.compact(results)
    assert (done.rows, done.parts) == (2, 1)
    assert [storage.name_of(file) for file in layout.row_files(storage.at(results) / "study=s")][:2] == [
        "t0.A.parquet",
        "t2.A.parquet",
    ]
    assert reader.read_results(results)["status"].to_pylist() == ["ok", "ok", "running"]


def test_a_long_footer_is_read_whole(s3):
    results = s3()
    for number in range(3):
        writer.write(results, attempt(f"t{number}", params={f"p{i:04}": "x" for i in range(900)}))
    compact.compact(results)
    (part,) = layout.row_files(storage.at(results) / "study=s")
    content = part.read_bytes()
    size, tail = len(content), content[-8:]
    assert 64 * 1024 < int.from_bytes(tail[:4], "little") < size
    assert peek.statuses(results, "s").statuses == {f"t{number}": "ok" for number in range(3)}


def test_torn_objects_are_skipped_and_named_without_the_credentials(s3):
    results = s3()
    place = writer.write(results, attempt())
    (place.parent / "t1.B.parquet").write_bytes(place.read_bytes()[:-20])
    loaded = reader.load(results, columns=[])
    seen = peek.statuses(results, "s")
    assert loaded.table["trial_key"].to_pylist() == list(seen.statuses) == ["t0"]
    for sentence in (*loaded.skipped, *seen.skipped):
        assert sentence.startswith(f"{place.parent}/t1.B.parquet is skipped")
        assert "secret" not in sentence


class Flaky(BaseHTTPRequestHandler):
    """Passes everything on to the real server, but loses the second part of an upload."""

    server_version = "flaky"
    target = ""

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "partNumber=2" in self.path:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        request = urllib.request.Request(f"http://{self.target}{self.path}", body or None, method=self.command)
        for name, value in self.headers.items():
            if name.lower() not in {"connection", "expect", "transfer-encoding"}:
                request.add_header(name, value)
        with urllib.request.urlopen(request) as answer:  # noqa: S310 (the test's own server)
            content = answer.read()
            self.send_response(answer.status)
            for name in ("ETag", "Last-Modified", "Content-Type", "Content-Range"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", answer.headers.get("Content-Length") or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.pass_on
        raise AttributeError(name)

    def log_message(self, *_):
        pass


def test_an_upload_that_breaks_off_leaves_what_was_there(s3, s3_server):
    results = s3()
    old = storage.at(results) / "part"
    old.write_bytes(b"old")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Flaky,), {"target": s3_server}))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    place = storage.at(results.replace(s3_server, f"127.0.0.1:{proxy.server_port}")) / "part"
    try:
        with pytest.raises(storage.StorageError, match="cannot be written"):
            place.write_bytes(bytes(21_000_000))
    finally:
        proxy.shutdown()
        proxy.server_close()
    assert old.read_bytes() == b"old"


def test_a_large_object_is_written_whole(s3):
    place, data = storage.at(s3()) / "part", bytes(range(256)) * 60_000
    storage.put(place, data)
    assert place.read_bytes() == data


@pytest.mark.parametrize(
    ("verb", "case"),
    [
        ("run", (("bucket/", "nowhere/"), "NO_SUCH_BUCKET")),
        ("aggregate", (("bucket/", "nowhere/"), "NO_SUCH_BUCKET")),
        ("run", (("endpoint_override=127.0.0.1:", "endpoint_override=127.0.0.1:1&region="), "NETWORK_CONNECTION")),
        ("plan", (("scheme=http", "schema=http"), "schema")),
        ("aggregate", (("s3://", "ftp://"), "not in ftp://")),
        ("aggregate", (("scheme=http&", ""), "add scheme=http to the query of the address")),
    ],
)
def test_a_place_that_cannot_be_used_is_one_line(command, study, s3, verb, case):
    (old, new), word = case
    results = s3().replace(old, new)
    code, out, err = command(verb, *([] if verb == "aggregate" else [study, "--results"]), results)
    assert (code, out) == (2, "")
    assert (err.count("\n"), err[:7]) == (1, "Error: ")
    assert word in err
    assert "secret" not in err


def test_a_key_that_the_store_does_not_know_is_one_line(command, study, s3, s3_server):
    results = s3()
    storage.at(results)

    def check(keys):
        url = f"http://{s3_server}/moto-api/reset-auth"
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(url, keys, plain, method="POST")).close()

    check(b"0")
    try:
        code, _, err = command("run", study, "--workers", 1, "--results", results)
    finally:
        check(b"inf")
    assert (code, err.count("\n")) == (2, 1)
    assert "INVALID_ACCESS_KEY_ID" in err


def test_one_driver_at_a_time_and_a_dead_one_is_not_waited_for(s3, monkeypatch):
    results = s3()
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    place = storage.at(results) / "study=s" / "_run.lock"
    with lock.exclusive(results, "s"):
        first = json.loads(place.read_bytes())
        with pytest.raises(UserError, match=r"process \d+ on .* is running this study"), lock.exclusive(results, "s"):
            pass
        lengths, beat = set(), first
        while beat["written"] == first["written"]:
            time.sleep(0.02)
            content = place.read_bytes()
            lengths.add(len(content))
            beat = json.loads(content)
        assert lengths == {lock._BYTES}  # another length between two reads of it would look like no lock at all
        with lock.exclusive(results, "another"):
            pass
    assert not place.is_file()
    monkeypatch.undo()
    place.write_bytes(json.dumps(first | {"written": time.time() - lock.STALE_SECONDS}).encode())
    with lock.exclusive(results, "s"):
        assert json.loads(place.read_bytes())["token"] != first["token"]
        place.write_bytes(json.dumps(first).encode())  # somebody else's by now: not ours to delete
    assert place.is_file()


def test_credentials_and_query_stay_out_of_what_is_printed(s3):
    place = storage.at(s3()) / "study=s"
    assert str(place).startswith("s3://bucket/")
    assert "secret" not in f"{place} {place!r}"


def test_the_server_may_be_named_in_the_environment(s3, s3_server):
    with_query = s3()
    storage.put(storage.at(with_query) / "part", b"content")
    # The variable is read where the store is reached first.
    read = "import sys; from jobs.results import storage; print((storage.at(sys.argv[1]) / 'part').read_bytes())"
    env = os.environ | {"AWS_ENDPOINT_URL": f"http://{s3_server}"}
    address = with_query.partition("?")[0]
    done = subprocess.run([sys.executable, "-c", read, address], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "b'content'\n", done.stderr


def test_a_file_address_is_a_folder(tmp_path):
    assert storage.at(f"file://{tmp_path}/a%20b") == tmp_path / "a b"


def test_a_run_that_looks_at_stored_attempts_asks_the_store_that_it_was_given(command, study, s3):
    results = s3()
    limits = ("--set", "epochs=1", "--set", "budget.until=2099-01-01T00:00")
    assert command("run", study, "--results", results, "--workers", 1, *limits, "--set", "budget.trials=1")[0] == 3
    code, _, err = command("run", study, "--results", results, "--workers", 1, *limits)
    assert code == 0, err
    assert reader.load(storage.at(results) / "study=s", attempts=True).table.num_rows == 2


def test_status_watch_and_stop_ask_the_store_that_they_were_given(command, study, s3):
    results = s3()
    assert command("run", study, "--results", results, "--workers", 1, "--set", "budget.trials=1")[0] == 3
    for verb in ("status", "stop"):
        code, out, err = command(verb, results)
        assert (code, out.startswith("s: 1 of 2 trials done")) == (0, True), err
        assert "cannot be" not in err
    assert "no trial 0 is running" in command("stop", results, "--trial", "0")[2]
    assert command("run", study, "--results", results, "--workers", 1)[0] == 0
    assert command("watch", results)[0] == 0
