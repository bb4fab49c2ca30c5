"""Reads data sets of images as they are downloaded: MNIST and its kin, CIFAR-10, CIFAR-100 and STL-10.

Each is a folder of its files, or the folder in which torchvision keeps it; CIFAR and STL-10 also the `.tar.gz` itself.
Without `split` the parts for training and for testing are joined, train first, as contrastive clustering takes them.

Sources: LeCun, Cortes and Burges, MNIST (the format IDX); Cohen et al., EMNIST, 2017; Krizhevsky, Learning Multiple
Layers of Features from Tiny Images, 2009; Coates, Lee and Ng, An Analysis of Single-Layer Networks, 2011 (STL-10).
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from core.data.columns import Part, Wanted, check_named, listed
from core.data.dataset import damage, fault
from core.data.labels import NO_NUMBER
from core.data.pickles import UNPICKLING, plain
from core.data.prepared import gathered
from core.data.stored import Records

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_IDX = re.compile(r"(?:(?P<name>.+?)-)?(?P<half>train|t10k|test)-(?P<what>images|labels)[-.]idx[13]-ubyte(?:\.gz)?")
# Where torchvision and the archives put the files below the folder that people name.
_BELOW = (
    *("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary", "stl10_binary"),
    *("raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw"),
)
_HALVES = ("train", "test")


@dataclass(frozen=True, eq=False)
class _Held:
    """The files of a data set: of a folder, or of an archive.

    Attributes:
        where: the folder or the archive, for messages.
        sizes: the bytes of each file, by its name.
        open: opens one to read.
    """

    where: Path
    sizes: Mapping[str, int]
    open: Callable[[str], IO[bytes]]

    def check(self, *names: str) -> None:
        """Checks that files are there.

        Raises:
            UserError: one is not.
        """
        for name in names:
            if name not in self.sizes:
                raise fault(self.where, f"the file {name} of this data set is missing: copy or download it again")

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines of a file of names; none if it is not there."""
        if name not in self.sizes:
            return ()
        with self.open(name) as stream:
            return tuple(line for line in stream.read().decode(errors="replace").splitlines() if line)


class _Read(NamedTuple):
    """What was read of one part: images as arrays or `Records`, and the classes, where it has any."""

    images: list[Any]
    labels: Callable[[], list[NDArray[Any]]]


def files(folder: Path) -> list[Path]:
    """The files of the data set in a folder, or in the one below it where torchvision keeps it; none if there is none.

    Raises:
        UserError: several data sets lie below it.
    """
    home = _home(folder)
    names = [name for name in _names(home) if any(one.files.fullmatch(name) for one in _KINDS)] if home else []
    return [home / name for name in sorted(names)] if home else []


def _home(folder: Path) -> Path | None:
    found = [one for one in (folder, *(folder / below for below in _BELOW)) if _kind(_names(one)) is not None]
    if len(found) > 1:
        raise fault(folder, f"several data sets lie in this folder: name one, {listed(map(str, found))}")
    return found[0] if found else None


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [one.name for one in folder.iterdir() if one.is_file()]
    return []


def read(place: Path, wanted: Wanted) -> Part:
    """Reads a data set from its folder or its archive.

    Raises:
        UserError: a file is missing, damaged, or holds what a pickle of numbers does not hold.
        ValueError, OSError: the archive is damaged.
    """
    with _held(place) as held:
        kind = _kind(held.sizes)
        if kind is None:
            raise fault(place, "it holds no CIFAR-10, CIFAR-100 or STL-10: unpack it, and name what is in it")
        return kind.read(held, wanted)


@contextlib.contextmanager
def _held(place: Path) -> Generator[_Held]:
    """Files that were opened are closed at the end."""
    with contextlib.ExitStack() as stack:
        if place.is_dir():
            home = _home(place) or place
            sizes = {name: (home / name).stat().st_size for name in _names(home)}
            yield _Held(home, sizes, lambda name: stack.enter_context((home / name).open("rb")))
            return
        try:
            archive = stack.enter_context(tarfile.open(place))
            members = {one.name.rpartition("/")[2]: one for one in archive.getmembers() if one.isfile()}
            sizes = {name: one.size for name, one in members.items()}
            yield _Held(place, sizes, lambda name: archive.extractfile(members[name]) or io.BytesIO())
        except tarfile.TarError as error:
            raise ValueError(str(error)) from error


