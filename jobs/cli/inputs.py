"""What commands read: rows, finished trials, and the metric that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.present.output import warn

if TYPE_CHECKING:
    from jobs.analysis.trials import Trials
    from jobs.results.reader import Loaded


def rows(paths: str | Sequence[str], **wanted: Any) -> Loaded:
    """What `jobs.results.reader.load` reads; files that it skips are named.

    Raises:
        UserError: There is nothing, or not one of the studies that are wanted.
    """
    from jobs.results.layout import folders_of
    from jobs.results.reader import load

    if studies := wanted.get("studies"):
        folders_of([paths] if isinstance(paths, str) else paths, studies)
    loaded = load(paths, **wanted)
    warn([*loaded.notes, *loaded.skipped])
    return loaded.need_rows()


def finished_trials(
    paths: Sequence[str], studies: Sequence[str], where: str, wanted: tuple[str | None, str | None]
) -> tuple[Trials, str]:
    """The finished trials with a value of the metric that is meant, and which way is better.

    Raises:
        UserError: There are none.
    """
    from jobs.analysis import apart
    from jobs.analysis.trials import gather, wanted_columns

    metric, mode = chosen_metric(paths, studies, *wanted)
    loaded = rows(paths, where=where, studies=studies, columns=wanted_columns(metric))
    warn(apart.notes(loaded.table))
    return gather(loaded.table, metric, loaded.columns), mode


def chosen_metric(
    paths: Sequence[str], studies: Sequence[str], metric: str | None, mode: str | None
) -> tuple[str, str]:
    """The metric and the mode that are meant; see `jobs.analysis.chosen`. What is damaged is named.

    Raises:
        UserError: They cannot be known, and are not both asked for.
    """
    from jobs.analysis.chosen import chosen

    found = chosen(paths, studies, metric, mode)
    warn(found.notes)
    return found.metric, found.mode
