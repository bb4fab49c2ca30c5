"""Reads the type of an option from the syntax of its annotation; no source of a plug-in is evaluated."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any, Literal

from core.config import schema

_PLAIN: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}
_OURS = ("PositiveFloat", "NonNegativeFloat", "Fraction", "PositiveInt", "NonNegativeInt", "LossPlugIn")
_KNOWN: dict[str, Any] = _PLAIN | {name: vars(schema)[name] for name in _OURS}
_DEEPEST = 20


def type_of(annotation: ast.expr | None, depth: int = _DEEPEST) -> Any:
    """The type that an annotation names.

    Known are `int`, `float`, `bool`, `str`, `None`, the bounded numbers of `core.config.schema`, `Literal[…]`,
    `tuple[X, ...]`, `Optional[X]` and `X | Y`, also written as a string.

    Raises:
        ValueError: the annotation is another expression.
    """
    match annotation:
        case None:
            raise ValueError("it has no annotation")
        case _ if not depth:
            raise ValueError("its annotation is nested too deep")
        case ast.Name(id=name) if name in _KNOWN:
            return _KNOWN[name]
        case ast.Constant(value=None):
            return type(None)
        case ast.Constant(value=str() as text):
            return type_of(ast.parse(text, mode="eval").body, depth - 1)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return or_(_part(left, depth), _part(right, depth))
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return _subscripted(name, inner, depth)
        case _:
            raise ValueError(f"{_words(annotation)} is not a type of a study file")


def _part(node: ast.expr, depth: int) -> Any:
    """One side of `X | Y`, in which None stands for itself."""
    found = type_of(node, depth - 1)
    return None if found is type(None) else found


def _subscripted(name: str, inner: ast.expr, depth: int) -> Any:
    items: Sequence[ast.expr] = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return Literal[tuple(_constant(item) for item in items)]
    if name == "Optional" and len(items) == 1:
        return reduce(or_, [type_of(items[0], depth - 1), None])
    if name == "tuple" and len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is ...:
        return tuple[type_of(items[0], depth - 1), ...]
    raise ValueError(f"{name}[…] is not a type of a study file")


def _constant(node: ast.expr) -> str | int | float | bool | None:
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"{_words(node)} cannot stand in Literal[…]")  # noqa: TRY004 - one kind of error
    return value


def _words(node: ast.expr) -> str:
    """The start of an expression, short enough for a message."""
    return ast.unparse(node)[:60]
