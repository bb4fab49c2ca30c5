"""The parts of the page, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import counted
from jobs.analysis import pareto
from jobs.analysis.comparison import Comparison
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.outcomes import HEALTH
from jobs.analysis.scores import is_loss, metric_name, plug_in_names, rescales_loss
from jobs.present.comparison import comparison_notes, comparison_sheets, is_shown
from jobs.present.leaderboard import Sheet, board_sheet, selection_notes, selection_sheet, settings_text, shown
from jobs.present.tables import Column
from jobs.report import charts, clusters, pieces, svg
from jobs.report.cluster_contents import ClusterContents
from jobs.report.contents import Contents
from jobs.report.effects import effects
from jobs.report.headline import Conclusion, describe, findings
from jobs.report.health import has_courses, health
from jobs.report.interactions import importance, interactions
from jobs.report.markup import Markup, join, tag
from jobs.report.provenance import provenance
from jobs.report.topics import has_curves, topics

_INTERVAL = 170.0
_WORDS = {"best": "best", "tied": "tied", "worse": "worse", "unknown": "too few seeds"}
_SEED_PANELS = 6
_DRAWN = "95 % interval"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; one with an empty body is left out.

    Attributes:
        name: Its name in links.
        title: Its heading.
        body: Its content.
        has_charts: Whether it has charts that a script draws.
        has_images: Whether it has images.
    """

    name: str
    title: str
    body: Markup | None
    has_charts: bool = False
    has_images: bool = False


def all_sections(contents: Contents) -> list[Section]:
    """All parts of the page; the body of a part is None if it has nothing to show."""
    return [
        Section("conclusions", "Conclusions", _conclusions(findings(contents))),
        Section("leaderboard", "Leaderboard", _leaderboards(contents)),
        Section("front", "The Pareto front", _of_each(contents, _front)),
        Section("methods", "Over all data sets", _compared(contents.compared)),
        Section("importance", "Which parameters matter", importance(contents.importance, contents.unshared)),
        Section("effects", "What each parameter does", effects(contents.effects, contents.trials)),
        Section("interactions", "Pairs of parameters", interactions(contents.interactions)),
        Section("parallel", "From parameters to scores", _of_each(contents, _parallel)),
        Section("curves", "Learning curves", _of_each(contents, lambda board: _curves(contents, board))),
        _clusters(contents.clusters),
        Section("topics", "Topics", topics(contents), has_charts=has_curves(contents)),
        Section("selection", "Choosing without labels", _selection(contents)),
        Section("health", "Health", health(contents), has_charts=has_courses(contents)),
        Section("provenance", "Provenance", provenance(contents)),
        Section("reading", "How to read this page", _reading()),
    ]


def subtitle(contents: Contents) -> str:
    """The numbers of trials, configurations and seeds, and the ranking metric."""
    boards = [board for _, board in contents.boards]
    trials = counted(sum(one.trials for one in contents.origins), "trial")
    cells = counted(sum(len(board.entries) for board in boards), "configuration") if boards else ""
    seeds = counted(len({seed for one in contents.origins for seed in one.seeds}), "seed")
    return " · ".join(
        filter(None, [trials, cells, seeds, f"ranked by {metric_name(boards[0].metric)}" if boards else "not ranked"])
    )


def _conclusions(found: Sequence[Conclusion]) -> Markup:
    return tag("dl", [_finding(i, one) for i, one in enumerate(found)], class_="findings")


def _finding(place: int, one: Conclusion) -> Markup:
    bad = one.about in {"Failed", "Not ranked", "Unverified", "Left out"}
    names = " ".join(name for name, on in (("lead", place == 0), ("bad", bad)) if on)
    return join([tag("dt", one.about), tag("dd", one.text, class_=names or None)])


# The leaderboard


