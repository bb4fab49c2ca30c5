"""Which rows are samples of a configuration: a member of a population is none, its values changed while it trained."""

import pyarrow as pa

from core.errors import UserError, counted

POPULATION = "pbt"
"""What the column `source` says of such a member; see `jobs.search.pbt`."""


def samples(table: pa.Table) -> tuple[pa.Table, int]:
    """The rows without members of populations, and how many those were."""
    if "source" not in table.column_names:
        return table, 0
    sources = table["source"].to_pylist()
    rows = [row for row, source in enumerate(sources) if source != POPULATION]
    members = len(sources) - len(rows)
    return (table.take(pa.array(rows, pa.int64())), members) if members else (table, 0)


def need_samples(table: pa.Table) -> pa.Table:
    """The same, for what says nothing without samples.

    Raises:
        UserError: all rows are members of populations.
    """
    found, members = samples(table)
    if members and not found.num_rows:
        raise UserError(
            f"All {members} trials are members of populations (search: pbt): their values changed while they trained, "
            "so they say nothing of a configuration. conclus aggregate lists them."
        )
    return found


def notes(table: pa.Table) -> list[str]:
    """What a ranking must say of rows that are no whole samples."""
    said: list[str] = []
    _, members = samples(table)
    if members == table.num_rows and members:
        said.append("These are members of populations: each ends with the values shown, and began with others.")
    elif members:
        said.append(f"{members} members of populations are left out: their values changed while they trained.")
    if early := table["status"].to_pylist().count("stopped"):
        said.append(f"{counted(early, 'trial', 'were')} stopped early: values are those of the epoch that was reached.")
    return said
