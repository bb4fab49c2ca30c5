"""The drawings of a leaderboard on the page: linked with each other and with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import counted
from jobs.analysis import pareto
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.outcomes import HEALTH
from jobs.analysis.scores import is_loss, metric_name, plug_in_names, rescales_loss
from jobs.charts import bars, curves, gantt, parallel, scatter, strips
from jobs.charts.configurations import describe, key, numbers, parameter_names, verdict
from jobs.charts.look import distinct
from jobs.health.curves import Curve
from jobs.present import tables
from jobs.present.leaderboard import shown
from jobs.report import pieces, svg
from jobs.report.contents import Contents, Key
from jobs.report.markup import Markup, join, tag
from jobs.report.svg import Scale

_SEED_PANELS = 6
_PARAMETERS = 6
"""The most parameters by which trials are drawn, those with the largest effects first."""
_COSTS = 20
"""The most configurations whose hours are drawn."""
_RUNS = 2000
"""The most trials that are drawn over time, the latest."""


# Beside the rows of the leaderboard


def interval_scale(board: Leaderboard, width: float) -> Scale:
    """A scale from the lowest to the highest trial; intervals of few seeds may reach far beyond and are cut."""
    return svg.over([end for entry in board.entries for end in (entry.minimum, entry.maximum)], 6, width - 6)


def interval(entry: Entry, best: Entry, places: Scale, width: float) -> Markup:
    """One row's mean and 95 % interval, drawn over the best one's interval as a strip."""
    height = 20.0
    left, right = _ends(best, places)
    whisker = None
    if entry.score.half_width is not None:
        whisker = svg.line([(x, height / 2) for x in _ends(entry, places)], "whisker")
    mark = svg.mark(verdict(entry), places.place(entry.score.mean), height / 2)
    return svg.inline(width, height, [svg.bar(left, 0.0, right - left, height, "strip"), whisker, mark])


def _ends(entry: Entry, places: Scale) -> tuple[float, float]:
    score = entry.score
    ends = [places.place(score.mean if one is None else one) for one in (score.low, score.high)]
    return max(ends[0], places.start - 6), min(ends[1], places.end + 6)


# Linked charts


def front(contents: Contents, board: Leaderboard, start: int) -> Markup | None:
    """The Pareto front of the first metric with each other one; `start` is as in `scatter.fronts`."""
    names = contents.labels
    first = names.metric(next(iter(board.aims.metrics), ""))
    drawings = [
        pieces.figure(first, f"by {names.metric(name)}", pieces.drawing(chart))
        for name, chart in scatter.fronts(board, start, names).items()
    ]
    told = [pieces.note(one) for one in pareto.notes([entry.standing for entry in shown(board)], board.aims)]
    return join([*told, pieces.panels(drawings)]) if drawings else None


def parameters(contents: Contents, board: Leaderboard, start: int) -> Markup | None:
    """Parallel coordinates, and the trials by each parameter: dragging in one picks in all linked drawings."""
    if len(board.entries) < 2 or not board.entries[0].params:
        return None
    order = [one.key for one in contents.effects if one.key in board.entries[0].params]
    order += [one for one in board.entries[0].params if one not in order]
    found = contents.by_configuration
    scatters = scatter.by_parameters(board, found, order[:_PARAMETERS], start, brush=True, names=contents.labels)
    called = parameter_names(board, contents.labels)
    least = parallel.COLUMN * (len(board.entries[0].params) + 1)
    explained = pieces.note(
        "One line for each configuration. Thick with a diamond: the best. Dashed: tied with it. "
        "Fainter lines have lower scores. Of a parameter with few values, the lines through one value lie side by side "
        "around it, the better ones above, so that each can be followed. Below, one point for each trial. Drag over an "
        "axis, or over points, to pick "
        "configurations: all others fade here, in the leaderboard and in the other drawings. Several drawings can pick "
        "together. A click beside what is picked ends it."
    )
    figures = [
        pieces.figure(called[one], "", drawing)
        for one, drawing in zip(scatters, pieces.together([*scatters.values()]), strict=True)
    ]
    lines = pieces.drawing(parallel.draw(board, start, contents.labels), least)
    return join([explained, lines, pieces.panels(figures)])


def learning(contents: Contents, board: Leaderboard, start: int) -> Markup | None:
    """The mean curves of all configurations, and the seeds of the first ones."""
    overviews = [
        pieces.figure(contents.labels.metric(name), detail(name, board), pieces.drawing(chart))
        for name, found in contents.curves.items()
        if any(key(entry) in found for entry in board.entries)
        for chart in [curves.draw(found, board, metric_name(name), start, contents.labels)]
    ]
    if not overviews:
        return None
    explained = pieces.note(
        "Each line is the mean over a configuration's seeds, at the epochs that all of them have. The first four of "
        "the leaderboard have a colour, a mark, a dash pattern, and their 95 % interval as a band. A click on one in "
        "the legend fades the others. Ctrl and the wheel zoom, dragging moves, a double click shows all again."
    )
    drawn = sum(key(entry) in next(iter(contents.curves.values())) for entry in board.entries)
    hidden = pieces.note(f"Those of the first {drawn:,} are drawn.") if drawn < len(board.entries) else None
    return join([explained, hidden, tag("div", overviews, class_="maps"), _seeds_of_first(contents, board)])


def _seeds_of_first(contents: Contents, board: Leaderboard) -> Markup | None:
    metric, found = next(iter(contents.curves.items()))
    first = [entry for entry in board.entries if key(entry) in found][:_SEED_PANELS]
    if not first:
        return None
    drawn = [found[key(entry)] for entry in first]
    limits = _limits(drawn, metric_name(metric))
    drawings = [
        pieces.figure(
            f"#{entry.rank}",
            describe(entry, board, contents.labels),
            pieces.drawing(curves.seeds(one, drawn[0], entry, metric_name(metric), limits, contents.labels)),
        )
        for entry, one in zip(first, drawn, strict=True)
    ]
    heading = f"{contents.labels.metric(metric)} of the first {len(first)}, seed by seed"
    explained = pieces.note(
        "Thin: the seeds. Thick: their mean, with its 95 % interval as a band. Dotted: the mean of the best."
    )
    return join([tag("h3", heading), explained, pieces.panels(drawings)])


def _limits(drawn: Sequence[Curve], metric: str) -> list[float]:
    """The lowest and the highest value of all seeds and bands, for a common scale."""
    values = [value for one in drawn for _, row in one.seeds for value in row]
    values += [value for one in drawn for ends in curves.band_ends(one, metric) for value in ends]
    return [min(values), max(values)]


def detail(metric: str, board: Leaderboard) -> str:
    """What to know of the heights of a metric's curves, if anything."""
    if metric.startswith(HEALTH):
        return "without labels"
    plug_ins = plug_in_names([board.constant, *(entry.params for entry in board.entries)])
    rescaling = [one for one in board.entries[0].params if rescales_loss(one, plug_ins)]
    if is_loss(metric) and rescaling:
        return f"heights are not comparable: {', '.join(one.rpartition('.')[2] for one in rescaling)} can rescale it"
    return ""


