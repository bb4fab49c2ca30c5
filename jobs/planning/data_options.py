"""A data set as a command line names it: a path or a name, and options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from core.config import plugins
from core.config.schema import Mistakes, PlugIn
from core.config.trial import read_plug_in
from core.errors import UserError
from core.formats.catalog import find_named
from jobs.study.yaml_document import parse_value


def chosen(path: str, given: Sequence[str]) -> PlugIn:
    """The data set that a study's `data:` would name with this path and these options.

    Args:
        path: a file or a folder, or an address in an object store; or the name of a data set.
        given: options as `key=value`, such as `size=96`; `name=…` for another data set than `file`.

    Raises:
        UserError: an option is unknown or has a wrong value, or the data set is unknown.
    """
    options: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--set {text}: write it as key=value")
        options[key.removeprefix("data.")] = parse_value(value, key)
    mistakes = Mistakes()
    found = read_plug_in("datasets", {**_named(path, options), **options}, ("data",), mistakes)
    if mistakes.found:
        raise UserError(*(f"{'.'.join(one.place)}: {one.text}" for one in mistakes.found))
    if plugins.is_path(found.name):
        plugins.allow_named(found.name)
    return found


def _named(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The name of the data set and its path, if it has one."""
    if not os.path.lexists(path) and "name" not in options:
        if path in plugins.names("datasets"):
            return {"name": path}
        if (file := find_named(path)) is not None:
            return {"name": "file", "path": str(file)}
    return {"name": "file", "path": path}
