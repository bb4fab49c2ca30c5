"""One trial of a study, as a study file of its own: `conclus export`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

from core.config import trial as trial_config
from core.errors import UserError
from jobs.planning.next_study import base_study
from jobs.results import records
from jobs.results.identity import has_own_keys
from jobs.results.names import PARAM
from jobs.results.schema import contradicted
from jobs.results.storage import Place
from jobs.study import keys, trust, yaml_document
from jobs.study import study as studies
from jobs.study.plug_ins import plug_in_files

_ENDING = "-best"
_LONGEST_NAME = 100


def one_trial_study(folder: Place, row: Mapping[str, Any], why: str) -> tuple[str, list[Path]]:
    """The study file of one trial: its configuration with all values written out, and its seed.

    Args:
        folder: The folder of its study.
        row: Its row, with what `has_own_keys` needs, `source`, and `param.*`, which must agree with `params_json`.
        why: Why it is this trial, for the comment at the top.

    Returns:
        The text, and the plug-in files that it names and that lie in results.

    Raises:
        UserError: The study's own file is missing; the trial was not run as it is written: it is imported, a member of
            a population, or its row was changed; or its parameters do not fit this version of conclus.
    """
    key = row["trial_key"]
    if row["source"] == "import":
        raise UserError(f"Trial {key} was imported from a table, which does not tell its whole configuration.")
    if row["source"] == "pbt":
        raise UserError(f"Trial {key} is a member of a population: its values changed while it trained.")
    base = base_study(folder)
    params = records.parameters(row["params_json"])
    cells = {name.removeprefix(PARAM): value for name, value in row.items() if name.startswith(PARAM)}
    if changed := contradicted(params, cells):
        raise UserError(
            f"Trial {key} is not exported: its row tells two values of {', '.join(changed)}, one in its column and one "
            "in params_json, of which its key is made. Somebody changed the file."
        )
    if not has_own_keys(row):
        raise UserError(
            f"Trial {key} is not exported: its key is not that of the parameters, data, plug-ins and seed that its row "
            "tells, so it did not run with them. Somebody changed the file."
        )
    texts = {*_texts(base.source)}
    written = {name: _whole(value, texts) if _is_path(name, value) else value for name, value in params.items()}
    content = {
        "study": f"{base.name[: _LONGEST_NAME - len(_ENDING)]}{_ENDING}",
        "trial": keys.overlay({}, written),
        "seeds": [row["seed"]],
        "select": asdict(base.select),
        "resources": asdict(base.resources),
    }
    text = f"# {why}\n{yaml_document.write(content)}"
    study = studies.parse(text, f"trial {key}", Path())
    now = trial_config.parameters(study.cell({}))
    differ = sorted(name for name in {*now, *params} if now.get(name) != params.get(name))
    if differ:
        raise UserError(
            f"Trial {key} cannot be written as a study: this version of conclus would run it with another value of "
            f"{', '.join(differ)}."
        )
    return text, [file for file in plug_in_files(study) if trust.lies_in_results(file)]


def _is_path(key: str, value: Any) -> bool:
    """Whether rows keep the last part alone of this value."""
    return key in trial_config.FILES or (key in trial_config.PATHS and isinstance(value, str) and "." in value)


def _texts(value: Any) -> Iterator[str]:
    """All texts in nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _whole(name: Any, texts: set[str]) -> Any:
    """The path in the study whose last part this is.

    Raises:
        UserError: Several have this last part.
    """
    found = sorted(text for text in texts if PurePath(text.partition("?")[0]).name == name)
    if len(found) > 1:
        raise UserError(f"The study names several files {name!r}: {', '.join(found)}; which one is not known.")
    return found[0] if found else name
