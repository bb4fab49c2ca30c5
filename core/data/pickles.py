"""Pickles of data sets from strangers: what they hold is made only where it cannot run anything."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

UNPICKLING = (pickle.UnpicklingError, TypeError, AttributeError, IndexError, AssertionError)
"""What a broken pickle raises."""


class PlainUnpickler(pickle.Unpickler):
    """Makes arrays, numbers, texts, lists and mappings, and refuses all other objects of a pickle."""

    more: ClassVar[Mapping[str, Any]] = {}
    """What else may be made, by its name in the pickle."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """What a pickle calls by a name: only what numpy's arrays need.

        Raises:
            UnpicklingError: it is something else, which may run any code.
        """
        import numpy as np

        # Python 3 writes bytes so for Python 2.
        known = {"_codecs.encode": lambda text, _: str(text).encode("latin1")}
        known |= {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
        # Of the protocols up to 4, and of 5.
        made = {"multiarray._reconstruct": np.empty(0).__reduce__()[0]}
        made |= {"numeric._frombuffer": np.empty(0).__reduce_ex__(5)[0]}
        known |= {f"numpy.{core}.{name}": one for core in ("core", "_core") for name, one in made.items()}
        found = {**known, **self.more}.get(f"{module_name}.{global_name}")
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which is never run")
        return found
