"""The advice of the status page: whether to go on, which figures to watch, and what to change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core.evaluation.health import Finding
from jobs.health.changes import AdviceOnCode, Remedy
from jobs.present.status_text import Text, listed, numbered
from jobs.present.visible import bounded, literal

_FATAL = ("COLLAPSED", "DIVERGED", "TOPIC_COLLAPSE")
_SHOWN = 5
"""Trials, parameters and changes that are told, of those that are better."""


def advice(text: Text) -> Iterable[str]:
    """The section on advice."""
    page, say = text.page, text.say
    yield text.heading(2, "advice")
    yield text.heading(3, "advice.go")
    yield listed(go(text))
    yield text.heading(3, "advice.figures" if text.is_running else "advice.figures.next")
    best = page.best[1] if page.best else None
    yield listed(
        [
            say("figure.best", now=text.score(best)),
            say("figure.trend", now=text.trend()),
            say("figure.stability", now=text.number(page.steady)),
            say("figure.rises", now=text.number(page.number("total_improvements"))),
            say("figure.falls", now=text.number(page.number("total_degradations"))),
        ]
    )
    yield text.heading(3, "advice.change")
    if not page.rules and not page.better:
        open_end = page.reached is None
        yield say("change.none.open") if open_end else say("change.none", score=text.score(page.reached))
    for finding, one in zip(page.trial.findings, page.advice, strict=True):
        yield say("change.finding", label=literal(finding.label))
        yield numbered(_changes(text, finding, one)) or say("change.no.more")
        yield listed(_failed(text, one.failed[:_SHOWN]))
    if page.better:
        yield say("better", score=text.score(page.reached))
        rows = [
            [literal(one.trial_key), text.score(one.score), _other(text, one.other)] for one in page.better[:_SHOWN]
        ]
        yield text.table([say("head.trial"), say("head.score"), say("head.other")], rows)


def _changes(text: Text, finding: Finding, found: AdviceOnCode) -> Iterator[str]:
    own = text.page.trial.params
    for one in found.helped[:_SHOWN]:
        yield text.say(
            "change.helped",
            change=_told(text, one),
            without=one.without,
            n=one.n,
            own_without=one.own_without,
            own_n=one.own_n,
            code=literal(finding.code),
        )
    for change in found.untried:
        now = text.say("change.own", value=text.value(own[change.key])) if change.key in own else ""
        yield text.say("change.rule", change=text.change(change), own=now)


def _failed(text: Text, failed: Sequence[Remedy]) -> Iterator[str]:
    for one in failed:
        yield text.say("change.failed", change=_told(text, one), without=one.without, n=one.n)


def _told(text: Text, one: Remedy) -> str:
    return text.say("change.value", key=text.code(one.key), value=text.value(one.value), own=text.value(one.own))


def first_change(text: Text) -> list[str]:
    """The change to begin with: the first that has helped in the store, else the first of which it tells nothing."""
    advice = text.page.advice
    told = [_told(text, one) for found in advice for one in found.helped]
    told += [text.change(one) for found in advice for one in found.untried]
    return [text.say("next.change", change=one) for one in told[:1]]


def go(text: Text) -> Iterable[str]:
    """Whether to go on or to stop."""
    page, say = text.page, text.say
    fatal = [one.label for one in page.trial.findings if one.code in _FATAL]
    if not text.is_running:
        yield say("go.ended")
        if fatal:
            yield say("go.change", codes=literal(", ".join(fatal)))
        elif page.trend == "improving" and page.trial.status == "ok":
            yield say("go.more", epochs=text.number(page.trial.epochs))
        return
    if fatal:
        yield say("go.stop", codes=literal(", ".join(fatal)))
    else:
        yield say("go.running", epochs=text.number(page.trial.epochs))
    yield text.expected()


def _other(text: Text, other: Sequence[tuple[str, Any, Any]]) -> str:
    said = [
        text.say("other", key=literal(bounded(key)), value=text.value(value), own=text.value(own))
        for key, own, value in other[:_SHOWN]
    ]
    return ", ".join([*said, *(["…"] if len(other) > _SHOWN else [])])
