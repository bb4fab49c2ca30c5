"""The executor without Ray and threads: it runs one task after the other in this process."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.executor import Event, Feed, OnEvent, Report, Stop, Task, TaskList, Work, guarded, one_line


def run(work: Work, tasks: Sequence[Task] | Feed, *, on_event: OnEvent, stop: Stop) -> None:
    """Run the tasks in order; an exception in one ends only that task.

    Args:
        work: does one task; see ``cluster.executor.Work``.
        tasks: the tasks in their order; or a feed, which is asked after each task.
        on_event: called with every event; its exceptions are logged and change nothing.
        stop: once requested, the running task gets SystemExit at its next report, and no other task is started.
    """
    send = guarded(on_event)
    feed = TaskList(tasks) if isinstance(tasks, Sequence) else tasks
    while not stop.requested and (task := feed.take()) is not None:
        send(Event("started", task.key, {"attempt": 1}))
        event = _outcome(work, task, _reporter(task.key, send, stop), stop)
        if event is not None:
            send(event)


def _reporter(key: str, send: OnEvent, stop: Stop) -> Report:
    def report(data: Mapping[str, Any]) -> None:
        if stop.requested:
            raise SystemExit(0)
        send(Event("reported", key, data))

    return report


def _outcome(work: Work, task: Task, report: Report, stop: Stop) -> Event | None:
    """The last event of a task; None if it was stopped."""
    try:
        return Event("finished", task.key, work(task.payload, report))
    except SystemExit as error:
        # The work may also call sys.exit itself; that must not end the whole run.
        return None if stop.requested else Event("died", task.key, error=one_line(error))
    except Exception as error:  # noqa: BLE001 - no failure of a task may end the executor
        return Event("died", task.key, error=one_line(error))