def _chosen(held: _Held, wanted: Wanted) -> tuple[str, ...]:
    """The parts that are read, and a refusal of options for columns."""
    check_named(held.where, wanted, ())
    if wanted.split == "with-unlabelled":
        raise fault(held.where, "`split: with-unlabelled` is of STL-10 alone: use train, test or all")
    return _HALVES if wanted.split in {None, "all"} else (str(wanted.split),)


def _part(
    held: _Held,
    halves: Mapping[str, _Read],
    *,
    label_name: str = "class",
    names: Sequence[str] = (),
    notes: Sequence[str] = (),
    axes: tuple[str, ...] = ("channels", "height", "width"),
) -> Part:
    """Joins the images and the classes of all parts that are read."""
    import numpy as np

    images = gathered([block for half in halves.values() for block in half.images])
    labels = [np.concatenate(half.labels()) for half in halves.values()]
    counts = [sum(block.shape[0] for block in half.images) for half in halves.values()]
    for half, count, classes in zip(halves, counts, labels, strict=True):
        if len(classes) != count:
            raise fault(held.where, f"it has {count} images and {len(classes)} classes for {half}: copy it again")
    said = " and ".join(f"{count} of {half}" for half, count in zip(halves, counts, strict=True))
    return Part(
        held.where,
        images,
        np.concatenate(labels) if label_name else None,
        class_names=tuple(names),
        label_name=label_name,
        notes=(f"the images are {said} (`split`)", *notes),
        axes=axes,
    )


def _label_name(held: _Held, wanted: Wanted, *names: str) -> str:
    """Which of the classes are the labels; an empty text for none."""
    if wanted.labels == "none":
        return ""
    if wanted.labels not in {None, *names}:
        raise fault(held.where, f"`labels: {wanted.labels}` is none of its classes: use {' or '.join(names)}, or none")
    return wanted.labels or names[0]


def _read_idx_folder(held: _Held, wanted: Wanted) -> Part:
    """MNIST, Fashion-MNIST, KMNIST, EMNIST: images and classes in IDX files, plain or gzipped."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for name in sorted(held.sizes, reverse=True):  # of a file and its `.gz` the plain one is taken
        if match := _IDX.fullmatch(name):
            half = "train" if match["half"] == "train" else "test"
            found.setdefault(match["name"] or "", {})[half, match["what"]] = name
    name = ", ".join(wanted.features or list(found)[:1])
    if name not in found or (len(found) > 1 and not wanted.features):
        raise fault(held.where, f"it holds {listed(sorted(found))}: name one, as in `features: {min(found)}`")
    is_emnist = name.startswith("emnist")
    halves: dict[str, _Read] = {}
    for half in _chosen(held, wanted):
        images, labels = (_idx(held, found[name], half, what) for what in ("images", "labels"))
        if images.ndim != 3 or labels.ndim != 1:
            raise fault(held.where, f"the files of {half} are no images (n, height, width) and classes (n,)")
        halves[half] = _Read([images.transpose(0, 2, 1) if is_emnist else images], lambda labels=labels: [labels])
    notes = ("the images of EMNIST are stored column by column, and are turned",) if is_emnist else ()
    names = _mapping(held.lines(f"{name}-mapping.txt"))
    return _part(held, halves, label_name=_label_name(held, wanted, "class"), names=names, notes=notes, axes=())


def _idx(held: _Held, names: Mapping[tuple[str, str], str], half: str, what: str) -> NDArray[np.uint8]:
    if (half, what) not in names:
        raise fault(held.where, f"the file of the {what} of {half} is missing: copy or download it again")
    return read_idx(held.where / names[half, what])


def _mapping(lines: Iterable[str]) -> list[str]:
    """The names of EMNIST's classes: each line has a class and the code of its character, or of both cases."""
    numbers = [[int(one) for one in line.split()] for line in lines]
    names = {one: "/".join(map(chr, codes)) for one, *codes in numbers}
    return [names.get(one, "") for one in range(max(names, default=-1) + 1)]


