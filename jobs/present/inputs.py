"""Inputs of commands: rows, finished trials, and the metric to use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.config.schema import nearest
from core.errors import UserError, counted
from jobs.present.output import warn

if TYPE_CHECKING:
    from jobs.analysis.pareto import Aims
    from jobs.analysis.trials import Trials
    from jobs.results.reader import Loaded
    from jobs.results.storage import Place


def rows(paths: str | Sequence[str], **wanted: Any) -> Loaded:
    """The rows of `jobs.results.reader.load`; prints a warning for each skipped file.

    Raises:
        UserError: There are no rows, or one of the wanted studies is missing.
    """
    from jobs.present.bar import preparing
    from jobs.results.layout import folders_of
    from jobs.results.reader import load

    if studies := wanted.get("studies"):
        folders_of([paths] if isinstance(paths, str) else paths, studies)
    with preparing():
        loaded = load(paths, **wanted)
    warn([*loaded.notes, *loaded.skipped])
    return loaded.need_rows()


def check_order(paths: Sequence[str], params: Sequence[str], command: str) -> None:
    """Checks that folders come before the names of parameters.

    Args:
        paths: The folders, if any are given.
        params: The parameters; empty where fewer were given.
        command: The command, for the message.

    Raises:
        UserError: A folder stands in the place of a parameter, or one of two parameters is missing.
    """
    from jobs.results.layout import PREFIX
    from jobs.results.storage import at, folders, is_folder

    def holds_results(path: str) -> bool:
        return is_folder(place := at(path)) and bool(folders(place, PREFIX))

    if all(one and not holds_results(one) for one in params):
        return
    swapped = [one for one in (*paths, *params) if one]
    names = [one for one in swapped if not holds_results(one)]
    if len(names) < len(params) == 2:
        raise UserError(f"{command} takes two parameters, not {len(names)}: {' '.join(names) or 'none was given'}.")
    names = names or ["PARAM"]
    places = [one for one in swapped if holds_results(one)]
    raise UserError(f"The folder comes first, then the parameter: conclus {command} {' '.join([*places, *names])}")


def finished_trials(
    paths: Sequence[str], studies: Sequence[str], where: str, wanted: tuple[str | None, str | None]
) -> tuple[Trials, str]:
    """The finished trials with a value of the chosen metric, and the mode, `max` or `min`.

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
    """The metric and the mode to use, see `jobs.present.chosen`; prints a warning for each damaged file.

    Raises:
        UserError: They cannot be read from the studies and are not both given.
    """
    from jobs.present.chosen import chosen

    found = chosen(paths, studies, metric, mode)
    warn(found.notes)
    return found.metric, found.mode


def chosen_aims(paths: Sequence[str], studies: Sequence[str]) -> Aims:
    """The constraints, and the metrics of the Pareto front, of the studies; prints a sentence if they differ."""
    from jobs.present.chosen import aims
    from jobs.results.layout import folders_of

    found, notes = aims(folders_of(paths, studies))
    warn(notes)
    return found


def named(results: str, folder: Place) -> list[str]:
    """The arguments that name the study of this folder to a command: `--study` too where the results have several."""
    from jobs.results.layout import folders_of, study_name

    return [results, "--study", study_name(folder)] if len(folders_of([results])) > 1 else [results]


def one_trial(start: str, keys: Collection[str], without: str) -> str:
    """The one of the trials' keys that begins so.

    Raises:
        UserError: Several do, or none does: then with the sentence `without`.
    """
    found = sorted(key for key in keys if key.startswith(start))
    if start in found:
        return start
    if not found:
        raise UserError(without)
    if len(found) > 1:
        raise UserError(
            f"{counted(len(found), 'trial')} begin with {start!r}: {nearest(start, found)}; give more of it"
        )
    return found[0]


def check_one_choice(given: Mapping[str, str | bool | None]) -> None:
    """Checks that a trial is chosen in one way, of all the options of the command that choose one, with their values.

    Raises:
        UserError: It is in several.
    """
    if sum(one not in {None, False} for one in given.values()) > 1:
        *first, last = given
        raise UserError(f"{', '.join(first)} and {last} each name a trial: give one of them")
