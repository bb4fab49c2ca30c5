"""`notify`: a webhook on this machine and a command hear how a study ends; the address is in no file and no line."""

import contextlib
import gc
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from core.errors import UserError
from jobs.present import notices
from jobs.present.notices import WEBHOOK
from jobs.study import study

TEXT = """study: s
trial:
  data: {name: digits}
  method: kmeans
"""
CC = """study: s
trial:
  data: {name: digits}
  encoder: {name: mlp, widths: [8, 4]}
  method: cc
  epochs: 2
  evaluation: {every: 2}
  learning_rate: 1.0e+30
seeds: [0, 1]
"""
SECRET = "sesame-0123"  # noqa: S105 - it opens nothing


@pytest.fixture
def webhook():
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(self.server.answer)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answer, server.heard = 200, heard
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.address = f"http://127.0.0.1:{server.server_port}/hooks/{SECRET}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(command, tmp_path, monkeypatch):
    monkeypatch.delenv(WEBHOOK, raising=False)

    def run(text, *options):
        (tmp_path / "study.yaml").write_text(text)
        code, out, err = command(
            "run", tmp_path / "study.yaml", "--results", tmp_path / "r", "--workers", "1", *options
        )
        for file in (tmp_path / "r").rglob("*"):
            assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
        assert SECRET not in out + err
        return code, out + err

    return run


def test_a_study_that_is_done_is_told_once_and_no_more_when_nothing_is_left(run, webhook):
    text = f"{TEXT}notify: {{webhook: '{webhook.address}'}}\n"
    assert run(text)[0] == 0
    (told,) = webhook.heard
    assert told == {
        "text": "conclus: study s 1 trial done",
        "content": "conclus: study s 1 trial done",
        "event": "done",
        "study": "s",
    }
    assert run(text)[0] == 0
    assert len(webhook.heard) == 1


def test_what_is_not_asked_for_is_not_told(run, webhook):
    assert run(f"{TEXT}notify: {{webhook: '{webhook.address}', on: [paused]}}\n")[0] == 0
    assert webhook.heard == []


def test_a_run_that_leaves_trials_has_paused(run, webhook):
    text = f"{TEXT}seeds: [0, 1]\nbudget: {{trials: 1}}\nnotify: {{webhook: '{webhook.address}'}}\n"
    run(text)
    (told,) = webhook.heard
    assert (told["event"], told["text"]) == ("paused", "conclus: study s 1 trial done, 1 left; the budget is spent")


def test_the_first_trial_that_diverges_is_told(run, webhook):
    run(f"{CC}notify: {{webhook: '{webhook.address}'}}\n")
    first, last = webhook.heard
    assert first["event"] == "diverged"
    assert first["text"].endswith(": DIVERGED")
    assert last["event"] == "done"
    assert "2 failed" in last["text"]


def test_the_environment_names_a_webhook_for_a_study_that_names_none(run, webhook, monkeypatch):
    monkeypatch.setenv(WEBHOOK, webhook.address)
    run(TEXT)
    assert [one["event"] for one in webhook.heard] == ["done"]


@pytest.mark.parametrize("trouble", ["refuses", "is not there", "is no address"])
def test_a_webhook_that_fails_is_one_warning_and_the_study_goes_on(run, webhook, trouble, monkeypatch):
    webhook.answer = 500
    address = {
        "refuses": webhook.address,
        "is not there": f"http://127.0.0.1:9/{SECRET}",
        "is no address": f"ftp//{SECRET} x",
    }[trouble]
    monkeypatch.setenv(WEBHOOK, address)
    code, said = run(CC)
    assert code == 1
    assert said.count("Warning: the webhook of notify failed") == 1
    assert ("(HTTP 500)" in said) == (trouble == "refuses")


