"""What `conclus run` shows while it runs: a table on a terminal, plain lines elsewhere, and the best of the study."""

import io
import re
import threading

import pytest

from cluster.executor import Event
from jobs.execution import progress as drawing
from jobs.execution import stored
from jobs.execution.progress import Progress
from jobs.planning import plan as planning
from jobs.present.output import remark, warn
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from jobs.study import study

STUDY = "study: s\ntrial: {data: digits, epochs: 10}\nseeds: [0, 1, 2, 3]\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    (tmp_path / "s.yaml").write_text(STUDY)
    return planning.make(study.load(tmp_path / "s.yaml"))


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(drawing.time, "monotonic", lambda: now[0])
    return now


def report(key, epoch, **more):
    told = {"epoch": epoch, "epochs": 10, "loss": 1 / epoch, "value": 0.5, "scored": True, "seconds": 1.0}
    return Event("reported", key, told | more)


def finished(one, value, status="ok"):
    told = {"status": status, "reason": "", "config_key": one.config_key, "seconds": 5.0, "value": value, "limited": {}}
    return Event("finished", one.trial_key, told)


def row(results, one, nmi, status="ok", *, seconds=None, **params):
    write(
        str(results),
        Attempt(
            study="s", trial_key=one.trial_key, config_key=one.config_key, seed=one.seed, status=status,
            attempt_id=new_attempt_id(), metrics={"nmi": nmi}, params={"epochs": 10} | params, data_hash="d",
            seconds=seconds,
        ),
    )  # fmt: skip


def test_what_runs_is_a_table_with_the_time_left_of_each_trial_and_of_the_study(plan, clock):
    progress = Progress(plan, 4, 0, Terminal())
    first, second, *_ = plan.trials
    progress.hear(Event("started", first.trial_key))
    progress.hear(Event("started", second.trial_key))
    clock[0] += 500
    progress.hear(report(first.trial_key, 1))
    progress.hear(report(second.trial_key, 5))  # It went on after epoch 4.
    assert progress.remaining() == ""  # The first epoch has the start in it, which says nothing of the others.
    clock[0] += 20
    progress.hear(report(first.trial_key, 2, value=None))
    progress.hear(report(second.trial_key, 6))
    clock[0] += 20
    counts, head, _, *rows = progress.screen()
    # 20 s an epoch and so 200 a trial: two of four are left, 80 and 40 % of the two that run, on two workers.
    assert counts == "0/4 done · 2 running · about 6 min left"
    assert progress.remaining() == f"about {-(-(4 - 0.2 - 0.6) * 200 / 2 // 60):.0f} min left"
    assert head.split() == ["trial", "seed", "epoch", "loss", "nmi", "left"]
    assert rows[1].split() == [second.trial_key, str(second.seed), "6/10", "[######....]", "0.1667", "0.500", "60", "s"]
    assert rows[0].split() == [first.trial_key, str(first.seed), "2/10", "[##........]", "0.5", "3", "min"]


def test_the_time_left_is_told_from_trials_of_earlier_runs_until_one_has_ended(plan, clock, tmp_path):
    row(tmp_path, plan.trials[0], 0.5, seconds=100.0)
    row(tmp_path, plan.trials[1], 0.5, "stopped", seconds=1.0)
    progress = Progress(plan, 4, 2, io.StringIO(), stored.before(str(tmp_path), plan, plan.trials[2:]))
    assert progress.remaining() == ""
    progress.hear(Event("started", plan.trials[2].trial_key))
    clock[0] += 500
    progress.hear(report(plan.trials[2].trial_key, 1))
    assert progress.remaining() == "about 4 min left"  # 1.9 of 100 s


def test_the_screen_is_no_larger_than_the_terminal(plan, clock, monkeypatch):
    progress = Progress(plan, 400, 0, Terminal())
    for number in range(300):
        progress.hear(Event("started", f"{number:016}"))
        clock[0] += 1
        progress.hear(report(f"{number:016}", 1 + number % 9))
    for columns, lines in [(80, 24), (60, 10), (40, 6), (200, 60)]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        shown = progress.screen()
        assert len(shown) < lines
        assert max(map(len, shown)) < columns
    assert "… and 288 more" in shown


def test_what_was_drawn_is_cleared_whole_before_it_is_drawn_again(plan, clock):
    progress = Progress(plan, 4, 0, Terminal())
    for one in plan.trials[:3]:
        progress.hear(Event("started", one.trial_key))
        clock[0] += 1
        progress.hear(report(one.trial_key, 1))
        clock[0] += 1
    progress.say("a line that stays")
    for one in plan.trials[:3]:
        progress.hear(finished(one, 0.5))
        clock[0] += 1
    progress.close()
    stays, last = screen(progress.out.getvalue()).splitlines()
    assert stays == "a line that stays"
    assert last == "3/4 done · best nmi 0.500 ±0.072 (3 seeds)"


