"""A leaderboard as tables and sentences."""

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.analysis.estimates import Score
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.samples import chosen
from jobs.analysis.scores import CONSENSUS, N_CLUSTERS_FOUND, SECONDARY, metric_name
from jobs.analysis.selection import Choice, CriteriaReport
from jobs.present import pareto, tables
from jobs.present.names import ShownNames
from jobs.present.tables import Column
from jobs.results.names import short_names

_BELOW = 10
"""Of so many configurations the parameters are listed below a table that has no room for them."""
_SIGNS = {True: "=", False: "", None: "?"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table ready for `jobs.present.tables.render`.

    Attributes:
        columns: Its columns.
        rows: Its cells.
        bold: Indices of the rows, or of the single cells, to emphasise.
    """

    columns: list[Column]
    rows: list[list[Any]]
    bold: tuple[int | tuple[int, int], ...] = ()

    def render(self, fmt: str, width: int | None = None) -> str:
        """The sheet as text.

        Raises:
            UserError: There is no such format.
        """
        return tables.render(self.columns, self.rows, fmt, width=width, bold=self.bold)


def board_text(
    board: Leaderboard, width: int | None, labels: ShownNames | None = None, *, verbose: bool = False
) -> str:
    """The leaderboard for a terminal: the table and notes, and if `verbose` above them the constant parameters."""
    return (header(board, width, labels) if verbose else "") + board_table(board, width, labels) + footer(board, width)


def board_table(board: Leaderboard, width: int | None, labels: ShownNames | None = None) -> str:
    """The table for a terminal; parameters that do not fit beside the scores stand below them, by rank.

    The columns are those that there is room for under the keys that one types, whatever the names are.
    """
    by_key = _human_sheet(board)
    beside = _human_sheet(board, labels) if labels else by_key
    room = None if width is None else tables.room_for(by_key.columns, by_key.rows, width)
    if width is None or room is not None:
        return _only(beside, room).render("table", width)
    if board.infeasible:  # Why one has no rank is long: told below, it leaves room for the parameters of the others.
        table = board_table(replace(board, infeasible=()), width, labels)
        return table + _below(board.infeasible, lambda entry: _infeasible_text(board, entry), width)
    table = _human_sheet(board, labels, beside=False).render("table", width)
    return table + _below(board.entries, lambda entry: f"#{entry.rank} {params_text(board, entry)}", width)


def _below(entries: Sequence[Entry], told: Callable[[Entry], str], width: int) -> str:
    """Configurations below a table, as far as they are not too many."""
    lines = [line for one in entries[:_BELOW] for line in _wrapped(told(one).split(), width)]
    lines += [f"The parameters of {len(entries) - _BELOW} more: --format csv."] if len(entries) > _BELOW else []
    return "".join(f"{line}\n" for line in ["", *lines])


def _infeasible_text(board: Leaderboard, entry: Entry) -> str:
    """A configuration that breaks a constraint: its parameters, its score, and why."""
    why = entry.standing.why.removeprefix("INFEASIBLE: ")
    return f"INFEASIBLE {params_text(board, entry)}: {metric_name(board.metric)} {entry.score.text}; {why}"


def header(board: Leaderboard, width: int | None, labels: ShownNames | None = None) -> str:
    """The constant parameters that are not as by default, in lines of at most `width` characters."""
    words = settings_text(replace(board, constant=chosen_settings(board.constant, board)), labels).split()
    told = " ".join(["the same in all:", *words]).replace("all: in all", "all")
    return "".join(f"{line}\n" for line in _wrapped(told.split(), width)) + "\n" if words else ""


def chosen_settings(constant: Mapping[str, Any], board: Leaderboard) -> dict[str, Any]:
    """Those of the settings of a leaderboard that are not as by default, and the method and the data set."""
    return chosen(constant, [{**board.constant, **entry.params} for entry in board.entries])


def settings_text(board: Leaderboard, labels: ShownNames | None = None) -> str:
    """The constant parameters by their whole keys, as `mode=max` alone tells nothing: `epochs=60 method.name=cc`.

    Those that only some of the methods have come last. Those that do nothing are left out: the usual decimal point, and
    how to stop early where nothing is stopped.
    """
    found = {key: value for key, value in board.constant.items() if value is not None}
    if found.get("data.decimal") == ".":
        del found["data.decimal"]
    if "early_stopping.metric" not in {*found, *board.entries[0].params}:
        found = {key: value for key, value in found.items() if not key.startswith("early_stopping.")}
    value = labels.value if labels else lambda _, value: value
    words = {name: f"{name}={tables.cell_text(value(name, one))}" for name, one in found.items()}
    in_all = " ".join(word for name, word in words.items() if name not in board.of_some)
    of_some = " ".join(word for name, word in words.items() if name in board.of_some)
    return f"{in_all}; in all that have it: {of_some}".removeprefix("; ") if of_some else in_all


def footer(board: Leaderboard, width: int | None) -> str:
    """The meaning of the signs, and the notes, in lines of at most `width` characters."""
    wrapped = [part for line in [*sign_notes(board), *board.notes] for part in _wrapped(line.split(), width)]
    return "".join(f"{line}\n" for line in ["", *wrapped])


def sign_notes(board: Leaderboard, *, has_bold: bool = False) -> list[str]:
    """The meaning of each sign that is used beside the metric, or of bold type, which tells the same as `=`."""
    flags = {entry.tied for entry in board.entries if entry.rank > 1}
    lines = ["= the seeds cannot tell it from the best."] if True in flags and not has_bold else []
    lines += ["Bold: the best, and all that the seeds cannot tell from it."] if True in flags and has_bold else []
    lines += ["? too few seeds to tell it from the best."] if None in flags else []
    return [*lines, *unranked_notes(board)]


def unranked_notes(board: Leaderboard) -> list[str]:
    """Why some configurations have no rank."""
    lines = ["INFEASIBLE: it breaks a constraint of the study, so it has no rank."] if board.infeasible else []
    these = "Others without a rank" if board.infeasible else "Without a rank"
    return lines + ([f"{these}: of another protocol, not compared with the others."] if board.apart else [])


def board_sheet(board: Leaderboard, fmt: str, labels: ShownNames | None = None) -> Sheet:
    """The leaderboard for people; for CSV and JSON, every number has a column of its own, under its key.

    Args:
        board: The leaderboard.
        fmt: One of `jobs.present.tables.FORMATS`.
        labels: The names for readers; without them, the keys that a person types.
    """
    return _machine_sheet(board) if fmt in {"csv", "json"} else _human_sheet(board, labels, has_bold=fmt != "table")


def selection_sheet(reports: Sequence[CriteriaReport]) -> Sheet:
    """The configuration that each criterion would choose; the consensus is bold."""
    choices = [(report.study, choice) for report in reports for choice in report.choices]
    picks: list[tuple[Column, Callable[[Choice], Any]]] = [
        (Column("criterion", right=False, strong=True), lambda one: one.criterion),
        (Column("n", drop=1), lambda one: one.n),
        (Column("rank_corr_nmi"), lambda one: one.correlations["nmi"]),
        (Column("rank_corr_acc", drop=2), lambda one: one.correlations["acc"]),
        (Column("nmi_of_choice"), lambda one: one.nmi),
        (Column("below_best"), lambda one: one.regret),
        (Column("choice", right=False, drop=3), lambda one: _pairs_text(one.params)),
    ]
    parts = [(column, [pick(choice) for _, choice in choices]) for column, pick in picks]
    if len(reports) > 1:
        parts.insert(0, (Column("study", right=False), [study for study, _ in choices]))
    bold = tuple(i for i, (_, choice) in enumerate(choices) if choice.criterion == CONSENSUS)
    return _sheet([part for part in parts if any(value not in {None, ""} for value in part[1])], bold)


def selection_notes(reports: Sequence[CriteriaReport]) -> list[str]:
    """Notes below the criteria: which numbers use labels, and the NMI of the best and of a random choice."""
    notes = [
        "No criterion uses labels; the correlations (Spearman's, over configurations) and the nmi of each choice do.",
        "Silhouette, confidence, marginal_entropy and feature_std use a model's own outputs: not part of consensus.",
    ]
    if all(one.best is None for one in reports):
        notes[0] = (
            "Without labels nothing tells how good these choices are. To see which criterion to trust, run the study "
            "on labelled data of the same kind, and then conclus selection on its results."
        )
        reports = [one for one in reports if not one.choices]
    return [*notes, *(f"{one.study}: {_known(one)}." for one in reports)]


def _known(one: CriteriaReport) -> str:
    if not one.choices:
        return "nothing to choose: one configuration, or none with label-free criteria"
    if one.best is None:
        return "no labels, so the quality of a choice is unknown"
    return f"best nmi {one.best:.3f}, choosing by chance {one.average:.3f}"


def params_text(board: Leaderboard, entry: Entry, labels: ShownNames | None = None) -> str:
    """A configuration's parameters that vary over the board: `learning_rate=0.001 method=tcl threshold=0.95`."""
    found = _params(board, [entry], labels)
    return (", " if labels else " ").join(f"{name}={tables.cell_text(values[0])}" for name, values, _ in found)


def params_sheet(board: Leaderboard, labels: ShownNames) -> dict[str, tuple[list[Any], list[str]]]:
    """For each parameter that varies, by its dotted key, its values and their texts, in the order of the board."""
    found: dict[str, tuple[list[Any], list[str]]] = {}
    for key in _varying(board):
        values = [labels.value(key, entry.params[key]) for entry in board.entries]
        found[key] = values, [tables.cell_text(one) for one in tables.numbers([_cell(one) for one in values])]
    return found


def _pairs_text(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={tables.cell_text(_cell(value))}" for name, value in params.items())


def _varying(board: Leaderboard) -> list[str]:
    return list(board.entries[0].params) if board.entries else []


def shown(board: Leaderboard) -> list[Entry]:
    """The configurations in the order of a sheet's rows: those that are ranked, then those without a rank."""
    return [*board.entries, *board.infeasible, *board.apart]


def _human_sheet(
    board: Leaderboard, labels: ShownNames | None = None, *, beside: bool = True, has_bold: bool = False
) -> Sheet:
    """The table for people, with the parameters beside the scores or without them.

    Where bold type tells what is tied with the best, no sign does.
    """
    called = labels.metric if labels else metric_name
    ranked = len(board.entries)
    signs = ["" if entry.rank == 1 or (has_bold and entry.tied) else _SIGNS[entry.tied] for entry in board.entries]
    signs += [""] * (len(shown(board)) - ranked)
    parts: list[tuple[Column, list[Any]]] = [
        (Column("#"), [entry.rank if place < ranked else None for place, entry in enumerate(shown(board))]),
        *origins_columns(board),
        *(params_columns(board, shown(board), labels) if beside else ()),
        (Column(called(board.metric), right=False, strong=True), [interval_text(one.score) for one in shown(board)]),
        (Column("", right=False), signs),
        (Column("n"), [entry.score.n for entry in shown(board)]),
        *_clusters_found(board),
        *pareto.columns(board, shown(board), called),
        *troubles(board),
        *_secondary(board, called),
    ]
    bold = tuple(i for i, entry in enumerate(board.entries) if entry.rank == 1 or entry.tied)
    return _sheet([part for part in parts if part[0].name or any(part[1])], bold)


def origins_columns(board: Leaderboard) -> list[tuple[Column, list[Any]]]:
    """The protocol and the study of each configuration, where there are several; a dash for one that is not known."""
    entries = shown(board)
    protocols = [(Column("protocol"), [entry.protocol or "-" for entry in entries])] if board.apart else []
    studies = [one.study for one in entries]
    return protocols + ([(Column("study", right=False), studies)] if len({*studies[: len(board.entries)]}) > 1 else [])


def params_columns(
    board: Leaderboard, entries: Sequence[Entry], labels: ShownNames | None = None
) -> list[tuple[Column, list[Any]]]:
    """The columns of the parameters that vary over the board, for some of its configurations."""
    return [(Column(name, right=not is_words), values) for name, values, is_words in _params(board, entries, labels)]


def _params(
    board: Leaderboard, entries: Sequence[Entry], labels: ShownNames | None = None
) -> list[tuple[str, list[Any], bool]]:
    """The columns of parameters: name, values, and whether they are words.

    Of a plug-in that varies, the options that only some of the choices have stand beside its name in one column:
    `tcl threshold=0.95` under `method`.
    """
    keys = [*board.constant, *_varying(board)]
    names = labels.by_key(keys) if labels else short_names(keys)
    value = labels.value if labels else lambda _, value: value
    texts = {
        key: tables.numbers([_cell(value(key, entry.params[key])) for entry in entries]) for key in _varying(board)
    }
    owners = _owners(board)
    found: list[tuple[str, list[Any], bool]] = []
    for key, values in texts.items():
        own = [option for option, owner in owners.items() if owner == key]
        if own:
            options = [
                {one: texts[one][i] for one in own if entry.params[one] is not None} for i, entry in enumerate(entries)
            ]
            told = [
                " ".join([str(value), *(f"{names[one]}={tables.cell_text(cell)}" for one, cell in each.items())])
                for value, each in zip(values, options, strict=True)
            ]
            found.append((names[key] if labels else key.removesuffix(".name"), told, True))
        elif key not in owners:
            found.append((names[key], values, False))
    return found


def _owners(board: Leaderboard) -> dict[str, str]:
    """The options that only some choices of a plug-in have, each with the key of the plug-in's name."""
    heads = [key for key in _varying(board) if key.endswith(".name")]
    owners: dict[str, str] = {}
    for key in _varying(board):
        own = [head for head in heads if key != head and key.startswith(head.removesuffix("name"))]
        if own and any(entry.params[key] is None for entry in shown(board)):
            owners[key] = own[0]
    return owners


def troubles(board: Leaderboard) -> list[tuple[Column, list[Any]]]:
    """The columns on what went wrong with a configuration's trials, where something did."""
    counts = {
        "failed": [entry.failed or None for entry in shown(board)],
        "lost": [entry.lost or None for entry in shown(board)],
        "running": [entry.running or None for entry in shown(board)],
        "imported": [entry.imported or None for entry in shown(board)],
    }
    found = [(Column(name, drop=1), values) for name, values in counts.items() if any(values)]
    groups = [f"{one.collapsed} of {one.score.n} collapsed" if one.collapsed else None for one in shown(board)]
    return found + ([(Column("seeds", right=False), groups)] if any(groups) else []) + _reasons(board)


def _reasons(board: Leaderboard) -> list[tuple[Column, list[Any]]]:
    """What a person should know of a configuration, where there is something."""
    reasons = [entry.reason or None for entry in shown(board)]
    return [(Column("reason", right=False), reasons)] if any(reasons) else []


def _secondary(board: Leaderboard, called: Callable[[str], str]) -> list[tuple[Column, list[Any]]]:
    names = [name for name in SECONDARY if any(name in entry.secondary for entry in shown(board))]
    names = [name for name in names if name not in set(map(metric_name, board.aims.metrics))]
    return [
        (
            Column(called(name), right=False, drop=2 + i),
            [interval_text(one.secondary.get(name)) for one in shown(board)],
        )
        for i, name in enumerate(names)
    ]


def _clusters_found(board: Leaderboard) -> list[tuple[Column, list[Any]]]:
    """How many clusters `n_clusters: auto` found, where it did."""
    found = [entry.secondary.get(N_CLUSTERS_FOUND) for entry in shown(board)]
    return [(Column("clusters found", drop=1), [one and one.mean for one in found])] if any(found) else []


def interval_text(score: Score | None) -> str:
    """A mean with its interval; empty if there is none."""
    return "" if score is None else score.text


def _machine_sheet(board: Leaderboard) -> Sheet:
    entries = shown(board)
    ranks = [entry.rank for entry in board.entries] + [None] * (len(entries) - len(board.entries))
    parts: list[tuple[Column, list[Any]]] = [
        (Column("rank"), ranks),
        (Column("study"), [entry.study for entry in entries]),
        (Column("config_key"), [entry.config_key for entry in entries]),
    ]
    parts += [(Column("protocol"), [entry.protocol or None for entry in entries])] if board.apart else []
    parts += [(Column(key), [entry.params[key] for entry in entries]) for key in _varying(board)]
    parts += _numbers(metric_name(board.metric), [entry.score for entry in entries])
    for name in ("minimum", "maximum", "tied", "failed", "lost", "running", "imported"):
        parts.append((Column(name), [getattr(entry, name) for entry in entries]))
    parts.append((Column("collapsed"), [entry.collapsed / entry.score.n for entry in entries]))
    parts += _reasons(board)
    parts += pareto.exact_columns(board, entries)
    for name, scores in pareto.goals(board, entries).items():
        parts += _numbers(name, scores) if name not in SECONDARY else []
    for name in (*SECONDARY, N_CLUSTERS_FOUND):
        if any(name in entry.secondary for entry in entries):
            parts += _numbers(name, [entry.secondary.get(name) for entry in entries])
    return _sheet(parts)


def _numbers(name: str, scores: Sequence[Score | None]) -> list[tuple[Column, list[Any]]]:
    return [
        (Column(name), [score and score.mean for score in scores]),
        (Column(f"{name}_half_width"), [score and score.half_width for score in scores]),
        (Column(f"{name}_low"), [score and score.low for score in scores]),
        (Column(f"{name}_high"), [score and score.high for score in scores]),
        (Column(f"{name}_n"), [score and score.n for score in scores]),
    ]


def _only(sheet: Sheet, places: Sequence[int] | None) -> Sheet:
    """Some columns of a sheet, or all; without what is bold, which no terminal shows."""
    kept = range(len(sheet.columns)) if places is None else places
    return Sheet([sheet.columns[i] for i in kept], [[row[i] for i in kept] for row in sheet.rows])


def _sheet(parts: Sequence[tuple[Column, list[Any]]], bold: tuple[int, ...] = ()) -> Sheet:
    rows = [list(row) for row in zip(*(values for _, values in parts), strict=True)]
    return Sheet([column for column, _ in parts], rows, bold)


def _cell(value: Any) -> Any:
    """The value to show; None is a value of a parameter and becomes "-", because an empty cell would look missing."""
    if value is None:
        return "-"
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _wrapped(words: Sequence[str], width: int | None) -> list[str]:
    return textwrap.wrap(" ".join(words), width or sys.maxsize, break_long_words=False, break_on_hyphens=False)