# The connection of a request that nobody waits for is closed with its thread.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_webhook_that_answers_a_byte_at_a_time_holds_up_nothing(run, monkeypatch):
    monkeypatch.setattr(notices, "_SECONDS", 0.5)
    before = set(threading.enumerate())
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip():
            with contextlib.suppress(OSError), listening.accept()[0] as asked:
                while not over.wait(0.1):
                    asked.sendall(b"x")

        threading.Thread(target=drip, daemon=True).start()
        _, said = run(f"{TEXT}notify: {{webhook: 'http://127.0.0.1:{listening.getsockname()[1]}/{SECRET}'}}\n")
    over.set()
    assert "the webhook of notify failed (no answer in 0.5 s)" in said
    for one in set(threading.enumerate()) - before:
        one.join()
    gc.collect()


def test_a_command_gets_the_sentence_and_no_shell_reads_it(run, tmp_path):
    script = tmp_path / "tell.py"
    script.write_text(
        "import os, sys\nopen(sys.argv[1], 'a').write(os.environ['CONCLUS_EVENT'] + ' ' + sys.stdin.read() + '\\n')\n"
    )
    out = tmp_path / "told; touch bad.txt"
    run(f"{TEXT}notify:\n  command: \"{sys.executable} {script} '{out}'\"\n")
    assert out.read_text() == "done conclus: study s 1 trial done\n"
    code, said = run(f"{TEXT}seeds: [5]\nnotify: {{command: 'no-such-command-here'}}\n")
    assert code == 0
    assert "Warning: the command of notify failed (No such file or directory)" in said


@pytest.mark.parametrize(
    "notify",
    [
        f"https://{SECRET}",
        f"{{webhook: 'https://me:{SECRET}@example.org/x'}}",
        f"{{webhook: 'https://example.org:99999/{SECRET}'}}",
        f"{{webhook: '{SECRET}'}}",
        "{command: ''}",
        "{command: 'a \"b'}",
        "{on: [ended]}",
    ],
)
def test_mistakes_are_told_before_anything_starts_without_the_address(run, notify, tmp_path):
    code, said = run(f"{TEXT}notify: {notify}\n")
    assert code == 2
    assert "notify" in said
    assert not (tmp_path / "r").exists()


def test_the_address_is_not_taken_from_the_command_line(run):
    code, said = run(TEXT, "--set", "notify.webhook=https://example.org/x")
    assert code == 2
    assert "--set notify.webhook=…: commands are seen by others" in said


def test_a_study_in_results_tells_nobody(tmp_path):
    folder = tmp_path / "study=s"
    folder.mkdir()
    for place in (folder / "_study.yaml", tmp_path / "mine.yaml"):
        place.write_text(f"{TEXT}notify: {{command: rm}}\n")
    assert study.load(folder / "_study.yaml").notify.command is None
    assert study.load(tmp_path / "mine.yaml").notify.command == "rm"
    assert "rm" not in study.load(tmp_path / "mine.yaml").whole()


def test_a_copy_of_a_study_has_no_notice(tmp_path):
    file = Path(tmp_path / "s.yaml")
    file.write_text(f"{TEXT}notify: {{webhook: 'https://example.org/{SECRET}'}}\n")
    told = subprocess.run(
        [sys.executable, "-m", "conclus", "plan", str(file), "--show"], capture_output=True, text=True, check=True
    )
    assert SECRET not in told.stdout + told.stderr
    with pytest.raises(UserError):
        study.load(file, ["notify.on=[done]"])


def test_notices_that_nobody_would_get_are_told_of(run, command, tmp_path, monkeypatch):
    says = f"warning: notify: nobody would be told: give a webhook or a command, or set {WEBHOOK}"
    sections = (("", 0), ("notify: {on: [done, paused, diverged]}\n", 1), ("notify: {command: 'true'}\n", 0))
    for n_clusters, (section, count) in enumerate(sections, 5):
        code, said = run(f"{TEXT}{section}", "--set", f"n_clusters={n_clusters}")
        assert (code, said.count(says)) == (0, count)
        assert command("plan", tmp_path / "study.yaml", "--results", tmp_path / "r")[2].count(says) == count
    (tmp_path / "study.yaml").write_text(f"{TEXT}notify: {{on: [done]}}\n")
    monkeypatch.setenv(WEBHOOK, "http://127.0.0.1:9/")
    assert says not in command("plan", tmp_path / "study.yaml", "--results", tmp_path / "r")[2]
