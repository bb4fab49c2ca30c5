"""Output of commands: text, files, remarks and warnings."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import click

from core.errors import UserError
from jobs.present.visible import one_line, visible

PARQUET = ".parquet"
_SUFFIXES = {".csv": "csv", ".md": "markdown", ".tex": "latex", ".json": "json"}
_SHOWN_WARNINGS = 5


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
    click.echo(one_line(sentence))


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
        click.echo(one_line(sentence), err=True)


def warn(skipped: Sequence[str]) -> None:
    """Prints warnings about skipped files on standard error, only the first few in full."""
    remark(f"Warning: {sentence}" for sentence in skipped[:_SHOWN_WARNINGS])
    if len(skipped) > _SHOWN_WARNINGS:
        click.echo(f"Warning: {len(skipped) - _SHOWN_WARNINGS} more files are skipped.", err=True)


def made() -> str:
    """The sentence on the program and the time that made a page."""
    import conclus

    return f"Made by conclus {conclus.__version__} on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}."


def width() -> int:
    """Characters of the terminal's lines."""
    return shutil.get_terminal_size().columns
