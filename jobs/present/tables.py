"""Tables as text: for the terminal, Markdown, LaTeX, CSV and JSON, and as HTML for notebooks."""

import csv
import html
import io
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

from core.errors import UserError
from jobs.present.visible import bounded, csv_text, json_text, literal, one_line, visible

FORMATS = ("table", "markdown", "csv", "json", "latex")
"""What commands write; `html` is for notebooks."""
_GAP = "  "
_UNEVEN = re.compile(r"(?<=\d) -([\d.]+(?:e\+\d+)?) \+([\d.]+(?:e\+\d+)?)$")
"""An interval whose ends are not equally far from the mean: `0.968 -0.041 +0.018`."""
_WORDS = re.compile(r" (?=[^\W\d_]|\()")
"""Where a text may be broken: before a word, never within a score and its interval."""
_WIDE = "\u1100"
"""The first character that is two columns wide."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: Its head.
        right: Whether cells are aligned right, as for numbers.
        drop: If the terminal is too narrow, columns with the largest number are dropped first; 0 is always kept.
        strong: Whether the cells of the bold rows are bold.
    """

    name: str
    right: bool = True
    drop: int = 0
    strong: bool = False


Cells = list[list[str]]
Bold = Collection[int | tuple[int, int]]
"""What is bold: rows, in which it is the `strong` cells, and single cells by row and column."""


def amount(number: float) -> str:
    """A number of hours or of money with three digits: `0.00123`, `3.2`, `12,345`."""
    return f"{number:,.0f}" if 100 <= number < 1e9 else f"{number:.3g}" if number >= 1e-4 else "under 0.0001"


def duration(seconds: float) -> str:
    """Seconds in words: `40 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90 * 60:
        return f"{math.ceil(seconds)} s" if seconds < 90 else f"{math.ceil(seconds / 60)} min"
    hours = seconds / 3600
    return f"{int(hours)} h {int(seconds % 3600 // 60):02d} min" if seconds < 1e9 else f"{hours:.3g} h"


def render(
    columns: Sequence[Column | str],
    rows: Sequence[Sequence[Any]],
    fmt: str,
    *,
    width: int | None = None,
    bold: Bold = (),
) -> str:
    """The table as text that ends in a newline.

    Args:
        columns: Names, or columns with their layout.
        rows: Cells of any plain type; None is an empty cell. CSV and JSON keep every digit.
        fmt: One of `FORMATS`, or `html`.
        width: Characters per line of the terminal; only `table` uses it. Where there is no room, columns are dropped,
            then heads and texts folded into lines, and then columns shown in several tables; cells are never cut.
        bold: What is bold in Markdown, LaTeX and HTML: indices of rows, whose `strong` cells are, or of single cells.

    Raises:
        UserError: There is no such format.
    """
    described = [column if isinstance(column, Column) else Column(column) for column in columns]
    if fmt == "csv":
        return _csv(described, rows)
    if fmt == "json":
        return _json(described, rows)
    described = [replace(column, name=one_line(column.name)) for column in described]
    if fmt not in {"table", *_TEXTS}:
        raise UserError(f"There is no format {fmt!r}: write one of {', '.join(FORMATS)}.")
    cells = [[cell_text(value) for value in row] for row in rows]
    if fmt == "table":
        return "\n".join(_terminal(*part) for part in _fitting(described, cells, width))
    return _TEXTS[fmt](described, cells, bold)


def room_for(columns: Sequence[Column], rows: Sequence[Sequence[Any]], width: int) -> list[int] | None:
    """The columns that there is room for without folding texts or showing parts; None for no such columns."""
    return _roomy(columns, [[cell_text(value) for value in row] for row in rows], width)[1]


def numbers(values: Sequence[Any]) -> list[Any]:
    """A column's numbers with the fewest digits, at least four, that keep different values different."""
    found = {value for value in values if _is_number(value)}
    digits = next((n for n in range(4, 17) if len({_short(v, n) for v in found}) == len(found)), 17)
    return [_short(value, digits) if _is_number(value) else value for value in values]


def cell_text(value: Any) -> str:
    """A value for people: numbers to four digits, times in the local time zone."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return _clock(value)
    return _short(value, 4) if _is_number(value) else visible(bounded(" ".join(str(value).split())))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: float, digits: int) -> str:
    if math.isfinite(value) and value == int(value) and abs(value) < 1e10:  # Seeds, of 32 bits, stay whole.
        return str(int(value))
    return f"{value:.{digits}g}"


def _clock(moment: datetime) -> str:
    """The time in the local time zone: `2024-05-31 14:05:09`."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _fitting(columns: Sequence[Column], cells: Cells, width: int | None) -> list[tuple[list[Column], Cells]]:
    """The table, as narrow as it must be: see `render`. It is in several parts if nothing else is enough."""
    if width is None:
        return [(list(columns), cells)]
    columns, keep = _roomy(columns, cells, width)
    if keep is None:
        return _parted(*_chosen(columns, cells, [i for i, column in enumerate(columns) if not column.drop]), width)
    return [_chosen(columns, cells, keep)]


