"""Adds digests to bytes, JSON and text files, and checks them, so that damage is found before a file is used.

Also the canonical JSON text that keys are made from.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

_MARK = b"conclus sha256 "
_DIGEST = 64
_START = len(_MARK) + _DIGEST + 1
_FORMAT, _SHA256 = "sealed", "sha256"
_COMMENT = "# conclus sha256 {}; delete this line when you edit this file\n"
_BEFORE = _COMMENT.partition("{")[0].encode()


def canonical_json(value: object, *, allow_nan: bool = True) -> str:
    """One JSON text for equal values: keys sorted, no spaces, floats in the shortest form that reads back exactly.

    Raises:
        ValueError: `allow_nan` is false and a number is not finite: NaN in a key would not be equal to itself.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=allow_nan)


def seal(content: bytes) -> bytes:
    """The content after one line that holds its digest."""
    return _MARK + sha256(content).hexdigest().encode() + b"\n" + content


def unseal(sealed: bytes) -> bytes:
    """The content that `seal` got.

    Raises:
        ValueError: The content was changed, or it has no digest, like files of conclus 0.1.0.
    """
    content = sealed[_START:]
    if not sealed.startswith(_MARK):
        raise ValueError("it has no digest: it is damaged, or from conclus 0.1.0")
    if sealed[:_START] != _MARK + sha256(content).hexdigest().encode() + b"\n":
        raise ValueError("it is damaged: its digest does not fit its content")
    return content


def seal_text(content: bytes) -> bytes:
    """A text after a comment line with its digest; `#` must begin a comment in the text.

    The digest is in the first line, so a text that was cut short is found too.
    """
    return _COMMENT.format(sha256(content).hexdigest()).encode() + content


def is_sealed_text(text: bytes) -> bool:
    """Whether a text has a digest; texts by hand and texts of conclus 0.1.0 have none.

    Raises:
        ValueError: The text has a digest that does not match its content.
    """
    if not text.startswith(_BEFORE):
        return False
    if seal_text(text.partition(b"\n")[2]) != text:
        raise ValueError("it is damaged or was edited: its digest does not fit its content")
    return True


def seal_json(content: Mapping[str, Any]) -> bytes:
    """A mapping as JSON, with a digest in it."""
    marked = {_FORMAT: 1, **json.loads(json.dumps(content))}
    return json.dumps(marked | {_SHA256: _digest(marked)}, indent=1).encode()


def unseal_json(sealed: bytes) -> dict[str, Any]:
    """The mapping that `seal_json` got; a mapping without a digest, as conclus 0.1.0 wrote it, is returned unchecked.

    Raises:
        ValueError: The bytes are not JSON, not a mapping, or were changed.
    """
    try:
        content = json.loads(sealed)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it is not a mapping")  # noqa: TRY004 - about a file's content, not an argument's type
    return verified(content)


def verified(content: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping that was read from JSON, without its digest if it has one.

    Two keys mark a digest: damage to one of them leaves the other.

    Raises:
        ValueError: The mapping was changed after it was written.
    """
    found = dict(content)
    if _FORMAT in found or _SHA256 in found:
        digest = found.pop(_SHA256, None)
        if found.get(_FORMAT) != 1 or digest != _digest(found):
            raise ValueError("it is damaged: its digest does not fit its content")
        del found[_FORMAT]
    return found


def _digest(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
