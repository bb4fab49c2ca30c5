"""The page: one file that needs no network and no other file, and can be read without scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jobs.charts import page as charts
from jobs.report import sections
from jobs.report.contents import Contents
from jobs.report.markup import Markup, join, tag

_HERE = Path(__file__).parent


def page(contents: Contents, made: str) -> str:
    """The whole page of a report as text.

    Args:
        contents: The data of the report.
        made: A sentence on the program and the time that made it.
    """
    title = ", ".join(one.study for one in contents.origins)
    return document(title, "report", sections.subtitle(contents), sections.all_sections(contents), made)


def document(title: str, kind: str, under: str, every: Sequence[sections.Section], made: str) -> str:
    """A page of some parts as text; those without a body are left out.

    Args:
        title: Its heading.
        kind: What it is, for the window's title.
        under: A line below the heading.
        every: The parts.
        made: A sentence on the program and the time that made it.
    """
    parts = [part for part in every if part.body]
    scripts = [*(charts.scripts() if any(part.has_charts for part in parts) else ()), _asset("script.js")]
    # One after the other: nested, each element around would copy all megabytes of the page.
    pieces = [
        '<!doctype html>\n<html lang="en">',
        _head(f"{title} · conclus {kind}", scripts, has_images=any(part.has_images for part in parts)),
        "<body>",
        _header(title, under, parts),
        "<main>",
        *map(_section, parts),
        "</main>",
        tag("footer", tag("p", made)),
        "</body>",
        *(tag("script", Markup(one)) for one in scripts),
        "</html>",
    ]
    return "".join(pieces)


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _head(title: str, scripts: Sequence[str], *, has_images: bool) -> Markup:
    """The head, with a policy that forbids everything outside this file: even unescaped text would not run."""
    allowed = " ".join(f"'sha256-{_digest(one)}'" for one in scripts)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'sha256-{_digest(_asset('style.css'))}'; "
        f"style-src-attr 'unsafe-inline'{'; img-src data:' if has_images else ''}"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_asset("style.css"))),
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(title: str, under: str, parts: Sequence[sections.Section]) -> Markup:
    links = [tag("a", part.title, href=f"#{part.name}") for part in parts]
    return tag(
        "header",
        tag("h1", title),
        tag("p", under, class_="under"),
        tag("nav", links, aria_label="Parts of this page"),
    )


def _section(part: sections.Section) -> Markup:
    heading = f"{part.name}-title"
    body = join([tag("h2", part.title, id=heading), part.body])
    return tag("section", body, id=part.name, aria_labelledby=heading)
