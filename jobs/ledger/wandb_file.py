"""Reads the offline files of W&B, `run-*.wandb`: records of protocol buffers in the blocks of LevelDB's log format.

Only what W&B writes of a run is read, by a small reader of its own: nothing of the file is run, and every length is
checked. A file that was cut off by a kill is read up to there. Sources: `wandb/sdk/internal/datastore.py` and
`wandb/proto/wandb_internal.proto` of wandb 0.31, https://github.com/google/leveldb/blob/main/doc/log_format.md
"""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError

LARGEST = 256 * 2**20
"""The most bytes of a file."""
_BLOCK, _HEADER = 32768, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT = 2, 3, 4, 17, 18
Message = list[tuple[int, Any]]
"""The fields of a message in order: numbers, and integers, floats or bytes."""


@dataclass(slots=True)
class Written:
    """What a file says of its run.

    Attributes:
        run: its id, what people see, and its project; empty if the file ends before it says so.
        started: seconds since 1970; 0 if it does not say.
        exit_code: None if it did not end.
        config: parameters by name.
        summary: last values by name.
        history: the step and the values of each `log`.
    """

    run: str = ""
    name: str = ""
    project: str = ""
    started: float = 0.0
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    history: list[tuple[int, dict[str, Any]]] = field(default_factory=list[tuple[int, dict[str, Any]]])


def read(path: Path) -> Written:
    """The run of a file; what is damaged at its end is left out.

    Raises:
        UserError: it cannot be read, is too large, or is no file of W&B.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read: {error.strerror}.") from error
    if len(data) > LARGEST or not data.startswith(b":W&B"):
        why = f"has more than {LARGEST >> 20} MiB" if len(data) > LARGEST else "is no file of W&B"
        raise UserError(f"{path}: it {why}.")
    found = Written()
    with contextlib.suppress(ValueError, struct.error, IndexError):  # It ends here, or was cut.
        for record in _records(data):
            for number, content in _fields(record):
                _take(found, number, content)
    return found


def _take(found: Written, number: int, content: Any) -> None:
    if number == _HISTORY:
        values = _items(content)
        step = next((_int(_one(inner, 1)) for kind, inner in _fields(content) if kind == 2), None)
        step = values.get("_step") if step is None else step
        if isinstance(step, int):
            found.history.append((step, values))
    elif number == _SUMMARY:
        found.summary |= _items(content)
    elif number == _CONFIG:
        found.config |= _items(content)
    elif number == _RUN:
        _take_run(found, dict(_fields(content)))
    elif number == _EXIT:
        found.exit_code = _int(_one(content, 1))


def _take_run(found: Written, said: dict[int, Any]) -> None:
    found.run, found.name, found.project = (said.get(one, b"").decode(errors="replace") for one in (1, 8, 3))
    found.config |= _items(said.get(4, b""))
    if start := said.get(17, b""):
        found.started = _one(start, 1) + _one(start, 2) / 1e9


def _items(message: bytes) -> dict[str, Any]:
    """The names and values of the items, field 1, of a config, a summary or a step."""
    values: dict[str, Any] = {}
    for number, content in _fields(message):
        if number == 1 and isinstance(content, bytes):
            name, value = _item(_fields(content))
            if name:
                values[name] = value
    return values


def _item(said: Iterator[tuple[int, Any]]) -> tuple[str, Any]:
    names: list[str] = []
    value: Any = None
    for number, content in said:
        if number in {1, 2}:
            names.append(content.decode(errors="replace"))
        elif number in {8, 16}:
            value = _json(content)
        elif number == 4:
            value = bool(content)
        elif number == 5:
            value = (content >> 1) ^ -(content & 1)  # Its sign is the last bit.
        elif number == 6:
            value = content
        elif number == 7:
            value = content.decode(errors="replace")
    return ".".join(filter(None, names)), value


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _one(message: bytes, wanted: int) -> int:
    """An integer of a message; 0, as protocol buffers leave it out, without one."""
    return next((content for number, content in _fields(message) if number == wanted), 0)


def _int(value: int) -> int:
    """A signed integer from its 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a log.

    Raises:
        ValueError: a part of a record is damaged.
    """
    at, parts = _HEADER, bytearray()
    while at + _HEADER <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER:  # Too short for a header: padding.
            at += _BLOCK - at % _BLOCK
            continue
        crc, length, kind = struct.unpack_from("<IHB", data, at)
        content = data[at + _HEADER : at + _HEADER + length]
        if len(content) < length or zlib.crc32(bytes([kind]) + content) != crc:
            raise ValueError("the file was cut off or is damaged")
        at += _HEADER + length
        parts = bytearray(content) if kind in {_FULL, _FIRST} else parts + content
        if kind in {_FULL, _LAST}:
            yield bytes(parts)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer: integers, doubles and bytes.

    Raises:
        ValueError: it is none.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
        elif wire == 1:
            (value,) = struct.unpack_from("<d", message, at)
            at += 8
        elif wire == 2:
            length, at = _varint(message, at)
            value = message[at : at + length]
            at += length
        elif wire == 5:
            (value,) = struct.unpack_from("<f", message, at)
            at += 4
        else:
            raise ValueError(f"there is no wire type {wire}")
        if at > len(message):
            raise ValueError("a field is longer than its message")
        yield number, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = message[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("an integer has more than 64 bits")
