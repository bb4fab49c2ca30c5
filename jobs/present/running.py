"""The trials that run as a table for a terminal, drawn again and again by `conclus run` and `conclus watch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.present import tables
from jobs.present.tables import Column
from jobs.present.visible import one_line

_BAR = 10
_MOST = 12
_VERDICT = 24


@dataclass(frozen=True, slots=True)
class RunningRow:
    """One trial that runs.

    Attributes:
        key: Its key.
        seed: Its seed; None if unknown.
        epoch: The last epoch that has ended.
        epochs: Their planned number; None if unknown.
        loss: That of the last epoch; None if unknown.
        value: The metric of the last scored epoch; None if unknown.
        left: Seconds left, scoring counted; None if unknown.
        verdict: What its health is; empty if unknown.
    """

    key: str
    seed: int | None
    epoch: int
    epochs: int | None
    loss: float | None
    value: float | None
    left: float | None
    verdict: str = ""


def running_lines(trials: Sequence[RunningRow], metric: str, width: int, most: int = _MOST) -> list[str]:
    """A table of the first `most` trials; no lines without trials.

    Args:
        trials: The trials, in an order that stays: rows that change places cannot be read.
        metric: The name of `value`.
        width: Characters of a line.
        most: The most trials that are shown.
    """
    if not trials or most < 1:
        return []
    shown = trials[:most]
    columns = [
        Column("trial", right=False),
        Column("seed", drop=2),
        Column("epoch"),
        Column("", right=False, drop=4),
        Column("loss", drop=1),
        Column(metric),
        Column("left"),
        Column("health", right=False, drop=3),
    ]
    rows = [
        [
            one.key[:16],
            one.seed,
            f"{one.epoch}/{one.epochs}" if one.epochs else one.epoch,
            _bar(_share(one)),
            one.loss,
            None if one.value is None else f"{one.value:.3f}",
            "" if one.left is None else tables.duration(one.left),
            one_line(one.verdict)[:_VERDICT],
        ]
        for one in shown
    ]
    filled = [place for place in range(len(columns)) if place < 4 or any(row[place] not in {None, ""} for row in rows)]
    text = tables.render([columns[i] for i in filled], [[row[i] for i in filled] for row in rows], "table", width=width)
    more = [f"… and {len(trials) - len(shown)} more"] if len(trials) > len(shown) else []
    return [*text.splitlines(), *more]


def _share(one: RunningRow) -> float:
    return min(1.0, one.epoch / one.epochs) if one.epochs else 0.0


def _bar(share: float) -> str:
    full = int(share * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}]"
