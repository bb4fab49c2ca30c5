"""CSV and TSV files: which line names the columns, what stands between fields, and the table itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from core.data.columns import is_label_name, listed
from core.data.dataset import fault

if TYPE_CHECKING:
    from pathlib import Path

# A number whose point may stand for thousands, and in so many lines it is looked for.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_LOOKED_AT = 1000
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

    def options(self, **converting: Any) -> dict[str, Any]:
        """How pyarrow reads the file; `converting` are its options of that name."""
        from pyarrow import csv

        return {
            "read_options": csv.ReadOptions(autogenerate_column_names=not self.has_names),
            "parse_options": csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            "convert_options": csv.ConvertOptions(**converting),
        }


def head_of(file: Path, decimal: str) -> TextHead:
    """Reads the first two lines of a CSV or TSV file.

    Raises:
        UserError: it is empty.
        ValueError, OSError: it is damaged.
    """
    first, second, delimiter = _first_lines(file)
    if _is_header(*([field.replace(decimal, ".") for field in line] for line in (first, second))):
        return TextHead(tuple(first), delimiter, tuple(second))
    return TextHead(tuple(f"f{i}" for i in range(len(first))), delimiter, tuple(first), has_names=False)


def read_text(file: Path, decimal: str) -> Any:
    """Reads a CSV or TSV file as a pyarrow table, its names without white space around them.

    Raises:
        UserError: it is empty, or its lines are of different length.
        ValueError, OSError: it is damaged.
    """
    from pyarrow import ArrowInvalid, csv

    head = head_of(file, decimal)
    try:
        table = csv.read_csv(file, **head.options(decimal_point=decimal))
    except ArrowInvalid:
        _check_widths(file, head.delimiter, len(head.columns))
        raise
    return table.rename_columns([name.strip() for name in table.column_names])


def told(file: Path, decimal: str) -> tuple[str, ...]:
    """What a person should know of a CSV or TSV file: that no line names its columns, or that points may be thousands.

    Raises:
        UserError: it is empty.
        ValueError, OSError: it is damaged.
    """
    head = head_of(file, decimal)
    found: list[str] = []
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

    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=head.delimiter)
        rows = list(islice((row for row in reader if row), _LOOKED_AT))[int(head.has_names) :]
    found: list[tuple[str, str]] = []
    for name, values in zip(head.columns, zip(*rows, strict=False), strict=False):
        pointed = [value for value in values if "." in value]
        if pointed and all(_THOUSANDS.fullmatch(value.strip()) for value in pointed):
            found.append((name.strip(), pointed[0].strip()))
    return found


def _first_lines(file: Path) -> tuple[list[str], list[str], str]:
    import csv

    with file.open(encoding="utf-8-sig", newline="") as stream:
        start = stream.readline()
        stream.seek(0)
        delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=start.count)
        rows = (row for row in csv.reader(stream, delimiter=delimiter) if row)
        first, second = next(rows, []), next(rows, [])
    if not first:
        raise fault(file, "it is empty: there must be one line per sample")
    return first, second, delimiter


def _is_header(first: list[str], second: list[str]) -> bool:
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


def is_missing(field: str) -> bool:
    """Whether a field says that there is no number."""
    return field.strip().lower() in _MISSING


def _check_widths(file: Path, delimiter: str, width: int) -> None:
    import csv

    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        for row in reader:
            if row and len(row) != width:
                line = f"line {reader.line_num} has {len(row)} fields, but the first line has {width}"
                raise fault(file, f"{line}: all lines must have the same number")
