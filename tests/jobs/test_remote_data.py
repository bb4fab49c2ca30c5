"""Data in an object store: read once by a machine, equal to the same file in a folder, refused when it changed."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from core.config.trial import PlugIn, TrialConfig
from core.data import object_store, remote
from core.errors import UserError
from core.training import data_cache
from jobs.results import storage
from jobs.study import study as studies

STUDY = """study: s
trial:
  data: {{name: file, path: "{path}"}}
  method: {{name: cc}}
  encoder: {{name: mlp, widths: [16, 8]}}
  batch_size: 16
  epochs: 2
seeds: [0, 1]
"""

READ = """
import sys
from core.config.trial import PlugIn
from core.training import data_cache
from core.errors import UserError
print("ready", flush=True)
sys.stdin.readline()
try:
    print(data_cache.read(PlugIn(name="file", options={"path": sys.argv[1]})).fingerprint)
except UserError as error:
    print(error)
"""


class Watched(BaseHTTPRequestHandler):
    """Passes everything on to the real server, and notes what was asked; may keep the half of an answer back."""

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        there = http.client.HTTPConnection(self.server.target, timeout=300)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        content = answer.read()
        self.server.asked.append((self.command, self.path.partition("?")[0], answer.status))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        if self.command == "GET" and self.path.partition("?")[0].endswith(".npz"):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.server.begun.set()
            self.server.go_on.wait(300)
            if self.server.breaks:
                self.close_connection = True
                return
            content = content[len(content) // 2 :]
        self.wfile.write(content)

    do_GET = do_HEAD = pass_on  # noqa: N815 (names of http.server)

    def log_message(self, *_):
        pass


class Watch(ThreadingHTTPServer):
    """A proxy of the S3 server: what it was asked, whether the half of an object is kept back or lost."""

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), Watched)
        self.target, self.asked, self.breaks = target, [], False
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def handle_error(self, *_):
        """A killed client has gone away."""

    def read(self):
        """What was read of objects of data; listings are of the bucket."""
        return [path for command, path, _ in self.asked if command == "GET" and path.count("/") > 2]


@pytest.fixture
def watch(s3_server):
    server = Watch(s3_server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def upload(s3, watch, monkeypatch):
    """Puts content below a new prefix; gives its address without credentials, by way of the proxy."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    place = storage.at(s3())

    def put(name, content):
        (place / name).write_bytes(content)
        return f"{place}/{name}?scheme=http&endpoint_override=127.0.0.1:{watch.server_port}"

    return put


