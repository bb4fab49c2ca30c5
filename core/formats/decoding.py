"""Decodes images on all cores into one array of bytes.

Pillow holds Python's lock for much of a small image. So processes decode, and write rows into the mapped file of the
array; where there is no such file, or no process can be started, threads do.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from subprocess import DEVNULL, PIPE
from typing import IO, TYPE_CHECKING, Any, cast

from core.data.columns import listed
from core.data.dataset import fault
from core.data.prepared import room
from core.data.told import told
from core.errors import UserError, counted
from core.formats.image_sizes import several_sizes
from core.formats.pictures import ImageForm, Item, Seen, seen_in

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# How few images are decoded before processes have started.
_FEW = 1000
_DEEP = "of more than 8 bits: their numbers, {:g} to {:g}, are scaled to 0 to 255"


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
    heads = [(item, seen_in(item)) for item in look]
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
        yield lambda row, items: [seen_in(item, array[place], target) for place, item in enumerate(items, row)]
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
    code = f"import sys; sys.path[:] = {sys.path!r}; from core.formats.pictures import serve; serve()"
    try:
        plain = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # numpy would start threads that have nothing to do
        process = subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=plain)
        given = cast("IO[bytes]", process.stdin)
        pickle.dump((file, target), given)
        given.flush()
    except OSError:
        return None
    return process
