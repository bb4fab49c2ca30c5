"""The conclusions in words: the best configuration, how certain it is, how it was chosen, and failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import counted
from jobs.analysis.comparison import Boards, notes
from jobs.analysis.importance import Importance
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.outcomes import Outcomes, Trouble
from jobs.analysis.scores import metric_name
from jobs.charts.configurations import describe
from jobs.present.effect import labels
from jobs.present.names import USUAL, ShownNames
from jobs.present.visible import bounded
from jobs.report.contents import Contents
from jobs.results.header import FINISHED

_NAMED = 6
"""The most configurations that one sentence lists."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A conclusion: its subject in one or two words, and a sentence."""

    about: str
    text: str


def findings(contents: Contents) -> list[Conclusion]:
    """The conclusions, the most important first."""
    found = (
        [Conclusion("Not ranked", str(contents.refused))]
        if contents.refused
        else _rankings(contents.boards, contents.labels.own)
    )
    found += [Conclusion("Matters", _matters(contents.importance))] if contents.importance else []
    found += [Conclusion("Only", f"Rows where {contents.where}; the others are left out.")] if contents.where else []
    found += [Conclusion("Trials", _trials(contents)), *_failures(contents.outcomes)]
    found += [Conclusion("Unverified", text) for text in _imported(contents.outcomes)]
    return found + [Conclusion("Left out", f"{len(contents.skipped)} files: {one}") for one in contents.skipped[:1]]


def _rankings(boards: Boards, own: ShownNames | None) -> list[Conclusion]:
    """The best of each data set, and what is tied with it; what is said of all data sets is said once."""
    found: list[Conclusion] = []
    for name, board in boards:
        first, *rest = board.entries
        on = f" on {(own or USUAL).data_set(name)}" if len(boards) > 1 else ""
        found += [
            Conclusion(f"Best{on}", _best(first, board, own)),
            *(Conclusion(f"Tied{on}", text) for text in _ties(rest)),
        ]
    (label, *shared), others = notes(boards)
    found.append(Conclusion("Chosen by", label))
    called = (own or USUAL).data_set
    found += [Conclusion(f"Note on {called(name)}", note) for name, said in others.items() for note in said]
    return [*found, *(Conclusion("Note", note) for note in shared)]


def _best(entry: Entry, board: Leaderboard, own: ShownNames | None) -> str:
    score = entry.score
    value = f"{own.metric(board.metric) if own else metric_name(board.metric)} {score.text}"
    spread = f"95 % interval of the mean over {score.n} seeds" if score.n > 1 else "one seed, so no interval"
    return f"{describe(entry, board, own)}: {value} ({spread})."


def _ties(rest: Sequence[Entry]) -> list[str]:
    if not rest:
        return []
    tied = [entry for entry in rest if entry.tied]
    unknown = [entry for entry in rest if entry.tied is None]
    sentences = [_tied_sentence(tied, len(rest))] if len(unknown) < len(rest) else []
    if unknown:
        verb = "has" if len(unknown) == 1 else "have"
        sentences.append(f"{counted(len(unknown), 'configuration')} {verb} too few seeds to compare with the best.")
    return sentences


def _tied_sentence(tied: Sequence[Entry], others: int) -> str:
    if not tied:
        return "No other configuration: each one with two or more seeds is worse than the best."
    if len(tied) == others:
        return f"The seeds cannot tell any of the {counted(others, 'other configuration')} from the best."
    ranks = ", ".join(f"#{entry.rank}" for entry in tied[:_NAMED]) + (", …" if len(tied) > _NAMED else "")
    return f"The seeds cannot tell {len(tied):,} of the {others:,} other configurations from the best ({ranks})."


def _matters(found: Importance) -> str:
    names = labels(key for one in found.parameters for key in one.keys)
    real = [one for one in found.parameters if one.verdict.startswith("matters")]
    known = [one for one in found.parameters if one.share is not None]
    parts = [f"{names[one.keys[0]]} {one.share:.0%} ({one.low:.0%} … {one.high:.0%})" for one in real[:_NAMED]]
    nothing = "No parameter is shown to matter" if known else "Too few trials to tell which parameters matter"
    told = f"Of the variance between trials {', '.join(parts)}" if parts else nothing
    return f"{told}." if found.luck is None else f"{told}; luck (the seed) {found.luck:.0%}."


def _trials(contents: Contents) -> str:
    statuses = contents.outcomes.statuses
    total = sum(statuses.values())
    finished = sum(statuses[name] for name in FINISHED)
    parts = [f"{finished:,} of {total:,} finished"]
    parts += [f"{statuses['stopped']:,} of them stopped early"] if statuses["stopped"] else []
    lost = contents.outcomes.lost
    parts += [f"{lost:,} of them failed in training (a rule of health) and count as the worst value"] if lost else []
    parts += [f"{statuses[name]:,} {name}" for name in ("failed", "running") if statuses[name]]
    planned = [one.planned for one in contents.origins if one.planned is not None]
    missing = sum(planned) - sum(one.trials for one in contents.origins if one.planned is not None)
    parts += [f"{missing:,} of the plan not begun"] if missing > 0 and not contents.where else []
    return ", ".join(parts) + "."


def _failures(ended: Outcomes) -> list[Conclusion]:
    return [Conclusion("Failed", _trouble(one)) for one in ended.failures[:_NAMED]]


def _trouble(one: Trouble) -> str:
    where = counted(one.configurations, "configuration")
    return f"{counted(one.trials, 'trial')} of {where}: {bounded(one.example or one.code)}"


def _imported(ended: Outcomes) -> list[str]:
    if not ended.imported:
        return []
    return [f"{counted(ended.imported, 'row', 'were')} imported from a table: conclus did not run these trials."]
