"""CSV and TSV files: which line names the columns, what stands between fields, and the table itself."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from core.data.columns import is_label_name, listed
from core.data.dataset import fault

if TYPE_CHECKING:
    from pathlib import Path

# A number whose point may stand for thousands, and in so many lines it is looked for.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_LOOKED_AT = 1000
# What people write between thousands, two kinds of narrow spaces and apostrophes among them.
_MARKS = (",", ".", "'", "\u2019", " ", "\u00a0", "\u202f")
# A mark of its encoding at the start of a file is passed over.
_UTF8 = "utf-8-sig"
_LATIN = "cp1252"
_AT_ONCE = 1 << 22
_MISSING = {"", "na", "n/a", "#n/a", "null", "none"}


@dataclass(frozen=True)
class TextHead:
    """What the first lines of a text file say: the columns as they stand there, or f0, f1, … where they have no names.

    `first` is the first line that holds samples; empty where there is none.
    """

    columns: tuple[str, ...]
    delimiter: str
    first: tuple[str, ...]
    has_names: bool = True
    encoding: str = _UTF8

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the encoding."""
        latin = "it is not in UTF-8: its texts are read as Latin-1 (Windows-1252)"
        return (latin,) if self.encoding == _LATIN else ()

    def options(self, **converting: Any) -> dict[str, Any]:
        """How pyarrow reads the file; `converting` are its options of that name."""
        from pyarrow import csv

        return {
            "read_options": csv.ReadOptions(
                autogenerate_column_names=not self.has_names,
                encoding="utf8" if self.encoding == _UTF8 else self.encoding,
            ),
            "parse_options": csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            "convert_options": csv.ConvertOptions(**converting),
        }


def head_of(file: Path, decimal: str) -> TextHead:
    """Reads the first two lines of a CSV or TSV file.

    Raises:
        UserError: it is empty.
        ValueError, OSError: it is damaged.
    """
    encoding = _encoding(file, file.stat().st_mtime_ns)
    first, second, delimiter = _first_lines(file, encoding)
    if is_header(*([field.replace(decimal, ".") for field in line] for line in (first, second))):
        return TextHead(tuple(first), delimiter, tuple(second), encoding=encoding)
    names = tuple(f"f{i}" for i in range(len(first)))
    return TextHead(names, delimiter, tuple(first), has_names=False, encoding=encoding)


@lru_cache(maxsize=16)
def _encoding(file: Path, _changed_ns: int) -> str:
    """UTF-8 if the whole file is, UTF-16 by its first bytes, else Windows' extension of Latin-1 if it is a text."""
    decoder, block = codecs.getincrementaldecoder("utf-8")(), b""
    with file.open("rb") as stream:
        if stream.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            return "utf-16"
        stream.seek(0)
        try:
            while block := stream.read(_AT_ONCE):
                decoder.decode(block)
                if b"\0" in block:
                    return _UTF8
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            # A file that is cut within its last character, or no text at all, is damaged, and its reader says so.
            return _UTF8 if b"\0" in block or not block else _LATIN
    return _UTF8


def read_text(file: Path, decimal: str) -> tuple[Any, tuple[str, ...]]:
    """Reads a CSV or TSV file as a pyarrow table, its names without white space around them.

    Returns:
        The table, and notes on how it was read.

    Raises:
        UserError: it is empty, or its lines are of different length.
        ValueError, OSError: it is damaged.
    """
    from pyarrow import ArrowInvalid, csv

    head = head_of(file, decimal)
    try:
        table = csv.read_csv(file, **head.options(decimal_point=decimal))
    except ArrowInvalid:
        _check_widths(file, head)
        raise
    return table.rename_columns([name.strip() for name in table.column_names]), _told(file, head, decimal)


def _told(file: Path, head: TextHead, decimal: str) -> tuple[str, ...]:
    """What a person should know: the encoding, that no line names the columns, or that points may be thousands."""
    found = list(head.notes)
    if not head.has_names:
        last = head.columns[-1]
        found.append(f"no line names the columns: they are called f0 to {last}; labels are named like `labels: {last}`")
    if head.delimiter == ";" and decimal == "." and (columns := _may_be_thousands(file, head)):
        found.append(
            f"numbers like {columns[0][1]} are read with a decimal point: {listed(name for name, _ in columns)}; if it "
            "stands for thousands, save them without it"
        )
    return tuple(found)


def _may_be_thousands(file: Path, head: TextHead) -> list[tuple[str, str]]:
    """The columns whose points all stand before three digits, with the first such number; of the first lines."""
    import csv

    with file.open(encoding=head.encoding, newline="") as stream:
        reader = csv.reader(stream, delimiter=head.delimiter)
        rows = list(islice((row for row in reader if row), _LOOKED_AT))[int(head.has_names) :]
    found: list[tuple[str, str]] = []
    for name, values in zip(head.columns, zip(*rows, strict=False), strict=False):
        pointed = [value for value in values if "." in value]
        if pointed and all(_THOUSANDS.fullmatch(value.strip()) for value in pointed):
            found.append((name.strip(), pointed[0].strip()))
    return found


