"""Reads the tables of a file in any supported format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from jobs.ledger import delimited, excel, latex, markdown
from jobs.ledger.table import RawColumn, Table

_MARKDOWN = (".md", ".markdown")
_LATEX = (".tex",)
_DELIMITED = (".csv", ".tsv")
_EXCEL = (".xlsx", ".xlsm")
_TEXT = (".txt",)
SUFFIXES = (*_MARKDOWN, *_DELIMITED, *_LATEX, *_EXCEL, *_TEXT)
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# A UTF-8 lead byte and a following one, both shown as if they were Latin-1 or Windows-1252 letters: æ—¥ for 日.
_DAMAGED = re.compile(
    "[\u00c2-\u00f4](?:[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122])"
)
_MOST_BYTES = 32 * 2**20
_LOST = "\ufffd"
# Remains of letters that lost a byte and cannot be repaired.
_RESIDUE = re.compile(
    "[\u0080-\u00a6\u00a8-\u00af\u00b4\u00b6\u00b8-\u00d6\u00d8-\u00ff"
    "\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u201a\u201e\u2020-\u2022\u2030\u2039\u203a\u20ac\u2122]"
)


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file.

    Attributes:
        name: The file's name without its folder.
        digest: A hash of its bytes.
        tables: All of its tables.
        repaired: Numbers of the lines that a wrong encoding had damaged; U+FFFD marks letters that stay lost.
    """

    name: str
    digest: str
    tables: list[Table]
    repaired: frozenset[int]


def read(path: Path, *, sheet: str | None = None, encoding: str = "utf-8") -> Content:
    """The tables of a Markdown, CSV, TSV, LaTeX, Excel or text file.

    Args:
        path: The file; the format of a `.txt` file is found from its content.
        sheet: The sheet of a workbook, by default the first.
        encoding: The encoding of a text file without a byte-order mark.

    Raises:
        UserError: The file cannot be read, is of another kind, or has no table.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path.name}: the file must end in one of {', '.join(SUFFIXES)}.")
    data = _bytes(path)
    repaired: set[int] = set()
    if suffix in _EXCEL:
        tables = excel.tables(path, sheet)
    elif sheet is not None:
        raise UserError(f"--sheet is for Excel workbooks, and {path.name} is not one.")
    else:
        original = _text(data, path.name, encoding).splitlines()
        lines = [_repaired(line) for line in original]
        repaired = {i for i, (old, new) in enumerate(zip(original, lines, strict=True), 1) if old != new}
        tables = _reader(suffix, lines)(lines, path.name)
    if not tables:
        raise UserError(f"{path.name} has no table: {_expected(suffix)} is needed.")
    return Content(path.name, hashlib.sha256(data).hexdigest()[:16], tables, frozenset(repaired))


def refuse_damaged(columns: Sequence[RawColumn], source: str, header_line: int) -> None:
    """Refuses text that a wrong encoding has damaged beyond repair.

    Raises:
        UserError: There is such text; the message names the line.
    """
    cells = [(header_line, column.header) for column in columns] + [cell for column in columns for cell in column]
    for line, text in cells:
        if _LOST in text:
            raise UserError(
                f"{source}:{line}: {text!r} is damaged by a wrong encoding and cannot be repaired: type it again."
            )


def _bytes(path: Path) -> bytes:
    """The bytes of a regular file that is no larger than `_MOST_BYTES`."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: this is not a regular file.")
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read: {error.strerror}.") from error
    if len(data) > _MOST_BYTES:
        raise UserError(f"{path.name} has more than {_MOST_BYTES >> 20} MiB, too many for a table of results.")
    return data


def _text(data: bytes, name: str, encoding: str) -> str:
    encoding = next((own for mark, own in _BOMS.items() if data.startswith(mark)), encoding)
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise UserError(f"There is no encoding {encoding!r}: write utf-8, gb18030, big5, latin-1, …") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{name}:{line}: this is not {encoding} text: save the file as UTF-8, or name its encoding, such as "
            "--encoding gb18030."
        ) from error
    if "\0" in text:
        raise UserError(f"{name}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: this is not a text file.")
    return text


def _repaired(line: str) -> str:
    if not _DAMAGED.search(line):
        return line
    try:
        import ftfy
    except ImportError as error:
        raise UserError(
            f"Text damaged by a wrong encoding ({line[:20]!r}…) needs: uv sync --extra import --inexact --no-dev"
        ) from error
    return _RESIDUE.sub(_LOST, ftfy.fix_encoding(line))


def _reader(suffix: str, lines: Sequence[str]) -> Callable[[Sequence[str], str], list[Table]]:
    if suffix in _LATEX or (suffix in _TEXT and any(r"\begin{tab" in line for line in lines)):
        return _latex
    if suffix in _MARKDOWN or (suffix in _TEXT and any(markdown.is_rule(line[:1000]) for line in lines)):
        return markdown.tables
    return delimited.tables


def _latex(lines: Sequence[str], source: str) -> list[Table]:
    return latex.tables("\n".join(lines), source)


def _expected(suffix: str) -> str:
    if suffix in _LATEX:
        return r"a tabular environment"
    if suffix in _EXCEL:
        return "a sheet with a row of names and rows below it"
    return "a row of names between bars, a row of dashes (| --- | --- |) and rows of cells"
