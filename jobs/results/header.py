"""The few words about each row that stand in a file's footer. Standard library only."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

VERSION = 1
KEY = b"conclus"
STATUSES = ("ok", "stopped", "failed", "running")
"""From the best to the worst: of several attempts at one trial the first in this order is the trial's row."""
GOOD = frozenset({"ok", "stopped"})
"""Those of a trial that came to an end on purpose."""

_BINARY = b"\x18"
_MARK = _BINARY + bytes([len(KEY)]) + KEY + _BINARY


class HeaderRow(NamedTuple):
    """One attempt, as far as a plan needs to know it."""

    trial_key: str
    attempt_id: str
    status: str


def preference(status: str, attempt_id: str) -> tuple[int, str]:
    """Sort key of the attempts at one trial: `ok` first, then the earliest."""
    return STATUSES.index(status) if status in STATUSES else len(STATUSES), attempt_id


def encode(rows: Iterable[HeaderRow]) -> bytes:
    """The header as the JSON that is stored under `KEY` in the Parquet metadata."""
    return json.dumps({"schema_version": VERSION, "rows": list(rows)}, separators=(",", ":")).encode()


def decode(header: bytes) -> list[HeaderRow]:
    """The rows of a header.

    Raises:
        ValueError: It is not a header of this version.
    """
    content: Any = json.loads(header)
    if not isinstance(content, dict) or content.get("schema_version") != VERSION:
        raise ValueError("not a header of this version")
    return [_row(row) for row in content["rows"]]


def find(footer: bytes) -> bytes:
    """The header inside the raw Thrift footer of a Parquet file.

    The compact protocol writes a string as its length in a varint and then its bytes, so the pair is found by
    the spelling of its key. The last match counts: the key-value pairs come after the schema, where a column
    could bear any name.

    Raises:
        ValueError: There is none.
    """
    start = footer.rfind(_MARK)
    if start < 0:
        raise ValueError("no header")
    length, begin = _varint(footer, start + len(_MARK))
    return footer[begin : begin + length]


def _row(row: Any) -> HeaderRow:
    trial_key, attempt_id, status = row
    if not isinstance(trial_key, str) or not isinstance(attempt_id, str) or status not in STATUSES:
        raise ValueError(f"unknown status {status!r}")
    return HeaderRow(trial_key, attempt_id, status)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while data[position] & 0x80:
        value |= (data[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
    return value | data[position] << shift, position + 1
