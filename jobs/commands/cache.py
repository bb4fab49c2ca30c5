"""`conclus cache`: the files that conclus can make again, and their removal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobs.present import options

if TYPE_CHECKING:
    from pathlib import Path

_GB = 1_000_000_000
# The folders of the cache beside that of the data sets.
_OTHERS = {
    "texts": "vectors of texts",
    "features": "features of images",
    "objects": "copies from object stores",
    "torchvision": "downloads of torchvision",
    "fingerprints": "hashes of files",
}


@click.command("cache")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--clear", is_flag=True, help="Remove the data sets of these keys; without a key, the whole cache.")
@click.option("--yes", is_flag=True, help="Remove without a question.")
@options.fmt
def command(keys: tuple[str, ...], clear: bool, yes: bool, fmt: str) -> None:
    """Show what lies in the cache: data sets that were prepared, vectors of texts, copies from object stores.

    For example: conclus cache --clear 3fd1

    Everything in it can be made again. Trials of one machine share a data set in it. When data sets take more than
    $CONCLUS_CACHE_GB (50), those used longest ago are removed. A trial that has one open keeps it until it ends.
    """
    from core.data import prepared
    from jobs.present.output import deliver, say, width
    from jobs.present.tables import Column, render

    found = {one.name: one for one in prepared.entries(prepared.entries_folder())}
    chosen = _chosen(list(found), keys)
    if clear:
        _clear([found[key] for key in chosen] if keys else None, prepared.entries_folder().parent, yes=yes)
        return
    rows = [_row(found[key]) for key in chosen]
    columns = [Column("key", right=False), Column("data", right=False), "samples", "GB", Column("used", right=False)]
    if rows or fmt != "table":
        deliver(render(columns, rows, fmt, width=width() if fmt == "table" else None), None)
    if fmt == "table":
        for line in _summary(prepared.entries_folder().parent, prepared.bound()):
            say(line)


def _chosen(names: list[str], keys: tuple[str, ...]) -> list[str]:
    """The entries whose names begin with a key; all without keys.

    Raises:
        UserError: a key begins none of them.
    """
    from core.errors import UserError

    for key in keys:
        if not any(name.startswith(key) for name in names):
            raise UserError(f"no data set in the cache has a key that begins with {key!r}: `conclus cache` lists them")
    return [name for name in names if not keys or name.startswith(keys)]


def _row(entry: Path) -> list[Any]:
    from core.data import prepared

    told = prepared.about(entry)
    shape = " × ".join(f"{size:,}" for size in told.get("shape", ()))  # noqa: RUF001 - the sign of multiplication
    used = datetime.fromtimestamp(entry.stat().st_mtime).astimezone()
    return [entry.name[:12], told.get("name", "damaged"), shape, round(prepared.size_of(entry) / _GB, 3), used]


def _summary(cache: Path, bound: float) -> list[str]:
    from core.data import prepared

    lines = [f"{cache}: data sets take {prepared.size_of(cache / 'data') / _GB:.3f} GB of at most {bound / _GB:g} GB"]
    sizes = {said: prepared.size_of(cache / name) for name, said in _OTHERS.items()}
    return lines + [f"{said}: {size / _GB:.3f} GB" for said, size in sizes.items() if size]


def _clear(entries: list[Path] | None, cache: Path, *, yes: bool) -> None:
    """Removes entries; without any named, everything in the cache."""
    from core.data import prepared
    from core.errors import counted
    from jobs.present.output import say

    whole = entries is None
    places = [one for one in (cache / name for name in ("data", *_OTHERS)) if one.is_dir()] if whole else entries
    size = sum(map(prepared.size_of, places))
    what = f"everything in {cache}" if whole else counted(len(places), "data set")
    if not yes:
        click.confirm(f"Remove {what} ({size / _GB:.3f} GB)?", abort=True)
    for one in places:
        prepared.remove(one)
    say(f"removed {what}: {size / _GB:.3f} GB")
