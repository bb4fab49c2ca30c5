"""Digests around bytes, inside JSON and above YAML, so that damage is seen before it is used; JSON to make keys of."""

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
        ValueError: `allow_nan` is false and a number is not finite: a key made of it would be equal to nothing.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=allow_nan)


def seal(content: bytes) -> bytes:
    """The content after one line that holds its digest."""
    return _MARK + sha256(content).hexdigest().encode() + b"\n" + content


def unseal(sealed: bytes) -> bytes:
    """What `seal` was given.

    Raises:
        ValueError: A byte of it is another one, or it holds no digest, as files of conclus 0.1.0 do.
    """
    content = sealed[_START:]
    if not sealed.startswith(_MARK):
        raise ValueError("it holds no digest: it is damaged, or of conclus 0.1.0")
    if sealed[:_START] != _MARK + sha256(content).hexdigest().encode() + b"\n":
        raise ValueError("it is damaged: its digest does not fit its content")
    return content


def seal_text(content: bytes) -> bytes:
    """A text in which `#` begins a comment, after a comment that holds its digest.

    The first line, not the last: that a text was cut short is then seen, too.
    """
    return _COMMENT.format(sha256(content).hexdigest()).encode() + content


def is_sealed_text(text: bytes) -> bool:
    """Whether a digest vouches for a text; none does for one that a person wrote, or conclus 0.1.0.

    Raises:
        ValueError: It holds a digest, and is not what `seal_text` was given.
    """
    if not text.startswith(_BEFORE):
        return False
    if seal_text(text.partition(b"\n")[2]) != text:
        raise ValueError("it is damaged or was edited: its digest does not fit its content")
    return True


def seal_json(content: Mapping[str, Any]) -> bytes:
    """A mapping as JSON that holds its own digest."""
    marked = {_FORMAT: 1, **json.loads(json.dumps(content))}
    return json.dumps(marked | {_SHA256: _digest(marked)}, indent=1).encode()


def unseal_json(sealed: bytes) -> dict[str, Any]:
    """The mapping that `seal_json` was given; one that never had a digest, as conclus 0.1.0 wrote it, as it is.

    Raises:
        ValueError: It is no JSON, no mapping, or not what was written.
    """
    try:
        content = json.loads(sealed)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")  # noqa: TRY004 - of a file's content, not of an argument's type
    return verified(content)


def verified(content: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping that was read from JSON, without its digest, where it has one.

    Both of its own keys are looked for: damage that takes one away leaves the other.

    Raises:
        ValueError: It is not what was written.
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