def _roomy(columns: Sequence[Column], cells: Cells, width: int) -> tuple[Sequence[Column], list[int] | None]:
    if keep := _kept(columns, _widths(columns, cells), width):
        return columns, keep
    folded = [_folded(column, [row[i] for row in cells]) for i, column in enumerate(columns)]
    return folded, _kept(folded, _widths(folded, cells), width)


def _parted(columns: list[Column], cells: Cells, width: int) -> list[tuple[list[Column], Cells]]:
    """The table with texts folded, if that is enough; else parts with some of the columns, each with the first."""
    folded = _texts_folded(columns, cells, width)
    widths = _widths(columns, cells)
    if _total(_widths(columns, folded)) <= width or len(columns) < 3:
        return [(columns, folded)]
    parts: list[list[int]] = []
    for i in range(1, len(columns)):
        if parts and _total([widths[j] for j in (*parts[-1], i)]) <= width:
            parts[-1].append(i)
        else:
            parts.append([0, i])
    shown = [_chosen(columns, cells, part) for part in parts]
    return [(some, _texts_folded(some, below, width)) for some, below in shown]


def _chosen(columns: Sequence[Column], cells: Cells, keep: Sequence[int]) -> tuple[list[Column], Cells]:
    return [columns[i] for i in keep], [[row[i] for i in keep] for row in cells]


def _texts_folded(columns: Sequence[Column], cells: Cells, width: int) -> Cells:
    """The cells with texts broken between words, the widest column first, until the table fits if it can."""
    widths = _widths(columns, cells)
    texts = [i for i, column in enumerate(columns) if not column.right]
    for i in sorted(texts, key=lambda i: -widths[i]):
        if (over := _total(widths) - width) > 0:
            room = max(_widest([word for row in cells for word in _WORDS.split(row[i])]), widths[i] - over)
            cells = [[*row[:i], "\n".join(_lines(row[i], room)), *row[i + 1 :]] for row in cells]
            widths = _widths(columns, cells)
    return cells


def _lines(text: str, room: int) -> list[str]:
    """The text in lines of at most so many columns, broken between words."""
    lines = [""]
    for word in _WORDS.split(text):
        if lines[-1] and display_width(f"{lines[-1]} {word}") > room:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _kept(columns: Sequence[Column], widths: Sequence[int], limit: int) -> list[int] | None:
    """The indices of the columns that fit after dropping the least important ones; None if the rest is too wide."""
    keep = list(range(len(columns)))
    while _total([widths[i] for i in keep]) > limit:
        last = max(keep, key=lambda i: (columns[i].drop, i))
        if not columns[last].drop:
            return None
        keep.remove(last)
    return keep


def _folded(column: Column, cells: Sequence[str]) -> Column:
    """The column with its head broken after `_`, `.` and blanks into lines as narrow as possible."""
    pieces = re.split(r"(?<=[_. ])", column.name)
    limit = max(_widest(pieces), _widest(cells))
    lines = [""]
    for piece in pieces:
        if display_width(lines[-1] + piece) > limit:
            lines.append("")
        lines[-1] += piece
    return replace(column, name="\n".join(map(str.rstrip, lines)))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _widths(columns: Sequence[Column], cells: Cells) -> list[int]:
    return [max(display_width(c.name), _widest([row[i] for row in cells])) for i, c in enumerate(columns)]


def _widest(cells: Sequence[str]) -> int:
    """The largest `display_width` of cells, with a fast path for those of one line without wide characters."""
    together = "".join(cells)
    if "\n" not in together and max(together, default="") < _WIDE:
        return max(map(len, cells), default=0)
    return max(map(display_width, cells))


def display_width(text: str) -> int:
    """Terminal columns of the longest line; a Chinese character takes two."""
    if "\n" not in text and (text.isascii() or max(text) < _WIDE):
        return len(text)
    return max(sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line) for line in text.split("\n"))


def _terminal(columns: Sequence[Column], cells: Cells) -> str:
    widths = _widths(columns, cells)
    heads = [column.name.split("\n") for column in columns]
    depth = max(map(len, heads))
    stacked = zip(*([""] * (depth - len(head)) + head for head in heads), strict=True)
    below = (line for row in cells for line in zip_longest(*(cell.split("\n") for cell in row), fillvalue=""))
    lines = [*stacked, ["─" * width for width in widths], *below]
    return "".join(_padded(columns, widths, line, _GAP).rstrip() + "\n" for line in lines)


def _markdown(columns: Sequence[Column], cells: Cells, bold: Bold) -> str:
    columns = [replace(column, name=literal(column.name)) for column in columns]
    escaped = [[literal(cell) for cell in row] for row in cells]
    body = _emphasised(columns, escaped, bold, lambda cell: f"**{cell}**")
    widths = [max(3, width) for width in _widths(columns, body)]
    rule = ["-" * (width - 1) + (":" if c.right else "-") for c, width in zip(columns, widths, strict=True)]
    lines = [[column.name for column in columns], rule, *body]
    return "".join(f"| {_padded(columns, widths, line, ' | ')} |\n" for line in lines)


