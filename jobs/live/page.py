"""The live page: one text with its style and script, and the policy that lets nothing else run in it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path

from jobs.present.visible import visible

_HERE = Path(__file__).parent
_NOTE = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>'
WAITING = f"{_NOTE}Report</title><p>The report is being made.</p></html>"


@cache
def text() -> str:
    """The page."""
    found = _asset("page.html").replace("/* style */", _asset("live.css"))
    return found.replace("/* script */", _asset("live.js"))


@cache
def policy() -> str:
    """Its Content-Security-Policy: the page's own script and style, and this server alone."""
    script, style = (_digest(_asset(name)) for name in ("live.js", "live.css"))
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
        "frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def without_report(said: str) -> str:
    """What stands in the report's place: what `conclus report` said when it made none."""
    return f"{_NOTE}No report</title><p>There is no report yet: {escape(visible(said))}</p></html>"


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(asset: str) -> str:
    return base64.b64encode(hashlib.sha256(asset.encode()).digest()).decode()
