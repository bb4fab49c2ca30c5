"""`conclus queue`: studies that wait for the same machines."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.executor import LEFT
from core.data.object_store import is_address
from core.errors import counted
from jobs.present import options
from jobs.present.output import remark, say, warn, width
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from jobs.execution.queue import Queue, QueueEntry
    from jobs.execution.queue_runner import Interrupts
    from jobs.present import tables

_NUMBER = click.argument("number", type=click.IntRange(min=1), metavar="NUMBER")


@click.group("queue")
def command() -> None:
    """Let studies wait for the same machines, and run them one after the other.

    The study with the highest priority is next; with equal priority, the one that was added first. The queue is stored
    as files in the results folder: if anything is killed, `conclus queue run` continues where it stopped. Of results in
    an object store it is stored on this machine.

    A queue only decides which study is next: one study at a time has the whole machine, or the whole cluster, where Ray
    places its trials.
    """


@command.command()
@options.study
@options.results
@options.overrides
@options.plug_in
@click.option("--priority", type=int, default=0, show_default=True, help="Higher ones run first.")
def add(study: Path, results: str, overrides: tuple[str, ...], priority: int) -> None:
    """Check STUDY and its data, and add it to the queue.

    The queue keeps a complete copy of the study: editing or deleting the file later has no effect. Data are not copied.
    """
    from jobs.execution.queue import Queue, in_order
    from jobs.planning import plan as planning
    from jobs.planning.data_check import check_data
    from jobs.present.bar import preparing
    from jobs.study import study as studies
    from jobs.study import trust
    from jobs.study.plug_ins import every_file

    queue = Queue(results)
    read = studies.load(study, overrides)
    trust.of_study(study, every_file(read))
    with preparing():
        plan = planning.make(read)
        checked = check_data(plan)
    for line in checked.lines:
        remark([line])
    name, total = plan.study.name, len(plan.trials)
    entry = queue.add(name, plan.study.whole(), [one.trial_key for one in plan.trials], priority)
    entries = queue.read()[0]
    waiting = [one.number for one in in_order(entries)]
    # A runner may have taken it already.
    place = f", place {waiting.index(entry.number) + 1} of {len(waiting)}" if entry.number in waiting else ""
    say(f"{name}: {counted(total, 'trial', 'are')} queued as number {entry.number}{place}")
    if is_address(results):
        say(f"the queue lies on this machine, in {queue.folder}: run it here")
    for one in entries:
        if one.study == name and one.number != entry.number and not one.over:
            say(
                f"number {one.number} is also called {name}, with other trials: both go into study={name}, "
                "and what they share runs once"
            )


@command.command("list")
@options.results
@options.fmt
def show(results: str, fmt: str) -> None:
    """Show which study runs, which ones wait, and how the others ended."""
    from jobs.execution.queue import Queue

    queue = Queue(results)
    entries, skipped = queue.read()
    warn(skipped)
    if fmt == "table" and not entries:
        say(f"{queue.folder} is empty: fill it with `conclus queue add STUDY`")
        return
    click.echo(_table(queue, entries, results, fmt), nl=False)


@command.command()
@_NUMBER
@options.results
@click.option("--priority", type=int, help="The new one; higher ones run first.")
@click.option("--front", is_flag=True, help="One more than every other that waits.")
def move(number: int, results: str, priority: int | None, *, front: bool) -> None:
    """Give the study NUMBER another priority."""
    from jobs.execution.queue import Queue

    if priority is None and not front:
        raise click.UsageError("say where to: --priority N or --front")
    entry = Queue(results).move(number, priority=priority, front=front)
    say(f"number {number}, {entry.study}: priority {entry.priority}")


@command.command()
@_NUMBER
@options.results
def cancel(number: int, results: str) -> None:
    """Take the study NUMBER out of the queue; stop it if it runs. Its results are kept."""
    from jobs.execution.queue import Queue

    entry = Queue(results).cancel(number)
    how = "is being stopped by `conclus queue run`" if entry.state == "running" else "is cancelled"
    say(f"number {number}, {entry.study}: {how}")


@command.command()
@options.results
@click.option("--workers", type=click.IntRange(min=1), help="Trials side by side; see `conclus run`.")
@click.option("--address", help="The Ray cluster to run on; see `conclus run`.")
@options.metrics
@options.plug_in
@click.option("--keep-waiting", is_flag=True, help="Do not end when nothing waits: wait for more.")
def run(results: str, workers: int | None, address: str | None, metrics: str | None, *, keep_waiting: bool) -> None:
    """Run the waiting studies in order until none is left.

    Each study runs as `conclus run`. If one fails, this is recorded and the next one starts. Studies can be added,
    moved and cancelled meanwhile. Press Ctrl-C once to stop: the running study can be resumed, and keeps its place.
    """
    from jobs.execution.queue import Queue
    from jobs.execution.queue_runner import Interrupts, Runner

    given = [("--workers", workers), ("--address", address), ("--metrics", metrics)]
    passed = [text for name, value in given if value is not None for text in (name, str(value))]
    runner = Runner(Queue(results), results, passed, _say, lambda text: click.echo(text, nl=False), Interrupts())
    _count_signals(runner.interrupts)
    runner.work_off(keep_waiting=keep_waiting)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(runner.ended.items()))
    _say(f"ended: {counted or 'nothing was waiting'}")
    if runner.interrupts.count:
        _say(f"go on with: {shlex.join(['conclus', *sys.argv[1:]])}")
    if runner.interrupts.count:
        sys.exit(130)
    sys.exit(1 if runner.ended["failed"] else LEFT if runner.ended["left"] else 0)


def _say(text: str) -> None:
    remark([f"queue: {text}"])


def _count_signals(interrupts: Interrupts) -> None:
    """Each Ctrl-C (or SIGTERM) is passed on to the study that runs."""

    def handle(_number: int, _frame: Any) -> None:
        interrupts.count += 1

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def _table(queue: Queue, entries: Sequence[QueueEntry], results: str, fmt: str) -> str:
    """The table of entries: the running one, then the waiting ones in order, then the others as they ended."""
    from jobs.execution.queue import in_order
    from jobs.present import tables

    places = {one.number: place for place, one in enumerate(in_order(entries), start=1)}
    ordered = sorted(entries, key=lambda one: (one.over, places.get(one.number, 0), one.ended, one.number))
    exact = fmt in {"csv", "json"}
    row = _exact if exact else _short
    rows = [row(one, places.get(one.number), _done(queue, one, results)) for one in ordered]
    text = tables.render(_EXACT if exact else _columns(), rows, fmt, width=width())
    return text + "".join(_notes(queue, ordered, results)) if fmt == "table" else text


def _done(queue: Queue, entry: QueueEntry, results: str) -> int | None:
    """Number of an entry's trials that are done; None, with a warning, if it is unknown."""
    from core.errors import UserError

    try:
        return queue.trials_done(entry, results)
    except UserError as error:
        warn([str(error)])
        return None


