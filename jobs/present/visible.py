"""Shows untrusted text safely: control characters and invisible characters are replaced by escapes.

Names, cells, reasons and logs may come from strangers. Everything that conclus prints passes through `Visible`, which
the command line puts around the standard streams. Everything it writes to files passes `visible` or `json_text`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator, Iterable
from typing import Any, TextIO

# Control characters except tab and newline; soft hyphens, zero-width and direction marks, separators, tags, surrogates.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# Characters at the start of a cell that make a spreadsheet read it as a formula, with their full-width forms.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
HARMFUL = f"^(?:{_FORMULA.pattern})|{_HIDDEN.pattern}".replace("\ud800-\udfff", "")
"""What `csv_text` may change, as a pattern for Arrow, whose texts have no surrogates."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)
# Markdown syntax: code, emphasis, links, HTML, entities, columns, mathematics, headings, bare addresses.
_MARKS = re.compile(r"[\\`*\[\]<|~$]|^\s*>|&(?=#?\w+;)|#(?=.)|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|@", re.IGNORECASE)
# Of a word (paths and addresses are words), and of a line.
_WORD, _LINE = 300, 5000
_LONG_WORD = re.compile(rf"\S{{{_WORD + 1},}}")
_BREAKS = str.maketrans({"\n": r"\n", "\t": " "})


def visible(text: str) -> str:
    r"""The text with each control or invisible character as an escape such as `\x1b`; tabs and newlines stay."""
    return _HIDDEN.sub(_escape, text)


def one_line(text: str) -> str:
    """The same on one line: newlines become escapes and tabs become blanks."""
    return visible(text).translate(_BREAKS)


def bounded(text: str) -> str:
    """The same with each word, and all of it, cut at a length with `…`: a header of a file may have a million signs."""
    text = _LONG_WORD.sub(lambda found: f"{found[0][:_WORD]}…", text)
    return text if len(text) <= _LINE else f"{text[:_LINE]}…"


def json_text(value: Any, *, indent: int, default: Any = None) -> str:
    """JSON that ends in a newline, with control and invisible characters in JSON escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=default)
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1] if found[0] != "\x7f" else r"\u007f", text) + "\n"


def csv_text(cell: str) -> str:
    """The cell with a leading `'` if a spreadsheet would read it as a formula; `csv_plain` removes the `'`."""
    return f"'{visible(cell)}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else visible(cell)


def csv_plain(cell: str) -> str:
    """The cell as it was before `csv_text`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def literal(text: str) -> str:
    """The text escaped as one line of Markdown, so that it makes no heading, link, column or HTML."""
    return _MARKS.sub(r"\\\g<0>", one_line(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class OutputError(OSError):
    """What a person is to see cannot be written: the disk below standard output is full, for example."""


class Visible:
    """A text stream that makes all text visible; only `control` can send control characters.

    Raises:
        OutputError: The stream cannot be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the text after `visible`."""
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
        """Writes the lines one by one."""
        for line in lines:
            self.write(line)

    def control(self, move: str) -> None:
        """Writes a cursor movement of conclus itself, unchanged."""
        with _told():
            self._stream.write(move)

    def __getattr__(self, name: str) -> Any:
        # The byte stream would bypass the escapes: click uses it if the terminal's encoding is ASCII.
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
    """Moves the cursor of a terminal, also if the stream is wrapped in `Visible`."""
    getattr(stream, "control", stream.write)(move)
