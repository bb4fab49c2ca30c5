"""Several studies on one cluster: none keeps the others waiting for long, and each runs where its resources are."""

import re
import time
from collections.abc import Iterator

import pytest

from cluster.sharing import PATIENCE_SECONDS, PERIOD_SECONDS
from tests.cluster.nodes import descendants
from tests.faults.runs import SLOW, Folder, wait_until

pytestmark = pytest.mark.ray

OFFERS = {"head": "hdd", "one": "ssd"}
HELD = ("--set", "method.harm=held")
MEANWHILE = 5
"""Trials of other studies that may still begin, one after the other, until they have heard that one waits."""


@pytest.fixture
def studies(nodes, tmp_path) -> Iterator[list[Folder]]:
    """Folders for the studies `a`, `b` and `c`, on two nodes with one core each."""
    made = [Folder(tmp_path / name, nodes.env) for name in "abc"]
    for one in made:
        one.path.mkdir()
    yield made
    for one in made:
        one.end()


def text(name: str, *, epochs: int, seeds: int) -> str:
    return SLOW.format(pause=0.25, epochs=epochs, seeds=list(range(seeds))).replace("study: s", f"study: {name}", 1)


def trials(study: Folder) -> set[str]:
    return {one.seed for one in study.epochs()}


def begun_meanwhile(others: list[Folder], until: Folder) -> int:
    """How many trials of the others begin until one of a study does, while one after the other is let go to its end."""
    before = sum(len(trials(one)) for one in others)
    begun = before
    while not until.epochs() and begun - before <= MEANWHILE:
        time.sleep(PATIENCE_SECONDS + 2 * PERIOD_SECONDS)  # no trial is so short that nobody notices who waits
        held = [one.path / f"let-{seed}-go" for one in others for seed in trials(one)]
        (next(file for file in held if not file.exists())).touch()
        wait_until(lambda begun=begun: until.epochs() or sum(len(trials(one)) for one in others) > begun)
        begun = sum(len(trials(one)) for one in others)
    return begun - before


def test_others_have_their_share_and_then_their_turn_within_the_length_of_a_trial(nodes, studies):
    first, second, third = studies
    for name, study, seeds in zip("abc", studies, (40, 40, 1), strict=True):
        study.prepare(text(name, epochs=2, seeds=seeds))
    a = first.start("--address", nodes.address, *HELD)
    a.wait_until(lambda: len(trials(first)) == 2)

    b = second.start("--address", nodes.address, *HELD)
    said = next(line for line in b.process.stderr if "waiting: " in line)
    assert re.search(r" 0 running · waiting: [12] CPU held by study a of \S+@\S+$", said.rstrip())
    assert begun_meanwhile([first], until=second) <= MEANWHILE

    c = third.start("--address", nodes.address)  # more studies than places
    next(line for line in c.process.stderr if "waiting: " in line)
    assert begun_meanwhile([first, second], until=third) <= MEANWHILE
    for run in (a, b):
        run.interrupt()
        assert run.end()[0] == 130
    assert c.end()[0] == 0
    third.check_whole({})


def test_an_idle_worker_makes_room_and_trials_run_where_their_resource_is(nodes, studies):
    first, second, _ = studies
    first.prepare(text("a", epochs=2, seeds=1) + "space: {epochs: {grid: [2, 4000]}}\n")
    second.prepare(text("b", epochs=2, seeds=3))
    a = first.start("--address", nodes.address)
    # The short trial is done, and its worker may be wanted again; the long one runs.
    a.wait_until(lambda: first.done() and any(one.epoch > 2 for one in first.epochs()))
    long = next(one.pid for one in first.epochs() if one.epoch > 2)
    (idle,) = (name for name in OFFERS if long not in descendants(nodes.processes[name].pid))

    b = second.start("--address", nodes.address, "--set", f"resources.custom={{{OFFERS[idle]}: 1}}")
    there = set[int]()
    wait_until(lambda: there.update(descendants(nodes.processes[idle].pid)) or b.process.poll() is not None)
    code, _, err = b.end()
    assert code == 0, err
    assert len(second.check_whole({})) == 3
    assert {one.pid for one in second.epochs()} <= there
    a.interrupt()
    assert a.end()[0] == 130

    code, _, err = second.start(
        "--address", nodes.address, "--set", "resources.custom={tape: 1}", "--set", "seeds=[9]"
    ).end()
    assert code == 2
    assert err.splitlines()[-1] == "Error: A trial asks for tape: 1, but the nodes offer hdd: 1, ssd: 1."
