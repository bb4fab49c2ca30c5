"""A kind of data that people have on their disks: how a test makes it, and what must be read from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.data.dataset import Dataset

Make = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A kind of data that is damaged or ambiguous.

    Attributes:
        make: changes what the kind's own `make` left in the folder.
        said: a regular expression that the one line of the error holds.
        data: as in `Kind`, where the options differ.
    """

    make: Make
    said: str
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of data; each is a row of the table in docs/data-formats.md.

    Attributes:
        title: what it is, as the first cell of its row says.
        data: the value of `data:` in a study, as its row shows it, its path relative to the folder.
        line: the first line of `conclus data`, as its row shows it.
        make: writes it into an empty folder.
        check: compares what is read with what was written: samples, labels, ids and notes.
        broken: what must be refused, by what is wrong with it: `cut short`, `wrong type`, `ambiguous`.
    """

    title: str
    data: str
    line: str
    make: Make
    check: Callable[[Dataset], None]
    broken: Mapping[str, Broken] = field(default_factory=dict[str, Broken])


def cut(file: Path, share: float = 0.5) -> None:
    """Leaves the first part of a file, as after a download that broke off."""
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