def read_idx(file: Path) -> NDArray[np.uint8]:
    """Reads an IDX file of bytes, plain or gzipped.

    Returns:
        An array of the shape in the file's header.

    Raises:
        UserError: it is not an IDX file, or has more or fewer values than its header says.
    """
    import numpy as np

    head, shape, content = _content(file)
    if len(head) < 4 or head[:3] != b"\0\0\x08":
        raise fault(file, f"it is not an IDX file of bytes: it begins with {head.hex()}, not 000008")
    if len(content) != math.prod(shape):
        more = " or more" if len(content) > math.prod(shape) else ""
        raise fault(file, f"it has {len(content)} values{more}, but its header says {shape}: copy or download it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _content(file: Path) -> tuple[bytes, tuple[int, ...], bytes]:
    """The first 4 bytes, the shape, and the values, at most one more than its shape has: a `.gz` may hold many."""
    import gzip

    try:
        # No byte of a `.gz` unpacks to more than 1032 (https://zlib.net/zlib_tech.html).
        most = file.stat().st_size * (1032 if file.suffix == ".gz" else 1)
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            head = stream.read(4)
            sizes = stream.read(4 * head[3] if len(head) == 4 else 0)
            shape = tuple(int.from_bytes(sizes[at : at + 4]) for at in range(0, len(sizes) - 3, 4))
            return head, shape, stream.read(min(math.prod(shape) + 1, most))
    except damage() as error:
        raise fault(file, f"it cannot be unpacked ({error}): copy or download it again") from error


def _read_cifar_10(held: _Held, wanted: Wanted) -> Part:
    end = ".bin" if any(name.endswith(".bin") for name in held.sizes) else ""
    names = {"train": [f"data_batch_{one}{end}" for one in range(1, 6)], "test": [f"test_batch{end}"]}
    halves = {half: _cifar(held, names[half], "labels", 1) for half in _chosen(held, wanted)}
    classes = held.lines("batches.meta.txt") if end else _meta(held, "batches.meta", "label_names")
    return _part(held, halves, label_name=_label_name(held, wanted, "class"), names=classes)


def _read_cifar_100(held: _Held, wanted: Wanted) -> Part:
    end = ".bin" if "train.bin" in held.sizes or "test.bin" in held.sizes else ""
    name = _label_name(held, wanted, "fine", "coarse")
    kind = name or "fine"
    halves = {half: _cifar(held, [half + end], f"{kind}_labels", 2, kind == "fine") for half in _chosen(held, wanted)}
    note = "the labels are the 100 fine classes; `labels: coarse` takes the 20 above them (CIFAR-20)"
    return _part(
        held,
        halves,
        label_name=name,
        names=held.lines(f"{kind}_label_names.txt") if end else _meta(held, "meta", f"{kind}_label_names"),
        notes=(note,) if wanted.labels is None else (),
    )


def _cifar(held: _Held, names: Sequence[str], key: str, head: int, last: bool = True) -> _Read:
    """Files of CIFAR: pickles with `data` and classes under a key, or records of `head` classes and an image."""
    held.check(*names)
    if names[0].endswith(".bin"):
        records = [_records(held, name, head, (3, 32, 32)) for name in names]
        place = head - 1 if last else 0  # the coarse class comes first
        return _Read(list(records), lambda: [heads[:, place] for one in records for heads in one.heads])
    found = [_batch(held, name, key) for name in names]
    return _Read([images for images, _ in found], lambda: [labels for _, labels in found])


def _records(held: _Held, name: str, head: int, sides: tuple[int, int, int], *, by_columns: bool = False) -> Records:
    count, rest = divmod(held.sizes[name], head + math.prod(sides))
    if rest or not count:
        said = f"its {held.sizes[name]} bytes are no whole number of images of {head + math.prod(sides)}"
        raise fault(held.where / name, f"{said}: it may be cut short, copy or download it again")
    return Records(held.open(name), count, head, sides, by_columns)


def _batch(held: _Held, name: str, key: str) -> tuple[NDArray[Any], NDArray[Any]]:
    import numpy as np

    found = _unpickled(held, name)
    images, labels = found.get("data"), found.get(key)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        raise fault(
            held.where / name, "its `data` are no rows of 3072 bytes, as CIFAR's images are: is it another file?"
        )
    if not isinstance(labels, list) or not all(isinstance(one, int) for one in labels):
        raise fault(held.where / name, f"its `{key}` is no list of whole numbers: is it another file?")
    return images.reshape(-1, 3, 32, 32), np.asarray(labels, dtype=np.int64)


def _meta(held: _Held, name: str, key: str) -> list[str]:
    """Names of classes; without the file that has them the classes are numbers."""
    names = _unpickled(held, name).get(key, []) if name in held.sizes else []
    return [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in names]


def _unpickled(held: _Held, name: str) -> dict[str, Any]:
    """A pickled mapping of plain values and arrays; nothing else of a pickle is made or run."""
    try:
        with held.open(name) as stream:
            return plain(stream.read(), encoding="bytes")
    except (*UNPICKLING, *damage()) as error:
        reason = " ".join(str(error).split())[:200]
        raise fault(held.where / name, f"it cannot be read as a pickle of arrays ({reason}): copy it again") from error


def _read_stl_10(held: _Held, wanted: Wanted) -> Part:
    """STL-10: classes from 1 in a file beside the images, of which the unlabelled ones have none."""
    name = _label_name(held, wanted, "class")
    chosen = _HALVES if wanted.split == "with-unlabelled" else _chosen(held, wanted)
    halves = {half: _stl(held, half) for half in chosen}
    notes, rest = (), held.sizes.get("unlabeled_X.bin", 0) // (3 * 96 * 96)
    if wanted.split == "with-unlabelled":
        halves["unlabelled"] = _stl(held, "unlabeled", labelled=False)
    elif rest and wanted.split != "test":
        notes = (f"{rest} images without a class are left out; `split: with-unlabelled` trains on them, too",)
    return _part(held, halves, label_name=name, names=("", *held.lines("class_names.txt")), notes=notes)


def _stl(held: _Held, half: str, *, labelled: bool = True) -> _Read:
    import numpy as np

    held.check(f"{half}_X.bin", *([f"{half}_y.bin"] if labelled else []))
    records = _records(held, f"{half}_X.bin", 0, (3, 96, 96), by_columns=True)
    if not labelled:
        return _Read([records], lambda: [np.full(records.count, NO_NUMBER)])
    with held.open(f"{half}_y.bin") as stream:
        labels = np.frombuffer(stream.read(), np.uint8).astype(np.int64)
    return _Read([records], lambda: [labels])


class _Kind(NamedTuple):
    """A kind of data set: the names of its files, those of which each must occur in its folder, and who reads it."""

    files: re.Pattern[str]
    marks: tuple[re.Pattern[str], ...]
    read: Callable[[_Held, Wanted], Part]


def _kind(names: Iterable[str]) -> _Kind | None:
    every = list(names)
    found = (one for one in _KINDS if all(any(map(mark.fullmatch, every)) for mark in one.marks))
    return next(found, None)


_CIFAR_10 = re.compile(r"(data_batch_[1-5]|test_batch)(\.bin)?")
_CIFAR_100 = (re.compile(r"meta|fine_label_names\.txt"), re.compile(r"(train|test)(\.bin)?"))
_STL_10 = re.compile(r"(train|test|unlabeled)_X\.bin")
_KINDS = (
    _Kind(re.compile(_IDX.pattern + r"|.*-mapping\.txt"), (_IDX,), _read_idx_folder),
    _Kind(re.compile(_CIFAR_10.pattern + r"|batches\.meta(\.txt)?"), (_CIFAR_10,), _read_cifar_10),
    _Kind(re.compile(r"(train|test)(\.bin)?|meta|(fine|coarse)_label_names\.txt"), _CIFAR_100, _read_cifar_100),
    _Kind(re.compile(_STL_10.pattern + r"|(train|test)_y\.bin|class_names\.txt"), (_STL_10,), _read_stl_10),
)