_EXACT = ("place", "number", "study", "priority", "state", "done", "total", "added", "ended", "exit_code", "said")


def _exact(entry: QueueEntry, place: int | None, done: int | None) -> list[Any]:
    return [
        place,
        entry.number,
        entry.study,
        entry.priority,
        entry.state,
        done,
        entry.total,
        entry.added,
        entry.ended,
        entry.exit_code,
        entry.said,
    ]


def _columns() -> list[tables.Column]:
    from jobs.present.tables import Column

    return [
        Column("place"),
        Column("number"),
        Column("study", right=False),
        Column("priority"),
        Column("state", right=False),
        Column("trials"),
        Column("added", right=False, drop=1),
        Column("ended", right=False),
    ]


def _short(entry: QueueEntry, place: int | None, done: int | None) -> list[Any]:
    return [
        place,
        entry.number,
        entry.study,
        entry.priority,
        "stopping" if entry.cancel else entry.state,
        f"{'?' if done is None else done}/{entry.total}",
        _minute(entry.added),
        _minute(entry.ended),
    ]


def _minute(moment: str) -> str:
    """A time in the local time zone, without the year."""
    return f"{datetime.fromisoformat(moment).astimezone():%m-%d %H:%M}" if moment else ""


def _notes(queue: Queue, entries: Sequence[QueueEntry], results: str) -> list[str]:
    """Notes below the table: why a study failed or waits again, and how to retry one that failed."""
    notes = [
        one_line(f"number {one.number}, {one.study}: {_why(one)} ({queue.path(one.number, 'log')})") + "\n"
        for one in entries
        if one.said
    ]
    if lacking := [one for one in entries if one.state in {"failed", "left"}]:
        again = ["conclus", "queue", "add", str(queue.path(lacking[-1].number, "yaml")), "--results", results]
        notes.append(one_line(f"let one that is not done wait again with: {shlex.join(again)}") + "\n")
    return notes


def _why(entry: QueueEntry) -> str:
    return f"failed with exit code {entry.exit_code}: {entry.said}" if entry.state == "failed" else entry.said