def test_a_remark_of_any_thread_is_a_line_of_its_own_above_what_stands(plan, clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress(plan, 4, 0, terminal)
    with progress.standing():
        for one in plan.trials[:2]:
            progress.hear(Event("started", one.trial_key))
            clock[0] += 1
            progress.hear(report(one.trial_key, 1))
            clock[0] += 1
        thread = threading.Thread(target=remark, args=([f"Warning: {'nobody was told of it, ' * 5}which is a pity"],))
        thread.start()
        thread.join()
        progress.hear(report(plan.trials[0].trial_key, 2))
        warn([f"file {i}" for i in range(6)])
    remark(["after it"])
    *warned, last, after = screen(terminal.getvalue()).splitlines()
    assert warned[:2] == [
        "Warning: nobody was told of it, nobody was told of it, nobody was told of it,",
        "  nobody was told of it, nobody was told of it, which is a pity",
    ]
    assert warned[2:] == [*(f"Warning: file {i}" for i in range(5)), "Warning: 1 more files are skipped."]
    assert (last, after) == ("0/4 done", "after it")


def screen(text):
    """What stands on a terminal after this text: a slow one, which knows three movements."""
    lines, place = [""], 0
    for part in re.findall(r"\x1b\[K|\x1b\[1A|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            place += 1
            lines += [""] * (place == len(lines))
        elif part == "\x1b[1A":
            place -= 1
        elif part == "\x1b[K":
            lines[place] = ""
        elif part != "\r":
            lines[place] += part
    return "\n".join(lines).rstrip("\n")


def test_elsewhere_lines_are_plain_short_and_never_the_same_twice(plan, clock):
    progress = Progress(plan, 4, 0, io.StringIO())
    key = plan.trials[0].trial_key
    progress.hear(Event("started", key))
    for _ in range(5):
        clock[0] += 60
        progress.hear(
            Event("waiting", "", error="2 CPU held by another run of somebody on the same cluster, as always")
        )
    progress.hear(report(key, 5))
    lines = progress.out.getvalue().splitlines()
    assert lines == [
        "0/4 done · 1 running",
        "0/4 done · 1 running",
        "  waiting: 2 CPU held by another run of somebody on the same cluster, as always",
    ]
    clock[0] += 60
    progress.hear(report(key, 6))
    assert max(map(len, progress.out.getvalue().splitlines())) <= 80
    assert "\x1b" not in progress.out.getvalue()


def test_the_last_line_has_the_best_of_all_trials_however_long_it_takes_to_find(plan, clock, monkeypatch):
    slow = Progress._best_now

    def takes_a_second(self):
        clock[0] += 1
        return slow(self)

    monkeypatch.setattr(Progress, "_best_now", takes_a_second)
    progress = Progress(plan, 4, 0, io.StringIO())
    progress.hear(finished(plan.trials[0], 0.5))
    assert "best nmi 0.500 (1 seed)" in progress.out.getvalue()
    progress.hear(finished(plan.trials[1], 0.6))
    assert "(1 seed)" in progress.best()  # Not looked for again within twenty times as long.
    progress.close()
    assert "(2 seeds)" in progress.out.getvalue().splitlines()[-1]


def test_after_a_resume_the_best_is_that_of_the_whole_study_as_all_commands_show_it(plan, clock, tmp_path, command):
    results = tmp_path / "results"
    row(results, plan.trials[0], 0.5)
    row(results, plan.trials[1], 0.62, "stopped")
    row(results, plan.trials[2], 0.9, "failed")
    progress = Progress(plan, 4, 1, io.StringIO(), stored.before(str(results), plan, plan.trials[2:]))
    progress.hear(Event("started", plan.trials[2].trial_key))
    progress.hear(finished(plan.trials[2], 0.58))
    row(results, plan.trials[2], 0.58)
    assert progress.best() in command("status", results)[1]
    assert "(3 seeds)" in progress.best()


def test_a_stopped_trial_that_goes_on_counts_once(plan, clock, tmp_path, command):
    results = tmp_path / "results"
    row(results, plan.trials[0], 0.5)
    row(results, plan.trials[1], 0.2, "stopped")
    progress = Progress(plan, 4, 1, io.StringIO(), stored.before(str(results), plan, plan.trials[1:]))
    progress.hear(finished(plan.trials[1], 0.7))
    row(results, plan.trials[1], 0.7)
    assert progress.best() in command("status", results)[1]
    assert "best nmi 0.600" in progress.best()


def test_none_is_the_best_by_consensus_over_several_numbers_of_clusters(tmp_path):
    def best(space):
        file = tmp_path / "s.yaml"
        file.write_text(f"{STUDY}space: {{{space}}}\nselect: {{metric: consensus}}\n")
        planned = planning.make(study.load(file))
        progress = Progress(planned, len(planned.trials), 0, io.StringIO())
        progress.hear(finished(planned.trials[0], 0.5))
        return progress.best()

    assert best("n_clusters: {grid: [2, 3]}") == ""
    assert "best label_free" in best("learning_rate: {grid: [1.0e-3, 1.0e-2]}")


def test_rounded_scores_have_the_interval_of_the_leaderboard(tmp_path, command):
    (tmp_path / "s.yaml").write_text(STUDY + "space: {learning_rate: {grid: [0.001, 0.002]}}\n")
    plan, results = planning.make(study.load(tmp_path / "s.yaml")), tmp_path / "results"
    first = plan.trials[0].config_key
    for one in plan.trials:
        row(results, one, 0.8 if one.config_key == first else 0.7 + one.seed / 8192, rate=one.config_key)
    best = Progress(plan, 8, 8, io.StringIO(), stored.before(str(results), plan, ())).best()
    assert "best nmi 0.8" in best
    assert best in command("status", results)[1]
