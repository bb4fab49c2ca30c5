# ruff: noqa: RUF001 - the signs that people write: full-width, Greek, dashes
r"""Reads LaTeX tables: booktabs or plain, `\textbf`, `\pm`; merged cells are refused."""

from __future__ import annotations

import re

from core.errors import UserError
from jobs.ledger.table import Line, Table

_ENVIRONMENT = r"(tabular\*|tabularx|tabulary|tabular|longtable|array)"
_BEGIN = re.compile(r"\\begin\s*\{" + _ENVIRONMENT + r"\}")
_COMMENT = re.compile(r"(?<!\\)%.*")
_RULES = re.compile(
    r"\\hline(?![A-Za-z])|\\(toprule|midrule|bottomrule)(?![A-Za-z])(\s*\[[^\]]*\])?|\\(cmidrule|cline|specialrule|addlinespace|morecmidrules|centering|small|"
    r"footnotesize|scriptsize|rowcolor|endhead|endfirsthead|endfoot|endlastfoot|noalign)(?![A-Za-z])"
    r"\s*(\([^)]*\)|\[[^\]]*\]|\{[^{}]*\})*"
)
_ROW_END = re.compile(r"\\\\\s*\*?\s*(\[[^\]]*\])?|\\tabularnewline(?![A-Za-z])")
_CELL_END = re.compile(r"(?<!\\)&")
_ONE_CELL = re.compile(r"\\multicolumn\s*\{\s*1\s*\}\s*\{[^{}]*\}")
_MERGED = re.compile(r"\\multi(column|row)(?![A-Za-z])")
_STYLES = re.compile(
    r"\\(textbf|textit|texttt|textrm|textsf|textsc|emph|underline|mathbf|mathrm|mathit|bm|boldsymbol|text|mbox|bfseries|"
    r"itshape|bf|it|tt|num|ensuremath|uline|best|second)(?![A-Za-z])\s*"
)
_WORDS = {
    "pm": "±", "times": "×", "cdot": "·", "sim": "~", "approx": "≈", "uparrow": "↑", "downarrow": "↓", "tau": "τ",
    "eta": "η", "lambda": "λ", "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "dagger": "†", "ddagger": "‡",
    "textendash": "–", "textemdash": "—", "textbackslash": "\0", "textasciitilde": "~", "textasciicircum": "^",
    "textless": "<", "textgreater": ">", "textbar": "|", "textunderscore": "_", "quad": " ", "qquad": " ", "infty": "∞",
    "dots": "…", "ldots": "…", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥",
}  # fmt: skip
_WORD = re.compile(r"\\([A-Za-z]+)(\s*\{\})?")
_SPACES = re.compile(r"(?<!\\)~|\\[,;:! ]")
_ESCAPED = re.compile(r"\\([&%$#_{}])")
# Escaped signs are replaced by private characters, which no text contains, while braces and dollars are removed.
_ASIDE = {sign: chr(0xE000 + i) for i, sign in enumerate("&%$#_{}")}
_BACK = {ord(aside): sign for sign, aside in _ASIDE.items()} | {0: "\\"}


def tables(text: str, source: str) -> list[Table]:
    """The tabular environments of a document, in their order.

    Raises:
        UserError: One of them does not end, merges cells, or holds a command that is not understood.
    """
    text = "\n".join(_COMMENT.sub("", line) for line in text.split("\n"))
    found: list[Table] = []
    for begin in _BEGIN.finditer(text):
        line = text.count("\n", 0, begin.start()) + 1
        end = text.find(rf"\end{{{begin[1]}}}", begin.end())
        if end < 0:
            raise UserError(f"{source}:{line}: \\begin{{{begin[1]}}} has no \\end{{{begin[1]}}}.")
        start = _after_arguments(text, begin.end(), begin[1])
        rows = _rows(text[start:end], text.count("\n", 0, start) + 1, source)
        if rows:
            found.append(Table(source, rows[0], tuple(rows[1:])))
    return found


def plain(cell: str) -> str:
    """The cell without its markup.

    Raises:
        ValueError: It holds a command that is not understood; the message is the command.
    """
    cell = _ONE_CELL.sub("", cell)
    cell = _ESCAPED.sub(lambda found: _ASIDE[found[1]], cell)
    cell = _STYLES.sub("", _SPACES.sub(" ", cell))
    cell = _WORD.sub(_word, cell)
    cell = re.sub(r"[{}$]", "", cell)
    return " ".join(cell.translate(_BACK).split())


def _word(found: re.Match[str]) -> str:
    if found[1] not in _WORDS:
        raise ValueError(f"\\{found[1]}")
    return _WORDS[found[1]]


def _after_arguments(text: str, at: int, environment: str) -> int:
    """The index where the body starts, after the arguments for width, position and columns."""
    braces = 2 if environment in {"tabular*", "tabularx", "tabulary"} else 1
    while braces:
        while text[at].isspace():
            at += 1
        opening = text[at]
        if opening not in "[{":
            break
        at = _closing(text, at)
        braces -= opening == "{"
    return at


def _closing(text: str, at: int) -> int:
    pairs = {"[": "]", "{": "}"}
    opening, closing, depth = text[at], pairs[text[at]], 0
    for place in range(at, len(text)):
        depth += (text[place] == opening) - (text[place] == closing)
        if not depth:
            return place + 1
    return len(text)


def _rows(body: str, first: int, source: str) -> list[Line]:
    rows: list[Line] = []
    at = 0
    for end in [*_ROW_END.finditer(body), None]:
        raw = body[at : end.start() if end else len(body)]
        # A rule is written before the row below it, often on a line of its own.
        kept = _RULES.sub(lambda rule: "\n" * rule[0].count("\n"), raw)
        number = first + body.count("\n", 0, at) + len(kept[: len(kept) - len(kept.lstrip())].split("\n")) - 1
        at = end.end() if end else at
        if kept.strip():
            rows.append(Line(number, _cells(kept, f"{source}:{number}")))
    return rows


def _cells(row: str, place: str) -> tuple[str, ...]:
    if _MERGED.search(_ONE_CELL.sub("", row)):
        raise UserError(f"{place}: the row has a merged cell (\\multicolumn, \\multirow): write one cell per column.")
    try:
        return tuple(plain(cell) for cell in _CELL_END.split(row))
    except ValueError as error:
        raise UserError(f"{place}: the command {error} is not known in a table: write its meaning as text.") from error
