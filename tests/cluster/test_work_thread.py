import threading

import pytest

from cluster.executor import EndedEarly
from cluster.work_thread import WorkThread


def ends_as(wish, ask):
    """The exception that the work gets from its next report after `ask` was called."""
    goes_on, caught = threading.Event(), []

    def work(payload, report):
        report({"epoch": 1})
        goes_on.wait(300)
        try:
            report({"epoch": 2})
        except SystemExit as error:
            caught.append(type(error))
        return {}

    thread = WorkThread(work, {}, wish=wish)
    assert thread.next().data == {"epoch": 1}
    ask(thread, goes_on)
    return caught[0]


def end(thread, goes_on):
    assert not thread.end(0)
    goes_on.set()
    assert thread.end(300)


@pytest.mark.parametrize(
    ("wish", "error"),
    [("", SystemExit), ("stop", SystemExit), ("move", SystemExit), ("end", EndedEarly)],
)
def test_a_task_ends_alone_only_where_that_was_asked(wish, error):
    """Without a wish, as when the run is gone already, it stops with the run and can be resumed."""
    wishes = [""]

    def ask(thread, goes_on):
        wishes[0] = wish
        end(thread, goes_on)

    assert ends_as(lambda: wishes[0], ask) is error


def test_a_task_that_leaves_moves():
    def leave(thread, goes_on):
        thread.leave()
        end(thread, goes_on)
        assert thread.moves

    assert ends_as(lambda: "", leave) is SystemExit
