"""A contact sheet: small pictures of image samples side by side, as one PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from jobs.present.visible import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_COLUMNS = 8
_GAP = 2
_GREY = 128
"""Of the gaps: neither white nor black pictures run into it."""
_LEAST, _MOST = 33, 64
"""The longer side of a small picture in pixels; smaller ones are enlarged by a whole factor, larger ones reduced."""


_TITLE = 12
"""The height of the line below a picture in pixels."""


def contact_sheet(images: NDArray[Any], titles: Sequence[str] = (), *, columns: int = _COLUMNS) -> bytes:
    """A PNG with the images in rows, in their order, two pixels apart.

    Numbers within 0..1 become 0..255, those of bytes stay as they are, and of others the smallest and the largest of
    all images become 0 and 255. Three channels are red, green and blue, of four the last (opacity) is left out, and of
    other numbers of channels the mean is shown as grey.

    Args:
        images: (m, channels, height, width), m at least 1, in the units of the file.
        titles: what stands below each image, (m,), cut at its width; none for none.
        columns: the images in a row.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    tiles = [_tile(one) for one in _bytes(_channels(np.asarray(images, np.float64)))]
    width, height = tiles[0].size
    step = height + _GAP + (_TITLE if titles else 0)
    rows, columns = -(-len(tiles) // columns), min(columns, len(tiles))
    size = columns * (width + _GAP) + _GAP, rows * step + _GAP
    sheet = Image.new(tiles[0].mode, size, _GREY if tiles[0].mode == "L" else (_GREY,) * 3)
    drawing = ImageDraw.Draw(sheet)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (width + _GAP), _GAP + row * step
        sheet.paste(tile, (left, top))
        if titles:
            drawing.text((left, top + height), _fitting(drawing, titles[place], width), fill="white")
    content = io.BytesIO()
    sheet.save(content, "PNG", optimize=True)
    return content.getvalue()


def _fitting(drawing: Any, title: str, width: int) -> str:
    """As much of a title as fits into a width in pixels; what the font has no picture of becomes a question mark."""
    text = one_line(title)[:width].encode("latin-1", "replace").decode("latin-1")
    while text and drawing.textlength(text) > width:
        text = text[:-1]
    return text


def _channels(images: NDArray[Any]) -> NDArray[Any]:
    """Images with one channel or three."""
    n_channels = images.shape[1]
    if n_channels in {3, 4}:
        return images[:, :3]
    return images.mean(axis=1, keepdims=True)


def _bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    import numpy as np

    low, high = _limits(images)
    return np.rint((images - low) * (255 / (high - low))).astype(np.uint8)


def _limits(images: NDArray[Any]) -> tuple[float, float]:
    """The numbers that become black and white."""
    least, most = float(images.min()), float(images.max())
    if least >= 0 and most <= 1:
        return 0, 1
    if least >= 0 and _GREY <= most <= 255:
        return 0, 255
    return least, most if most > least else least + 1


def _tile(image: NDArray[np.uint8]) -> Any:
    """One small picture of an image (channels, height, width)."""
    import numpy as np
    from PIL import Image

    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    width, height = picture.size
    longer = max(width, height)
    if longer > _MOST:
        share = _MOST / longer
        return picture.resize((max(round(width * share), 1), max(round(height * share), 1)), Image.Resampling.BOX)
    if longer < _LEAST:
        factor = _MOST // longer
        return picture.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    return picture
