"""What every chart tells of a configuration: its mark, its name, and the lines where the pointer is."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import counted
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.present.leaderboard import params_sheet, params_text
from jobs.present.names import USUAL, ShownNames

Key = tuple[str, str]


def key(entry: Entry) -> Key:
    """The key of a configuration: its study and its `config_key`."""
    return entry.study, entry.config_key


def verdict(entry: Entry) -> str:
    """The mark of a configuration compared with the best: `best`, `tied`, `worse` or `unknown`."""
    if entry.rank == 1:
        return "best"
    return {True: "tied", False: "worse", None: "unknown"}[entry.tied]


def describe(entry: Entry, board: Leaderboard, labels: ShownNames | None = USUAL) -> str:
    """The parameters and the study by which a configuration differs from others.

    Drawings have the usual signs; without labels, it has the names that a person types.
    """
    params = params_text(board, entry, labels)
    study = entry.study if len({one.study for one in board.entries}) > 1 else ""
    return " ".join(filter(None, [study, params])) or "the only configuration with a value"


def told(board: Leaderboard, names: ShownNames = USUAL) -> list[list[str]]:
    """For each ranked configuration: rank, score, seeds, and the parameters that vary."""
    name, columns = names.metric(board.metric), params_sheet(board, names)
    called = parameter_names(board, names)
    several = len({one.study for one in board.entries}) > 1
    return [
        [
            f"#{entry.rank}{f' of {entry.study}' if several else ''}",
            f"{name} {entry.score.text}, {counted(entry.score.n, 'seed')}",
            *(f"{called[param]} {texts[row]}" for param, (_, texts) in columns.items()),
        ]
        for row, entry in enumerate(board.entries)
    ]


def parameter_names(board: Leaderboard, names: ShownNames) -> dict[str, str]:
    """The name of each parameter of a leaderboard, by its dotted key, as its tables have it."""
    return names.by_key([*board.constant, *board.entries[0].params]) if board.entries else {}


def seeds(board: Leaderboard) -> str:
    """The number of seeds of the configurations."""
    numbers = sorted({entry.score.n for entry in board.entries})
    return counted(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"


def numbers(boards: Sequence[tuple[str, Leaderboard]]) -> dict[Key, int]:
    """The number of each configuration among those that a page links: those of each leaderboard follow one another."""
    every = [key(entry) for _, board in boards for entry in board.entries]
    return {one: number for number, one in enumerate(every, 1)}