def _leaderboards(contents: Contents) -> Markup | None:
    if not contents.boards:
        return pieces.note(str(contents.refused))
    # The script follows a rank over the whole page, so only one leaderboard may have ranks to follow.
    several = len(contents.boards) > 1
    return join([_of_each(contents, lambda board: _leaderboard(board, followed=not several)), _legend()])


def _of_each(contents: Contents, draw: Callable[[Leaderboard], Markup | None]) -> Markup | None:
    """What is drawn of a leaderboard, under the name of its data set where there are several."""
    found = [(name, drawn) for name, board in contents.boards if (drawn := draw(board))]
    heads = [tag("h3", f"Data set {name}") if len(contents.boards) > 1 else None for name, _ in found]
    return join([join([head, drawn]) for head, (_, drawn) in zip(heads, found, strict=True)]) if found else None


def _compared(found: Comparison | None) -> Markup | None:
    """Methods over data sets, with what is best or tied in each column in bold."""
    if found is None or not is_shown([found]):
        return None
    parts: list[Markup] = []
    for title, sheet in comparison_sheets([found], "markdown"):
        rows = [
            [tag("b", cell) if (i, j) in sheet.bold else cell for j, cell in enumerate(row)]
            for i, row in enumerate(sheet.rows)
        ]
        parts += [pieces.note(title), pieces.sheet_table(Sheet(sheet.columns, rows), "Methods by data set")]
    return join([*parts, *map(pieces.note, comparison_notes([found], "markdown"))])


def _leaderboard(board: Leaderboard, *, followed: bool) -> Markup:
    sheet = _with_pictures(board)
    rows = [
        pieces.row_cells(
            sheet.columns, row, strong=i in sheet.bold, mark=i + 1 if followed and i < len(board.entries) else None
        )
        for i, row in enumerate(sheet.rows)
    ]
    table = pieces.table(_leaderboard_head(sheet.columns), rows, sortable=True)
    return join([_settings(board), pieces.scrolling(table, "Leaderboard")])


def _with_pictures(board: Leaderboard) -> Sheet:
    """The leaderboard's sheet with a word in place of the sign, and a column with the interval as a drawing."""
    sheet = board_sheet(board, "table")
    places = charts.interval_scale(board, _INTERVAL)
    keep = [i for i, column in enumerate(sheet.columns) if column.name]
    at = 1 + next(place for place, i in enumerate(keep) if sheet.columns[i].strong)
    columns = [sheet.columns[i] for i in keep]
    columns[at:at] = [Column(_DRAWN, right=False), Column("against the best", right=False)]
    rows: list[list[Any]] = []
    for place, (row, entry) in enumerate(zip(sheet.rows, shown(board), strict=True)):
        cells = [row[i] for i in keep]
        if place < len(board.entries):
            picture = charts.interval(entry, board.entries[0], places, _INTERVAL)
            cells[at:at] = [picture, _WORDS[charts.verdict(entry)]]
        else:
            why = "breaks a constraint" if entry.standing.feasible is False else "another protocol"
            cells[at:at] = [None, f"{why}: not compared"]
        rows.append(cells)
    return Sheet(columns, rows, sheet.bold)


def _leaderboard_head(columns: Sequence[Column]) -> Markup:
    """The head row; the column of drawings does not sort, because its numbers have their own column."""
    return tag("tr", [pieces.head_cell(one, fixed=one.name == _DRAWN) for one in columns])


def _settings(board: Leaderboard) -> Markup | None:
    text = settings_text(board)
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


# Drawings


def _front(board: Leaderboard) -> Markup | None:
    found = charts.front_points(board)
    if not found:
        return None
    first = metric_name(next(iter(board.aims.metrics)))
    drawings = [
        pieces.figure(first, f"by {metric_name(name)}", charts.pareto(points, (metric_name(name), first)))
        for name, points in found.items()
    ]
    signs = [
        tag("span", svg.inline(16, 16, [svg.mark(kind, 8, 8)], key=True), f" {words}. ")
        for kind, words in charts.FRONT.items()
    ]
    told = [pieces.note(one) for one in pareto.notes([entry.standing for entry in shown(board)], board.aims)]
    return join([*told, tag("p", signs, class_="legend"), pieces.panels(drawings)])


