"""HTML and SVG from nested calls; every text that is not `Markup` is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from jobs.present.visible import visible

_VOID = frozenset({"img", "meta", "wbr"})


class Markup(str):
    """Text that is already markup and is not escaped."""

    __slots__ = ()


def tag(name: str, *children: str | Iterable[str | None] | None, **attributes: str | float | bool | None) -> Markup:
    """One element.

    Args:
        name: Its name.
        children: Texts, markup, sequences of both, or None for nothing.
        attributes: Its attributes. `_` becomes `-` and a trailing `_` is dropped (`class_`). None and False omit the
            attribute; True writes it without a value.
    """
    start = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(start if name in _VOID else f"{start}{join(children)}</{name}>")


def join(children: Iterable[str | Iterable[str | None] | None]) -> Markup:
    """Several children as one piece of markup."""
    return Markup("".join(map(_child, children)))


def _child(child: str | Iterable[str | None] | None) -> str:
    if child is None or isinstance(child, Markup):
        return child or ""
    return html.escape(visible(child)) if isinstance(child, str) else join(child)


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(visible(value) if isinstance(value, str) else number(value))}"'


def number(value: float) -> str:
    """A length or position in a drawing, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
