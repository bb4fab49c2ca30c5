"""`conclus serve`: a real server beside a real run, looked at by a real browser; and who may not ask it."""

import http.client
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.data.told import watched
from jobs.health.status import columns, standing
from jobs.live import server
from jobs.live.courses import Behind, running
from jobs.live.rows import FollowedRows
from jobs.live.server import Live
from jobs.results import compact, reader
from jobs.results.lock import exclusive
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from tests.jobs.live_browser import CHROMIUM, Chrome

PLAN = {"trials": [[f"t{i}", "c", i] for i in range(4)], "select": {"metric": "nmi", "mode": "max"}, "n_trials": 4}
STUDY = """study: long
trial:
  data: {name: file, path: mine.csv}
  method: ./calm.py
  encoder: {name: mlp, widths: [4]}
  n_clusters: 2
  batch_size: 8
  epochs: 3
  evaluation: {every: 1}
seeds: [0, 1, 2]
"""
# A trial that is only watched needs not to keep a core busy.
CALM = """import time
from core.methods.cc import Method as Base

class Method(Base):
    def begin_epoch(self, *_):
        time.sleep(0.05)
"""


def attempt(results, number, status, **values):
    own = {"history": [(epoch, float(epoch), "nmi", number / 10 + epoch / 100) for epoch in (1, 2, 3)]}
    own |= {"params": {"lr": number}, "metrics": {"nmi": number / 10}, "seconds": 5.0, "attempt_id": new_attempt_id()}
    row = Attempt(study="s", trial_key=f"t{number}", config_key="c", seed=number, status=status, **own | values)
    write(str(results), row)
    return row


@pytest.fixture
def store(tmp_path):
    results = tmp_path / "results"
    (results / "study=s").mkdir(parents=True)
    (results / "study=s" / "study.json").write_text(json.dumps(PLAN))
    return results


