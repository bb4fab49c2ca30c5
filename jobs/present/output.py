"""Output of commands: text, files, remarks and warnings."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click

from core.errors import UserError
from jobs.present.visible import one_line, visible

PARQUET = ".parquet"
_SUFFIXES = {".csv": "csv", ".md": "markdown", ".tex": "latex", ".json": "json"}
_SHOWN_WARNINGS = 5
_BRACKET = re.compile(r"\([^()]{1,24}\)")
_HELD = "\0"
"""A space at which no line is broken."""
_standing: list[Callable[[str], None]] = []
"""What prints a line while something that is drawn again and again stands on the terminal; the last one counts."""


def deliver(text: str, out: Path | None) -> None:
    """Prints the text, or writes it to the file `out` and prints its name."""
    if out is None:
        click.echo(text, nl=False)
        return
    from jobs.results.storage import put

    put(out, visible(text).encode())
    say(f"Wrote {out}.")


def say(sentence: str) -> None:
    """One sentence, on standard output: names in it make no second one."""
    click.echo(fitted(one_line(sentence), sys.stdout))


def fitted(line: str, stream: TextIO) -> str:
    """The line, broken between words where a terminal has no room for it; a file or a pipe gets it whole.

    The lines that follow are indented. A command at its end stays on one line, so that it can be copied.
    """
    if not stream.isatty():
        return line
    room = width()
    head, colon, command = line.rpartition(": conclus ")
    indent = line[: len(line) - len(line.lstrip())] + "  "
    if len(line) <= room:
        return line
    parts = wrapped(f"{head}:" if colon else line, room, indent)
    return "\n".join([*parts, f"{indent}conclus {command}"] if colon else parts)


def wrapped(text: str, columns: int, indent: str = "") -> list[str]:
    """The text in lines broken between words, never within one, a short bracket or at a hyphen.

    The lines after the first are indented.
    """
    held = _BRACKET.sub(lambda found: found[0].replace(" ", _HELD) if 2 * len(found[0]) <= columns else found[0], text)
    lines = textwrap.wrap(held, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_HELD, " ") for line in lines] or [""]


def format_of(out: Path | None, fmt: str) -> str:
    """The format given by a file's ending, or `fmt` if there is no file.

    Raises:
        UserError: The ending is not known.
    """
    if out is None:
        return fmt
    if out.suffix not in _SUFFIXES:
        raise UserError(f"--out {str(out)!r} should end in one of {', '.join([*_SUFFIXES, PARQUET])}.")
    return _SUFFIXES[out.suffix]


def remark(sentences: Iterable[str]) -> None:
    """Prints sentences on standard error, so that a table for a machine stays clean."""
    for sentence in sentences:
        if _standing:
            _standing[-1](sentence)
        else:
            click.echo(fitted(one_line(sentence), sys.stderr), err=True)


@contextlib.contextmanager
def remarks_by(say: Callable[[str], None]) -> Generator[None]:
    """Within the with-block `say` prints the remarks of all threads: it first removes what stands on the terminal."""
    _standing.append(say)
    try:
        yield
    finally:
        _standing.remove(say)


def warn(skipped: Sequence[str]) -> None:
    """Prints warnings about skipped files on standard error, only the first few in full."""
    remark(f"Warning: {sentence}" for sentence in skipped[:_SHOWN_WARNINGS])
    if len(skipped) > _SHOWN_WARNINGS:
        remark([f"Warning: {len(skipped) - _SHOWN_WARNINGS} more files are skipped."])


def made() -> str:
    """The sentence on the program and the time that made a page."""
    import conclus

    return f"Made by conclus {conclus.__version__} on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}."


def width() -> int:
    """Characters of the terminal's lines."""
    return shutil.get_terminal_size().columns
