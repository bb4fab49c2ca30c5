"""Pickles of data sets from strangers: what they hold is made only where it can run nothing.

Arrays are made here, of numbers and texts alone: numpy would read an object at any address that a file names.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNPICKLING = (pickle.UnpicklingError, TypeError, AttributeError, IndexError, AssertionError, SyntaxError)
"""What a broken pickle raises."""
_NUMBERS = re.compile(r"[?biufcSU]\d*")
_TUPLES = 1000
"""The most tuples in a pickle: arrays need five each, and many within each other end the process."""
_STEPS = 5_000_000
"""The most steps of a pickle, of which a text takes two."""


def plain(content: bytes, more: Mapping[str, Any] | None = None, *, encoding: str = "ASCII") -> dict[str, Any]:
    """A pickled mapping of texts to arrays, numbers, texts, lists and mappings; nothing else is made or run.

    Args:
        content: the pickle.
        more: what else may be made, by its name in the pickle.
        encoding: as for `pickle.load`.

    Raises:
        UnpicklingError: it asks for something else, which may run any code.
    """
    tuples = 0
    for place, (operation, _, _) in enumerate(pickletools.genops(content)):
        tuples += operation.name.startswith("TUPLE")
        if tuples > _TUPLES or place > _STEPS:
            raise pickle.UnpicklingError(f"it has more than {_TUPLES:,} tuples, or {_STEPS:,} steps")
    found = _Plain(BytesIO(content), more or {}, encoding).load()
    named = {one.decode() if isinstance(one, bytes) else str(one): value for one, value in found.items()}
    return {name: value.made() if isinstance(value, _Array) else value for name, value in named.items()}


class _Kind:
    """Stands for numpy's type of an array."""

    def __init__(self, kind: str | bytes, *_: Any) -> None:
        self.kind, self.order = kind.decode() if isinstance(kind, bytes) else kind, "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode() if isinstance(order, bytes) else order

    def made(self) -> np.dtype[Any]:
        import numpy as np

        if not _NUMBERS.fullmatch(self.kind) or self.order not in {"<", ">", "|", "="}:
            raise pickle.UnpicklingError(f"its arrays are of {self.kind!r}, which are no numbers or texts")
        return np.dtype(self.order + self.kind)


class _Array:
    """Stands for an array until its numbers are known."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    @classmethod
    def of_buffer(cls, content: Any, kind: Any, shape: Any, order: str, *_: Any) -> _Array:
        """One of protocol 5."""
        made = cls()
        made.state = (1, shape, kind, order == "F", bytes(content))
        return made

    def made(self) -> NDArray[Any]:
        import numpy as np

        _, shape, kind, is_fortran, content = self.state
        if not isinstance(kind, _Kind) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array in it has no numbers")
        return np.frombuffer(content, kind.made()).reshape(shape, order="F" if is_fortran else "C")


class _Plain(pickle.Unpickler):
    def __init__(self, stream: BytesIO, more: Mapping[str, Any], encoding: str) -> None:
        super().__init__(stream, encoding=encoding)
        known: dict[str, Any] = {"_codecs.encode": _encoded, "numpy.ndarray": _Array, "numpy.dtype": _Kind}
        for core in ("core", "_core"):
            known |= {
                f"numpy.{core}.multiarray._reconstruct": _Array,
                f"numpy.{core}.numeric._frombuffer": _Array.of_buffer,
            }
        self._known = {**known, **more}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        found = self._known.get(f"{module_name}.{global_name}")
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which is never run")
        return found


def _encoded(text: Any, _: Any) -> bytes:
    """Python 3 writes bytes so for Python 2."""
    if not isinstance(text, str):
        raise pickle.UnpicklingError("it encodes what is no text")
    return text.encode("latin1")
