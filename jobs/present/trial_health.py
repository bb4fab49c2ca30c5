"""The health of one trial as tables and sentences: verdict, evidence, what to change, its numbers and its course."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import counted
from core.evaluation.health import RULES, Course, Finding, Rule
from core.evaluation.trend import FEWEST, Trend, trend
from jobs.analysis.intervals import fixed
from jobs.analysis.scores import uses_labels
from jobs.health.changes import Remedy
from jobs.health.courses import Judged
from jobs.present import tables
from jobs.present.effect import labels, paragraphs
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column

TABLES = ("findings", "changes", "numbers", "course")
_SHOWN_CHANGES = 3
_BARS = "▁▂▃▄▅▆▇█"
_NOT_FINITE = "!"
_COLUMNS = 24
"""The most characters of a drawn course."""
_FIRST = (
    *("npmi", "topic_diversity", "nmi", "label_free", "loss"),
    *("cluster_size_min", "cluster_size_max", "clusters_empty", "effective_rank"),
)
"""The courses that are always drawn if they are there; others are drawn if they are evidence."""
_MORE = ("marginal_entropy", "confidence", "selected", "selected_min")
_SELECTED = ("selected", "selected_share", "selected_min", "cluster_size_min")
RULE: Mapping[str, Rule] = {rule.code: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class TrialHealth:
    """One trial with what comparable trials tell of its codes.

    Attributes:
        trial: The trial.
        course: Its course.
        helped: For each of its codes, what helped in comparable trials, the surest first; empty if nothing did.
        ahead: The forecast of a running trial, or why there is none, as a sentence; empty for one that has ended.
    """

    trial: Judged
    course: Course
    helped: Mapping[str, Sequence[Remedy]]
    ahead: str = ""

    @property
    def score(self) -> str:
        """The score whose course is judged; empty without any."""
        return self.trial.score


def trial_text(found: TrialHealth, fmt: str, width: int | None, parts: Sequence[str] = TABLES) -> str:
    """All about the trial for people, in one of the formats of `jobs.present.effect.PROSE`."""
    blocks = [headline(found.trial)]
    if "findings" in parts or "changes" in parts:
        for one in found.trial.findings:
            blocks += _finding(found, one, fmt, width, parts)
        blocks += [f"{found.trial.failure}: {found.trial.reason}."] if found.trial.failure else []
    if "numbers" in parts:
        columns = [Column("number", right=False), Column("value", right=False)]
        rows = numbers(found)
        blocks += [Sheet(columns, rows).render(fmt, width)] if rows else []
        blocks += [] if found.score else [_no_score(found.trial)]
        blocks += [found.ahead] if found.ahead else []
    if "course" in parts and found.course.series:
        blocks.append(course_sheet(found).render(fmt, width))
    return paragraphs(blocks, fmt, width)


def headline(one: Judged) -> str:
    """`digits 4f1c, seed 0: COLLAPSED@12 (ok, 60 of 60 epochs)`."""
    # A method without epochs has no number of them among its parameters.
    done = f"{one.epochs_done} of {one.epochs} epochs" if one.epochs else counted(one.epochs_done, "epoch")
    ended = f"{one.status}, {done}"
    seed = f", seed {one.seed}" if one.seed >= 0 else ""
    return f"{one.study} {one.trial_key}{seed}: {one.verdict} ({ended})"


def _finding(found: TrialHealth, one: Finding, fmt: str, width: int | None, parts: Sequence[str]) -> list[str]:
    rule = RULE[one.code]
    blocks = []
    if "findings" in parts:
        blocks.append(f"{one.label}, {_when(one, rule)}: {one.sentence} The rule: {rule.bound} ({rule.source}).")
    if "changes" in parts:
        changes = found.helped.get(one.code, ())
        blocks.append(_basis(found, one.code))
        if changes:
            shown = [_helped_row(change) for change in changes[:_SHOWN_CHANGES]]
            names = labels(change.key for change in changes[:_SHOWN_CHANGES])
            columns = [Column("change", right=False), Column("from"), Column("to")]
            columns += [Column(f"without {one.code}"), Column("with the old value")]
            blocks.append(Sheet(columns, [[names[row[0]], *row[1:]] for row in shown]).render(fmt, width))
    return blocks


def _when(one: Finding, rule: Rule) -> str:
    if rule.at_the_end:
        return "at the end"
    return f"in epoch {one.epoch}" if rule.when == "ever" else f"since epoch {one.since}"


def _basis(found: TrialHealth, code: str) -> str:
    """The sentence that says where the list of changes comes from; without comparable trials, the rule's own list."""
    if found.helped.get(code, ()):
        return "What helped in comparable trials of the store, equal in data and in every other parameter:"
    listed = ", then ".join(map(str, RULE[code].changes_for(found.trial.params)))
    own = f"The rule's own list: {listed}." if listed else "The rule's own list has nothing for this method."
    return f"Nothing that helped can be told from trials of the store. {own}"


def _helped_row(one: Remedy) -> list[Any]:
    return [one.key, one.own, one.value, f"{one.without} of {one.n}", f"{one.own_without} of {one.own_n}"]


def numbers(found: TrialHealth) -> list[list[Any]]:
    """The numbers on the course, each with its name and its value in words."""
    own, score = found.trial.numbers, found.score
    rows: list[list[Any]] = []
    if score:
        tested = trend(found.course.values(score))
        rows += [["performance_trend", _trend_words(tested, score)]]
        rows += [["stability_score", _stability_words(own.get("stability_score"), score)]]
        rows += [[name, _words(own.get(name))] for name in ("total_improvements", "total_degradations")]
    for name in ("best_epoch_label_free", "best_epoch_nmi", "epoch_gap"):
        rows += [[name, _words(own[name])]] if name in own else []
    rows += [[name, words] for name, words in _selected(found.course)]
    for name in ("smallest_class", "imbalance_true", "imbalance_pred"):
        rows += [[name, _words(own[name])]] if name in own else []
    if found.trial.saved_seconds is not None:
        rows.append(["time saved", tables.duration(found.trial.saved_seconds)])
    return rows


