"""`conclus methods`: the plug-ins and sections that a study file may use, and their options."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, get_args

import click

from core.errors import UserError
from jobs.present.output import wrapped

if TYPE_CHECKING:
    from core.config.schema import Option


def _complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The possible words, for completion in the shell."""
    return [one for one in _known() if one.startswith(begun)]


@click.command("methods")
@click.argument("words", nargs=-1, metavar="[KIND] [NAME]", shell_complete=_complete)
def command(words: tuple[str, ...]) -> None:
    """List what a study file may use: methods, losses, views, encoders, data sets, searches and all other sections.

    KIND is a kind of plug-in or a section, as named in a study file: data, encoder, views, method, loss, search,
    optimiser, … With NAME (cc, mlp, the path of a .py file), it lists the options, each with its default, its allowed
    values and its meaning. NAME alone is enough unless it is a path.
    """
    click.echo("\n".join(_lines(words)))


def _lines(words: tuple[str, ...]) -> Iterator[str]:
    from core.config import plugins

    if not words:
        yield from _overview()
    elif len(words) == 1:
        yield from _found(words[0])
    elif len(words) == 2 and (kind := _kind(words[0])):
        yield from _plug_in(kind, words[1])
    else:
        known = ", ".join([*plugins.ENTRY, *_sections()])
        raise UserError(
            f"{' '.join(words)!r}: give a kind and a name, as in `conclus methods losses mse`; kinds: {known}"
        )


def _overview() -> Iterator[str]:
    from core.config import plugins

    for kind in plugins.ENTRY:
        name = "[NAME]" if kind == "trackers" else "NAME"
        yield from [f"{kind}, in a study `{_key(kind)}: {name}`", *_indented(_names(kind)), ""]
    rows = [(key, _summary(section)) for key, section in _sections().items()]
    yield from ["sections, in a study `SECTION: {OPTION: VALUE}`", *_indented(_table(rows))]
    yield from ["", "The options of one: conclus methods NAME"]


def _found(word: str) -> Iterator[str]:
    """The lines for one word: a kind, a section, or every plug-in of that name."""
    from core.config import plugins
    from core.config.schema import did_you_mean

    sections = {key: one for key, one in _sections().items() if word == key or _same(word, key.rpartition(".")[2])}
    owners = [kind for kind in plugins.ENTRY if word.replace("_", "-") in plugins.names(kind)]
    if kind := _kind(word):
        yield from _names(kind)
    elif sections:
        for key, section in sections.items():
            yield from _section(key, section)
    elif owners:
        for place, kind in enumerate(owners):
            yield from [*([""] if place else []), f"{_key(kind)}: {word}", *_plug_in(kind, word)]
    elif plugins.is_path(word):
        raise UserError(f"{word}: say of which kind it is, as in `conclus methods losses FILE.py`")
    else:
        near = did_you_mean(word, _known())
        raise UserError(f"a study file can name no {word!r}{near}; `conclus methods` lists all that it can")


def _same(word: str, name: str) -> bool:
    """Whether a word equals a name, in the singular or the plural."""
    word = word.replace(" ", "").lower()
    return name in {word, f"{word}s", f"{word}es"} or word in {f"{name}s", f"{name}es"}


def _kind(word: str) -> str | None:
    """The kind of plug-in for a word: the kind's name, or its key in a study file; else None."""
    from core.config import plugins

    return next((kind for kind in plugins.ENTRY if any(_same(word, one) for one in (kind, *_keys(kind)))), None)


def _key(kind: str) -> str:
    """The key of a study file that names a plug-in of this kind."""
    return _keys(kind)[-1]


def _keys(kind: str) -> list[str]:
    from jobs.study.keys import plug_in_fields
    from jobs.study.study import TRACK

    fields = [*plug_in_fields(), ("trackers", TRACK)]
    return [one for known, key in fields if known == kind for one in (key, key.rpartition(".")[2])]


def _known() -> list[str]:
    """All possible words, without plurals."""
    from core.config import plugins

    kinds = [one for kind in plugins.ENTRY for one in (kind, *_keys(kind))]
    plug_ins = [one for kind in plugins.ENTRY for one in plugins.names(kind)]
    return [*kinds, *(key.rpartition(".")[2] for key in _sections()), *plug_ins]


def _sections() -> dict[str, Any]:
    """The sections of a study file and of its trial, by their keys."""
    from core.config.trial import TrialConfig, section_options
    from jobs.planning import stages
    from jobs.study import study

    inner = {f"trial.{one.name}": one.type for one in section_options(TrialConfig) if is_dataclass(one.type)}
    return {"trial": TrialConfig, **inner, **study.SECTIONS, "continue_if": stages.Gate}


def _summary(section: Any) -> str:
    """The first line of a section's docstring, and the names that its keys may have."""
    from core.config.trial import section_options

    said = (section.__doc__ or "").partition("\n")[0]
    choices = [f"{one.name}: {', '.join(texts)}" for one in section_options(section) if (texts := _texts(one.type))]
    return f"{said} ({'; '.join(choices)})" if choices else said


def _texts(type_: Any) -> list[str]:
    """The names allowed by a type."""
    return [one for one in get_args(type_) if isinstance(one, str)]


def _names(kind: str) -> list[str]:
    from core.config import plugins
    from core.formats import catalog

    rows = [(one, plugins.summary(kind, one)) for one in plugins.names(kind)]
    if kind == "datasets":
        rows += [(one, "A file in the folder $CONCLUS_DATA.") for one in catalog.known_names()]
    return _table(rows)


def _plug_in(kind: str, name: str) -> list[str]:
    from core.config import plugins

    return [*wrapped(plugins.summary(kind, name), max(40, _columns())), "", *_options(plugins.options(kind, name))]


def _section(key: str, section: Any) -> list[str]:
    from core.config.trial import section_options

    return [f"{key}: {(section.__doc__ or '').partition(chr(10))[0]}", "", *_options(section_options(section))]


def _options(options: Iterable[Option]) -> list[str]:
    """Each option with its default and allowed values, and its meaning below."""
    from core.config.schema import describe

    options = list(options)
    width = max((len(one.name) for one in options), default=0)
    lines: list[str] = []
    for one in options:
        if is_dataclass(one.type):
            lines.append(f"{one.name:{width}}  (a section: conclus methods {one.name})")
        else:
            lines.append(f"{one.name:{width}}  {_default(one)}  ({describe(one.type)})")
        lines += _indented(wrapped(one.description, max(40, _columns() - 4)), 4)
    return lines or ["no options"]


def _default(option: Option) -> str:
    """The option's default as written in a study file."""
    import json

    from core.config.schema import PlugIn

    if option.required:
        return "required"
    return json.dumps(option.default.name if isinstance(option.default, PlugIn) else option.default)


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _indented(lines: Iterable[str], by: int = 2) -> list[str]:
    return [" " * by + line for line in lines]


def _table(rows: list[tuple[str, str]]) -> list[str]:
    """Names and their descriptions in two columns."""
    width = max(len(name) for name, _ in rows)
    room = max(20, _columns() - width - 4)
    lines: list[str] = []
    for name, text in rows:
        first, *rest = wrapped(text, room)
        lines += [f"{name:{width}}  {first}", *(" " * (width + 2) + line for line in rest)]
    return lines
