"""The phrases of the status page's language, and the page's numbers as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.evaluation.health import Finding
from core.evaluation.rules import Change, Rule
from core.evaluation.trend import FEWEST
from jobs.analysis.intervals import fixed
from jobs.analysis.scores import uses_labels
from jobs.health.forecast import NEEDED, TooFew
from jobs.health.status_page import StatusPage
from jobs.present import phrases_en, phrases_zh
from jobs.present.tables import cell_text
from jobs.present.visible import bounded, literal
from jobs.results.header import FINISHED

LANGUAGES: Mapping[str, Mapping[str, str]] = {"en": phrases_en.PHRASES, "zh": phrases_zh.PHRASES}
_BELOW = re.compile(r"nmi ([\d.]+) against ([\d.]+)")
"""How `core.evaluation.health.warnings` says both numbers."""
_KEYS = 8
"""Parameters that are named in a sentence."""


class Text:
    """The phrases of one language, and the numbers of one page as text."""

    def __init__(self, page: StatusPage, language: str) -> None:
        self.page, self.language, self.phrases = page, language, LANGUAGES[language]
        self.metric = literal(page.metric.upper() if uses_labels(page.metric) else page.metric)
        # The loss of a critic tells nothing of the model: its opponents learn too.
        self.has_critic = bool(page.course.get("loss_critic"))
        losses = [] if self.has_critic else [(epoch, value) for epoch, value in page.course.get("loss")]
        self.losses = (losses[0], losses[-1]) if losses else None
        self.is_running = page.trial.status not in {*FINISHED, "failed"}

    def say(self, key: str, /, **values: Any) -> str:
        """A phrase with its values, which are Markdown already."""
        return self.phrases[key].format(metric=self.metric, **values)

    def number(self, value: float | None) -> str:
        """A number for people; a whole one stays whole."""
        return self.say("unknown") if value is None else cell_text(float(value))

    def score(self, value: float | None) -> str:
        """A score to three decimals, with per cent where the scale is 0 to 1."""
        if value is None:
            return self.say("unknown")
        share = f" ({value:.1%})" if uses_labels(self.page.metric) else ""
        return f"{fixed(value)}{share}"

    def change(self, one: Change) -> str:
        """What to change, as a rule says it."""
        template = f"{one.how} {{key}}" if self.language == "en" else phrases_zh.HOW[one.how]
        return template.format(key=f"`{self.code(one.key)}`")

    def trend(self) -> str:
        """What the score does."""
        if self.page.trend:
            return self.say(f"trend.{self.page.trend}")
        few = self.page.scored < FEWEST
        return self.say("trend.few", count=self.page.scored, needed=FEWEST) if few else self.say("unknown")

    def reason(self) -> str:
        """The reason in the trial's row, with the numbers of `BELOW_INPUT` in the page's language."""
        said = literal(bounded(self.page.trial.reason))
        return _BELOW.sub(lambda found: self.say("reason.below", nmi=found[1], input=found[2]), said)

    def span(self, low: float, high: float) -> str:
        """Two scores as the ends of a range."""
        return self.say("span", low=fixed(low), high=fixed(high))

    def value(self, value: Any) -> str:
        """A parameter's value, which may be a stranger's text."""
        return "-" if value is None else literal(bounded(cell_text(value)))

    def code(self, name: str) -> str:
        """A name within a code span, in which only backticks mean anything."""
        return bounded(literal(name)).replace("\\", "").replace("`", "'")

    def why(self, rule: Rule) -> str:
        """What a rule means."""
        return rule.why if self.language == "en" else phrases_zh.WHY[rule.code]

    def when(self, finding: Finding, rule: Rule) -> str:
        """Since when a rule's bound has been passed, or when it was."""
        if rule.at_the_end:
            return self.say("when.end")
        return (
            self.say("when.in", epoch=finding.epoch) if rule.when == "ever" else self.say("when", epoch=finding.since)
        )

    def expected(self) -> str:
        """The forecast of the last epoch as a sentence, or why there is none."""
        ahead = self.page.ahead
        if isinstance(ahead, TooFew):
            return self.say("expected.none", why=self.few(ahead))
        if not ahead:
            return self.say("go.ended")
        last = ahead[-1]
        span = self.span(last.low, last.high)
        other = self.say("expected.other", keys=", ".join(literal(bounded(one)) for one in last.unseen[:_KEYS]))
        return self.say("expected", epoch=last.epoch, value=fixed(last.value), span=span) + other * bool(last.unseen)

    def few(self, few: TooFew) -> str:
        """Why there is no forecast."""
        if not few.is_scored:
            return self.say("few.score")
        if few.longest:
            return self.say("few.longest", longest=few.longest)
        return self.say("few", configurations=few.configurations, studies=few.studies, needed=NEEDED)

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
        """A table; cells are Markdown already."""
        lines = [heads, ["---"] * len(heads), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def heading(self, depth: int, key: str, **values: Any) -> str:
        """A heading."""
        return f"{'#' * depth} {self.say(key, **values)}"


def listed(items: Iterable[str]) -> str:
    """Items with a mark each."""
    return "\n".join(f"- {item}" for item in items)


def numbered(items: Iterable[str]) -> str:
    """Items with a number each."""
    return "\n".join(f"{place}. {item}" for place, item in enumerate(items, 1))


def evidence(finding: Finding) -> str:
    """The numbers of a finding."""
    return ", ".join(f"{literal(name)} {cell_text(float(value))}" for name, value in finding.evidence.items())
