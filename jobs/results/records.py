"""Reads small JSON records beside rows or in them; limits their size and checks their types.

A shape describes the used part of a record: a type (`int | None`), a list with one shape for every item, a mapping of
names to shapes (a missing name counts as None), `{str: shape}` for every value of a mapping, or a tuple of
alternatives.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from core.errors import UserError
from core.seal import verified
from jobs.results.storage import Place, StorageError, read_regular

LARGEST = 2**26
"""The most bytes of a record; a plan of 100,000 trials has 8 million."""
DEEPEST = 50
_BOUND = float | int | None
SELECT = {
    "metric": str,
    "mode": str | None,
    "metrics": ([str], None),
    "modes": ({str: str}, None),
    "constraints": ({str: {"at_least": _BOUND, "at_most": _BOUND}}, None),
}
"""The used keys of a study's selection; `modes` says of imported objectives which values are better, `max` or `min`."""
STUDY = {
    "source": (dict, None),
    "trial": (dict, None),
    "select": (SELECT, None),
    "n_trials": int | None,
    "trials": ([[str | int]], None),
    "plug_ins": ({str: {str: [str]}}, None),
}
"""The used keys of `_study.json`."""


class RecordError(UserError):
    """A record is damaged or was not written by conclus; `reason` says what is wrong."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(f"{place} cannot be read ({reason})")
        self.reason = reason


def read(place: Place, shape: Mapping[Any, Any]) -> dict[str, Any]:
    """Reads a record.

    Raises:
        FileNotFoundError: There is none.
        RecordError: It cannot be read, is damaged, or its used part has another shape.
    """
    return load(place, shape)[0]


def load(place: Place, shape: Mapping[Any, Any]) -> tuple[dict[str, Any], bool]:
    """A record, and whether it has a digest; records of conclus 0.1.0 or written by hand have none.

    Raises:
        FileNotFoundError: There is none.
        RecordError: As in `read`.
    """
    try:
        content = decode(read_regular(place, LARGEST), shape)
        found = verified(content)
        return found, len(found) < len(content)
    except StorageError as error:
        raise RecordError(place, error.reason) from error
    except ValueError as error:
        raise RecordError(place, str(error)) from error


def without_digest(place: Place) -> str:
    """The sentence on a file that is read although it has no digest."""
    return f"{place} holds no digest (conclus 0.1.0 or a person wrote it): it is read, but damage in it is not seen."


def decode(text: bytes | str, shape: Mapping[Any, Any]) -> dict[str, Any]:
    """Parses the text of a record.

    Raises:
        ValueError: It is not JSON, is nested too deep, has invalid text, or has another shape.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    _check_whole(value)
    if not isinstance(value, dict):
        raise ValueError("it is no mapping")  # noqa: TRY004 - one kind of error means "no such record"
    if wrong := _misfit(value, shape, ""):
        raise ValueError(f"{wrong} is of another type than conclus writes")
    return cast("dict[str, Any]", value)


def fits(value: Any, shape: Any) -> bool:
    """Whether a value of a record that was read another way has this shape."""
    return not _misfit(value, shape, "it")


def parameters(text: str | None) -> dict[str, Any]:
    """The parameters in a row's JSON; empty if they are missing or cannot be read."""
    try:
        return decode(text or "{}", {})
    except ValueError:
        return {}


def plug_ins(text: str | None) -> dict[str, dict[str, str]] | None:
    """The content of plug-ins that a row tells of; None where it tells nothing that can be read."""
    try:
        return None if text is None else decode(text, {str: {"name": str, "sha256": str}})
    except ValueError:
        return None


def versions(text: str | None) -> dict[str, str]:
    """The environment in a row's JSON; empty if it is missing or cannot be read."""
    try:
        return decode(text or "{}", {str: str | int | float | None})
    except ValueError:
        return {}


def _check_whole(value: Any) -> None:
    """Checks a value level by level, without recursion, because it may be nested too deep."""
    level = [value]
    for _ in range(DEEPEST):
        for one in level:
            if isinstance(one, str):
                one.encode()  # A lone surrogate can be neither printed nor written.
        mappings = [one for one in level if isinstance(one, dict)]
        inner = [item for one in mappings for pair in one.items() for item in pair]
        level = [*inner, *(item for one in level if isinstance(one, list) for item in one)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _misfit(value: Any, shape: Any, name: str) -> str:
    """The name of the first part with another shape; empty if all fit."""
    if isinstance(shape, tuple):
        found = [_misfit(value, one, name) for one in shape]
        return "" if "" in found else found[0]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return name
        return next(filter(None, (_misfit(item, shape[0], f"{name}[{i}]") for i, item in enumerate(value))), "")
    if isinstance(shape, Mapping):
        return _misfit_in(value, shape, name)
    return "" if _is_a(value, shape) else name


def _misfit_in(value: Any, shape: Mapping[Any, Any], name: str) -> str:
    if not isinstance(value, dict):
        return name
    wanted = dict.fromkeys(value, shape[str]) if str in shape else shape
    inner = (_misfit(value.get(key), one, f"{name}.{key}".lstrip(".")) for key, one in wanted.items())
    return next(filter(None, inner), "")


def _is_a(value: Any, shape: Any) -> bool:
    if shape is None:
        return value is None
    # To Python, True is an int; in a file it is not.
    return isinstance(value, shape) and (type(value) is not bool or shape in {bool, object})