def seeds(contents: Contents, board: Leaderboard, start: int) -> Markup | None:
    """The trials of each configuration as points, collapsed ones marked."""
    found = contents.by_configuration
    if max((len(found.get(key(entry), ())) for entry in board.entries), default=0) < 2:
        return None
    hidden = len(board.entries) - strips.MOST
    explained = pieces.note(
        "One point for each seed of a configuration, and a line at their mean. A triangle is a seed that collapsed: it "
        "put nearly all samples into few clusters.",
        f" The first {strips.MOST} of {len(board.entries):,} configurations." if hidden > 0 else "",
    )
    return join([explained, pieces.drawing(strips.seeds(board, found, start, contents.labels))])


def choices(contents: Contents, starts: Mapping[str, int]) -> Markup | None:
    """The ranking metric by the consensus of label-free criteria, on each data set."""
    names = contents.labels
    figures = [
        pieces.figure(
            f"{f'{names.data_set(name)}: ' if len(contents.first) > 1 else ''}{names.metric(board.metric)}",
            "by the consensus of label-free criteria",
            pieces.drawing(chart),
        )
        for name, board in contents.first
        if (chart := scatter.consensus(board, starts[name], names))
    ]
    return pieces.panels(figures) if figures else None


def time(contents: Contents) -> Markup | None:
    """When and where the trials ran, and the hours that each configuration took."""
    timed = [one for one in contents.runs if one.started and one.seconds is not None]
    timed.sort(key=lambda one: one.started.timestamp() if one.started else 0.0)
    drawn, places = timed[-_RUNS:], numbers(contents.first)
    chart = gantt.draw(drawn, places) if len(drawn) > 1 else None
    costs = _costs(contents, places)
    if chart is None and costs is None:
        return None
    parts: list[Markup | None] = []
    if chart:
        more = f" The latest {_RUNS:,} of {len(timed):,}." if len(timed) > len(drawn) else ""
        parts = [
            tag("h3", "Trials over time"),
            pieces.note(
                f"A bar for each trial, in a lane of its host: trials side by side ran at the same time.{more}"
            ),
            pieces.drawing(chart),
        ]
    return join([*parts, costs])


def _costs(contents: Contents, places: Mapping[Key, int]) -> Markup | None:
    """The configurations that took most hours of all their trials, failed ones too."""
    hours: dict[Key, float] = {}
    for one in contents.runs:
        if one.seconds is not None:
            hours[one.configuration] = hours.get(one.configuration, 0.0) + one.seconds / 3600
    if len(hours) < 2:
        return None
    names = {
        key(entry): f"#{entry.rank} {describe(entry, board, contents.labels)}"
        for _, board in contents.first
        for entry in board.entries
    }
    first = sorted(hours, key=lambda one: (-hours[one], places.get(one, 0), one))[:_COSTS]
    values = [hours[one] for one in first]
    labels = distinct([names.get(one, f"{one[0]} {one[1][:8]}") for one in first])
    total = tables.duration(3600 * sum(hours.values()))
    words = f"The {counted(len(first), 'configuration')} that took most of {total}."
    chart = bars.bars(labels, values, [tables.duration(3600 * one) for one in values], words)
    told = pieces.note(
        "Wall time of all trials of a configuration. A trial holds one CPU unless its study gives it more. ",
        f"The {len(first)} of {len(hours):,} that took most." if len(hours) > len(first) else "",
    )
    return join([tag("h3", "Time by configuration"), told, pieces.drawing(chart)])
