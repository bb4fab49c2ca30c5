"""A data set as a command line names it: a path or a name, and options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, get_args

from core.config import plugins
from core.config.schema import Mistakes, PlugIn, did_you_mean
from core.config.trial import read_plug_in
from core.errors import UserError
from core.formats.catalog import find_named, known_names
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
    named = _named(path, options)
    name = options.get("name", named["name"])
    extra = sorted(options.keys() - {"name"})
    if extra and name in plugins.names("datasets") and not plugins.options("datasets", name):
        raise UserError(f"--set {extra[0]}={options[extra[0]]}: the data set {name} has no options: leave it out")
    mistakes = Mistakes()
    found = read_plug_in("datasets", {**named, **options}, ("data",), mistakes)
    if mistakes.found:
        raise UserError(*(f"{'.'.join(one.place)}: {one.text}" for one in mistakes.found))
    if plugins.is_path(found.name):
        plugins.allow_named(found.name)
    return found


def _named(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The name of the data set and its path, if it has one."""
    if not os.path.lexists(path) and "name" not in options:
        names = plugins.names("datasets")
        if path in names:
            if "path" not in options and any(one.name == "path" for one in plugins.options("datasets", path)):
                raise UserError(f"data.path: is missing: write `conclus data FILE --set name={path}`")
            return {"name": path}
        if (file := find_named(path)) is not None:
            return {"name": "file", "path": str(file)}
        for name in names:
            for option in plugins.options("datasets", name):
                if option.name == "table" and path in get_args(option.type):
                    right = f"conclus data {name} --set table={path}"
                    raise UserError(f"{path}: there is no such file or folder; it is a table of {name}: {right}")
        # A path has a point or a slash.
        if path.isidentifier() and (near := did_you_mean(path, [*names, *known_names()])):
            raise UserError(f"{path}: there is no such file, folder or data set{near}")
    return {"name": "file", "path": path}
