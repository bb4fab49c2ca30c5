"""The header in a file's footer: key, attempt and status of each row, and the digest of the whole file.

It uses only the standard library: pyarrow takes 0.2 s to import, and thousands of headers are read in half of that.
"""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

VERSION = 2
KEY = b"conclus"
STATUSES = ("ok", "stopped", "failed", "running")
"""Statuses from best to worst; of several attempts at a trial, the first in this order is the trial's row."""
FINISHED = STATUSES[:2]
"""Statuses of trials that ended as intended."""

_BINARY = b"\x18"
_MARK = _BINARY + bytes([len(KEY)]) + KEY + _BINARY
_MAGIC = b"PAR1"
_TAIL = 8
_OPENING = b'{"sha256":"'
_UNKNOWN = b"0" * 64
"""The placeholder for the digest while it is computed."""


class HeaderRow(NamedTuple):
    """The data on one attempt that a plan needs."""

    trial_key: str
    attempt_id: str
    status: str


class Header(NamedTuple):
    """The header of a file.

    Attributes:
        rows: The attempts in the file.
        study: Their study, if the file has rows of one study and no column for it.
        is_sealed: Whether the file has a digest of all its bytes; files of conclus 0.1.0 have none.
    """

    rows: list[HeaderRow]
    study: str
    is_sealed: bool


def preference(status: str, attempt_id: str) -> tuple[int, str]:
    """The sort key of attempts at one trial: by status, `ok` first, then the earliest."""
    return STATUSES.index(status) if status in STATUSES else len(STATUSES), attempt_id


def encode(rows: Iterable[HeaderRow], study: str) -> bytes:
    """The header as the JSON that is stored under `KEY` in the Parquet metadata, with a place for the digest."""
    content = {"sha256": _UNKNOWN.decode(), "version": VERSION, "study": study, "rows": list(rows)}
    return json.dumps(content, separators=(",", ":")).encode()


def seal(file: bytes) -> bytes:
    """The Parquet file with a digest of all its bytes in its header; the digest's own bytes count as zeros.

    Raises:
        ValueError: It has no header.
    """
    found = _locate(file)
    if found is None:
        raise ValueError("no header")
    place = found[0] + len(_OPENING)
    return b"".join((file[:place], _digest(file, place), file[place + len(_UNKNOWN) :]))


def read(file: bytes) -> Header | None:
    """The header of a whole Parquet file after checking its digest; None if it has no header.

    `peek` and the reader both use this check. A header without a digest is accepted only if it is exactly as conclus
    0.1.0 wrote it; small damage cannot make a newer header look like that.

    Raises:
        ValueError: It is not a Parquet file, it is damaged, or conclus did not write its header.
    """
    found = _locate(file)
    if found is None:
        return None
    begin, end = found
    try:
        content: Any = json.loads(file[begin:end])
    except RecursionError as error:
        raise ValueError("a header nested too deeply") from error
    if isinstance(content, dict) and content.keys() == {"schema_version", "rows"} and content["schema_version"] == 1:
        return Header(_rows(content["rows"]), "", is_sealed=False)
    place = begin + len(_OPENING)
    if not file.startswith(_OPENING, begin) or file[place : place + len(_UNKNOWN)] != _digest(file, place):
        raise ValueError("its digest does not fit its content")
    if content["version"] != VERSION:
        raise ValueError(f"it is of version {content['version']} of the format, and this conclus reads {VERSION}")
    return Header(_rows(content["rows"]), str(content["study"]), is_sealed=True)


def _locate(file: bytes) -> tuple[int, int] | None:
    """The start and end of the header.

    The compact protocol writes a string as its length in a varint followed by its bytes, so the pair is found by its
    key. The last match counts: the key-value pairs come after the schema, where a column could have any name.
    """
    length = int.from_bytes(file[-_TAIL:-4], "little")
    if file[-4:] != _MAGIC or length > len(file) - _TAIL:
        raise ValueError("no Parquet footer")
    start = file.rfind(_MARK, len(file) - _TAIL - length, len(file) - _TAIL)
    if start < 0:
        return None
    length, begin = _varint(file, start + len(_MARK))
    return begin, begin + length


def _digest(file: bytes, place: int) -> bytes:
    """The digest of all bytes; the bytes of the digest itself, from `place` on, count as zeros."""
    view = memoryview(file)
    state = sha256(view[:place])
    state.update(_UNKNOWN)
    state.update(view[place + len(_UNKNOWN) :])
    return state.hexdigest().encode()


def _rows(rows: Any) -> list[HeaderRow]:
    if not isinstance(rows, list):
        raise ValueError("its header holds no list of rows")  # noqa: TRY004 - of a file's content
    return [_row(row) for row in rows]


def _row(row: Any) -> HeaderRow:
    if not isinstance(row, list) or [type(one) for one in row] != [str, str, str]:
        raise ValueError("a row of its header is not three words")
    found = HeaderRow(*row)
    if found.status not in STATUSES:
        raise ValueError(f"unknown status {found.status!r}")
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while data[position] & 0x80:
        value |= (data[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
    return value | data[position] << shift, position + 1
