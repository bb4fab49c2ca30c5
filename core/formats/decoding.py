"""Decodes images on all cores into one array of bytes.

Pillow holds Python's lock for much of a small image. So processes decode, and write rows into the mapped file of the
array; where there is no such file, or no process can be started, threads do.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from subprocess import DEVNULL, PIPE
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from core.data.columns import listed
from core.data.dataset import fault
from core.data.prepared import room, told
from core.errors import UserError, counted
from core.formats.image_sizes import several_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

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
# How few images are decoded before processes have started.
_FEW = 1000
_DEEP = "of more than 8 bits: their numbers, {:g} to {:g}, are scaled to 0 to 255"
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


def decoded(
    where: Path | str,
    stream: Callable[[], Iterable[Sequence[Item]]],
    names: Sequence[str],
    look: Sequence[Item],
    *,
    size: int | None,
    skip: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[str, ...]]:
    """Decodes all images; once more where what is common to all is only known at the end.

    Args:
        where: the file or folder, for messages.
        stream: gives the images, some at a time; called again for each pass.
        names: what the images are called, (n,).
        look: some of the images, from which the common size and the number of channels are guessed.
        size: the sides that all images get; None if they must have one size.
        skip: leave out images that cannot be decoded; else they are refused.

    Returns:
        Images (m, channels, height, width); which images they are, (n,); and notes on what was done with them.

    Raises:
        UserError: images cannot be decoded, or have several sizes and `size` is None.
    """
    import numpy as np

    kept, dropped = np.ones(len(names), bool), list[str]()
    heads = [(item, _seen(item)) for item in look]
    bad = [(os.path.relpath(item, where), one) for item, one in heads if one.reason and isinstance(item, str)]
    broken = [f"{os.fsencode(name).decode('utf-8', 'backslashreplace')} ({one.reason})" for name, one in bad]
    target = _target(where, [one for _, one in heads if not one.reason], size, broken)
    seen: list[Seen] = []
    while kept.any():
        array = room((int(kept.sum()), *target.shape), np.uint8)
        found = _all(stream(), array, kept, target)
        seen = [new if is_kept else old for new, is_kept, old in zip(found, kept, seen or found, strict=True)]
        bad = [place for place in kept.nonzero()[0].tolist() if seen[place].reason]
        named = [f"{names[place]} ({seen[place].reason})" for place in bad]
        if bad and not skip:
            raise _broken(where, named, len(names))
        kept[bad] = False
        dropped += named
        good = [one for one in seen if not one.reason]
        needed = _target(where, good, size)
        if needed == target and not bad:
            return array, kept, tuple(_notes(good, target, dropped))
        if (file := getattr(array, "filename", None)) is not None:
            os.unlink(file)  # noqa: PTH108 - `room` makes it anew
        target = needed
    raise _broken(where, dropped, len(names))


def block(n_images: int) -> int:
    """How many images a process gets at once: few large ones are to keep all cores busy, too."""
    return max(1, min(64, n_images // 64))


def _broken(where: Path | str, named: Sequence[str], total: int) -> Exception:
    said = counted(len(named), "image")
    return fault(
        where,
        f"{said} of {total:,} cannot be decoded: {listed(named)}; mend or remove what is broken, or leave it out with "
        "`broken: skip`",
    )


def _target(where: Path | str, seen: Sequence[Seen], size: int | None, broken: Sequence[str] = ()) -> ImageForm:
    """What the images seen become; `broken` are those that cannot be decoded, for the message.

    Raises:
        UserError: they have several sizes, and none is chosen.
    """
    channels = max((one.channels for one in seen), default=3)
    deep = [one.limits for one in seen if one.limits is not None]
    limits = (min(low for low, _ in deep), max(high for _, high in deep)) if deep else None
    if size is not None:
        return ImageForm((channels, size, size), size, limits)
    sizes = Counter((one.height, one.width) for one in seen)
    if len(sizes) > 1:
        raise several_sizes(where, [(one.height, one.width) for one in seen], broken)
    height, width = next(iter(sizes), (1, 1))
    return ImageForm((channels, height, width), None, limits)


def _notes(seen: Sequence[Seen], target: ImageForm, dropped: Sequence[str]) -> Iterator[str]:
    """What was done with images, each with their number."""
    if dropped:
        yield f"{len(dropped):,} of {len(seen) + len(dropped):,} images left out (`broken: skip`): {listed(dropped)}"
    sides = target.shape[1:]
    resized = [one for one in seen if target.size and (one.height, one.width) != sides]
    smaller = sum(min(one.height, one.width) < sides[0] for one in resized)
    more = f"; {counted(smaller, 'image', 'were')} smaller" if smaller else ""
    low, high = target.limits or (0, 0)
    counts = Counter(what for one in seen for what in one.did)
    counts[f"resized: the shorter side to {target.size} pixels, the middle cut out{more}"] = len(resized)
    counts[_DEEP.format(low, high)] = sum(one.limits is not None for one in seen)
    counts["grey, among images in colour: the channels are equal"] = sum(one.channels < target.shape[0] for one in seen)
    for what, count in sorted(counts.items()):
        if count:
            yield f"{'all images' if count == len(seen) else counted(count, 'image')} {what}"


def _all(
    stream: Iterable[Sequence[Item]], array: NDArray[np.uint8], kept: NDArray[np.bool_], target: ImageForm
) -> list[Seen]:
    """Decodes those that are kept into the rows of the array, on all cores."""
    rows = kept.cumsum() - 1
    waiting, lock, ended = enumerate(stream), threading.Lock(), threading.Event()
    found: dict[int, list[Seen]] = {}
    start, done = 0, 0

    def following() -> tuple[int, int, list[Item]] | None:
        """The number of a block, the row of its first image, and those of its images that are kept."""
        nonlocal start
        with lock:
            number, items = (0, None) if ended.is_set() else next(waiting, (0, None))
            if items is None:
                return None
            begin, start = start, start + len(items)
        mine = kept[begin : begin + len(items)]
        chosen = [item for item, is_kept in zip(items, mine, strict=True) if is_kept]
        return number, int(rows[begin]) + (not kept[begin]), chosen

    def work() -> None:
        nonlocal done
        with _decoder(array, target, apart=len(kept) >= _FEW) as decode:
            while (block := following()) is not None:
                number, row, items = block
                new = decode(row, items)
                with lock:
                    found[number] = new
                    done += len(new)
                    told("decoding images", done, len(array))

    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(n_cores) as pool:
        try:
            # Each thread needs a copy of what `told` finds there.
            for worker in [pool.submit(copy_context().run, work) for _ in range(n_cores)]:
                worker.result()
        finally:
            ended.set()
    new = iter([one for number in sorted(found) for one in found[number]])
    return [next(new) if is_kept else Seen() for is_kept in kept.tolist()]


@contextlib.contextmanager
def _decoder(array: NDArray[np.uint8], target: ImageForm, *, apart: bool) -> Generator[Any]:
    """Decodes blocks of images into the array from a row on; in a process of its own if `apart` and it can start."""
    file = getattr(array, "filename", None) if apart else None
    process = None if file is None else _started(os.fspath(file), target)
    if process is None:
        yield lambda row, items: [_seen(item, array[place], target) for place, item in enumerate(items, row)]
        return
    given, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)

    def ask(row: int, items: Sequence[Item]) -> list[Seen]:
        try:
            pickle.dump((row, items), given)
            given.flush()
            return pickle.load(answers)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            why = f"was ended (code {process.wait()}), perhaps for want of memory"
            raise UserError(f"data: a process that decodes images {why}: try again, or with smaller images") from error

    with process:  # At its end the pipes are closed, which ends the process, and it is waited for.
        yield ask


def _started(file: str, target: ImageForm) -> subprocess.Popen[bytes] | None:
    """A process that serves; None if none can start. `multiprocessing` would run the user's script anew in it."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from core.formats.decoding import serve; serve()"
    try:
        plain = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # numpy would start threads that have nothing to do
        process = subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=plain)
        given = cast("IO[bytes]", process.stdin)
        pickle.dump((file, target), given)
        given.flush()
    except OSError:
        return None
    return process


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
            seen = [_seen(item, out, target) for item, out in zip(items, rows, strict=False)]
            stream.seek(array.offset + row * array[:1].nbytes)
            stream.write(rows[: len(items)].data)
            stream.flush()
            pickle.dump(seen, answers)
            answers.flush()


def _seen(item: Item, out: NDArray[np.uint8] | None = None, target: ImageForm | None = None) -> Seen:
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
