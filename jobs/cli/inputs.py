"""What commands read: rows, finished trials, and the metric that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from jobs.present.output import warn

if TYPE_CHECKING:
    from jobs.analysis.trials import Trials
    from jobs.results.reader import Loaded
    from jobs.results.storage import Place

_DEFAULT_METRIC = "nmi"


def rows(paths: str | Sequence[str], **wanted: Any) -> Loaded:
    """What `jobs.results.reader.load` reads; files that it skips are named.

    Raises:
        UserError: There is nothing.
    """
    from jobs.results.reader import load

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
    from jobs.analysis.trials import gather, wanted_columns

    metric, mode = chosen_metric(paths, studies, *wanted)
    loaded = rows(paths, where=where, studies=studies, columns=wanted_columns(metric))
    return gather(loaded.table, metric, loaded.columns), mode


def chosen_metric(
    paths: Sequence[str], studies: Sequence[str], metric: str | None, mode: str | None
) -> tuple[str, str]:
    """The metric and the mode: as asked, else as the studies agree, else the usual.

    Where a `_study.json` is damaged that is told, and the copy of the study says what it would.

    Raises:
        UserError: That copy is not sound either, and metric and mode are not both asked for.
    """
    from jobs.analysis.scores import default_mode

    own = _selects(paths, studies, asked=bool(metric and mode))
    selects = {(select.get("metric"), select.get("mode")) for select in own}
    own_metric, own_mode = selects.pop() if len(selects) == 1 else (None, None)
    chosen = str(metric or own_metric or _DEFAULT_METRIC)
    return chosen, str(mode or (own_mode if chosen == own_metric else None) or default_mode(chosen))


def _selects(paths: Sequence[str], studies: Sequence[str], *, asked: bool) -> list[dict[str, Any]]:
    from jobs.results.layout import folders_of

    return [_select(folder, asked=asked) for folder in folders_of(paths, studies)]


def _select(folder: Place, *, asked: bool) -> dict[str, Any]:
    from jobs.results import records
    from jobs.results.layout import STUDY_JSON, STUDY_YAML, existing

    try:
        return records.read(existing(folder, STUDY_JSON), records.STUDY).get("select") or {}
    except FileNotFoundError:
        return {}
    except records.RecordError as error:
        from jobs.study import snapshot  # Takes longer to import than all of the others, and is seldom asked.

        found = snapshot.select(folder)
        if found is None and not asked:
            raise UserError(f"{error}: restore it, or give --metric and --mode.") from error
        instead = f", its metric and mode are taken from {STUDY_YAML}" if found and not asked else ""
        warn([f"{error}{instead}: restore it from a copy."])
        return found or {}
