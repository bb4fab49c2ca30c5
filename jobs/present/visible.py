"""Whatever comes from files is shown as text: what a terminal or a page would obey or hide is written out.

Names, cells, reasons and logs may come from a stranger. Everything that conclus prints passes `Visible`, which its
front door puts around the standard streams; what it writes to files passes `visible` or `json_text`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Iterable
from typing import Any, TextIO

# Controls but tab and newline; soft hyphens, signs of no width, directions, separators, tags; halves of a character.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# What a spreadsheet takes for a formula at the beginning of a cell, also in its full-width forms.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)
# Of Markdown: what begins code, stress, links, HTML, entities, columns, mathematics; a heading; an address by itself.
_MARKS = re.compile(r"[\\`*\[\]<|~$]|^\s*>|&(?=#?\w+;)|#(?=.)|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|@", re.IGNORECASE)
# Of a word (paths and addresses are words), and of a line.
_WORD, _LINE = 300, 5000
_LONG_WORD = re.compile(rf"\S{{{_WORD + 1},}}")
_BREAKS = str.maketrans({"\n": r"\n", "\t": " "})


def visible(text: str) -> str:
    r"""The text with every sign that is not to be seen written out, `\x1b` for escape; tabs and new lines stay."""
    return _HIDDEN.sub(_escape, text)


def one_line(text: str) -> str:
    """The same without new lines: what is one sentence stays one."""
    return visible(text).translate(_BREAKS)


def bounded(text: str) -> str:
    """The same with each word, and all of it, cut at a length with `…`: a header of a file may have a million signs."""
    text = _LONG_WORD.sub(lambda found: f"{found[0][:_WORD]}…", text)
    return text if len(text) <= _LINE else f"{text[:_LINE]}…"


def json_text(value: Any, *, indent: int, default: Any = None) -> str:
    """JSON that ends in a newline; signs that are not to be seen in its own escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=default)
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1] if found[0] != "\x7f" else r"\u007f", text) + "\n"


def csv_text(cell: str) -> str:
    """The cell of a CSV file that no spreadsheet takes for a formula; `csv_plain` takes the sign off again."""
    return f"'{visible(cell)}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else visible(cell)


def csv_plain(cell: str) -> str:
    """The cell as it was before `csv_text`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def literal(text: str) -> str:
    """One line of Markdown that shows the text as it is: no heading, link, column or HTML of its own."""
    return _MARKS.sub(r"\\\g<0>", one_line(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class OutputError(OSError):
    """What a person is to see cannot be written: the disk below standard output is full, for example."""


class Visible:
    """A text stream that shows whatever is written to it, and obeys `control` alone.

    Raises:
        OutputError: On writing, where the stream does not take it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text as it can be seen."""
        shown = visible(text)
        encoding = self._stream.encoding or "utf-8"
        with _told():
            self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with _told():
            self._stream.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        """Write them one by one."""
        for line in lines:
            self.write(line)

    def control(self, move: str) -> None:
        """Write a move of the cursor that is ours."""
        with _told():
            self._stream.write(move)

    def __getattr__(self, name: str) -> Any:
        # Its bytes would be a way around it: click takes that way where a terminal knows ASCII alone.
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextlib.contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(error.errno, error.strerror) from error


def control(stream: TextIO, move: str) -> None:
    """Move the cursor of a terminal, through `Visible` where that stands before it."""
    getattr(stream, "control", stream.write)(move)
