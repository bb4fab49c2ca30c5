"""What a page needs to draw charts without a network: Vega, and the scripts that call it.

`vega.js` is Vega 6.2.0, Vega-Lite 6.4.1 and Vega-Embed 7.0.2 with all that they need, made once by vl-convert-python
1.9.0: `vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version="6.4")`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def scripts() -> tuple[str, str]:
    """The scripts of a page with charts, in their order: Vega with its licences (0.9 MB), and the one that draws."""
    licences, vega, expressions, draw = map(_text, ("LICENSES.txt", "vega.js", "expressions.js", "draw.js"))
    return f"/*\n{licences}*/\n{vega}", f"{expressions}\n{draw}"


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