def ungrouped(table: Any, decimal: str) -> tuple[Any, tuple[str, ...]]:
    """Turns columns of texts into numbers where they have marks between thousands that can mean nothing else: 1,234.5.

    Returns:
        The table, and a note on each such column.
    """
    import pyarrow as pa
    from pyarrow import compute, types

    notes: list[str] = []
    for place, field in enumerate(table.schema):
        texts = table.column(place)
        if not types.is_string(field.type):
            continue
        bare: Any = compute.call_function("utf8_trim_whitespace", [texts])
        gone = compute.SetLookupOptions(pa.array(sorted(_MISSING)))
        missing = compute.call_function("is_in", [compute.call_function("utf8_lower", [bare])], gone)
        texts = compute.call_function("if_else", [missing, pa.scalar(None, pa.string()), bare])
        if (mark := _mark(texts, decimal)) is None:
            continue
        bare = compute.call_function("replace_substring", [texts], compute.ReplaceSubstringOptions(mark, ""))
        if decimal != ".":
            bare = compute.call_function("replace_substring", [bare], compute.ReplaceSubstringOptions(decimal, "."))
        table = table.set_column(place, field.name, bare.cast(pa.float64()))
        notes.append(f"{field.name}: {mark!r} stands between thousands")
    return table, tuple(notes)


def _mark(texts: Any, decimal: str) -> str | None:
    """The mark between the thousands of all values of a column; None if it is not certain that there is one."""
    from pyarrow import compute

    def matches(pattern: str) -> Any:
        return compute.call_function("match_substring_regex", [texts], compute.MatchSubstringOptions(pattern))

    point = re.escape(decimal)
    for mark in _MARKS:
        one, grouped = re.escape(mark), _grouped(mark, decimal)
        # A comma or point before three digits may be the decimal one, unless there are two of it, or both kinds.
        certain = rf"{one}\d{{3}}({one}|{point})" if mark in ",." else rf"\d{one}\d{{3}}"
        every = matches(rf"{grouped}|^[+-]?\d+({point}\d*)?$")
        if mark != decimal and _all(every) and _any(matches(certain)):
            return mark
    return None


def _grouped(mark: str, decimal: str) -> str:
    """What a number with this mark between its thousands looks like."""
    return rf"^[+-]?\d{{1,3}}({re.escape(mark)}\d{{3}})+({re.escape(decimal)}\d*)?$"


def _all(found: Any) -> bool:
    from pyarrow import compute

    return bool(compute.call_function("all", [found]).as_py())


def _any(found: Any) -> bool:
    from pyarrow import compute

    return bool(compute.call_function("any", [found]).as_py())


def _first_lines(file: Path, encoding: str) -> tuple[list[str], list[str], str]:
    import csv

    with file.open(encoding=encoding, newline="") as stream:
        start = stream.readline()
        stream.seek(0)
        delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=start.count)
        rows = (row for row in csv.reader(stream, delimiter=delimiter) if row)
        first, second = next(rows, []), next(rows, [])
    if not first:
        raise fault(file, "it is empty: there must be one line per sample")
    return first, second, delimiter


def is_header(first: list[str], second: list[str]) -> bool:
    """Whether the first line names columns: by text alone, by text over a number, or by counting them."""
    numbers = [float(field) for field in first if is_number(field)]
    texts = {field.strip() for field in first if not is_number(field) and not is_missing(field)}
    over = any(up.strip() in texts and is_number(down) for up, down in zip(first, second, strict=False))
    if texts and (not numbers or over or any(is_label_name(text) for text in texts)):
        return True
    count = len(numbers)
    counting = numbers in ([float(i) for i in range(count)], [float(i + 1) for i in range(count)])
    # A few small numbers may be a sample; with pandas' empty name of the index before them they are not.
    return counting and count > (0 if first[0] == "" else 7)


def is_number(field: str) -> bool:
    """Whether a field is a number as tables hold them."""
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def is_written_number(field: str, decimal: str) -> bool:
    """Whether a field is a number with this decimal point, perhaps with marks between thousands."""
    plain = decimal == "." or "." not in field
    return (plain and is_number(field.replace(decimal, "."))) or any(
        re.match(_grouped(mark, decimal), field.strip()) for mark in _MARKS if mark != decimal
    )


def is_missing(field: str) -> bool:
    """Whether a field says that there is no number."""
    return field.strip().lower() in _MISSING


def _check_widths(file: Path, head: TextHead) -> None:
    import csv

    width = len(head.columns)
    with file.open(encoding=head.encoding, newline="") as stream:
        reader = csv.reader(stream, delimiter=head.delimiter)
        for row in reader:
            if row and len(row) != width:
                line = f"line {reader.line_num} has {len(row)} fields, but the first line has {width}"
                raise fault(file, f"{line}: all lines must have the same number")
