"""The token goes to an address that this person gave or submitted to, never to one that results name."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster.submit import Jobs
from core.seal import seal_json
from jobs.study import state_folder

SECRET = "5ec7e7" * 8
MINE = "http://127.0.0.1:9"


class Dashboard(BaseHTTPRequestHandler):
    """Notes what it is sent, asks for the token, knows one job; elsewhere it sends whoever it is told to send on."""

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Authorization"), SECRET in str(self.headers)))
        if self.server.onward and self.path != "/api/version":
            self.send_response(307)
            self.send_header("Location", self.server.onward + self.path)
            self.end_headers()
            return
        self.send_response(200 if SECRET in str(self.headers) else 401)
        self.end_headers()
        answer = {"ray_version": "2.60.0", "version": "4", "session_name": "", "ray_commit": ""}
        if self.path.endswith("logs"):
            answer = {"logs": "its log\n"}
        elif "jobs" in self.path:
            answer = {"type": "SUBMISSION", "status": "SUCCEEDED", "entrypoint": "", "submission_id": "s-1"}
        self.wfile.write(json.dumps(answer).encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def dashboard():
    """Starts a dashboard that notes what it is sent; the server and its address."""
    servers = []

    def start(onward=""):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Dashboard)
        server.seen, server.onward = [], onward
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def person(tmp_path, monkeypatch):
    """Somebody with a token who has submitted to one cluster; the folder of what conclus knows of them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)  # Ray reads it once, for all tests
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert state_folder.remember_cluster(MINE)
    return tmp_path / "state" / "conclus"


def strangers(tmp_path, address):
    """Results that name a job at this address."""
    folder = tmp_path / "results" / "study=s"
    (folder / "trials").mkdir(parents=True)
    record = {"job": "s-1", "address": address, "study": "s", "results": "/x", "workers": None, "by": "a@b"}
    (folder / "_job.json").write_bytes(seal_json(record | {"submitted": "2026-01-01T00:00:00+00:00"}))
    return folder.parent


@pytest.mark.parametrize(
    "line", ["logs", "logs --follow", "logs --insecure", "logs --job s-1", "stop", "stop --job s-1", "resume"]
)
def test_an_address_that_only_the_results_name_gets_no_request(dashboard, tmp_path, command, line):
    server, url = dashboard()
    name, *options = line.split()
    code, out, err = command(name, strangers(tmp_path, url), *options)
    assert (code, out) == (2, "")
    assert err == (
        f"Error: _job.json names the cluster at {url}, but you never submitted to it from here: if it is yours, "
        f"add --address {url}\n"
    )
    assert server.seen == []


@pytest.mark.parametrize("name", ["status", "watch", "logs --trial k", "resume --here", "aggregate", "report"])
def test_what_asks_no_cluster_does_not_ask_theirs(dashboard, tmp_path, command, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    server, url = dashboard()
    results = strangers(tmp_path, url)
    first, *options = name.split()
    if first == "watch":
        monkeypatch.setattr("time.sleep", _leave)
    command(first, results, *options)
    assert server.seen == []


def _leave(_seconds):
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["option", "environment", "submitted"])
def test_an_address_of_the_person_gets_the_token(dashboard, tmp_path, command, monkeypatch, how):
    server, url = dashboard()
    results, options = strangers(tmp_path, url.replace("http://", "") if how == "submitted" else f"{url}/"), []
    if how == "option":
        options = ["--address", url]
    elif how == "environment":
        monkeypatch.setenv("RAY_ADDRESS", url)
    else:
        assert state_folder.remember_cluster(url)
    code, out, err = command("logs", results, *options)
    assert (code, out) == (0, "its log\n"), err
    assert ("/api/jobs/s-1/logs", f"Bearer {SECRET}", True) in server.seen


@pytest.mark.parametrize("elsewhere", ["auto", "ray://head:10001", "head:6379"])
def test_another_address_in_the_environment_changes_nothing(monkeypatch, elsewhere):
    monkeypatch.setenv("RAY_ADDRESS", elsewhere)
    assert state_folder.knows_cluster(MINE)
    assert not state_folder.knows_cluster("http://127.0.0.1:10")


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:99", "https://127.0.0.1:9", "http://127.0.0.1.evil.org:9", "http://me:it@127.0.0.1:9",
     "", "auto", "http://127.0.0.1:9@evil.org", "http://evil.org/127.0.0.1:9", "../../x", "http://[::1", "x" * 9000,
     "\x1b[2J\nhttp:"],
)  # fmt: skip
def test_what_looks_like_an_own_address_is_none(tmp_path, command, address):
    assert not state_folder.knows_cluster(address)
    code, out, err = command("logs", strangers(tmp_path, address))
    assert (code, out, err.count("\n"), "\x1b" in err) == (2, "", 1, False)
    assert "_job.json names the cluster at" in err


def test_the_state_is_the_person_s_alone(person):
    assert person.stat().st_mode & 0o777 == 0o700
    (file,) = (person / "clusters").iterdir()
    assert (person / "clusters").stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_state_that_cannot_be_kept_is_no_fault(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert not state_folder.remember_cluster(MINE)
    assert not state_folder.knows_cluster(MINE)


def test_without_xdg_state_home_it_lies_below_the_home(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert state_folder.folder() == tmp_path / "home" / ".local" / "state" / "conclus"
    assert not state_folder.knows_cluster(MINE)


def test_the_token_does_not_follow_a_redirect_to_another_server(dashboard):
    stranger, theirs = dashboard()
    own, url = dashboard(onward=theirs)
    jobs = Jobs(url)
    for ask in (jobs.state, jobs.log, jobs.stop):
        with pytest.raises(Exception, match="refuses"):
            ask("s-1")

    async def tail():
        async for _ in jobs._client.tail_job_logs("s-1"):
            pass

    with pytest.raises(Exception, match=r"401|Invalid response"):
        asyncio.run(tail())
    assert len(own.seen) >= 5
    assert len(stranger.seen) >= 4
    assert not any(leaked for _, _, leaked in stranger.seen)
