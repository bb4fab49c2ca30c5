"""The parts of the page, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from core.errors import counted
from jobs.analysis.leaderboard import Leaderboard
from jobs.charts import heat
from jobs.charts.configurations import verdict
from jobs.present.comparison import comparison_notes, comparison_sheets, is_shown
from jobs.present.leaderboard import Sheet, board_sheet, selection_notes, selection_sheet, settings_text, shown
from jobs.present.names import ShownNames
from jobs.present.tables import Column
from jobs.report import clusters, drawings, pieces, svg
from jobs.report.cluster_contents import ClusterContents
from jobs.report.contents import MOST, Contents
from jobs.report.effects import effects
from jobs.report.headline import Conclusion, findings
from jobs.report.health import health
from jobs.report.interactions import importance, interactions
from jobs.report.markup import Markup, join, tag
from jobs.report.provenance import provenance
from jobs.report.topics import topics

_INTERVAL = 170.0
_CELL = 80
"""The least pixels of a column of methods by data set."""
_WORDS = {"best": "best", "tied": "tied", "worse": "worse", "unknown": "too few seeds"}
_DRAWN = "95 % interval"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; one with an empty body is left out.

    Attributes:
        name: Its name in links.
        title: Its heading.
        body: Its content.
        has_images: Whether it has images.
    """

    name: str
    title: str
    body: Markup | None
    has_images: bool = False

    @property
    def has_charts(self) -> bool:
        """Whether it has charts that a script draws."""
        return '<script type="application/json" class="chart">' in (self.body or "")


def all_sections(contents: Contents) -> list[Section]:
    """All parts of the page; the body of a part is None if it has nothing to show."""
    return [
        Section("conclusions", "Conclusions", _conclusions(findings(contents))),
        Section("leaderboard", "Leaderboard", _leaderboards(contents)),
        Section("front", "The Pareto front", _linked(contents, drawings.front)),
        Section("methods", "Over all data sets", _compared(contents)),
        Section("importance", "Which parameters matter", importance(contents.importance, contents.unshared)),
        Section("effects", "What each parameter does", effects(contents)),
        Section("interactions", "Pairs of parameters", interactions(contents.interactions, contents.labels)),
        Section("parallel", "From parameters to scores", _linked(contents, drawings.parameters)),
        Section("curves", "Learning curves", _linked(contents, drawings.learning)),
        Section("seeds", "Seeds", _linked(contents, drawings.seeds)),
        _clusters(contents.clusters),
        Section("topics", "Topics", topics(contents)),
        Section("selection", "Choosing without labels", _selection(contents)),
        Section("health", "Health", health(contents)),
        Section("time", "Time and cost", drawings.time(contents)),
        Section("provenance", "Provenance", provenance(contents)),
        Section("reading", "How to read this page", _reading()),
    ]


def _starts(contents: Contents) -> dict[str, int]:
    """By data set, the number before its first configuration: a number means one configuration all over the page."""
    ends = accumulate(len(board.entries) for _, board in contents.first)
    return {name: end - len(board.entries) for (name, board), end in zip(contents.first, ends, strict=True)}


def subtitle(contents: Contents) -> str:
    """The numbers of trials, configurations and seeds, and the ranking metric."""
    boards = [board for _, board in contents.boards]
    trials = counted(sum(one.trials for one in contents.origins), "trial")
    cells = counted(sum(len(shown(board)) for board in boards), "configuration") if boards else ""
    seeds = counted(len({seed for one in contents.origins for seed in one.seeds}), "seed")
    return " · ".join(
        filter(
            None,
            [trials, cells, seeds, f"ranked by {contents.labels.metric(boards[0].metric)}" if boards else "not ranked"],
        )
    )


def _conclusions(found: Sequence[Conclusion]) -> Markup:
    return tag("dl", [_finding(i, one) for i, one in enumerate(found)], class_="findings")


def _finding(place: int, one: Conclusion) -> Markup:
    bad = one.about in {"Failed", "Not ranked", "Unverified", "Left out"}
    names = " ".join(name for name, on in (("lead", place == 0), ("bad", bad)) if on)
    return join([tag("dt", one.about), tag("dd", one.text, class_=names or None)])


# The leaderboard


def _leaderboards(contents: Contents) -> Markup | None:
    if not contents.first:
        return pieces.note(str(contents.refused))
    more = [len(board.entries) - MOST for _, board in contents.boards if len(board.entries) > MOST]
    told = pieces.note(
        f"The first {MOST:,} configurations are shown and drawn; conclus aggregate lists the {sum(more):,} others."
    )
    return join([told if more else None, _linked(contents, _leaderboard), _legend()])


def _of_each(contents: Contents, draw: Callable[[Leaderboard, int], Markup | None]) -> Markup | None:
    """What is drawn of a leaderboard, and of the number before its first configuration, under its data set's name."""
    starts = _starts(contents)
    found = [(name, drawn) for name, board in contents.first if (drawn := draw(board, starts[name]))]
    heads = [
        tag("h3", f"Data set {contents.labels.data_set(name)}") if len(contents.first) > 1 else None
        for name, _ in found
    ]
    return join([join([head, drawn]) for head, (_, drawn) in zip(heads, found, strict=True)]) if found else None


def _linked(contents: Contents, draw: Callable[[Contents, Leaderboard, int], Markup | None]) -> Markup | None:
    return _of_each(contents, lambda board, start: draw(contents, board, start))


