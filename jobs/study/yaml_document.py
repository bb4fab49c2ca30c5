"""Reads YAML with the line of every key and the types of YAML 1.2: `1e-3` is a number, `no` is a text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import yaml

from core.errors import UserError
from core.seal import is_sealed_text

if TYPE_CHECKING:
    from jobs.results.storage import File

Place = tuple[str, ...]

LARGEST = 2**20
"""The most bytes of a study file."""
DEEPEST = 50
"""The most nested levels of mappings and lists, with aliases resolved."""
MOST = 100_000
"""The most values in a study file, with aliases resolved: a few nested aliases can make billions."""
_LONGEST_NUMBER = 100

# The core schema of YAML 1.2; PyYAML itself follows YAML 1.1 (`on`, `1_000`, `12:30`, and `1e-3` as a text).
_SCALARS = {
    "null": (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    "int": (re.compile(r"[-+]?[0-9]+"), int),
    "float": (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    "special": (
        re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        lambda text: float(text.replace(".", "")),
    ),
}


@dataclass
class Document:
    """Plain values, and for each place in them the origin for messages (`file:line`, or an option)."""

    value: Any
    origins: dict[Place, str] = field(default_factory=dict[Place, str])
    count: int = 0

    def origin(self, place: Place) -> str:
        """The origin of a place, or of the nearest enclosing place that has one."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.origins:
                return self.origins[place[:length]]
        return ""

    def told(self, place: Place, text: str) -> str:
        """The message of a mistake: its origin, its key, and what is wrong."""
        return f"{self.origin(place)}: {'.'.join(place)}: {text}"


def load(path: File | Path, what: str = "study file") -> Document:
    """Reads a study file, or another file in YAML, which `what` names in messages.

    Raises:
        UserError: as in `read`; or the file cannot be read, or conclus wrote it and it was damaged or edited since.
    """
    from jobs.results.storage import read_regular, reason

    try:
        content = read_regular(path, LARGEST)
        is_sealed_text(content)
        text = content.decode()
    except OSError as error:
        raise UserError(f"{path}: the {what} cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the {what} cannot be read: it is not UTF-8 text") from error
    except ValueError as error:
        raise UserError(
            f"{path}: {error}: restore it from a copy, or delete its first line if it was you who edited it"
        ) from error
    return read(text, str(path))


def of(value: Any, name: str) -> Document:
    """A document of values that Python holds: mappings, lists, tuples, texts, numbers of Python and numpy, paths.

    Raises:
        UserError: it holds something else, is nested too deep, or a key is no text; the message has the key.
    """
    return Document(_plain(value, (), name), {(): name})


def _plain(value: Any, place: Place, name: str) -> Any:
    if len(place) > DEEPEST:
        raise UserError(f"{name}: nested deeper than {DEEPEST} levels, or a value that holds itself")
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise UserError(f"{name}: {'.'.join((*place, repr(wrong[0])))}: a key must be a text")
        return {key: _plain(one, (*place, key), name) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, (*place, str(i)), name) for i, one in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or type(value) in {bool, int, float, str}:
        return value
    if (convert := getattr(value, "tolist", None)) is not None:  # numpy's numbers and arrays
        return convert()
    kind = type(value).__name__
    raise UserError(
        f"{name}: {'.'.join(place)}: a {kind} cannot stand in a study: write numbers, texts, lists or mappings"
    )


class _Loader(yaml.SafeLoader):
    """Composes nodes, and stops before they nest too deep for Python's stack."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read(text: str, name: str) -> Document:
    """Parses one YAML document.

    Raises:
        UserError: it is not YAML, is too large or nested too deep, or has a key twice; the message has file and line.
    """
    try:
        node = _Loader(text).get_single_node()
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(_syntax_message(error, name)) from error
    document = Document(None)
    document.origins[()] = f"{name}:1"
    document.value = _value(node, (), document, name)
    return document


def parse_value(text: str, key: str) -> Any:
    """The value of a single YAML expression: the text after `--set key=`. A lone comma is the text ",".

    Raises:
        UserError: it is not YAML.
    """
    if text.strip() == ",":
        return ","
    given = f"--set {key}={text}"
    try:
        return read(text, given).value
    except UserError as error:
        if not isinstance(error.__cause__, (yaml.YAMLError, ValueError)):
            raise
        problem = _problem(error.__cause__)
        raise UserError(
            f"{given}: the value is not valid YAML ({problem}): write a text in quotes, as --set '{key}=\"text\"'"
        ) from error


def _syntax_message(error: Exception, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    return f"{name}{line}: not valid YAML: {_problem(error)}"


def _problem(error: BaseException) -> str:
    return getattr(error, "problem", None) or str(error).partition("\n")[0]


def _value(node: Any, place: Place, document: Document, name: str) -> Any:
    _bound(node, place, document, name)
    if node is not None and node.tag not in _STANDARD_TAGS:
        raise UserError(f"{name}:{node.start_mark.line + 1}: the tag {node.tag} is not allowed in a study file")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, document, name)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, str(i)), document, name) for i, item in enumerate(node.value)]
    return None if node is None else _scalar(node, name)


def _bound(node: Any, place: Place, document: Document, name: str) -> None:
    """Counts a value before it is built and checks its depth, because an alias may contain itself."""
    document.count += 1
    if document.count > MOST:
        raise UserError(f"{name}: it has more than {MOST:,} values, counting aliases")
    if len(place) > DEEPEST:
        line = node.start_mark.line + 1
        raise UserError(f"{name}:{line}: nested deeper than {DEEPEST} levels, or an alias inside its own value")


def _mapping(node: yaml.MappingNode, place: Place, document: Document, name: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = f"{name}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise UserError(f"{line}: a key must be a plain word")
        key = key_node.value
        if key in mapping:
            raise UserError(f"{line}: {'.'.join((*place, key))}: this key is given twice; keep one")
        document.origins[(*place, key)] = line
        mapping[key] = _value(value_node, (*place, key), document, name)
    return mapping


def _scalar(node: yaml.ScalarNode, name: str) -> Any:
    if node.style is not None:  # a quoted or block scalar is a text
        return node.value
    for kind, (pattern, make) in _SCALARS.items():
        if pattern.fullmatch(node.value):
            if len(node.value) > _LONGEST_NUMBER or (kind == "float" and math.isinf(float(node.value))):
                line = f"{name}:{node.start_mark.line + 1}"
                raise UserError(f"{line}: the number {node.value[:20]}… is too large or too long")
            return make(node.value)
    return node.value


_STANDARD_TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq")
}


class _Writer(yaml.SafeDumper):
    """Quotes texts that PyYAML would leave bare but `read` would not read as text, such as 1e-3."""


def _represent_text(writer: _Writer, text: str) -> yaml.Node:
    plain = any(pattern.fullmatch(text) for pattern, _ in _SCALARS.values())
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style="'" if plain else None)


_Writer.add_representer(str, _represent_text)


def write(value: Any) -> str:
    """Plain values as YAML that `read` reads back unchanged, with short lists on one line and keys in order."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
