"""The page: one file that needs no network and no other file, and can be read without scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jobs.report import sections
from jobs.report.contents import Contents
from jobs.report.markup import Markup, join, tag

_HERE = Path(__file__).parent


def page(contents: Contents, made: str) -> str:
    """The whole page as text.

    Args:
        contents: The data of the report.
        made: A sentence on the program and the time that made it.
    """
    title = ", ".join(one.study for one in contents.origins)
    parts = [part for part in sections.all_sections(contents) if part.body]
    return "<!doctype html>\n" + tag(
        "html",
        _head(f"{title} · conclus report"),
        tag("body", _header(title, contents, parts), tag("main", map(_section, parts)), tag("footer", tag("p", made))),
        tag("script", Markup(_asset("script.js"))),
        lang="en",
    )


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _head(title: str) -> Markup:
    """The head, with a policy that forbids everything outside this file: even unescaped text would not run."""
    script, style = (base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode() for name in _ASSETS)
    policy = (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; style-src-attr 'unsafe-inline'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_asset("style.css"))),
    )


_ASSETS = ("script.js", "style.css")


def _header(title: str, contents: Contents, parts: Sequence[sections.Section]) -> Markup:
    links = [tag("a", part.title, href=f"#{part.name}") for part in parts]
    return tag(
        "header",
        tag("h1", title),
        tag("p", sections.subtitle(contents), class_="under"),
        tag("nav", links, aria_label="Parts of this page"),
    )


def _section(part: sections.Section) -> Markup:
    heading = f"{part.name}-title"
    body = join([tag("h2", part.title, id=heading), part.body])
    return tag("section", body, id=part.name, aria_labelledby=heading)