def _parallel(board: Leaderboard) -> Markup | None:
    if len(board.entries) < 2 or not board.entries[0].params:
        return None
    drawing = pieces.scrolling(charts.parallel(board), "Parallel coordinates")
    explained = pieces.note(
        "One line for each configuration. Thick with a diamond: the best. Dashed: tied with it. "
        "Fainter lines have lower scores. Lines through the same value are side by side, in the order of their ranks."
    )
    return join([explained, drawing])


def _curves(contents: Contents, board: Leaderboard) -> Markup | None:
    if not contents.curves:
        return None
    overviews = [
        pieces.figure(metric_name(name), _curve_detail(name, board), charts.overview(found, board, metric_name(name)))
        for name, found in contents.curves.items()
        if any(charts.key(entry) in found for entry in board.entries)
    ]
    explained = pieces.note(
        "Each line is the mean over a configuration's seeds, at the epochs that all of them have. The first four of "
        "the leaderboard have a mark, a dash pattern and their rank."
    )
    return join([explained, pieces.panels(overviews), _seed_panels(contents, board)]) if overviews else None


def _seed_panels(contents: Contents, board: Leaderboard) -> Markup | None:
    metric, found = next(iter(contents.curves.items()))
    first = [entry for entry in board.entries if charts.key(entry) in found][:_SEED_PANELS]
    if not first:
        return None
    shown = [found[charts.key(entry)] for entry in first]
    bounds = charts.seed_bounds(shown)
    drawings = [
        pieces.figure(
            f"#{entry.rank}",
            describe(entry, board),
            charts.seeds(one, shown[0], f"#{entry.rank}", metric_name(metric), bounds),
        )
        for entry, one in zip(first, shown, strict=True)
    ]
    heading = f"{metric_name(metric)} of the first {len(first)}, seed by seed"
    explained = pieces.note(
        "Thin: the seeds. Thick: their mean, with its 95 % interval as a band. Dotted: the mean of the best."
    )
    return join([tag("h3", heading), explained, pieces.panels(drawings)])


def _curve_detail(metric: str, board: Leaderboard) -> str:
    if metric.startswith(HEALTH):
        return "without labels"
    plug_ins = plug_in_names([board.constant, *(entry.params for entry in board.entries)])
    rescaling = [key for key in board.entries[0].params if rescales_loss(key, plug_ins)]
    if is_loss(metric) and rescaling:
        return f"heights are not comparable: {', '.join(key.rpartition('.')[2] for key in rescaling)} can rescale it"
    return ""


# Clusters


def _clusters(found: ClusterContents | str) -> Section:
    """The clusters of one trial, or the sentence that stands for them."""
    if isinstance(found, str):
        return Section("clusters", "Clusters", pieces.note(found) if found else None)
    return Section(
        "clusters", "Clusters", clusters.section(found), has_charts=True, has_images=found.has_images or found.is_scene
    )


# Label-free selection


def _selection(contents: Contents) -> Markup | None:
    choices = [one for one in contents.choices if one.choices]
    if not choices:
        return None
    table = pieces.sheet_table(selection_sheet(choices), "Label-free criteria", wrap=["choice"])
    found = [(name, board, charts.against_consensus(board)) for name, board in contents.boards]
    figures = [
        pieces.figure(
            f"{f'{name}: ' if len(found) > 1 else ''}{metric_name(board.metric)}",
            "by the consensus of label-free criteria",
            scatter,
        )
        for name, board, scatter in found
        if scatter
    ]
    return join([map(pieces.note, selection_notes(choices)), table, pieces.panels(figures) if figures else None])


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

A click on a table head sorts the table. The number at the start of a row of the leaderboard marks that configuration in
the drawings."""
