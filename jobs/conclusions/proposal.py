"""The next study that results propose: gathered, and as an object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError, counted
from jobs.conclusions.arguments import check_path, check_switch
from jobs.conclusions.frames import of_sheet
from jobs.conclusions.shown import Shown
from jobs.present import inputs
from jobs.present.effect import paragraphs
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column, amount, duration
from jobs.results.storage import Remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.planning.next_study import Proposal
    from jobs.results.storage import Place


@dataclass(frozen=True, repr=False, eq=False)
class NextStudy(Shown["Proposal"]):
    """The proposed study: advice on each parameter, and the file to write."""

    def write(self, out: str | Path, *, over: bool = False) -> Path:
        """Writes the study file; look at it, then `conclus.run(conclus.load_study(out))`.

        Args:
            out: The file.
            over: Whether to write over a file that is there.

        Raises:
            UserError: The file is there already, or cannot be written.
        """
        from jobs.results.storage import put

        check_path("out", out, "write the name of a file, as 'next.yaml'")
        check_switch("over", over)
        out = Path(out)
        if out.exists() and not over:
            raise UserError(f"{out} is there already: name another file, or give over=True")
        put(out, self.found.text.encode())
        return out


def proposed(
    results: str, folder: Place, where: str, wanted: tuple[str | None, str | None], margin: float
) -> tuple[Proposal, list[str]]:
    """The next study of the study in `folder`, and the sentences on it.

    Args:
        results: The place of the results, as it was given.
        folder: The folder of the study in it.
        where: The expression that selects trials; empty for all.
        wanted: The metric and `max` or `min`; None for the study's own.
        margin: A difference of the metric too small to care about.

    Raises:
        UserError: No parameter varies, or the study is not known.
    """
    from jobs.analysis.next_step import MOST_SEEDS, advise
    from jobs.planning.next_study import base_study, propose, sentence
    from jobs.results.layout import study_name

    studies = [study_name(folder)]
    trials, mode = inputs.finished_trials([results], studies, where, wanted)
    if not trials.factors:
        raise UserError("No parameter varies over the finished trials: there is no direction to go in.")
    above = results if isinstance(folder, Remote) else str(folder.parent)
    found = propose(base_study(folder), advise(trials, mode, margin), above, MOST_SEEDS)
    notes = _on_constraints(results, studies, where, [one.key for one in found.advice])
    chosen = f"The advice is from the {counted(len(trials.values), 'trial')} that --where chose; the next study has "
    cost = (chosen if where else "") + _cost(found, float(trials.seconds.mean()))
    lines = [*(sentence(one) for one in found.advice), *notes, cost]
    return found, [*lines, *([found.note] if found.note else [])]


def shown(found: Proposal, sentences: Sequence[str]) -> NextStudy:
    """The proposal as an object."""
    names = ("parameter", "advice", "values", "seeds", "why")
    rows = [[one.key, one.kind, ", ".join(map(str, one.values)), one.seeds or None, one.why] for one in found.advice]
    sheet = Sheet([Column(name) for name in names], rows)
    return NextStudy(found, lambda fmt, width: paragraphs(sentences, fmt, width), {"advice": lambda: of_sheet(sheet)})


def _on_constraints(results: str, studies: Sequence[str], where: str, advised: Sequence[str]) -> list[str]:
    from jobs.planning.next_study import on_constraints

    aims = inputs.chosen_aims([results], studies)
    if not aims.limits:
        return []
    columns = ["param.*", "data_hash", *aims.columns]
    return on_constraints(inputs.rows([results], where=where, studies=studies, columns=columns).table, aims, advised)


def _cost(proposal: Proposal, seconds: float) -> str:
    count = counted(proposal.trials, "trial")
    if not proposal.missing:
        return f"{count}, none of them to run: this study adds nothing. More seeds or other values do."
    text = f"{count}, {proposal.missing} of them to run"
    if not seconds >= 0:  # NaN: imported rows do not know
        return f"{text}."
    return f"{text}: about {duration(proposal.missing * seconds)} on one worker ({amount(seconds)} s a trial so far)."