def _selected(course: Course) -> Iterator[tuple[str, str]]:
    """Of a method that labels its own samples, how many it has labelled; and the smallest cluster, labelled or not."""
    many, share, least, smallest = (course.at(name, course.last) for name in _SELECTED)
    if many is None or share is None or least is None:
        return
    yield "selected", f"{many:,.0f} samples ({share:.1%}) labelled by the method itself"
    yield "selected_min", f"{least:,.0f} of them in the cluster that has the fewest"
    if smallest is not None:
        yield "cluster_size_min", f"{smallest:,.0f} samples, labelled or not, in the smallest cluster"


def _no_score(one: Judged) -> str:
    if one.is_known:
        return "No epoch has a score." if one.has_ended else "No epoch has a score yet."
    return "No history and no signal is known." if one.has_ended else "No epoch has ended yet."


def _trend_words(one: Trend, score: str) -> str:
    if one.name == "unknown":
        return f"unknown ({counted(one.n, 'scored epoch')}; {FEWEST} are needed)"
    return f"{one.name}: {score} {one.slope:+.2g} per scored epoch (p = {one.p:.2g}, the last {one.n})"


def _stability_words(value: float | str | None, score: str) -> str:
    if not isinstance(value, float):
        return f"unknown (fewer than 3 scored epochs of {score})"
    labelled = "which uses the labels" if uses_labels(score) else "without labels"
    return f"{fixed(value)}, of {score}, {labelled}"


def _words(value: float | str | None) -> str:
    return tables.cell_text(value)


def course_sheet(found: TrialHealth) -> Sheet:
    """The courses of the most important scores and signals, each drawn in characters, for people."""
    evidence = [name for one in found.trial.findings for name in one.evidence]
    names = [name for name in dict.fromkeys([found.score, *_FIRST, *_MORE, *evidence]) if found.course.get(name)]
    columns = [Column("course", right=False), Column("epochs", drop=2), Column("first"), Column("last")]
    columns += [Column("least", drop=1), Column("most", drop=1), Column("", right=False, drop=3)]
    rows: list[list[Any]] = []
    for name in names:
        values = found.course.values(name)
        finite = [value for value in values if math.isfinite(value)]
        ends = [min(finite), max(finite)] if finite else [None, None]
        rows.append([name, len(values), values[0], values[-1], *ends, drawn(values)])
    return Sheet(columns, rows)


def drawn(values: Sequence[float]) -> str:
    """A course in at most `_COLUMNS` characters, from the least to the most of its finite values."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return _NOT_FINITE * min(len(values), _COLUMNS)
    low, high = min(finite), max(finite)
    count = min(len(values), _COLUMNS)
    picked = [values[round(i * (len(values) - 1) / max(1, count - 1))] for i in range(count)]
    return "".join(_bar(value, low, high) for value in picked)


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return _NOT_FINITE
    # Halves: the difference of two huge numbers may be infinite.
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]


def machine_sheet(found: TrialHealth, part: str) -> Sheet:
    """One of `TABLES` with every number in a column of its own, for CSV and JSON."""
    return {"findings": _findings, "changes": _changes, "numbers": _numbers, "course": _course}[part](found)


def _findings(found: TrialHealth) -> Sheet:
    heads = ["code", "label", "epoch", "since", "evidence", "sentence", "rule", "source"]
    rows: list[list[Any]] = [
        [
            one.code,
            one.label,
            one.epoch,
            one.since,
            "; ".join(f"{name}={value!r}" for name, value in one.evidence.items()),
            one.sentence,
            RULE[one.code].bound,
            RULE[one.code].source,
        ]
        for one in found.trial.findings
    ]
    if found.trial.failure:
        rows.append([found.trial.failure, found.trial.failure, None, None, "", found.trial.reason, "", ""])
    return Sheet([Column(head) for head in heads], rows)


def _changes(found: TrialHealth) -> Sheet:
    heads = ["code", "from", "place", "key", "how", "own", "value", "without", "n", "own_without", "own_n"]
    rows: list[list[Any]] = []
    for one in found.trial.findings:
        helped = found.helped.get(one.code, ())
        for place, change in enumerate(helped, 1):
            counts = [change.without, change.n, change.own_without, change.own_n]
            rows.append([one.code, "store", place, change.key, "", change.own, change.value, *counts])
        for place, rule in enumerate(() if helped else RULE[one.code].changes_for(found.trial.params), 1):
            rows.append([one.code, "rule", place, rule.key, rule.how, *[None] * 6])
    return Sheet([Column(head) for head in heads], rows)


def _numbers(found: TrialHealth) -> Sheet:
    own: dict[str, Any] = {"verdict": found.trial.verdict, **found.trial.numbers}
    own["verdict"] = found.trial.verdict
    if found.score:
        tested = trend(found.course.values(found.score))
        own |= {"score": found.score, "trend_p": tested.p, "trend_n": tested.n}
    at_the_end = {name: found.course.at(name, found.course.last) for name in _SELECTED}
    own |= {name: value for name, value in at_the_end.items() if value is not None}
    own |= {"saved_seconds": found.trial.saved_seconds}
    return Sheet([Column("number"), Column("value")], [[name, value] for name, value in own.items()])


def _course(found: TrialHealth) -> Sheet:
    rows = [[name, epoch, value] for name, series in sorted(found.course.series.items()) for epoch, value in series]
    return Sheet([Column("name"), Column("epoch"), Column("value")], rows)
