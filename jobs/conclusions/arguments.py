"""Checks what a person gives to a question: Python itself takes anything, and fails far from the mistake."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Collection
from typing import Any, NoReturn

from core.errors import UserError

SMALLEST_MARGIN = 1e-9
"""The smallest margin, as of `conclus next --margin`."""


def wrong(name: str, given: Any, right: str) -> NoReturn:
    """Refuses an argument, and says what would be right.

    Raises:
        UserError: Always.
    """
    raise UserError(f"{name}: {reprlib.repr(given)} is wrong: {right}.")


def is_name(given: Any) -> bool:
    """Whether it can be the name of something."""
    return isinstance(given, str) and bool(given.strip())


def are_names(given: Any) -> bool:
    """Whether it is a list of names, of any length."""
    return isinstance(given, list | tuple | set | frozenset) and all(isinstance(one, str) for one in given)


def check_choice(name: str, given: Any, allowed: Collection[str]) -> None:
    """Checks that one of the allowed words is given.

    Raises:
        UserError: It is not.
    """
    if not isinstance(given, str) or given not in allowed:
        wrong(name, given, f"write one of {', '.join(allowed)}")


def part_of(given: Any, parts: Collection[str]) -> str:
    """The name of a table or a chart; of "" the first.

    Raises:
        UserError: There is no such part.
    """
    if isinstance(given, str) and not given:
        return next(iter(parts))
    check_choice("part", given, parts)
    return given


def check_switch(name: str, given: Any) -> None:
    """Checks that True or False is given: the text "no" would count as yes.

    Raises:
        UserError: It is neither.
    """
    if not isinstance(given, bool):
        wrong(name, given, "write True or False")


def check_text(name: str, given: Any, right: str) -> None:
    """Checks that a text is given.

    Raises:
        UserError: It is none.
    """
    if not isinstance(given, str):
        wrong(name, given, right)


def check_path(name: str, given: Any, right: str) -> None:
    """Checks that a path is given.

    Raises:
        UserError: It is none.
    """
    if not isinstance(given, str | os.PathLike):
        wrong(name, given, right)


def check_margin(given: Any) -> None:
    """Checks that a margin is a number that is large enough.

    Raises:
        UserError: It is not.
    """
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not SMALLEST_MARGIN <= given < math.inf:
        wrong("margin", given, f"write a number of at least {SMALLEST_MARGIN:g}, as 0.01")