def _latex(columns: Sequence[Column], cells: Cells, bold: Bold) -> str:
    escaped = [[tex_interval(cell) for cell in row] for row in cells]
    body = _emphasised(columns, escaped, bold, lambda cell: rf"\textbf{{{cell}}}")
    head, *below = [tex_row(row) for row in ([tex(column.name) for column in columns], *body)]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if column.right else 'l' for column in columns)}}}",
        r"\toprule",
        head,
        r"\midrule",
        *below,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _html(columns: Sequence[Column], cells: Cells, bold: Bold) -> str:
    """A table whose cells are texts alone; numbers stand on the right, as on a terminal."""
    sides = ["right" if column.right else "left" for column in columns]
    escaped = [[html.escape(cell) for cell in row] for row in cells]
    body = _emphasised(columns, escaped, bold, lambda cell: f"<b>{cell}</b>")
    lines = [("th", [html.escape(column.name) for column in columns]), *(("td", row) for row in body)]
    found = [
        "".join(f'<{kind} style="text-align: {side}">{cell}</{kind}>' for side, cell in zip(sides, row, strict=True))
        for kind, row in lines
    ]
    return "".join(["<table>\n", *(f"<tr>{row}</tr>\n" for row in found), "</table>\n"])


def tex_row(cells: Sequence[str]) -> str:
    r"""One line of a table; `[` and `*` at its beginning would be arguments of the `\\` or the rule above it."""
    line = " & ".join(cells) + r" \\"
    return f"{{}}{line}" if line.startswith(("[", "*")) else line


_TEXTS: dict[str, Callable[[Sequence[Column], Cells, Bold], str]] = {
    "markdown": _markdown,
    "latex": _latex,
    "html": _html,
}
_TEX_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "→": r"$\to$",
    "…": r"\ldots{}",
    "·": r"$\cdot$",
    "†": r"$\dagger$",
}


_GREEK_NAMES = """
alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon varphi chi psi
omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega
"""
_GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", _GREEK_NAMES.split(), strict=True))
_SIGN = re.compile(rf"(?<![A-Za-z0-9])([{''.join(_GREEK)}A-Z])_([A-Za-z0-9])(?![A-Za-z0-9_])|[{''.join(_GREEK)}]")
"""A letter with an index of one letter, as in `τ_I` and `C_V`; or a Greek letter."""


def tex(text: str) -> str:
    """The text escaped for LaTeX; Greek letters and letters with an index, as `τ_I`, become mathematics."""
    return "".join(
        _math(sign) if sign else "".join(_TEX_ESCAPES.get(c, c) for c in plain) for plain, sign in _parts(text)
    )


def tex_interval(text: str) -> str:
    """The same, with uneven ends of an interval as index and exponent of the mean."""
    return _UNEVEN.sub(r"$_{-\1}^{+\2}$", tex(text))


def _parts(text: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """The text in pieces: plain text or a sign, with the other one empty."""
    end = 0
    for found in _SIGN.finditer(text):
        yield text[end : found.start()], None
        yield "", found
        end = found.end()
    yield text[end:], None


def _math(found: re.Match[str]) -> str:
    letter = found[1] or found[0]
    sign = f"\\{_GREEK[letter]}" if letter in _GREEK else letter
    return f"${sign}_{{\\mathrm{{{found[2]}}}}}$" if found[2] else f"${sign}$"


def _emphasised(columns: Sequence[Column], cells: Cells, bold: Bold, mark: Callable[[str], str]) -> Cells:
    return [
        [
            mark(cell) if cell and ((i in bold and column.strong) or (i, j) in bold) else cell
            for j, (column, cell) in enumerate(zip(columns, row, strict=True))
        ]
        for i, row in enumerate(cells)
    ]


def _padded(columns: Sequence[Column], widths: Sequence[int], line: Sequence[str], gap: str) -> str:
    return gap.join(_pad(cell, width, right=c.right) for c, width, cell in zip(columns, widths, line, strict=True))


def _pad(cell: str, width: int, *, right: bool) -> str:
    blank = " " * (width - display_width(cell))
    return blank + cell if right else cell + blank


def _csv(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_text(column.name) for column in columns])
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _json(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> str:
    names = [column.name for column in columns]
    records = [dict(zip(names, map(_strict, row), strict=True)) for row in rows]
    return json_text(records, indent=2)


def _csv_cell(value: Any) -> Any:
    return value if value is None or _is_number(value) else csv_text(str(_plain(value)))


def _strict(value: Any) -> Any:
    """The value for JSON, which has neither NaN nor infinity: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _plain(value)


def _plain(value: Any) -> Any:
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else value
