"""The health of many trials as tables and sentences: verdicts, codes, and which settings die of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import counted
from core.evaluation.health import RULES
from jobs.analysis.samples import METHOD
from jobs.health.courses import OK, UNKNOWN, Judged
from jobs.health.settings import CodeBySetting, Settings, factors
from jobs.present import tables
from jobs.present.effect import labels, paragraphs
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column

TABLES = ("codes", "trials", "settings")
_SHOWN_TRIALS = 20
_SHOWN_SETTINGS = 6
_LABELS = 2
_MEANS: Mapping[str, str] = {
    **{rule.code: rule.why for rule in RULES},
    OK: "No rule found anything",
    UNKNOWN: "No history and no signal is known, as of a trial of which no epoch has ended yet",
}


@dataclass(frozen=True, slots=True)
class JudgedTrials:
    """The trials of some studies, judged.

    Attributes:
        trials: All of them, of one protocol.
        settings: Their codes by the parameters that vary.
    """

    trials: Sequence[Judged]
    settings: Settings

    @property
    def saved_seconds(self) -> list[float]:
        """What stopping by `health: {stop: …}` saved, one number for each trial that it stopped."""
        return [one.saved_seconds for one in self.trials if one.saved_seconds is not None]


def health_text(found: JudgedTrials, fmt: str, width: int | None, parts: Sequence[str] = TABLES) -> str:
    """The whole for people, in one of the formats of `jobs.present.effect.PROSE`."""
    blocks = [headline(found)]
    if "codes" in parts:
        sheet = codes_sheet(found)
        blocks.append(Sheet(sheet.columns[:-1], [row[:-1] for row in sheet.rows]).render(fmt, width))
        blocks += [f"{code}: {means}." for code, *_, means in sheet.rows if code != OK]
    if "trials" in parts:
        every = ordered(found.trials)
        shown = every[:_SHOWN_TRIALS]
        blocks.append(trials_sheet(shown, telling(found, shown)).render(fmt, width))
        blocks += _hidden(len(every) - _SHOWN_TRIALS, "the trials")
    if "settings" in parts:
        blocks.append(settings_words(found.settings))
        shown = found.settings.found[:_SHOWN_SETTINGS]
        blocks += [settings_sheet(shown).render(fmt, width)] if shown else []
        blocks += _hidden(len(found.settings.found) - _SHOWN_SETTINGS, "these tests")
    return paragraphs([*blocks, *notes(found)], fmt, width)


def headline(found: JudgedTrials) -> str:
    """`24 trials: 20 OK, 3 with codes, 1 unknown`."""
    counts = Counter(_kind(one) for one in found.trials)
    told = [f"{counts[kind]:,} {kind}" for kind in (OK, "with codes", UNKNOWN) if counts[kind]]
    return f"{counted(len(found.trials), 'trial')}: {', '.join(told)}."


def _kind(one: Judged) -> str:
    return "with codes" if one.codes else OK if one.is_known else UNKNOWN


def notes(found: JudgedTrials) -> list[str]:
    """Sentences on what was saved and what is left out."""
    said = []
    if saved := found.saved_seconds:
        many, spared = counted(len(saved), "trial", "were"), tables.duration(sum(saved))
        said.append(
            f"{many} stopped by a rule. The epochs left, each as long as those trained, would have taken {spared}."
        )
    if found.settings.left_out:
        said.append(f"Not counted, because too many different words: {', '.join(found.settings.left_out)}.")
    return said


def _hidden(count: int, what: str) -> list[str]:
    return [f"{count:,} more of {what}: --format csv has them all."] if count > 0 else []


def ordered(trials: Sequence[Judged]) -> list[Judged]:
    """Those with codes first, by verdict; then those that are well; then those of which nothing is known."""
    return sorted(trials, key=lambda one: (not one.codes, not one.is_known, one.verdict, one.study, one.trial_key))


def codes_sheet(found: JudgedTrials) -> Sheet:
    """How many trials have each code, the most frequent first."""
    having: dict[str, list[Judged]] = {}
    for one in found.trials:
        for code in one.codes or (one.verdict,):
            having.setdefault(code, []).append(one)
    rows: list[list[Any]] = [
        [code, len(ones), len({(one.study, one.config_key) for one in ones}), _MEANS.get(code, "The trial failed")]
        for code, ones in sorted(having.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    columns = [Column("code", right=False), Column("trials"), Column("configurations")]
    return Sheet([*columns, Column("what it means", right=False)], rows)


def telling(found: JudgedTrials, shown: Sequence[Judged]) -> list[str]:
    """The parameters that vary over these trials: those first on which codes depend the most."""
    order = list(dict.fromkeys(one.key for one in found.settings.found))
    return sorted(factors(shown), key=lambda key: (key != METHOD, order.index(key) if key in order else len(order)))


def trials_sheet(trials: Sequence[Judged], varied: Sequence[str]) -> Sheet:
    """One row per trial, with the values of some parameters, of which the first are kept in a narrow window.

    A long verdict is cut after its first labels, and says how many are left out.
    """
    names = labels(varied)
    several = len({one.study for one in trials}) > 1
    columns = [Column("verdict", right=False), *([Column("study", right=False)] if several else [])]
    columns += [Column("trial", right=False), Column("seed"), Column("state", right=False, drop=1)]
    columns += [Column("epochs", drop=3), *(Column(names[key], drop=0 if key == METHOD else 2) for key in varied)]
    columns += [Column("trend", right=False, drop=4), Column("stability", drop=5)]
    rows: list[list[Any]] = [
        [
            _cut(one.verdict),
            *([one.study] if several else []),
            one.trial_key,
            # An import that knows no seed has a negative number in its place.
            one.seed if one.seed >= 0 else "-",
            one.status,
            one.epochs_done,
            *(one.params.get(key) for key in varied),
            one.numbers.get("performance_trend"),
            one.numbers.get("stability_score"),
        ]
        for one in trials
    ]
    return Sheet(columns, rows)


def _cut(verdict: str) -> str:
    labels = verdict.split("; ")
    return verdict if len(labels) <= _LABELS else f"{'; '.join(labels[:_LABELS])}; {len(labels) - _LABELS} more"


def settings_words(found: Settings) -> str:
    """What the table of codes by parameter is, or why there is none."""
    if not found.trials:
        return "Which settings die of what: no trial has ended with a course that is known."
    if not found.found:
        return f"Which settings die of what: over {counted(found.trials, 'trial')}, no code or no parameter varies."
    tests = sum(one.corrected is not None for one in found.found)
    told = f"Which settings die of what, over {counted(found.trials, 'trial')} that ended"
    told += f" ({found.again:,} more of other studies are the same trials)" if found.again else ""
    if not tests:
        return f"{told}: too few for an exact test to show anything."
    return (
        f"{told}: exact test of each code and parameter (Fisher, Freeman and Halton), corrected over "
        f"{counted(tests, 'test')} (Holm, 5 %)."
    )


def settings_sheet(found: Sequence[CodeBySetting]) -> Sheet:
    """One row for each value, in a form for people: code, parameter and verdict stand once."""
    names = labels({one.key for one in found})
    columns = [Column("code", right=False), Column("parameter", right=False), Column("value"), Column("with it")]
    columns += [Column("p", drop=1), Column("corrected", drop=2), Column("verdict", right=False)]
    rows: list[list[Any]] = []
    bold: list[int] = []
    for one in found:
        p = f"{one.p:.2g}"
        corrected = None if one.corrected is None else f"{one.corrected:.2g}"
        values = tables.numbers([group.value for group in one.groups])
        for place, (value, group) in enumerate(zip(values, one.groups, strict=True)):
            first = place == 0
            head, tail = ([one.code, names[one.key]], [p, corrected, one.verdict]) if first else ([""] * 2, [""] * 3)
            bold += [len(rows)] if first and one.verdict == "differs" else []
            rows.append([*head, value, f"{group.having} of {group.n}", *tail])
    return Sheet(columns, rows, tuple(bold))


def machine_sheet(found: JudgedTrials, part: str) -> Sheet:
    """One of `TABLES` with every number in a column of its own, for CSV and JSON."""
    return {"codes": codes_sheet, "trials": _trials_rows, "settings": _settings_rows}[part](found)


def _trials_rows(found: JudgedTrials) -> Sheet:
    varied = list(factors(found.trials))
    own = sorted({name for one in found.trials for name in one.numbers} - {"verdict"})
    heads = ["study", "trial_key", "seed", "status", "verdict", "reason", "epochs_done", "epochs", "saved_seconds"]
    rows: list[list[Any]] = [
        [
            *(one.study, one.trial_key, one.seed, one.status, one.verdict, one.reason, one.epochs_done, one.epochs),
            one.saved_seconds,
            *(one.numbers.get(name) for name in own),
            *(one.params.get(key) for key in varied),
        ]
        for one in ordered(found.trials)
    ]
    return Sheet([Column(head) for head in [*heads, *own, *(f"param.{key}" for key in varied)]], rows)


def _settings_rows(found: JudgedTrials) -> Sheet:
    heads = ["code", "parameter", "value", "having", "trials", "p", "corrected", "is_drawn", "verdict"]
    rows: list[list[Any]] = [
        [one.code, one.key, group.value, group.having, group.n, one.p, one.corrected, one.is_drawn, one.verdict]
        for one in found.settings.found
        for group in one.groups
    ]
    return Sheet([Column(head) for head in heads], rows)
