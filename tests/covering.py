"""Many cases that show the same thing: one of each kind runs always, the others with `-m counts` alone."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

T = TypeVar("T")


def one_of_each(cases: Iterable[T], kind: Callable[[T], Hashable]) -> list[ParameterSet]:
    """The cases as parameters of one name.

    Args:
        cases: All of them, those that shall run always before others of their kind.
        kind: What a case has in common with those that show the same.
    """
    found, seen = [], set()
    for case in cases:
        found.append(pytest.param(case, marks=[pytest.mark.counts(alone=True)] if kind(case) in seen else []))
        seen.add(kind(case))
    return found