@pytest.fixture
def mine(tmp_path):
    """A file of samples in a folder."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    return tmp_path / "mine.npz"


def cache():
    return Path(os.environ["XDG_CACHE_HOME"]) / "conclus" / "objects"


def kept():
    """What is taken for data in the cache."""
    return sorted(one.name for one in cache().glob("content/*/*"))


def read(path, name="file", **options):
    return data_cache.read(PlugIn(name=name, options={"path": str(path), **options}))


@contextmanager
def reading(address, limit=None):
    """A process that reads an address when it is told to."""
    call = [sys.executable, "-c", READ, address]
    if limit is not None:
        call = ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash", *call]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(call, **pipes) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.ray
def test_two_trials_make_one_get_and_have_the_keys_of_the_local_file(command, tmp_path, mine, upload, watch):
    address = upload("mine.npz", mine.read_bytes())
    local, there = tmp_path / "local.yaml", tmp_path / "there.yaml"
    local.write_text(STUDY.format(path=mine))
    there.write_text(STUDY.format(path=address))
    saving = ("--set", "select.save_model=true")
    code, _, err = command("run", there, "--results", tmp_path / "there", "--workers", 2, *saving)
    assert code == 0, err
    said = [line for line in err.splitlines() if line.startswith("mine: read from ")]
    assert said == [f"mine: read from {object_store.bare(address)} (0.0 MB), kept in {next(cache().glob('content/*'))}"]
    model, *_ = (tmp_path / "there").glob("study=s/models/*")
    told = [command("embed", model, data, "--out", tmp_path / "out.parquet")[::2] for data in (mine, address)]
    assert [code for code, _ in told] == [0, 0], told
    assert told[1][1] == told[0][1].replace(str(mine), object_store.bare(address))
    assert len(watch.read()) == 1
    assert "2 done" in command("plan", local, "--results", tmp_path / "there")[1]
    assert "scheme=http" not in command("aggregate", tmp_path / "there", "--format", "csv")[1]


def test_two_processes_at_once_make_one_get(mine, upload, watch):
    address = upload("mine.npz", mine.read_bytes())
    with reading(address) as one, reading(address) as two:
        watch.go_on.clear()
        go(one)
        assert watch.begun.wait(300)
        go(two)
        time.sleep(0.3)  # The second would ask in this time, if it did not wait.
        watch.go_on.set()
        assert one.stdout.readline() == two.stdout.readline() == f"{read(mine).fingerprint}\n"
    assert len(watch.read()) == 1


def test_the_same_rows_bit_for_bit(tmp_path, mine, upload, watch):
    table = tmp_path / "rows.csv"
    table.write_text("a,b,label\n" + "".join(f"{i * 0.1},{i % 7},{'xy'[i % 2]}\n" for i in range(40)))
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in ("p0.csv", "p1.csv"):
        (folder / name).write_text(table.read_text())
        upload(f"parts/{name}", table.read_bytes())
    upload("parts/.hidden.npz", b"not read")
    texts = tmp_path / "texts.csv"
    texts.write_text("text,label\n" + "".join(f"word{i} and word{i % 5},{i % 2}\n" for i in range(20)))
    np.savez(tmp_path / "pairs.npz", input=np.eye(12), target=np.eye(12)[::-1])
    pairs = tmp_path / "pairs.npz"
    cases = [(mine, "file"), (table, "file"), (folder, "file"), (texts, "text"), (pairs, "pairs")]
    for path, name in cases:
        there = (
            upload(path.name, path.read_bytes())
            if path.is_file()
            else upload("parts/p0.csv", table.read_bytes()).replace("/p0.csv?", "?")
        )
        one, two = read(path, name), read(there, name)
        assert (one.name, one.fingerprint, one.class_names) == (two.name, two.fingerprint, two.class_names)
        assert one.samples.tobytes() == two.samples.tobytes()
        assert (one.labels is None) == (two.labels is None)
        assert one.labels is None or one.labels.tobytes() == two.labels.tobytes()
        assert {key: value.tobytes() for key, value in one.arrays.items()} == {
            key: value.tobytes() for key, value in two.arrays.items()
        }
        assert two.notes[-1].startswith(f"read from {object_store.bare(there)} (")
    assert kept() == sorted(path.name for path, _ in cases)
    assert len(watch.read()) == 6
    assert not any("hidden" in one for one in watch.read())


def test_an_object_that_changed_is_refused_and_one_that_was_written_again_is_not(mine, upload, watch):
    address = upload("mine.npz", mine.read_bytes())
    config = TrialConfig(data=PlugIn(name="file", options={"path": address}))
    planned = read(address).fingerprint
    data_cache.load_data(config, planned)
    data_cache._load.cache_clear()  # As in a new process.
    upload("mine.npz", mine.read_bytes())
    data_cache.load_data(config, planned)
    data_cache._load.cache_clear()
    np.savez(mine, X=np.load(mine)["X"] + 1, y=np.load(mine)["y"])  # of the same size, most often in the same second
    upload("mine.npz", mine.read_bytes())
    with pytest.raises(
        UserError, match=r"^the data s3://bucket/\w+/mine\.npz changed since the plan was made"
    ) as error:
        data_cache.load_data(config, planned)
    assert "127.0.0.1" not in str(error.value)
    data_cache._load.cache_clear()
    assert len(kept()) == 2
    before = len(watch.read())
    read(address)
    assert len(watch.read()) == before


def test_a_killed_download_leaves_nothing_that_is_taken_for_the_data(mine, upload, watch):
    address = upload("mine.npz", mine.read_bytes())
    with reading(address) as process:
        watch.go_on.clear()
        go(process)
        assert watch.begun.wait(300)
        process.send_signal(signal.SIGKILL)
        process.wait()
    watch.go_on.set()
    assert kept() == []
    assert [one.suffix for one in cache().glob("addresses/*.part")] == [".part"]
    assert read(address).samples.tobytes() == read(mine).samples.tobytes()
    assert list(cache().glob("addresses/*.part")) == []


def test_a_copy_that_somebody_wrote_into_is_read_again(mine, upload, watch):
    address = upload("mine.npz", mine.read_bytes())
    wanted = read(address).fingerprint
    (copy,) = cache().glob("content/*/*")
    copy.write_bytes(copy.read_bytes()[:-9])
    assert read(address).fingerprint == wanted
    assert len(watch.read()) == 2
    assert copy.read_bytes() == mine.read_bytes()


def test_what_goes_wrong_is_one_sentence_and_nothing_is_kept(mine, upload, watch, s3_server):
    address = upload("mine.npz", mine.read_bytes())
    place = object_store.bare(address)
    cases = {
        address.replace("mine", "other"): "there is no such object",
        address.replace("bucket/", "nowhere/"): "there is no such object",
        address.replace("scheme=http", "schema=http"): "schema",
        address.replace("s3://", "s3://key:hush@"): "leave the credentials out",
        address.replace("s3://", "s3://key@"): "leave the credentials out",
        "abfs://box@acc.dfs.core.windows.net/a.csv?sig=hush": "leave the credentials out",
        "https://example.org/mine.npz": "or in an object store (s3://, gs://",
    }
    for one, said in cases.items():
        with pytest.raises(UserError) as error:
            read(one)
        assert said in str(error.value)
        assert "\n" not in str(error.value)
        assert "hush" not in str(error.value)
    watch.breaks = True
    with pytest.raises(UserError, match=rf"^{place}: it cannot be read \(.*check the network"):
        read(address)
    watch.breaks = False
    with reading(address, limit=1) as process:  # blocks of 1024 bytes: the file is larger
        go(process)
        said = process.stdout.readline()
    assert said.startswith("data: the copy of the data cannot be kept")
    assert kept() == []
    assert list(cache().glob("addresses/*.part")) == []
    bad = upload("bad.npz", b"no archive at all")
    with pytest.raises(UserError, match=rf"^{place.replace('mine', 'bad')}: it cannot be read as \.npz"):
        read(bad)
    folder = object_store.bare(bad).rpartition("/")[0]
    with pytest.raises(UserError, match=rf"^{folder}/bad.npz: it cannot be read as \.npz"):
        read(bad.replace("/bad.npz", ""))
    assert set(kept()) == {"bad.npz", folder.rpartition("/")[2]}
    url = f"http://{s3_server}/moto-api/reset-auth"
    plain = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(url, b"0", plain, method="POST")).close()
    try:
        with pytest.raises(UserError, match=r"credentials in the environment"):
            read(address)
    finally:
        urllib.request.urlopen(urllib.request.Request(url, b"inf", plain, method="POST")).close()


def test_an_object_that_is_written_while_it_is_read_is_refused(mine, upload, watch):
    address = upload("mine.npz", mine.read_bytes())
    with reading(address) as process:
        watch.go_on.clear()
        go(process)
        assert watch.begun.wait(300)
        upload("mine.npz", b"other")
        watch.go_on.set()
        assert "it changed while it was read" in process.stdout.readline()
    assert kept() == []


def test_a_study_leaves_addresses_alone_and_refuses_credentials(tmp_path):
    address = "s3://bucket/a.npz?region=eu-west-1"
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.format(path=address))
    assert studies.load(file).trial["data"]["path"] == address
    other = address.replace("a.npz", "b.npz")
    assert studies.load(file, [f"data.path={other}"]).trial["data"]["path"] == other
    file.write_text(STUDY.format(path=address) + f"space: {{data.path: {{grid: ['{address}', '{other}', c.npz]}}}}\n")
    values = studies.load(file).space["data.path"].finite
    assert list(values) == [address, other, str(tmp_path / "c.npz")]
    secret = address.replace("s3://", "s3://key:hush@")
    for text, overrides in [
        (STUDY.format(path=secret), []),
        (STUDY.format(path=address), [f"data.path={secret}"]),
        (STUDY.format(path=address) + f"space: {{data.path: {{grid: ['{secret}']}}}}\n", []),
    ]:
        file.write_text(text)
        with pytest.raises(UserError, match=r"^s3://bucket/a\.npz: leave the credentials out") as error:
            studies.load(file, overrides)
        assert "hush" not in str(error.value)


def test_submit_says_that_each_node_reads_it(command, tmp_path, mine, upload):
    address = upload("mine.npz", mine.read_bytes())
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.format(path=address))
    code, _, err = command("submit", file, "--address", "http://127.0.0.1:1", "--results", tmp_path / "r")
    assert code != 0
    assert f"s: each node of the cluster reads {object_store.bare(address)} once" in err
    assert "must be there" not in err


def test_what_is_known_of_an_address_names_no_credentials(mine, upload):
    read(upload("mine.npz", mine.read_bytes()))
    (entry,) = cache().glob("addresses/*.json")
    known = json.loads(entry.read_text())
    assert known["address"].startswith("s3://bucket/")
    assert (cache() / "content" / known["content"] / "mine.npz").stat().st_size == known["bytes"]
    assert cache().stat().st_mode & 0o077 == 0
    assert remote.checked("abfs://box@acc.dfs.core.windows.net/a.csv") == "abfs://box@acc.dfs.core.windows.net/a.csv"


def test_only_data_that_cannot_be_read_here_are_offered_to_the_cluster(command, tmp_path, mine, upload):
    def told(path, *more):
        file = tmp_path / "study.yaml"
        file.write_text(STUDY.format(path=path))
        where = ("--address", "http://127.0.0.1:1", "--results", "/shared/results")
        code, _, err = command("submit", file, *where, *more)
        assert code == 2
        return "add --remote-data" in err

    assert told(tmp_path / "gone.csv")
    assert told(upload("mine.npz", mine.read_bytes()).replace("mine.npz", "gone.npz"))
    assert not told(mine, "--set", "select.metric=nonsense")
    assert not told(mine, "--set", "trial.n_clusters=1000")
