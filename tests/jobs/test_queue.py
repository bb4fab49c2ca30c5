"""The queue of studies: its order against a plain list, its copies of studies, and what its commands say."""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.errors import UserError
from core.seal import unseal_json
from jobs.execution.queue import Queue, in_order
from jobs.planning import plan
from jobs.results import lock
from jobs.results.schema import Attempt
from jobs.results.writer import write
from jobs.study import study, yaml_document

PRIORITIES = st.integers(-2, 2)


class AgainstAList(RuleBasedStateMachine):
    """The queue beside a list of (priority, number) in waiting order, kept by insertion."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.queue = Queue(self.folder)
        self.waiting = []
        self.running = None
        self.over = {}
        self.count = 0
        self.study = ExitStack()
        self.begin()

    def begin(self):
        self.runner = ExitStack()
        self.runner.enter_context(self.queue.working())

    def insert(self, priority, number):
        place = 0
        while place < len(self.waiting):
            other, arrived = self.waiting[place]
            if other < priority or (other == priority and arrived > number):
                break
            place += 1
        self.waiting.insert(place, (priority, number))

    def some(self, data):
        """One that waits, or the one that runs."""
        alive = [*self.waiting, *([tuple(self.running[:2])] if self.running else [])]
        return data.draw(st.sampled_from(sorted(alive)))

    @rule(priority=PRIORITIES)
    def add(self, priority):
        self.count += 1
        entry = self.queue.add(f"s{self.count}", "study", [f"{self.count}"], priority)
        assert entry.number == self.count
        self.insert(priority, self.count)

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=st.data())
    def add_again(self, data):
        _, number = self.some(data)
        with pytest.raises(UserError, match=f"already, as number {number};"):
            self.queue.add(f"s{number}", "study", [f"{number}"])

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=st.data(), priority=PRIORITIES)
    def move(self, data, priority):
        _, number = self.some(data)
        self.queue.move(number, priority=priority)
        if self.running and self.running[1] == number:
            self.running[0] = priority
        else:
            self.waiting = [one for one in self.waiting if one[1] != number]
            self.insert(priority, number)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def to_the_front(self, data):
        own, number = data.draw(st.sampled_from(self.waiting))
        self.queue.move(number, front=True)
        others = [one for one in self.waiting if one[1] != number]
        self.waiting = [(max([own, *(one[0] + 1 for one in others)]), number), *others]

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=st.data())
    def cancel(self, data):
        _, number = self.some(data)
        self.queue.cancel(number)
        if self.running and self.running[1] == number:
            self.running[2] = True
        else:
            self.waiting = [one for one in self.waiting if one[1] != number]
            self.over[number] = "cancelled"

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def what_is_over_stays_so(self, data):
        number = data.draw(st.sampled_from(sorted(self.over)))
        with pytest.raises(UserError, match=self.over[number]):
            self.queue.move(number, front=True)
        with pytest.raises(UserError, match=self.over[number]):
            self.queue.cancel(number)

    @precondition(lambda self: not self.running)
    @rule()
    def take(self):
        taken = self.queue.take()
        if not self.waiting:
            assert taken is None
            return
        entry, lock = taken
        self.study.callback(os.close, lock)
        priority, number = self.waiting.pop(0)
        assert (entry.priority, entry.number) == (priority, number)
        self.running = [priority, number, False]

    @precondition(lambda self: self.running)
    @rule(code=st.sampled_from([0, 1, 3, 130, -9]), asked=st.booleans())
    def end(self, code, asked):
        _, number, cancelled = self.running
        entry = next(one for one in self.queue.read()[0] if one.number == number)
        self.queue.end(entry, code, "said", asked=asked)
        otherwise = {0: "done", 3: "left"}.get(code, "failed")
        self.lay_down(is_cancelled=code and cancelled, waits_again=code and asked, otherwise=otherwise)
        self.study.close()

    @rule()
    def the_runner_is_killed(self):
        """Its study goes on: nobody may start another one beside it."""
        self.runner.close()
        self.begin()
        if self.running:
            assert self.queue.busy()
            assert self.queue.take() is None

    @rule()
    def the_runner_and_its_study_are_killed(self):
        """The locks go, and nobody writes anything down."""
        self.runner.close()
        self.study.close()
        self.begin()
        if self.running:
            self.lay_down(is_cancelled=self.running[2])

    def lay_down(self, *, is_cancelled, waits_again=True, otherwise=""):
        priority, number, _ = self.running
        self.running = None
        if is_cancelled:
            self.over[number] = "cancelled"
        elif waits_again:
            self.insert(priority, number)
        else:
            self.over[number] = otherwise

    @invariant()
    def check(self):
        entries, skipped = self.queue.read()
        assert skipped == []
        assert [(one.priority, one.number) for one in in_order(entries)] == self.waiting
        assert {one.number: one.state for one in entries if one.over} == self.over
        assert [one.number for one in entries if one.state == "running"] == ([self.running[1]] if self.running else [])

    def teardown(self):
        self.runner.close()
        self.study.close()
        shutil.rmtree(self.folder)


AgainstAList.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestAgainstAList = AgainstAList.TestCase


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
TRICKY = st.sampled_from(["1e-3", "no", "null", "12:30", "1_000", "~", ".5", "", "0x1", ".inf", "2026-11-26", "a: b"])
KEYS = st.from_regex(r"[a-z_.]+", fullmatch=True)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT, TRICKY),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_written_reads_as_the_same(value):
    assert yaml_document.read(yaml_document.write({"key": value}), "x").value == {"key": value}


STUDY = """study: s
trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 2, batch_size: 8, method: ./own.py}
space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}, data: {choice: [{name: file, path: mine.csv}]}}
seeds: [0, 1]
"""
CSV = "u,v,label\n" + "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))


@pytest.fixture
def folder(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.csv").write_text(CSV)
    (tmp_path / "studies" / "own.py").write_text((root / "core" / "methods" / "cc.py").read_text())
    (tmp_path / "studies" / "s.yaml").write_text(STUDY)
    return tmp_path


def finish(path, results="results"):
    """Gives every trial of a study a good row, as if it had been trained."""
    for one in plan.make(study.load(path)).trials:
        row = Attempt(
            study="s",
            trial_key=one.trial_key,
            config_key=one.config_key,
            seed=one.seed,
            attempt_id="a",
            status="ok",
            metrics={"nmi": 0.5},
        )
        write(results, row)


def states(command, *options):
    out = command("queue", "list", "--format", "json", *options)[1]
    return {one["number"]: one["state"] for one in json.loads(out)}


def test_what_was_added_does_not_change_with_its_file(folder, command, monkeypatch):
    before = plan.make(study.load("studies/s.yaml", ["seeds=[3]"]))
    code, out, _ = command("queue", "add", "studies/s.yaml", "--set", "seeds=[3]")
    assert (code, out) == (0, "s: 2 trials are queued as number 1, place 1 of 1\n")
    (folder / "studies" / "s.yaml").unlink()
    copy = folder / "results" / "_queue" / "1.yaml"
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    after = plan.make(study.load(copy))
    assert [one.trial_key for one in after.trials] == [one.trial_key for one in before.trials]
    assert (after.study.select, after.study.search, after.study.resources) == (
        before.study.select,
        before.study.search,
        before.study.resources,
    )


def test_list_shows_places_and_trials_within_80_columns(folder, command):
    command("queue", "add", "studies/s.yaml")
    command("queue", "add", "studies/s.yaml", "--set", "study=another-study-name", "--priority", "12")
    finish("studies/s.yaml")
    code, out, err = command("queue", "list")
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    first, second = [line.split() for line in out.splitlines()[2:]]
    assert first[:6] == ["1", "2", "another-study-name", "12", "waiting", "0/4"]
    assert second[:6] == ["2", "1", "s", "0", "waiting", "4/4"]
    assert out.splitlines()[0].split() == ["place", "number", "study", "priority", "state", "trials", "added", "ended"]


@pytest.mark.parametrize("fmt", ["json", "csv", "markdown", "latex"])
def test_list_in_other_formats_has_every_study(folder, command, fmt):
    command("queue", "add", "studies/s.yaml")
    out = command("queue", "list", "--format", fmt)[1]
    assert "waiting" in out
    assert command("queue", "list", "--format", fmt, "--results", "none")[0] == 0
    assert not (folder / "none").exists()


def test_move_and_cancel_say_what_they_did(folder, command):
    for name in ("a", "b", "c"):
        command("queue", "add", "studies/s.yaml", "--set", f"study={name}")
    assert command("queue", "move", "3", "--priority", "2")[1] == "number 3, c: priority 2\n"
    assert command("queue", "move", "2", "--front")[1] == "number 2, b: priority 3\n"
    assert command("queue", "move", "2", "--front")[1] == "number 2, b: priority 3\n"
    assert command("queue", "cancel", "3")[1] == "number 3, c: is cancelled\n"
    assert states(command) == {1: "waiting", 2: "waiting", 3: "cancelled"}
    assert [one.number for one in in_order(Queue("results").read()[0])] == [2, 1]


def test_the_same_study_waits_once_and_another_of_its_name_is_said(folder, command):
    command("queue", "add", "studies/s.yaml")
    code, _, err = command("queue", "add", "studies/s.yaml", "--set", "select.metric=acc")
    assert code == 2
    assert "is waiting already, as number 1" in err
    code, out, _ = command("queue", "add", "studies/s.yaml", "--set", "seeds=[0, 7]")
    assert code == 0
    assert "number 1 is also called s, with other trials: both go into study=s" in out
    command("queue", "cancel", "1")
    assert command("queue", "add", "studies/s.yaml")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "studies/s.yaml", "--set", "epochs=-1"], "epochs"),
        (["add", "studies/none.yaml"], "cannot be read"),
        (["add", "studies/s.yaml", "--set", "data.path=gone.csv", "--set", "space={}"], "gone.csv"),
        (["add", "studies/s.yaml", "--results", "ftp://bucket/r"], "not in ftp://"),
        (["add", "studies/s.yaml", "--results", "studies/s.yaml"], "cannot be written there"),
        (["move", "1"], "--priority N or --front"),
        (["move", "7", "--front"], "has no number 7"),
        (["cancel", "7"], "has no number 7"),
        (["cancel", "x"], "not a valid integer"),
    ],
)
def test_a_wrong_input_is_said_and_changes_nothing(folder, command, arguments, said):
    code, _, err = command("queue", *arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert Queue("results").read()[0] == []


def test_an_empty_queue_says_how_to_fill_it(folder, command):
    assert "conclus queue add STUDY" in command("queue", "list")[1]
    code, _, err = command("queue", "run")
    assert code == 0
    assert "nothing was waiting" in err


def test_a_torn_state_is_one_line_and_the_others_go_on(folder, command):
    for name in ("a", "s"):
        command("queue", "add", "studies/s.yaml", "--set", f"study={name}")
    state = folder / "results" / "_queue" / "1.json"
    state.write_bytes(state.read_bytes()[:40])
    finish("studies/s.yaml")
    code, _, err = command("queue", "list")
    assert code == 0
    assert err.count("\n") == 1
    assert "1.json is skipped: it is torn" in err
    code, _, err = command("queue", "cancel", "1")
    assert (code, "1.json is skipped: it is torn" in err) == (2, True)
    assert command("queue", "run", "--workers", "1")[0] == 0
    assert states(command) == {2: "done"}
    assert "as number 3" in command("queue", "add", "studies/s.yaml")[1]


def test_one_that_fails_is_recorded_and_the_next_starts(folder, command):
    (folder / "studies" / "gone.csv").write_text(CSV + "9,2,b\n")
    other = ["--set", "data.path=studies/gone.csv", "--set", "space={}"]
    command("queue", "add", "studies/s.yaml", *other, "--priority", "1")
    command("queue", "add", "studies/s.yaml")
    (folder / "studies" / "gone.csv").unlink()
    finish("studies/s.yaml")
    code, out, err = command("queue", "run", "--workers", "1")
    assert code == 1
    assert "number 1, s: failed with exit code 2:" in err
    assert "number 2, s: done" in err
    assert err.splitlines()[-1] == "queue: ended: 1 done, 1 failed"
    assert "Traceback" not in out + err
    assert "gone.csv" in (folder / "results" / "_queue" / "1.log").read_text()
    listed = command("queue", "list")[1]
    assert "number 1, s: failed with exit code 2: " in listed
    assert "4/4" in listed
    (folder / "studies" / "gone.csv").write_text(CSV + "9,2,b\n")
    again = listed.splitlines()[-1].partition("wait again with: conclus ")[2].split()
    assert command(*again)[1] == "s: 2 trials are queued as number 3, place 1 of 1\n"


def test_one_whose_budget_is_spent_is_left_and_can_be_added_again(folder, command):
    command("queue", "add", "studies/s.yaml", "--set", "budget.trials=3")
    code, _, err = command("queue", "run", "--workers", "1")
    assert code == 3
    assert "number 1, s: left, more to do: 1 trial is left; go on with: " in err
    again = command("queue", "list")[1].splitlines()[-1].partition("wait again with: conclus ")[2].split()
    assert command(*again)[0] == 0
    assert states(command) == {1: "left", 2: "waiting"}


def test_data_that_changed_meanwhile_are_said(folder, command):
    command("queue", "add", "studies/s.yaml")
    (folder / "studies" / "mine.csv").write_text(CSV + "9,2,b\n")
    finish("studies/s.yaml")
    code, _, err = command("queue", "run", "--workers", "1")
    assert code == 0
    assert "number 1, s: done; its data or conclus itself changed since it was added" in err
    listed = command("queue", "list")[1]
    assert "0/4" in listed
    assert "changed since it was added" in listed


def test_a_study_that_was_damaged_while_it_waited_fails_and_the_next_starts(folder, command):
    command("queue", "add", "studies/s.yaml", "--priority", "1", "--set", "study=other")
    command("queue", "add", "studies/s.yaml")
    copy = folder / "results" / "_queue" / "1.yaml"
    copy.write_bytes(damaged := copy.read_bytes().replace(b"0.01]", b"0.03]"))
    finish("studies/s.yaml")
    code, out, err = command("queue", "run", "--workers", "1")
    assert (code, "Traceback" in out + err) == (1, False)
    assert "1.yaml: it is damaged or was edited" in err
    assert states(command) == {1: "failed", 2: "done"}
    assert copy.read_bytes() == damaged


def test_damaged_keys_are_told_and_the_study_runs(folder, command):
    command("queue", "add", "studies/s.yaml")
    keys = folder / "results" / "_queue" / "1.keys"
    keys.write_bytes(damaged := bytes([keys.read_bytes()[0] ^ 1]) + keys.read_bytes()[1:])
    finish("studies/s.yaml")
    code, out, err = command("queue", "list")
    assert (code, "?/4" in out, err.count("\n")) == (0, True, 1)
    assert "1.keys is damaged: how many trials of number 1 are done is not known" in err
    code, _, err = command("queue", "run", "--workers", "1")
    assert (code, "number 1, s: done; " in err, "1.keys is damaged" in err) == (0, True, True)
    assert states(command) == {1: "done"}
    assert keys.read_bytes() == damaged


def test_entries_without_a_digest_are_read_and_told_once(folder, command):
    command("queue", "add", "studies/s.yaml")
    command("queue", "add", "studies/s.yaml", "--set", "study=other")
    for number in (1, 2):
        state, copy = (folder / "results" / "_queue" / f"{number}.{kind}" for kind in ("json", "yaml"))
        state.write_text(json.dumps(unseal_json(state.read_bytes())))
        copy.write_text(copy.read_text().partition("\n")[2])
    code, out, err = command("queue", "list")
    assert (code, out.count("waiting"), err.count("\n")) == (0, 2, 1)
    assert "2 files hold no digest" in err
    finish("studies/s.yaml")
    command("queue", "cancel", "2")
    code, _, err = command("queue", "run", "--workers", "1")
    assert (code, err.count("1.yaml holds no digest")) == (0, 1)
    assert states(command) == {1: "done", 2: "cancelled"}
    assert command("queue", "list")[2] == ""  # what was written since has one


def test_a_change_that_never_ends_is_said_and_not_waited_for_for_ever(folder, command, monkeypatch):

    monkeypatch.setattr(lock, "_CHANGING_SECONDS", 0.1)
    assert command("queue", "add", "studies/s.yaml")[0] == 0
    with next(folder.rglob("change.lock")).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        signal.alarm(300)
        try:
            for words in (
                ["list"],
                ["move", "1", "--front"],
                ["cancel", "1"],
                ["add", "studies/s.yaml", "--set", "epochs=2"],
            ):
                code, _, said = command("queue", *words)
                assert code == 2
                assert "change.lock has been held for 0 s by another process: wait for it or end it" in said
        finally:
            signal.alarm(0)
    assert command("queue", "list")[0] == 0


def test_the_service_of_the_page_waits_and_stops_as_systemd_stops_it(tmp_path, root):
    unit = root / "docs" / "cluster" / "conclus-queue.service"
    told = dict(line.split("=", 1) for line in unit.read_text().splitlines() if line[:1].isalpha())
    written, *arguments = shlex.split(told["ExecStart"].replace(" --address auto", ""))
    assert Path(written).name == "conclus"
    assert arguments[-2] == "--results"
    call = [Path(sys.executable).with_name("conclus"), *arguments[:-1], tmp_path / "results"]
    with subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            held, end = tmp_path / "results" / "_queue" / "runner.lock", time.monotonic() + 300
            while not (held.is_file() and held.read_text()):
                assert time.monotonic() < end
                time.sleep(0.05)
            process.send_signal(getattr(signal, told["KillSignal"]))
            _, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == int(told["SuccessExitStatus"]), err
    assert "nothing was waiting" in err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze checks units")
def test_systemd_takes_the_service_of_the_page(tmp_path, root):
    text = (root / "docs" / "cluster" / "conclus-queue.service").read_text()
    # The user and the program of the page are not on this machine.
    here = re.sub("^ExecStart=[^ ]*", "ExecStart=/bin/true", text, flags=re.MULTILINE).replace(
        "User=conclus", "User=root"
    )
    for content, fine in ((here, True), (here.replace("KillMode=mixed", "KillMod=mixed"), False)):
        (tmp_path / "conclus-queue.service").write_text(content)
        call = ["systemd-analyze", "verify", tmp_path / "conclus-queue.service"]
        said = subprocess.run(call, capture_output=True, text=True, check=False, timeout=300).stderr
        assert ("conclus-queue.service:" not in said) is fine, said