class Server:
    """`conclus serve` in a process of its own."""

    def __init__(self, root, results, *options):
        command = [sys.executable, str(root / "conclus.py"), "serve", "results", *options]
        self.process = subprocess.Popen(command, cwd=results.parent, stdout=subprocess.PIPE, text=True)
        self.address = self.told()
        self.port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=[\w-]{40,}", self.address)[1])

    def told(self):
        return self.process.stdout.readline().removeprefix("Open ").strip()

    def ask(self, path, method="GET", body=None, **headers):
        """Code, headers and text of an answer."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        own = {"Host": f"127.0.0.1:{self.port}"} | {name.replace("_", "-"): one for name, one in headers.items()}
        link.request(method, path, body, own)
        answer = link.getresponse()
        try:
            return answer.status, answer.headers, answer.read().decode()
        finally:
            link.close()

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def serving(root):
    started = []

    def start(results, *options):
        started.append(Server(root, results, *options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def chrome(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no chromium or chrome is installed")
    one = Chrome(tmp_path / "profile")
    yield one
    one.close()


def test_it_answers_one_browser_of_this_machine_and_nobody_else(store, serving):
    attempt(store, 0, "running")
    server = serving(store)
    path = server.address.partition(str(server.port))[2]
    for refused in ("/", "/?token=", "/?token=x", "/events", "/report", "/nothing", f"/report{path[1:]}"):
        assert server.ask(refused)[0] == 403, refused
    # The token is asked for by another name of this machine, or by another page: it is not spent.
    assert server.ask(path, Host="evil.example")[0] == 421
    assert server.ask(path, Host=f"127.0.0.1:{server.port + 1}")[0] == 421
    assert server.ask(path, Origin="http://evil.example")[0] == 403
    assert server.ask(path, "POST")[0] == 403
    code, headers, text = server.ask(path)
    assert (code, "<h2>Report</h2>" in text) == (200, True)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    cookie, *flags = headers["Set-Cookie"].split("; ")
    assert set(flags) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert server.ask(path)[0] == 403  # A token is for one use,
    assert server.ask(server.told().partition(str(server.port))[2])[0] == 200  # and the next one is told.
    known = {"Cookie": cookie}
    for shown in ("/", "/report"):
        code, headers, _ = server.ask(shown, **known)
        assert (code, headers["Cache-Control"], headers["X-Content-Type-Options"]) == (200, "no-store", "nosniff")
    for code, wrong in [
        (421, {"Host": "evil.example"}),
        (403, {"Origin": "http://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": f"http://127.0.0.1:{server.port + 1}"}),
        (403, {"Cookie": f"{cookie}x"}),
        (403, {"Cookie": "a\tb=;;"}),
    ]:
        assert server.ask("/", **known | wrong)[0] == code, wrong


def test_only_what_runs_is_stopped_and_only_by_the_page_itself(store, serving):
    first = attempt(store, 0, "running")
    attempt(store, 1, "ok")
    server = serving(store)
    cookie = server.ask(server.address.partition(str(server.port))[2])[1]["Set-Cookie"].partition(";")[0]
    own = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{server.port}", "Content_Type": "application/json"}
    asked = store / "study=s" / "_stops" / f"{first.trial_key}.json"

    def stop(trial, **headers):
        return server.ask("/stop", "POST", json.dumps({"study": "s", "trial": trial}), **own | headers)[0]

    for code, trial, headers in [
        (403, "t0", {"Origin": "http://evil.example"}),
        (403, "t0", {"Cookie": ""}),
        (421, "t0", {"Host": "evil.example"}),
        (400, "t0", {"Content_Type": "text/plain"}),
        (409, "t1", {}),
        (400, ["t0"], {}),
        (409, "--help", {}),
    ]:
        assert stop(trial, **headers) == code, (trial, headers)
    assert server.ask("/stop", "POST", "{", **own)[0] == 400
    odd = ('{"study": "s", "trial": "\\u0000"}', '{"study": "s", "trial": "\\ud800"}', "[" * 9000, "x" * 20_000)
    assert [server.ask("/stop", "POST", body, **own)[0] for body in odd] == [400] * 4
    assert server.ask("/stop", **own)[0] == 405
    assert not asked.exists()
    assert stop("t0") == 200
    assert asked.exists()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system tells its sockets otherwise")
def test_it_listens_on_this_machine_alone(store, serving):
    server = serving(store)
    listening = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    inodes = set()
    for one in os.listdir(f"/proc/{server.process.pid}/fd"):  # noqa: PTH208
        with_name = os.readlink(f"/proc/{server.process.pid}/fd/{one}")  # noqa: PTH115
        inodes |= {with_name[8:-1]} if with_name.startswith("socket:[") else set()
    own = {line[1] for line in listening if line[3] == "0A" and line[9] in inodes}
    assert own == {f"0100007F:{server.port:04X}"}


def test_a_folder_that_is_gone_is_told_and_what_was_known_stays(store):
    attempt(store, 0, "running")
    live = Live(str(store), [], once=False)
    live.look()
    before = json.loads(live.text)
    assert before["trouble"] == ""
    shutil.rmtree(store / "study=s")
    live.look()
    after = json.loads(live.text)
    assert after["trouble"] == "the folder of s is gone"
    assert not live.is_over


def test_a_study_is_seen_while_it_runs_and_stopped_by_its_buttons(root, tmp_path, serving, chrome):
    rows = "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "mine.csv").write_text("u,v,label\n" + rows)
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "calm.py").write_text(CALM)
    run = [sys.executable, str(root / "conclus.py"), "run", "study.yaml", "--workers", "1"]
    subprocess.run([*run, "--quiet"], cwd=tmp_path, check=True, capture_output=True)
    last, *_ = (tmp_path / "results" / "study=long" / "trials").glob("*.parquet")
    last.rename(tmp_path / "last")
    with exclusive(str(tmp_path / "results"), "long"):
        server = serving(tmp_path / "results", "--once")
        chrome.open(server.address)
        chrome.wait("document.querySelector('h1')?.textContent.startsWith('long: 2 of 3 trials done')")
        (tmp_path / "last").rename(last)
        chrome.wait("document.querySelector('h1').textContent.startsWith('long: 3 of 3 trials done')")
    assert server.process.wait(300) == 0  # The study is over, and so is it.
    assert "the server with it" in chrome.wait("document.getElementById('told').textContent")

    server = serving(tmp_path / "results")
    chrome.open(server.address)
    chrome.wait("!!document.querySelector('.band')")
    longer = [*run, "--set", "epochs=100000", "--set", "seeds=[7, 8]"]
    process = subprocess.Popen(longer, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        row = "document.querySelector('tr[data-key]')"
        key = chrome.wait(f"{row}?.dataset.key")
        epoch = int(chrome.wait(f"parseInt({row}?.cells[3].textContent)"))
        chrome.wait(f"parseInt({row}.cells[3].textContent) > {epoch} && !!document.querySelector('path.course')")
        # No more than two seconds behind the trial: its own row is rewritten every half minute.
        # Right after that both are alike.
        end = time.monotonic() + 300
        while chrome.run(f"parseInt({row}.cells[3].textContent)") <= newest(tmp_path / "results", key):
            assert time.monotonic() < end
        one = f"document.querySelector('button[data-stop=\"{key}\"]')"
        chrome.run(f"{one}.click()")
        assert "sure?" in chrome.run(f"{one}.textContent")
        chrome.run(f"{one}.click()")
        chrome.wait("[...document.querySelectorAll('td')].some((one) => one.textContent.startsWith('STOPPED: by '))")
        chrome.wait(f"{row} && {row}.dataset.key !== '{key}'")  # The other trial runs.
        chrome.run("document.querySelector('.top button').click()")
        chrome.run("document.querySelector('.top button').click()")
        chrome.wait("document.querySelector('[data-said]').textContent.includes('has ended')")
        assert process.wait(300) == 130
        chrome.wait("document.querySelector('h1').textContent.includes('1 interrupted')")
        chrome.wait("!!document.querySelector('iframe').contentDocument?.querySelector('#leaderboard table')")
    finally:
        process.kill()
        process.wait()
    assert chrome.console == []


def newest(results, key):
    (row,) = [one for one in standing(results / "study=long").begun if one.trial_key == key]
    table = reader.load([str(results)], attempts=True, columns=["epochs_done"]).table
    stored = dict(zip(table["attempt_id"].to_pylist(), table["epochs_done"].to_pylist(), strict=True))
    return stored[row.attempt_id] or 0


def test_names_and_reasons_of_strangers_are_text(store, serving, chrome):
    evil = "<img src=x onerror=\"document.documentElement.dataset.taken='yes'\"></script><script>taken</script>\x1b[2J"
    attempt(store, 0, "running", verdict=evil, params={"lr": evil})
    attempt(store, 1, "failed", reason=evil)
    server = serving(store)
    chrome.open(server.address)
    told = chrome.wait(
        "[...document.querySelectorAll('td')].map((one) => one.textContent).find((one) => one.includes('onerror'))"
    )
    assert "<img src=x" in told
    assert "\x1b" not in told
    chrome.wait("!!document.querySelector('iframe').contentDocument?.querySelector('main, p')")
    assert chrome.run("document.documentElement.dataset.taken ?? ''") == ""
    assert chrome.run("document.querySelectorAll('img').length") == 0
    assert chrome.console == []


def test_a_phone_shows_scores_reasons_and_the_whole_chart(store, serving, chrome):
    for number in range(3):
        history = [(epoch, float(epoch), "nmi", 0.2 + number / 10 + epoch / 100) for epoch in (5, 10, 12)]
        reason = "BELOW_INPUT@12: nmi 0.3 against 0.9 of k-means" * 2
        attempt(store, number, "ok", history=history, started=datetime(2026, 1, 1, tzinfo=UTC), reason=reason)
    attempt(store, 3, "running", history=history)
    chrome.call("Emulation.setDeviceMetricsOverride", width=390, height=1600, deviceScaleFactor=1, mobile=True)
    server = serving(store)
    chrome.open(server.address)
    assert re.fullmatch(
        r"It is being made, for \d+ s so far\.",
        chrome.wait("(/being made/.exec(document.getElementById('age')?.textContent) ?? {}).input"),
    )
    chrome.wait("!!document.querySelector('.band')")
    texts = chrome.run("[...document.querySelectorAll('svg text')].map((one) => one.textContent)")
    assert texts == ["0.3", "0.4", "0.5", "epoch 5", "12"]
    assert chrome.run("document.querySelectorAll('td.reason').length") == 3
    ends = "[...document.querySelectorAll('td, svg, button')].map((one) => one.getBoundingClientRect().right)"
    assert max(chrome.run(ends)) <= 390
    assert chrome.run("document.documentElement.scrollWidth") <= 390
    chrome.wait("document.getElementById('age').textContent === 'It is made anew as trials end.'")
    assert chrome.console == []


def test_it_follows_rows_as_the_reader_reads_them_all(store):
    draw, folder = random.Random(0), store / "study=s"
    (folder / "trials").mkdir()
    rows, seen, last = FollowedRows(folder, columns(folder)), [], {}
    for _ in range(40):
        step = draw.random()
        if step < 0.7:
            number = draw.randrange(4)
            goes_on = number in last and last[number].status == "running"
            same = {"attempt_id": last[number].attempt_id} if goes_on else {}
            last[number] = attempt(store, number, draw.choice(["running", "running", "ok", "failed"]), **same)
        elif step < 0.8:
            compact.compact(str(store))
        elif step < 0.9:
            (folder / "trials" / "torn.parquet").write_bytes(draw.randbytes(50))
        if draw.random() < 0.5:
            rows.look()
            own, all_ = rows.loaded(), reader.load([folder], attempts=True, columns=columns(folder))
            assert (
                own.table.select(sorted(own.table.column_names)).to_pylist()
                == all_.table.select(sorted(all_.table.column_names)).to_pylist()
            )
            assert own.skipped == all_.skipped
            seen.append(own.table.num_rows)
    assert seen[-1] > 5
    assert not rows.look()


def test_a_finished_file_is_read_once(store, monkeypatch):
    for number in range(3):
        attempt(store, number, "ok")
    folder, read = store / "study=s", []
    monkeypatch.setattr("jobs.results.reader.read_file", lambda path, *rest: read.append(path) or one(path, *rest))
    rows = FollowedRows(folder, columns(folder))
    assert (rows.look(), len(read)) == (True, 3)
    assert (rows.look(), len(read)) == (False, 3)
    attempt(store, 3, "running")
    assert (rows.look(), len(read)) == (True, 4)


one = reader.read_file


def test_what_stands_behind_is_what_the_finished_trials_did(store):
    for number in range(4):
        attempt(store, number, "ok")
    running_one = attempt(store, 5, "running")
    folder = store / "study=s"
    rows = FollowedRows(folder, columns(folder))
    rows.look()
    behind = Behind("nmi")
    assert behind.band() is None
    assert behind.look(rows.closed)
    compact.compact(str(store))
    rows.look()
    assert behind.look(rows.closed)  # The same attempts in another file count once.
    assert not behind.look(rows.closed)
    band = behind.band()
    assert (band.trials, band.epochs) == (4, [1, 2, 3])
    assert band.middle == pytest.approx([0.15 + epoch / 100 for epoch in (1, 2, 3)])
    assert band.low == pytest.approx([0.03 + epoch / 100 for epoch in (1, 2, 3)])
    assert running(folder, "t5", running_one.attempt_id, "nmi") == [
        (epoch, pytest.approx(0.5 + epoch / 100)) for epoch in (1, 2, 3)
    ]


def test_without_its_packages_it_says_how_to_get_them(store, command, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else found(name, *rest)
    )
    code, _, err = command("serve", store)
    assert (code, err) == (2, "Error: serve: uvicorn not installed: uv sync --extra serve --inexact --no-dev\n")


def test_what_is_not_there_or_taken_is_one_line(store, command, serving):
    code, _, err = command("serve", store / "nothing")
    assert (code, err.count("\n")) == (2, 1)
    server = serving(store)
    code, _, err = command("serve", store, "--port", server.port)
    assert (code, "nothing can listen there" in err, err.count("\n")) == (2, True, 1)


def test_once_ends_with_a_study_that_has_ended_or_that_nothing_runs(store, command, monkeypatch):
    monkeypatch.setattr(server, "_LEFT_SECONDS", 0.2)
    for number in range(3):
        attempt(store, number, "ok")
    attempt(store, 3, "running", reason="INTERRUPTED")
    (store / "study=s" / "_run.lock").write_text(f"process 1 on {socket.gethostname()}")
    code, out, err = command("serve", store, "--once")
    said = " ".join(out.split())
    assert (code, "s: Nothing runs it any more, and 1 trial is left. Go on with:" in said) == (3, True), err
    attempt(store, 3, "ok")
    code, out, _ = command("serve", store, "--study", "s", "--once")
    assert (code, "http" in out) == (0, False)
    assert f"The study s has ended: conclus report {store} --study s writes the page" in " ".join(out.split())


def test_ctrl_c_ends_it(store, serving):
    server = serving(store)
    assert server.ask("/")[0] == 403  # It listens, and to signals, too.
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(300) == 130


def test_reading_and_moving_many_rows_is_told(store):
    for number in range(3):
        attempt(store, number, "ok")
    heard = []
    with watched(lambda *one: heard.append(one)):
        compact.compact(str(store))
    assert ("reading files of results", 3, 3) in heard
    assert heard[-1] == ("moving rows to few files", 3, 3)
