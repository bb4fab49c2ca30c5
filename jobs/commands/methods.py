"""`conclus methods`: the plug-ins that a study file may name, and their options."""

from __future__ import annotations

import shutil
import textwrap

import click

KINDS = ("methods", "encoders", "views", "datasets", "losses")


@click.command()
@click.argument("kind", type=click.Choice(KINDS), default="methods")
@click.argument("name", required=False)
def command(kind: str, name: str | None) -> None:
    """List what a study file may name: methods, encoders, views, datasets or losses.

    With NAME (or the path of a .py file): its options, each with its type and default.
    """
    from core import registry

    if name is None:
        names = registry.names(kind)
        width = max(len(one) for one in names)
        room = max(40, shutil.get_terminal_size().columns - width - 2)
        for one in names:
            first, *rest = textwrap.wrap(registry.summary(kind, one), room)
            click.echo("\n".join([f"{one:{width}}  {first}", *(" " * (width + 2) + line for line in rest)]))
        return
    click.echo("\n".join([registry.summary(kind, name), "", *_options(kind, name)]))


def _options(kind: str, name: str) -> list[str]:
    from core import registry
    from core.schema import describe

    options = registry.options(kind, name)
    if not options:
        return ["no options"]
    width = max(len(one.name) for one in options)
    defaults = ["required" if one.required else _default(one.default) for one in options]
    return [
        f"{one.name:{width}}  {default}  ({describe(one.type)})" for one, default in zip(options, defaults, strict=True)
    ]


def _default(value: object) -> str:
    """As a study file would have it."""
    import json

    return json.dumps(value)
