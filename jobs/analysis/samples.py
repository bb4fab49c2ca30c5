"""Which rows are samples of a configuration. A population member is not: its values changed while it trained."""

import pyarrow as pa

from core.errors import UserError, counted

POPULATION = "pbt"
"""The value of the column `source` for a member of a population; see `jobs.planning.pbt`."""


def samples(table: pa.Table) -> tuple[pa.Table, int]:
    """The rows that are not members of populations, and the number of members left out."""
    if "source" not in table.column_names:
        return table, 0
    sources = table["source"].to_pylist()
    rows = [row for row, source in enumerate(sources) if source != POPULATION]
    members = len(sources) - len(rows)
    return (table.take(pa.array(rows, pa.int64())), members) if members else (table, 0)


def need_samples(table: pa.Table) -> pa.Table:
    """The rows that are not members of populations; there must be at least one.

    Raises:
        UserError: all rows are members of populations.
    """
    found, members = samples(table)
    if members and not found.num_rows:
        raise UserError(
            f"All {members} trials are members of populations (search: pbt): their values changed while they trained, "
            "so they say nothing about a configuration. conclus aggregate lists them."
        )
    return found


def notes(table: pa.Table) -> list[str]:
    """Sentences that a ranking shows about population members and trials stopped early."""
    said: list[str] = []
    _, members = samples(table)
    if members == table.num_rows and members:
        said.append("These trials are members of populations: each began with other values than those shown.")
    elif members:
        said.append(f"{members} members of populations are left out: their values changed while they trained.")
    if early := table["status"].to_pylist().count("stopped"):
        said.append(f"{counted(early, 'trial', 'were')} stopped early: values are those of the epoch that was reached.")
    return said


def import_notes(table: pa.Table) -> list[str]:
    """One sentence with the number of imported rows, if there are any."""
    count = sum(imported(table))
    return [f"{count} of {table.num_rows} rows are imported and unverified."] if count else []


def imported(table: pa.Table) -> list[bool]:
    """For each row, whether it comes from a user's own table."""
    if "source" not in table.column_names:
        return [False] * table.num_rows
    return [source == "import" for source in table["source"].to_pylist()]
