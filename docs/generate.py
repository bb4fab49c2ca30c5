"""Writes docs/reference from the program: commands, options of plug-ins, keys of a study, rules, the Python API.

Run: uv run python docs/generate.py. A test fails when a page is not what this makes.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import click

import conclus
from core.config import plugins, trial
from core.config.schema import describe, plug_in_kind
from core.data.dataset import Dataset
from core.evaluation.rules import RULES
from core.training.method import Batch, Encoder, Method, Outputs, Setting, Views
from jobs.conclusions.clusters import Clusters
from jobs.conclusions.proposal import NextStudy
from jobs.conclusions.results import Results
from jobs.conclusions.shown import Shown
from jobs.planning import stages
from jobs.study import study

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py: edit the program, then run it. -->\n"
# What a plug-in of one's own derives from or gets, beside the names that `conclus` itself offers.
BASES = (Method, Encoder, Views, Batch, Setting, Outputs, Dataset)
# What `conclus.open` gives, and what that answers with.
ANSWERS = (Results, Shown, NextStudy, Clusters)
_SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Warns", "Examples")
_HEADING = re.compile(rf"({'|'.join(_SECTIONS)}):")
_ENTRY = re.compile(r"    (\w+): (.*)")


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    made = {
        "commands.md": commands(),
        "plug-ins.md": plug_ins(),
        "study-file.md": study_file(),
        "python.md": python(),
        "health-rules.md": health_rules(),
    }
    return {name: text.rstrip() + "\n" for name, text in made.items()}


# Commands


def commands() -> str:
    """Every command with its help, as `--help` prints it."""
    root = click.Context(conclus.cli, info_name="conclus", terminal_width=88, **conclus.cli.context_settings)
    shown = (f"## {one.command_path}\n\n```text\n{one.get_help()}\n```\n" for one in _below(root))
    return "\n".join([f"# Commands\n\n{NOTE}", *shown])


def _below(context: click.Context) -> Iterator[click.Context]:
    """The context of each command below that of a group, in depth."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        if command := group.get_command(context, name):
            own = click.Context(command, info_name=name, parent=context)
            yield own
            yield from _below(own)


# Plug-ins


def plug_ins() -> str:
    """Every plug-in of each kind: what it is, and its options."""
    parts = [f"# Plug-ins\n\n{NOTE}\nWhat a study file may name, and the options of each.\n"]
    for kind in ("methods", "encoders", "views", "losses", "datasets", "trackers"):
        parts.append(f"## {kind.capitalize()}\n")
        for name in plugins.names(kind):
            text = ast.get_docstring(ast.parse(plugins.source(kind, name).read_text(encoding="utf-8"))) or ""
            parts += [f"### {name}\n", markdown(text) + "\n", *_options(kind, name)]
    return "\n".join(parts)


def _options(kind: str, name: str) -> list[str]:
    found = plugins.options(kind, name)
    if not found:
        return ["No options.\n"]
    told = descriptions(kind, name)
    rows = [
        (f"`{one.name}`", "required" if one.required else _code(one.default), describe(one.type), told[one.name])
        for one in found
    ]
    return [_table(("option", "default", "what is allowed", "what it does"), rows)]


def descriptions(kind: str, name: str) -> dict[str, str]:
    """What a plug-in's docstring says of each of its options.

    Raises:
        KeyError: it says nothing of one.
    """
    tree = ast.parse(plugins.source(kind, name).read_text(encoding="utf-8"))
    (entry,) = (one for one in tree.body if getattr(one, "name", None) == plugins.ENTRY[kind])
    if isinstance(entry, ast.ClassDef):
        entry = next(one for one in entry.body if getattr(one, "name", None) == "__init__")
    text = ast.get_docstring(entry) if isinstance(entry, ast.FunctionDef) else None
    said = _entries(_sections(text or "").get("Args", []))
    return {one.name: said[one.name] for one in plugins.options(kind, name)}


# The study file


def study_file() -> str:
    """Every key of a study file, with its default."""
    about = """[The study file](../study-file.md) tells how they are used. At the top stand `study` (its name),
`trial`, `space`, `seeds`, `stages`, `track` (a list of [trackers](../trackers.md)), and the sections below.
`study` and `trial.data` are needed.
"""
    parts = [
        f"# Keys of a study file\n\n{NOTE}",
        about,
        "## `trial`\n",
        _keys(trial.TrialConfig),
    ]
    parts += _nested("trial", trial.TrialConfig)
    for name, kind in study.SECTIONS.items():
        parts += [f"## `{name}`\n", _keys(kind)]
    parts += ["## `continue_if`, of a stage\n", _keys(stages.Gate)]
    return "\n".join(parts)


def _nested(prefix: str, kind: Any) -> list[str]:
    hints = typing.get_type_hints(kind, include_extras=True)
    found = [(one.name, hints[one.name]) for one in fields(kind) if is_dataclass(hints[one.name])]
    return [part for name, inner in found for part in (f"## `{prefix}.{name}`\n", _keys(inner))]


def _keys(kind: Any) -> str:
    hints = typing.get_type_hints(kind, include_extras=True)
    rows = [(f"`{one.name}`", _default(one), _allowed(hints[one.name])) for one in fields(kind)]
    return f"{markdown(inspect.getdoc(kind) or '')}\n\n{_table(('key', 'default', 'what is allowed'), rows)}"


