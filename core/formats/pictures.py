"""Decodes single images; a process that does nothing else starts in a moment, as this module imports little."""

from __future__ import annotations

import contextlib
import pickle
import signal
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

# Where an encoded image lies: a file, a file with an offset and a length, or its bytes; None for none.
Item = str | tuple[str, int, int] | bytes | None

# Pillow knows more formats; some of them run programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
# An image of more pixels is refused before it is decoded: a small file may claim any number.
_MOST_PIXELS = 1 << 27
_BOMB = f"it claims to have more than {_MOST_PIXELS:,} pixels"
_REASONS = {"DecompressionBombError": _BOMB, "UnidentifiedImageError": "it is no image of a known format"}
# The EXIF tag of an image's orientation; from 5 on, width and height change places.
_ORIENTATION, _SIDEWAYS = 0x0112, 5


class Seen(NamedTuple):
    """What was found in one image: why it cannot be decoded, its size, and what was done with it, in words."""

    reason: str = ""
    height: int = 0
    width: int = 0
    channels: int = 1
    limits: tuple[float, float] | None = None
    did: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageForm:
    """What images become: their shape, the `size` they are resized to, and what numbers of deep ones are 0 and 255."""

    shape: tuple[int, int, int]
    size: int | None
    limits: tuple[float, float] | None = None


def serve() -> None:
    """Decodes blocks of images that come from standard input, until it is closed."""
    import numpy as np

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Whoever asks is told of Ctrl-C, and closes the input.
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    file, target = pickle.load(given)
    array = np.load(file, mmap_mode="r")
    rows: Any = array[:0]  # One array for all blocks: the pages of a new one would have to be cleared.
    # To write a block at once is faster than to touch each page of a mapped file for the first time.
    with contextlib.suppress(EOFError, BrokenPipeError), open(file, "r+b") as stream:  # noqa: PTH123
        while True:
            row, items = pickle.load(given)
            if len(rows) < len(items):
                rows = np.empty((len(items), *target.shape), np.uint8)
            seen = [seen_in(item, out, target) for item, out in zip(items, rows, strict=False)]
            stream.seek(array.offset + row * array[:1].nbytes)
            stream.write(rows[: len(items)].data)
            stream.flush()
            pickle.dump(seen, answers)
            answers.flush()


def seen_in(item: Item, out: NDArray[np.uint8] | None = None, target: ImageForm | None = None) -> Seen:
    """Decodes an image into `out` (channels, height, width) if it fits; without `out`, its head alone is read."""
    from PIL import Image

    _set_up()
    if item is None:
        return Seen("there is none")
    try:
        with _opened(item) as stream, Image.open(stream, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                return Seen(_BOMB)
            if out is not None and target is not None:
                return _into(image, out, target)
            width, height = image.size[::-1] if _orientation(image) >= _SIDEWAYS else image.size
            return Seen("", height, width, _channels(image))
    except Exception as error:  # noqa: BLE001 - of damaged files Pillow raises nearly everything
        said = " ".join(str(error).split())[:100] or type(error).__name__
        return Seen("it is cut short" if "truncated" in said.lower() else _REASONS.get(type(error).__name__, said))


@lru_cache(maxsize=1)
def _set_up() -> None:
    """Registers the formats that Pillow does not know at first, and keeps what it says of odd files off the screen."""
    import_module("PIL.TiffImagePlugin")
    import_module("PIL.WebPImagePlugin")
    warnings.filterwarnings("ignore", module="PIL")


def _opened(item: str | tuple[str, int, int] | bytes) -> IO[bytes]:
    if isinstance(item, bytes):
        return BytesIO(item)
    if isinstance(item, str):
        return open(item, "rb")  # noqa: PTH123 - a Path for each would take as long as a small image
    file, offset, length = item
    with open(file, "rb") as stream:  # noqa: PTH123
        stream.seek(offset)
        return BytesIO(stream.read(length))


def _orientation(image: Picture) -> int:
    return image.getexif().get(_ORIENTATION, 1) if "exif" in image.info and image.format != "TIFF" else 1


def _channels(image: Picture) -> int:
    if image.mode in {"1", "L", "LA", "La", "I", "F"} or image.mode.startswith("I;"):
        return 1
    if image.mode == "P":
        palette = image.getpalette() or []
        return 1 if palette[::3] == palette[1::3] == palette[2::3] else 3
    return 3


def _into(image: Picture, out: NDArray[np.uint8], target: ImageForm) -> Seen:
    """Decodes an image into `out`, if it fits."""
    import numpy as np
    from PIL import ImageOps

    mode, channels, (width, height) = image.mode, _channels(image), image.size
    did = ["of several frames or pages: the first is read"] if getattr(image, "is_animated", False) else []
    if target.size is not None:
        image.draft("", (2 * target.size, 2 * target.size))  # A JPEG is decoded at the next larger of its scales.
    image.load()
    turned = _orientation(image)
    if turned != 1:
        image = ImageOps.exif_transpose(image)
        did.append("turned upright, as the EXIF orientation says")
        width, height = (height, width) if turned >= _SIDEWAYS else (width, height)
    seen = Seen("", height, width, channels)
    if mode in {"I", "F"} or mode.startswith("I;"):
        return _deep(image, out, target, seen)
    if image.has_transparency_data:
        image, is_clear = _on_white(image)
        did += ["with transparent parts: laid on white"] * is_clear
    did += ["in the colours of print (CMYK): read as red, green and blue"] * (mode == "CMYK")
    wanted = "L" if channels == 1 else "RGB"
    image = image if image.mode == wanted else image.convert(wanted)
    image = image if target.size is None else _resized(image, target.size)
    if channels <= out.shape[0] and (image.height, image.width) == out.shape[1:]:
        # Channel after channel in each line, of which parts are copied as they are: faster than pixel by pixel.
        lines = np.frombuffer(image.tobytes("raw", "L" if channels == 1 else "RGB;L"), np.uint8)
        out[:] = lines.reshape(image.height, channels, image.width).transpose(1, 0, 2)
    return seen._replace(did=tuple(did))


def _on_white(image: Picture) -> tuple[Picture, bool]:
    """An image with transparent parts on white, and whether it has any."""
    from PIL import Image

    rgba = image.convert("RGBA")
    lowest = cast("tuple[int, int]", rgba.getchannel("A").getextrema())[0]
    white = Image.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white.convert("RGB"), lowest < 255


def _resized(image: Picture, size: int) -> Picture:
    from PIL import Image, ImageOps

    return image if image.size == (size, size) else ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def _deep(image: Picture, out: NDArray[np.uint8], target: ImageForm, seen: Seen) -> Seen:
    """An image with more than 8 bits: its numbers are scaled by the limits of all such images."""
    import numpy as np
    from PIL import Image

    numbers = np.asarray(image).astype(np.float32)
    if not np.isfinite(numbers).all():
        return seen._replace(reason="some of its numbers are not finite")
    seen = seen._replace(limits=(float(numbers.min()), float(numbers.max())))
    if target.size is not None:
        numbers = np.asarray(_resized(Image.fromarray(numbers), target.size))
    if target.limits is not None and numbers.shape == out.shape[1:]:
        low, high = target.limits
        out[:] = np.rint((numbers.clip(low, high) - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
    return seen
