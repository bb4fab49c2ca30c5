"""The map of a scene's clusters beside its ground truth. It is an image of pixels, so Pillow draws it, not Altair."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

# The first 8 are those of Okabe and Ito, Color Universal Design (2008). Each further one is as far as possible from all
# before it and from white, for ordinary sight, deuteranopia and protanopia (CIELAB; Machado et al., 2009).
_COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000", "#0000ff", "#000076"),
    *("#00ff89", "#4e76ff", "#622700", "#62004e", "#eb004e", "#6200c4", "#b1ffc4", "#89143b", "#143b89", "#769dff"),
)
_NOTHING = "#ffffff"
# Sides in the picture's pixels: of a map (small scenes are enlarged), of margins, of a line of the legend.
_SIDE, _MARGIN, _LINE, _COLUMN = 400, 16, 20, 230
_LETTERS = 24


def colour(number: int) -> str:
    """The colour of a class or a cluster, as `#rrggbb`; after 20 they come again."""
    return _COLOURS[number % len(_COLOURS)]


def laid_out(scene: tuple[int, int], pixels: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.int32]:
    """The values (n,) at the numbers of their pixels (n,), as (height, width); -1 where there is none."""
    import numpy as np

    found = np.full(scene[0] * scene[1], -1, np.int32)
    found[pixels] = values
    return found.reshape(scene)


def matched(clusters: NDArray[np.int32], truth: NDArray[np.int32]) -> dict[int, int]:
    """The class of each cluster by the Hungarian matching that `acc` is of; a cluster without one is left out.

    Args:
        clusters: (height, width), -1 for none.
        truth: (height, width), -1 for none.
    """
    from scipy.optimize import linear_sum_assignment

    from core.evaluation.metrics import contingency

    both = (clusters >= 0) & (truth >= 0)
    table = contingency(clusters[both].astype(int), truth[both].astype(int))
    rows, columns = linear_sum_assignment(table, maximize=True)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))


def drawn(clusters: NDArray[np.int32], truth: NDArray[np.int32] | None = None, names: Sequence[str] = ()) -> bytes:
    """A PNG of the clusters, and beside them the truth; a cluster has the colour of its class.

    Args:
        clusters: (height, width), -1 where a pixel was not trained on, which is white.
        truth: (height, width), -1 where a pixel has no class, which is white; None where there is no truth.
        names: of the classes.
    """
    from PIL import Image, ImageDraw

    colours, legend = _legend(clusters, truth, names)
    maps = [("clusters", _painted(clusters, colours))]
    if truth is not None:
        maps.append(("ground truth", _painted(truth, {number: colour(number) for number in range(len(names))})))
    width, height = maps[0][1].size
    across = max(len(maps) * (width + _MARGIN) + _MARGIN, _COLUMN + _MARGIN)
    columns = max(1, (across - _MARGIN) // _COLUMN)
    lines = -(-len(legend) // columns)
    top = _MARGIN + _LINE
    picture = Image.new("RGB", (across, top + height + _MARGIN + lines * _LINE + _MARGIN), _NOTHING)
    draw = ImageDraw.Draw(picture)
    for place, (title, one) in enumerate(maps):
        left = _MARGIN + place * (width + _MARGIN)
        draw.text((left, _MARGIN - 2), title, fill="black", font=_font())
        picture.paste(one, (left, top))
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline="#808080")
    for place, (fill, said) in enumerate(legend):
        left, line = _MARGIN + place // lines * _COLUMN, top + height + _MARGIN + place % lines * _LINE
        draw.rectangle((left, line, left + 13, line + 13), fill=fill, outline="#808080")
        draw.text((left + 20, line - 2), said, fill="black", font=_font())
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(13)


def _legend(
    clusters: NDArray[np.int32], truth: NDArray[np.int32] | None, names: Sequence[str]
) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """The colour of each cluster, and the lines of the legend with their colours: classes first."""
    import numpy as np

    found: list[int] = [one for one in np.unique(clusters).tolist() if one >= 0]
    pairs = {} if truth is None else matched(clusters, truth)
    of_class = {one: cluster for cluster, one in pairs.items() if cluster in found}
    alone = [one for one in found if one not in of_class.values()]
    colours = {cluster: colour(one) for one, cluster in of_class.items()}
    colours |= {cluster: colour(len(names) + place) for place, cluster in enumerate(alone)}
    lines = [
        (colour(number), f"{_plain(name)}: " + (f"cluster {of_class[number]}" if number in of_class else "no cluster"))
        for number, name in enumerate(names)
    ]
    lines += [(colours[cluster], f"cluster {cluster}" + (": no class" if names else "")) for cluster in alone]
    blank = [one for one in (clusters, truth) if one is not None and (one < 0).any()]
    return colours, [*lines, (_NOTHING, "no class" if truth is not None else "not trained on")] if blank else lines


def _plain(name: str) -> str:
    """A name on one line, without characters that do not print."""
    line = "".join(one for one in " ".join(name.split()) if one.isprintable())
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…"


def _painted(values: NDArray[np.int32], colours: dict[int, str]) -> Image:
    """Values (height, width) in their colours, enlarged by a whole number."""
    import numpy as np
    from PIL import Image, ImageColor

    pixels = np.full((*values.shape, 3), 255, np.uint8)
    for value, one in colours.items():
        pixels[values == value] = ImageColor.getrgb(one)
    times = max(1, _SIDE // max(values.shape))
    return Image.fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1))