def _default(one: Any) -> str:
    if one.default is MISSING:
        return "required"
    if is_dataclass(one.default):
        name = getattr(one.default, "name", None)
        return _code(name) if plug_in_kind(one.type) or hasattr(one.default, "options") else "see below"
    return _code(one.default)


def _allowed(hint: Any) -> str:
    if is_dataclass(hint):
        return "a mapping, see below"
    if kind := plug_in_kind(hint):
        return f"one of the {kind} by name, or a mapping of its name and options"
    return describe(hint)


# Health


def health_rules() -> str:
    """The table of rules by which trials are judged, and what to change."""
    about = "[Health of trials](../health.md) tells how they are applied, and what the signals mean.\n"
    head = ("code", "what it means", "signals and bound", "window", "from", "looks at", "source of the bound", "change")
    looks = {"now": "the last epochs", "start": "the first epochs", "ever": "all epochs"}
    rows = [
        (
            f"`{one.code}`",
            one.why,
            f"`{one.bound}`",
            str(one.window),
            f"{one.after:.0%}",
            looks[one.when],
            one.source,
            "; ".join(map(str, one.change)),
        )
        for one in RULES
    ]
    return "\n".join([f"# Rules of health\n\n{NOTE}", about, _table(head, rows)])


# Python


def python() -> str:
    """What `import conclus` offers, and what plug-ins are made of."""
    parts = [f"# Python\n\n{NOTE}\n## `import conclus`\n"]
    for name in conclus.PUBLIC:
        thing = getattr(conclus, name)
        parts += [f"### `conclus.{name}`\n", _call(name, thing), _documented(thing)]
    parts += ["## What `conclus.open` gives\n", "[From Python](../from-python.md) has an example of each.\n"]
    for thing in ANSWERS:
        parts += [f"### `{thing.__name__}`\n", _documented(thing)]
    parts += ["## For plug-ins\n", "[Plug-ins](../plug-ins.md) has an example of each kind.\n"]
    for thing in BASES:
        call = [_call(thing.__name__, thing)] if is_dataclass(thing) else []
        parts += [f"### `{thing.__module__}.{thing.__name__}`\n", *call, _documented(thing)]
    return "\n".join(parts)


def _call(name: str, thing: Any) -> str:
    return f"```python\n{_signature(name, thing)}\n```\n"


def _documented(thing: Any) -> str:
    parts = [markdown(inspect.getdoc(thing) or "") + "\n"]
    if inspect.isclass(thing):
        parts += [_member(own, one) for own, one in vars(thing).items() if _is_public_method(own, one)]
    return "\n".join(parts)


def _is_public_method(name: str, thing: Any) -> bool:
    return inspect.isfunction(thing) and (not name.startswith("_") or name == "__call__") and bool(thing.__doc__)


def _member(name: str, thing: Any) -> str:
    return f"#### `{_signature(name, thing, lines=False)}`\n\n{markdown(inspect.getdoc(thing) or '')}\n"


def _signature(name: str, thing: Any, *, lines: bool = True) -> str:
    """The call as its source has it: annotations as they are written, one parameter a line if asked for."""
    found = inspect.signature(thing)
    shown: list[str] = []
    star = False
    for one in found.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        if one.name != "self":
            shown.append(_parameter(one))
    returns = found.return_annotation
    result = "" if returns is found.empty or inspect.isclass(thing) else f" -> {_annotation(returns)}"
    if not lines or not shown:
        return f"{name}({', '.join(shown)}){result}"
    return f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){result}"


def _parameter(one: inspect.Parameter) -> str:
    """As its source has it; `str` of one puts annotations that were not evaluated between quotes."""
    annotation = "" if one.annotation is one.empty else f": {_annotation(one.annotation)}"
    default = "" if one.default is one.empty else f"{' = ' if annotation else '='}{_value(one.default)}"
    return f"{one.name}{annotation}{default}"


def _annotation(hint: Any) -> str:
    """As its source has it, whether or not the module evaluates annotations."""
    return hint if isinstance(hint, str) else inspect.formatannotation(hint, "collections.abc")


def _value(default: Any) -> str:
    """A default; a new mapping for each call has no text of its own."""
    return "{}" if repr(default) == "<factory>" else repr(default)


# Text


def markdown(docstring: str) -> str:
    """A docstring of Google's form as Markdown."""
    found = _sections(docstring)
    parts = ["\n".join(found.pop("", [])).strip()]
    for heading, lines in found.items():
        if heading == "Examples":
            parts.append("```pycon\n" + "\n".join(line[4:] for line in lines).strip() + "\n```")
        elif entries := _entries(lines):
            listed = "\n".join(f"- `{name}`: {text}" for name, text in entries.items())
            parts.append(f"**{heading}**\n\n{listed}")
        else:
            parts.append(f"**{heading}**: " + " ".join(line.strip() for line in lines).strip())
    return "\n\n".join(part for part in parts if part)


def _sections(docstring: str) -> dict[str, list[str]]:
    """The lines below each heading; those before the first under an empty one."""
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for line in docstring.splitlines():
        if match := _HEADING.fullmatch(line):
            heading = match[1]
            found[heading] = []
        else:
            found[heading].append(line)
    return found


def _entries(lines: list[str]) -> dict[str, str]:
    """`    name: text` by name, lines that go on joined."""
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        if match := _ENTRY.fullmatch(line):
            name = match[1]
            found[name] = match[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _code(value: Any) -> str:
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def main() -> None:
    """Writes all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
