"""Trials that are shown apart: those of another protocol of keys, and those of another content of a plug-in.

Their keys differ, so that no mean is of both. What stands here keeps tables from ranking both together, shows which is
which, and says it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import pyarrow as pa

from core.errors import counted
from jobs.results import records
from jobs.results.header import FINISHED
from jobs.results.identity import PROTOCOL, UNKNOWN
from jobs.results.names import PARAM
from jobs.results.reader import column_cells, take

COLUMNS = ("protocol", "plug_ins_json", "source")
"""What this module reads of the store, beside parameters and what identifies a trial."""
SHA256 = ".sha256"
"""The end of the key under which tables show the content of a plug-in, after the plug-in's own key."""
_DIGITS = 12

Contents = Mapping[str, Mapping[str, Collection[str]]]
"""By dotted key of a plug-in and by its name, the sha256 of its contents."""


def protocols(table: pa.Table) -> list[int | None]:
    """The protocol of each row; None for an imported one, whose key is of none."""
    if "protocol" not in table.column_names:
        return [PROTOCOL] * table.num_rows
    rows = zip(table["protocol"].to_pylist(), column_cells(table, "source"), strict=True)
    return [None if source == "import" else protocol or UNKNOWN for protocol, source in rows]


def split(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows that belong together, and those of other protocols.

    The first are those of this conclus's protocol, or, where none of those has ended well, of the latest that has;
    imported rows are among them.
    """
    found = protocols(table)
    ended = {one for one, status in zip(found, table["status"].to_pylist(), strict=True) if status in FINISHED}
    known = {one for one in ended if one is not None}
    present = PROTOCOL if PROTOCOL in known or not known else max(known)
    if all(one in {None, present} for one in found):
        return table, table.slice(0, 0)
    parts = [[row for row, one in enumerate(found) if (one in {None, present}) is wanted] for wanted in (True, False)]
    return take(table, parts[0]), take(table, parts[1])


def with_contents(table: pa.Table, *, all_: bool = False) -> pa.Table:
    """The table with `param.<key>.sha256`, the first digits, for plug-ins that have several contents in it.

    Rows that do not say a content have none there.

    Args:
        table: Rows with `plug_ins_json` and `param.*`; without the first it stays as it is.
        all_: Also for those that have one.
    """
    rows = _plug_ins(table)
    for key in sorted({key for row in rows for key in row}):
        found: dict[str, set[str]] = {}
        for row in rows:
            if key in row:
                found.setdefault(row[key][0], set()).add(row[key][1])
        if all_ or any(len(digests) > 1 for digests in found.values()):
            cells = [row[key][1][:_DIGITS] or None if key in row else None for row in rows]
            table = table.append_column(f"{PARAM}{key}{SHA256}", pa.array(cells, pa.string()))
    return table


def notes(table: pa.Table) -> list[str]:
    """What is to be told of a table's rows, as whole sentences."""
    names: dict[str, set[str]] = {}
    for row in _plug_ins(table):
        for name, digest in row.values():
            names.setdefault(name, set()).add(digest)
    several = [
        f"{name} is here with {len(digests)} contents (column sha256): the trials of each are configurations of "
        "their own."
        for name, digests in sorted(names.items())
        if len(digests) > 1
    ]
    return [f"{line}." for line in told_protocols(protocols(table))] + several


def told_protocols(found: Iterable[int | None]) -> list[str]:
    """What is to be told of trials of these protocols, without a full stop."""
    counts = Counter(one for one in found if one not in {None, PROTOCOL})
    return [
        f"{counted(count, 'trial')} of {name_of(protocol)} {'is' if count == 1 else 'are'} read and shown apart from "
        f"those of protocol {PROTOCOL}: this version would run {'it' if count == 1 else 'them'} again"
        for protocol, count in sorted(counts.items(), key=lambda one: -(one[0] or 0))
    ]


def told(table: pa.Table, contents: Contents, planned: Collection[str]) -> list[str]:
    """What is to be told of a study's rows beside its plan, without a full stop.

    Args:
        table: Rows with `COLUMNS` and the parameters that name plug-ins, one per trial.
        contents: Those of the plan's plug-ins.
        planned: The keys of its trials: a row of one of them is of this protocol, whether it says so or not.
    """
    others = [row for row, key in enumerate(table["trial_key"].to_pylist()) if key not in planned]
    table = take(table, others)
    found = protocols(table)
    same = take(table, [row for row, one in enumerate(found) if one in {None, PROTOCOL}])
    return told_protocols(found) + told_contents(other_contents(same, contents).values())


def name_of(protocol: int | None) -> str:
    """What a protocol is called; one that is not known is an earlier one."""
    return f"protocol {protocol}" if protocol else "an earlier protocol"


def other_contents(table: pa.Table, contents: Contents) -> dict[int, tuple[str, str]]:
    """The rows in which a plug-in of `contents` has a content that is not there: its name and its content.

    The content is empty where the row does not say it.
    """
    found: dict[int, tuple[str, str]] = {}
    for place, row in enumerate(_plug_ins(table, contents)):
        for key, (name, digest) in row.items():
            own = contents.get(key, {}).get(name)
            if own is not None and digest not in own:
                found.setdefault(place, (name, digest))
    return found


def told_contents(found: Iterable[tuple[str, str]]) -> list[str]:
    """What is to be told of trials with other contents of these plug-ins, without a full stop."""
    lines: list[str] = []
    for (name, is_told), count in sorted(Counter((name, bool(digest)) for name, digest in found).items()):
        be, they = ("is", "it stays and is") if count == 1 else ("are", "they stay and are")
        what = f"of another content of {name}" if is_told else f"of {name} without saying of which content of it"
        lines.append(f"{counted(count, 'trial')} {be} {what}: {they} shown apart")
    return lines


def _plug_ins(table: pa.Table, contents: Contents | None = None) -> list[dict[str, tuple[str, str]]]:
    """Of each row, by dotted key, name and content of its plug-ins; the content is empty where the row does not say it.

    Rows of conclus 0.1.0 say none: of them count the names that others, or `contents`, have under the key.
    """
    texts = column_cells(table, "plug_ins_json")
    known = {text: records.plug_ins(text) for text in set(texts)}
    rows: list[dict[str, tuple[str, str]]] = []
    own: dict[str, set[str]] = {key: set(names) for key, names in (contents or {}).items()}
    for found in known.values():
        for key, one in (found or {}).items():
            own.setdefault(key, set()).add(one["name"])
    columns = {key: column_cells(table, f"{PARAM}{key}") for key in own}
    # Rows of equal texts share one mapping: a hundred thousand would take some 50 MB.
    whole = {
        text: {key: (one["name"], one["sha256"]) for key, one in (told or {}).items()} for text, told in known.items()
    }
    for place, text in enumerate(texts):
        rows.append(
            {key: (columns[key][place], "") for key in own if columns[key][place] in own[key]}
            if known[text] is None
            else whole[text]
        )
    return rows