def _compared(contents: Contents) -> Markup | None:
    """Methods over data sets, with what is best or tied in each column in bold."""
    found, labels = contents.compared, contents.labels
    if found is None or not is_shown([found]):
        return None
    parts: list[Markup] = []
    for title, sheet in comparison_sheets([found], "markdown", labels.own):
        rows = [
            [tag("b", cell) if (i, j) in sheet.bold else cell for j, cell in enumerate(row)]
            for i, row in enumerate(sheet.rows)
        ]
        parts += [pieces.note(title), pieces.sheet_table(Sheet(sheet.columns, rows), "Methods by data set")]
    drawn = pieces.drawing(heat.methods(found, labels), least=_CELL * len(found.data))
    return join([*parts, drawn, *map(pieces.note, comparison_notes([found], "markdown", labels.own))])


def _leaderboard(contents: Contents, board: Leaderboard, start: int) -> Markup:
    sheet = _with_pictures(board, contents.labels.own)
    rows = [
        pieces.row_cells(
            sheet.columns,
            row,
            strong=i in sheet.bold,
            mark=start + i + 1 if i < len(board.entries) else None,
        )
        for i, row in enumerate(sheet.rows)
    ]
    table = pieces.table(_leaderboard_head(sheet.columns), rows, sortable=True)
    return join([_settings(board, contents.labels.own), pieces.scrolling(table, "Leaderboard")])


def _with_pictures(board: Leaderboard, labels: ShownNames | None) -> Sheet:
    """The leaderboard's sheet with a word in place of the sign, and a column with the interval as a drawing."""
    sheet = board_sheet(board, "table", labels)
    places = drawings.interval_scale(board, _INTERVAL)
    keep = [i for i, column in enumerate(sheet.columns) if column.name]
    at = 1 + next(place for place, i in enumerate(keep) if sheet.columns[i].strong)
    columns = [sheet.columns[i] for i in keep]
    columns[at:at] = [Column(_DRAWN, right=False), Column("against the best", right=False)]
    rows: list[list[Any]] = []
    for place, (row, entry) in enumerate(zip(sheet.rows, shown(board), strict=True)):
        cells = [row[i] for i in keep]
        if place < len(board.entries):
            picture = drawings.interval(entry, board.entries[0], places, _INTERVAL)
            cells[at:at] = [picture, _WORDS[verdict(entry)]]
        else:
            why = "breaks a constraint" if entry.standing.feasible is False else "another protocol"
            cells[at:at] = [None, f"{why}: not compared"]
        rows.append(cells)
    return Sheet(columns, rows, sheet.bold)


def _leaderboard_head(columns: Sequence[Column]) -> Markup:
    """The head row; the column of drawings does not sort, because its numbers have their own column."""
    return tag("tr", [pieces.head_cell(one, fixed=one.name == _DRAWN) for one in columns])


def _settings(board: Leaderboard, labels: ShownNames | None) -> Markup | None:
    text = settings_text(board, labels)
    return pieces.note("The same in all: ", text) if text else None


def _legend() -> Markup:
    words = {
        "best": "the best mean; the strip is its interval",
        "tied": "tied: the seeds cannot tell it from the best",
        "worse": "worse than the best (error 5 % over all configurations, allowing for the pick of the best)",
        "unknown": "too few seeds to tell",
    }
    parts: list[Markup] = []
    for kind, text in words.items():
        sign = svg.inline(16, 16, [svg.mark(kind, 8, 8)], key=True)
        parts.append(tag("span", sign, f" {text}. "))
    return tag("p", parts, "An interval cut off at the edge of its column continues beyond it.", class_="legend")


# Clusters


def _clusters(found: ClusterContents | str) -> Section:
    """The clusters of one trial, or the sentence that stands for them."""
    if isinstance(found, str):
        return Section("clusters", "Clusters", pieces.note(found) if found else None)
    return Section("clusters", "Clusters", clusters.section(found), has_images=found.has_images or found.is_scene)


# Label-free selection


def _selection(contents: Contents) -> Markup | None:
    choices = [one for one in contents.choices if one.choices]
    if not choices:
        return None
    table = pieces.sheet_table(selection_sheet(choices), "Label-free criteria", wrap=["choice"])
    return join([map(pieces.note, selection_notes(choices)), table, drawings.choices(contents, _starts(contents))])


def _reading() -> Markup:
    return tag("ul", [tag("li", one) for one in _READING.split("\n\n")])


_READING = """\
A configuration is a set of parameters; it was run with several seeds. Its score is the mean over them, ± half the 95 %
t-interval of that mean. With three seeds the interval is wide, because three seeds say little.

Tied does not mean equal. It means that these seeds do not show which is better: in more than 5 % of sweeps of equal
configurations, with the same seeds and gaps, the best one leads by as much.

The best of many is partly lucky. Repeated with new seeds, it will be somewhat worse.

A parameter's share of the variance depends on the values that were tried: a parameter that was varied little explains
little.

The effect of a parameter is measured on pairs of trials that are equal in everything else. With too few such pairs,
no effect is given.

A score that compares clusters with true classes uses the labels. Without labels, choosing by it is not possible;
“Choosing without labels” shows how much a choice without labels would have lost.

A loss is not a quality: temperature, batch size, number of clusters, views, weights and the choice of the loss rescale
it. This page ranks by a loss only where nothing differs that can rescale it.

A click on a table head sorts the table. A click on the number at the start of a row of the leaderboard picks that
configuration: all others fade in the drawings.

Where the pointer is on a mark, it tells the trial or the configuration, its parameters and its seed."""
