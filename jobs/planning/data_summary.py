"""What a person should know of a data set before a study: sizes of classes, duplicates, constant features, memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from core.config import plugins
from core.config.schema import PlugIn
from core.data.columns import cut, listed
from core.data.dataset import PARTS, UNLABELLED, Dataset
from core.data.modalities import missing
from core.data.stored import Stored, dense
from core.data.told import told
from core.errors import counted
from jobs.study.yaml_document import write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Numbers that are looked at together: 16 MiB of float32.
_AT_ONCE = 1 << 22
_GB, _MB = 1e9, 1e6


def facts(data: Dataset, plug_in: PlugIn, given: Collection[str] = ()) -> list[tuple[str, str]]:
    """What there is to know, as pairs of a word and a sentence. The samples are looked at in blocks of rows.

    Args:
        data: the data set.
        plug_in: its name and options, of which those that are no defaults are told.
        given: the options that the user gave, which are told even if they are the defaults.
    """
    found = _Look(data)
    scaled = "" if data.scaling is None else ", scaled when read" if isinstance(data.samples, Stored) else ", scaled"
    return [
        ("options", _options(plug_in, given)),
        ("numbers", f"{_form(data.samples)}, {found.low:g} to {found.high:g}{scaled}"),
        ("classes", _classes(data)),
        *([("parts", _parts(data))] if data.parts is not None else []),
        ("duplicates", _duplicates(data, found.digests)),
        ("constant", _constant(data, found.same)),
        ("missing", _missing(data)),
        *(("view", one) for one in _views(data, found.same)),
        ("memory", _memory(data.samples)),
    ]


class _Look:
    """One pass over all samples, as they are stored.

    Attributes:
        low: the smallest number.
        high: the largest number.
        same: whether a feature, pixel or channel has one value alone, of the shape of a sample.
        digests: a hash of each sample, (n,).
    """

    def __init__(self, data: Dataset) -> None:
        import numpy as np

        samples = data.samples
        least: Any = None
        most: Any = None
        self.digests = np.empty(len(samples), np.uint64)
        step = max(1, _AT_ONCE // max(1, math.prod(samples.shape[1:])))
        for start in range(0, len(samples), step):
            told("looking at the samples", start, len(samples))
            rows = slice(start, start + step)
            block = samples.raw(rows) if isinstance(samples, Stored) else samples[rows]
            sparse = hasattr(block, "indptr")
            # Not `min`: of what some samples lack, the numbers of the others count.
            low = _flat(block.min(axis=0) if sparse else np.fmin.reduce(block))
            high = _flat(block.max(axis=0) if sparse else np.fmax.reduce(block))
            least = low if least is None else np.fmin(least, low)
            most = high if most is None else np.fmax(most, high)
            self.digests[rows] = [_digest(row) for row in _rows(block)]
        self.low, self.high, self.same = float(np.nanmin(least)), float(np.nanmax(most)), least == most


def _flat(values: Any) -> NDArray[Any]:
    """The smallest or largest numbers of a block, which a sparse matrix gives as a sparse one."""
    import numpy as np

    return values.toarray()[0] if hasattr(values, "toarray") else np.asarray(values)


def _rows(block: Any) -> Iterator[bytes]:
    """The bytes that tell the samples of a block apart."""
    if hasattr(block, "indptr"):
        for start, end in zip(block.indptr, block.indptr[1:], strict=False):
            yield block.indices[start:end].tobytes() + block.data[start:end].tobytes()
    else:
        yield from (row.tobytes() for row in block)


def _digest(row: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little")


def _options(plug_in: PlugIn, named: Collection[str]) -> str:
    defaults = {one.name: one.default for one in plugins.options("datasets", plug_in.name)}
    given = {name: one for name, one in plug_in.options.items() if name in named or one != defaults[name]}
    items = (write({name: one}).strip() for name, one in {"name": plug_in.name, **given}.items())
    return f"{{{', '.join(one[1:-1] if one.startswith('{') else one for one in items)}}}"


def _form(samples: Any) -> str:
    if not isinstance(samples, Stored):
        return str(samples.dtype)
    if samples.is_sparse:
        share = samples.values.nnz / math.prod(samples.values.shape)
        return f"sparse {samples.values.dtype}, {share:.2%} of them not zero"
    return str(samples.values.dtype)


def _classes(data: Dataset) -> str:
    import numpy as np

    if data.labels is None:
        return "no labels"
    counts = np.bincount(data.labels[data.labels != UNLABELLED], minlength=len(data.class_names))
    order = np.argsort(-counts, kind="stable").tolist()
    return listed(f"{cut(data.class_names[place], 40)}: {counts[place]:,}" for place in order)


def _parts(data: Dataset) -> str:
    parts: Any = data.parts
    return ", ".join(f"{name} {int((parts == place).sum()):,}" for place, name in enumerate(PARTS))


def _duplicates(data: Dataset, digests: NDArray[np.uint64]) -> str:
    import numpy as np

    _, firsts, which = np.unique(digests, return_index=True, return_inverse=True)
    again = (firsts[which] != np.arange(len(digests))).nonzero()[0].tolist()
    if not again:
        return "none"
    shown = ", ".join(f"{_name(data, row)} is {_name(data, int(firsts[which[row]]))}" for row in again[:3])
    labels = data.labels
    torn = [] if labels is None else [row for row in again if labels[row] != labels[firsts[which[row]]]]
    more = ", …" if len(again) > 3 else ""
    other = f"; {len(torn):,} with another label" if torn else ""
    return f"{counted(len(again), 'sample')} equal to an earlier one: {shown}{more}{other}"


def _name(data: Dataset, row: int) -> str:
    return f"row {row + 1}" if data.ids is None else cut(str(data.ids[row]))


def _constant(data: Dataset, same: NDArray[np.bool_]) -> str:
    count = int(same.sum())
    if not count:
        return "none"
    if same.ndim == 3:
        return f"{count:,} of {same.size:,} pixels (of a channel) have one value in all samples"
    names = data.feature_names or [f"column {place + 1}" for place in range(len(same))]
    constant = listed(cut(names[place]) for place in same.nonzero()[0].tolist()[:21])
    return f"{count:,} of {same.size:,} features have one value: {constant}"


def _missing(data: Dataset) -> str:
    count = 0 if data.labels is None else int((data.labels == UNLABELLED).sum())
    views = missing(dense(data.samples), data.modalities) if data.modalities else {}
    said = [counted(count, "label")] if count else []
    return ", ".join([*said, *(f"{cut(name)} of {lacking:,}" for name, lacking in views.items())]) or "none"


def _views(data: Dataset, same: NDArray[np.bool_]) -> Iterator[str]:
    """For each view of several: its size, how many samples lack it, and what is equal or constant in it."""
    import numpy as np

    samples = dense(data.samples)
    for one in data.modalities:
        rows = samples[:, one.place]
        there = rows[~np.isnan(rows).all(axis=1)]
        again = len(there) - len({row.tobytes() for row in there})
        constant = int(same[one.place].sum())
        yield (
            f"{cut(one.name)}: {counted(one.stop - one.start, 'number')}, missing for {len(rows) - len(there):,} of "
            f"{len(rows):,} samples, {again:,} equal to an earlier one, {constant:,} constant"
        )


def _memory(samples: Any) -> str:
    arrays = [samples.values if isinstance(samples, Stored) else samples]
    if hasattr(arrays[0], "indptr"):
        arrays = [arrays[0].data, arrays[0].indices, arrays[0].indptr]
    where = (
        "in the cache, mapped by all trials of a machine" if _is_mapped(arrays[0]) else "in the memory of each trial"
    )
    held = sum(one.nbytes for one in arrays)
    return f"{_bytes(held)} {where}; {_bytes(4 * math.prod(samples.shape))} as float32"


def _is_mapped(array: Any) -> bool:
    import numpy as np

    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def _bytes(count: int) -> str:
    return f"{count / _GB:.1f} GB" if count >= _GB else f"{max(count, 1000) / _MB:.3g} MB"
