# ruff: noqa: RUF001 - the signs that people write: full-width, Greek, dashes
"""Reads Markdown: pipe tables, the bold `**name:** value` lines and titles above them, and what is below one row."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from core.errors import UserError
from jobs.ledger import latex
from jobs.ledger.table import BELOW, IMAGE, SECTION, Heading, Table, TextRow

_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")
_BREAK = re.compile(r"\s*([-*_])(\s*\1){2,}\s*")
_FENCE = re.compile(r"\s*(```|~~~)")
_TITLE = re.compile(r"\s*#{1,6}\s+(.*?)\s*#*\s*")
_PAIR = re.compile(r"\s*(?:\*\*|__)\s*([^:：*|]{1,60}?)\s*(?:[:：]\s*(?:\*\*|__)|(?:\*\*|__)\s*[:：])\s*(.*?)\s*")
_PIPE = re.compile(r"(?<!\\)\|")
_MARKS = [
    (re.compile(r"<br\s*/?>", re.IGNORECASE), " "),
    (re.compile(r"</?(b|strong|i|em|sub|sup|u|code)>", re.IGNORECASE), ""),
    (re.compile(r"\*\*(.+?)\*\*"), r"\1"),
    (re.compile(r"(?<!\w)__(.+?)__(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w*])\*([^*]+)\*(?![\w*])"), r"\1"),
    (re.compile(r"`([^`]+)`"), r"\1"),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
]
_IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]*)\)")
_LONGEST = 10_000
_MOST_BELOW = 20
_MATH = re.compile(r"\$([^$]+)\$")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|~<>$%&:@])")
# Escaped signs are replaced by private characters, which no text contains, while markup is removed.
_ASIDE = 0xF000
_BACK = {_ASIDE + code: code for code in range(128)}


def is_rule(line: str) -> bool:
    """Whether the line is the rule between a table's header and its rows."""
    return "|" in line and bool(_RULE.fullmatch(line))


def tables(lines: Sequence[str], source: str) -> list[Table]:
    """The tables of a document in order, except those inside code fences.

    Raises:
        UserError: A line is too long.
    """
    for number, line in enumerate(lines, 1):
        if len(line) > _LONGEST:
            raise UserError(f"{source}:{number}: the line has more than {_LONGEST} characters, too many for a table.")
    found: list[Table] = []
    pairs: list[Heading] = []
    section: list[Heading] = []
    fenced = is_entry = False
    at = 0
    while at < len(lines):
        line = lines[at]
        fenced ^= bool(_FENCE.match(line))
        if not fenced and "|" in line and at + 1 < len(lines) and is_rule(lines[at + 1]):
            end = _end(lines, at + 2)
            found.append(_table(lines, at, end, source, (*section, *pairs)))
            pairs, at, is_entry = [], end, len(found[-1].rows) == 1
            continue
        if title := _TITLE.fullmatch(line):
            section, pairs = [Heading(SECTION, plain(title[1]), at + 1)], []
            is_entry = False
        elif _BREAK.fullmatch(line):
            pairs, is_entry = [], False
        elif (pair := _PAIR.fullmatch(line)) and pair[2]:
            pairs, is_entry = [*pairs, Heading(plain(pair[1]), plain(pair[2]), at + 1)], False
        elif is_entry and not fenced:
            found[-1] = _with_line(found[-1], line, at + 1)
        at += 1
    return found


def plain(cell: str) -> str:
    """The cell without its markup."""
    cell = _ESCAPE.sub(lambda found: chr(_ASIDE + ord(found[1])), cell.strip())
    cell = _MATH.sub(_math, cell)
    for pattern, kept in _MARKS:
        cell = pattern.sub(kept, cell)
    return cell.translate(_BACK).strip()


def _math(found: re.Match[str]) -> str:
    """The text of a formula between dollars; unchanged if it has an unknown command."""
    try:
        return latex.plain(found[1])
    except ValueError:
        return found[0]


def _end(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and "|" in lines[at]:
        at += 1
    return at


def _table(lines: Sequence[str], start: int, end: int, source: str, headings: tuple[Heading, ...]) -> Table:
    rows = [TextRow(at + 1, _cells(lines[at])) for at in (start, *range(start + 2, end))]
    return Table(source, rows[0], tuple(rows[1:]), headings)


def _with_line(table: Table, line: str, number: int) -> Table:
    """The table of one row with one more line below it."""
    found = [Heading(IMAGE, address, number) for address in _IMAGE.findall(line)]
    found += [Heading(BELOW, text, number)] if (text := plain(_IMAGE.sub("", line))) else []
    kept = [one for one in found if one.name not in table.header.cells]
    return dataclasses.replace(table, below=(*table.below, *kept)[:_MOST_BELOW])


def _cells(line: str) -> tuple[str, ...]:
    text = line.strip().removeprefix("|")
    if text.endswith("|") and not text.endswith("\\|"):
        text = text[:-1]
    return tuple(plain(cell) for cell in _PIPE.split(text))
