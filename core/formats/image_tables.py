"""Reads tables and archives of encoded images: Hugging Face's Parquet and WebDataset's tars; shards are joined."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from core.data.columns import Part, Wanted, check_named, cut, label_key, listed
from core.data.dataset import damage, fault
from core.formats.decoding import block, decoded
from core.formats.images import values
from core.formats.label_tables import SUFFIXES
from core.formats.pictures import Item

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_PART = re.compile(r"(?<![a-z])(train|test|val|valid|validation)(?:ing)?(?![a-z])", re.IGNORECASE)
# So many images are looked at to guess the common size.
_LOOKED_AT = 200
# Bytes of an image and of a label in an archive; larger ones are no such thing.
_LARGEST_IMAGE, _LARGEST_LABEL = 1 << 28, 1 << 20
# Characters of the name of an image: longer than any path of a file, and each name takes the room of the longest.
_LONGEST_NAME = 4096


@dataclass(eq=False)
class _Held:
    """What shards hold: a function that gives the images some at a time, their names, ids and labels."""

    stream: Callable[[], Iterable[Sequence[Item]]]
    names: list[str] = field(default_factory=list[str])
    ids: list[Any] | None = None
    labels: NDArray[Any] | None = None
    label_name: str = ""
    class_names: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def holds(file: Path) -> bool:
    """Whether a file is a tar, or a Parquet file with a column of images; a damaged one is left to others."""
    if file.suffix.lower() == ".tar":
        return True
    from pyarrow import parquet

    try:
        return bool(_image_columns(parquet.read_schema(file)))
    except damage():
        return False


def files(folder: Path) -> list[Path]:
    """The shards in a folder and in the folders in it, all of one kind; none if it holds something else."""
    shards = sorted(one for one in map(Path, _below(folder, depth=2)) if _is_plain(one))
    tars = [one for one in shards if one.suffix.lower() == ".tar"]
    return tars or (shards if shards and holds(shards[0]) else [])


def _below(folder: Path | str, depth: int) -> Iterator[str]:
    """The tars and Parquet files so many folders deep; a Path for each of many other files would take seconds."""
    with contextlib.suppress(PermissionError), os.scandir(folder) as found:
        for entry in found:
            if entry.name.lower().endswith((".tar", ".parquet")):
                yield entry.path
            if depth > 1 and entry.is_dir():
                yield from _below(entry.path, depth - 1)


def _is_plain(file: Path) -> bool:
    return file.name[0] not in "._" and file.is_file()


def read(place: Path, wanted: Wanted) -> Part:
    """Reads one file, or the shards of a folder.

    Args:
        place: a `.tar` or `.parquet` file, or a folder with such files.
        wanted: `features` (the column of images, or the end of their names in a tar), `labels`, `id`, `split`, `size`
            and `broken`.

    Raises:
        UserError: there are no images, or they cannot be decoded, have several sizes, or their labels are ambiguous.
    """
    import numpy as np

    shards, notes = _of_the_split(place, files(place) if place.is_dir() else [place], wanted.split)
    try:
        held = _tars(place, shards, wanted) if shards[0].suffix.lower() == ".tar" else _tables(shards, wanted)
    except (tarfile.TarError, *damage()) as error:
        reason = " ".join(str(error).split())[:200]
        raise fault(place, f"it cannot be read ({reason}): it may be cut short, or of another format") from error
    if not held.names:
        raise fault(place, f"it holds no images: {listed(one.name for one in shards)}")
    look: list[Item] = []
    for some in held.stream():
        look += some
        if len(look) >= _LOOKED_AT:
            break
    samples, kept, told = decoded(
        place, held.stream, held.names, look[:_LOOKED_AT], size=wanted.size, skip=wanted.broken == "skip"
    )
    rows = kept.nonzero()[0]
    return Part(
        place,
        samples,
        None if held.labels is None else held.labels[rows],
        class_names=held.class_names,
        left_out=held.left,
        label_name=held.label_name,
        ids=None if held.ids is None else np.asarray(held.ids, dtype=object)[rows],
        notes=(*notes, *held.notes, *told),
        axes=("height", "width", "channels") if samples.shape[1] > 1 else ("height", "width"),
    )


def _of_the_split(place: Path, shards: Sequence[Path], split: str | None) -> tuple[list[Path], tuple[str, ...]]:
    """The shards of a part of the data set, as their names tell it."""
    parts = {one: _part_of(one if one == place else one.relative_to(place)) for one in shards}
    found = sorted({one for one in parts.values() if one})
    if split not in {None, "all"}:
        mine = [one for one in shards if parts[one] == split]
        if not mine:
            raise fault(place, f"`split: {split}`: none of its files is named so: leave the option out")
        return mine, (f"of the parts {', '.join(found)} that of `split: {split}` is read",)
    told = (f"the parts {', '.join(found)} are read together (`split: train`: of one)",) if len(found) > 1 else ()
    return list(shards), told


def _part_of(name: Path) -> str:
    found = _PART.search(name.as_posix())
    return "" if found is None else found[1].lower()


def _image_columns(schema: Any) -> list[str]:
    """The columns of structs with the bytes of an image, as Hugging Face writes them."""
    from pyarrow import types

    def is_image(kind: Any) -> bool:
        fields = {one.name: one.type for one in kind} if types.is_struct(kind) else {}
        return "bytes" in fields and (types.is_binary(fields["bytes"]) or types.is_large_binary(fields["bytes"]))

    return [one.name for one in schema if is_image(one.type)]


def _tables(shards: Sequence[Path], wanted: Wanted) -> _Held:
    import numpy as np
    from pyarrow import parquet

    schema: Any = parquet.read_schema(shards[0])
    image = _image_column(shards[0], _image_columns(schema), wanted)
    names = [one for one in schema.names if one != image]
    check_named(shards[0], wanted, names)
    labelled = _label_column(shards[0], schema, names, wanted)

    def stream() -> Iterator[list[Item]]:
        for shard in shards:
            with parquet.ParquetFile(shard) as source:
                for batch in source.iter_batches(block(source.metadata.num_rows), columns=[image]):
                    yield batch.column(0).field("bytes").to_pylist()

    held = _Held(stream)
    chosen = [one for one in (labelled, wanted.id) if one is not None]
    labels, ids, paths = list[Any](), list[Any](), list[str | None]()
    for shard in shards:
        with parquet.ParquetFile(shard) as source:
            lacking = {image, *chosen} - set(source.schema_arrow.names)
            if lacking:
                raise fault(shard, f"it has no column {listed(sorted(lacking))}, which {shards[0].name} has")
            has_path = source.schema_arrow.field(image).type.get_field_index("path") >= 0
            table = source.read([*chosen, f"{image}.path"] if has_path else chosen) if has_path or chosen else None
            count = source.metadata.num_rows
        structs = [None] * count if table is None or not has_path else table[image].to_pylist()
        known = [None if one is None else one["path"] for one in structs]
        if (longest := max((len(one or "") for one in known), default=0)) > _LONGEST_NAME:
            said = f"the `path` of an image has {longest:,} characters, more than the {_LONGEST_NAME:,} of a name"
            raise fault(shard, f"{said}: is it damaged?")
        held.names += [one or f"{shard.name}, row {row}" for row, one in enumerate(known, 1)]
        paths += known
        labels += [] if labelled is None or table is None else table[labelled].to_pylist()
        ids += [] if wanted.id is None or table is None else table[wanted.id].to_pylist()
    held.ids = ids or (paths if all(paths) and len(set(paths)) == len(paths) else None)
    if labelled is not None:
        is_text = any(isinstance(one, str) for one in labels)
        held.labels = np.asarray(
            labels if is_text else [np.nan if one is None else one for one in labels], object if is_text else None
        )
        held.label_name, held.class_names = labelled, _class_names(schema).get(labelled, ())
    left = [one for one in names if one not in chosen]
    held.left = tuple(f"{one} (ignored)" if one in wanted.ignore else f"{one} (beside the images)" for one in left)
    return held


def _image_column(file: Path, found: Sequence[str], wanted: Wanted) -> str:
    if wanted.features is not None:
        named = ", ".join(wanted.features)
        if named not in found:
            raise fault(file, f"`features: {named}` names none of its columns of images: {listed(found)}")
        return named
    usual = [one for one in found if one.lower() in {"image", "img"}]
    if len(found) > 1 and len(usual) != 1:
        raise fault(file, f"several columns hold images: {listed(found)}; name one: `features: {found[0]}`")
    return usual[0] if usual else found[0]


def _label_column(file: Path, schema: Any, names: Sequence[str], wanted: Wanted) -> str | None:
    known = label_key(file, [one for one in names if one not in {wanted.id, *wanted.ignore}], wanted.labels)
    classes = [one for one in _class_names(schema) if one in names and one not in wanted.ignore]
    if known is not None or wanted.labels is not None or not classes:
        return known
    if len(classes) > 1:
        raise fault(file, f"several could be the labels: {listed(classes)}; name one: `labels: {classes[0]}`")
    return classes[0]


def _class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """The names of the classes of each column of class numbers, from what Hugging Face's `datasets` keeps beside."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {one: about for one, about in features.items() if about.get("_type") == "ClassLabel"}
        return {one: tuple(map(str, about["names"])) for one, about in found.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


@dataclass
class _Sample:
    """The members of a tar that belong to one sample: where its images lie, and what else is told of it."""

    images: dict[str, Item] = field(default_factory=dict[str, Item])
    told: dict[str, str] = field(default_factory=dict[str, str])


def _tars(place: Path, shards: Sequence[Path], wanted: Wanted) -> _Held:
    found: dict[str, _Sample] = {}
    for shard in shards:
        before = set(found)
        for key, end, item in _members(shard):
            if key in before:
                raise fault(shard, f"the sample {key} is in another file too: give each another name")
            sample = found.setdefault(key, _Sample())
            if end in sample.images or end in sample.told:
                raise fault(shard, f"it holds {cut(f'{key}.{end}', 200)} twice (in any case of letters): keep one")
            if isinstance(item, str):
                sample.told[end] = item
            else:
                sample.images[end] = item
    pictures = {key: one for key, one in found.items() if one.images}
    ends = sorted({end for one in pictures.values() for end in one.images})
    items = [_image_of(place, key, one, wanted) for key, one in pictures.items()]
    size = block(len(items))
    held = _Held(lambda: (items[start : start + size] for start in range(0, len(items), size)), list(pictures))
    held.ids = list(pictures)
    told = [_told(place, key, one.told) for key, one in pictures.items()]
    if wanted.id is not None and wanted.known is None:
        raise fault(place, f"`id: {wanted.id}`: the ids of a tar are the names of its samples: leave it out")
    check_named(place, wanted, sorted({name for one in told for name in one}))
    column = _label_member(place, told, wanted)
    if column is not None:
        held.labels, held.label_name = values([one.get(column, "") for one in told]), column
    others = sorted({name for one in told for name in one} - {column})
    held.left = tuple(f"{one} (beside the images)" for one in others)
    held.notes = () if len(ends) == 1 else (f"the images end in {listed(ends)}",)
    return held


def _members(shard: Path) -> Iterator[tuple[str, str, Item]]:
    """The key of each member's sample, the end of its name, and where an image lies or the text of something else."""
    size = shard.stat().st_size
    with tarfile.open(shard, "r:") as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            stem, _, end = name.name.partition(".")
            if not member.isreg() or member.issparse() or not stem or name.name.startswith("._"):
                continue
            key, end = (name.parent / stem).as_posix(), end.lower()
            is_image = f".{end.rpartition('.')[2]}" in SUFFIXES
            if not is_image and end not in {"cls", "txt", "json"}:
                continue
            most = _LARGEST_IMAGE if is_image else _LARGEST_LABEL
            if member.size > most:
                raise fault(shard, f"{member.name} has {member.size:,} bytes, more than the {most:,} that are read")
            if is_image:
                yield key, end, (str(shard), member.offset_data, member.size)
            else:
                content = archive.extractfile(member)  # A stream: nothing is written to the disk.
                yield key, end, "" if content is None else content.read().decode("utf-8", "replace").strip()
        if archive.offset + tarfile.BLOCKSIZE > size:
            raise fault(shard, "it is cut short: a tar has a mark at its end")


def _image_of(place: Path, key: str, sample: _Sample, wanted: Wanted) -> Item:
    if wanted.features is not None:
        return sample.images.get(wanted.features[0].lstrip("."))
    if len(sample.images) > 1:
        ends = sorted(sample.images)
        raise fault(place, f"the sample {key} has several images: {listed(ends)}; name one: `features: {ends[0]}`")
    return next(iter(sample.images.values()))


def _told(place: Path, key: str, told: dict[str, str]) -> dict[str, str]:
    """What a sample's `.cls`, `.txt` and `.json` say, by name: the keys of a JSON mapping count as names."""
    found = {end: said for end, said in told.items() if end != "json"}
    if "json" not in told:
        return found
    try:
        about = json.loads(told["json"])
    except (ValueError, RecursionError) as error:
        raise fault(place, f"{key}.json is no JSON: mend it, or use no labels: `labels: none`") from error
    if not isinstance(about, dict):
        return {**found, "json": str(about)}
    return {**found, **{name: str(one) for name, one in about.items() if isinstance(one, str | int | float)}}


def _label_member(place: Path, told: Sequence[dict[str, str]], wanted: Wanted) -> str | None:
    """What holds the labels: `.cls`, or a key of `.json` with a usual name, or `.txt` if its texts repeat."""
    names = list(dict.fromkeys(name for one in told for name in one if name not in wanted.ignore))
    if wanted.labels is None and "cls" in names:
        return "cls"
    found = label_key(place, names, wanted.labels)
    if found is None and wanted.labels is None and names == ["txt"]:
        texts = [one.get("txt", "") for one in told]
        return "txt" if len(set(texts)) <= len(texts) / 2 else None
    return found
