"""Pictures for papers and slides with matplotlib, without a display; the same results give the same SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from core.errors import UserError, counted
from jobs.analysis import intervals
from jobs.analysis.comparison import Boards
from jobs.analysis.effect import Effect
from jobs.analysis.importance import Share
from jobs.analysis.interaction import Interaction, interaction
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.scores import CONSENSUS, metric_name
from jobs.analysis.trials import Trials, param_key
from jobs.health.curves import Curve
from jobs.present import tables
from jobs.present.effect import labels
from jobs.present.importance import shown
from jobs.present.visible import visible
from jobs.report.charts import FrontPoints, front_points, key, verdict
from jobs.report.contents import Contents
from jobs.report.headline import describe
from jobs.report.paper import ranked
from jobs.report.scale import is_numeric, is_wide

_STYLE: Any = {
    "svg.hashsalt": "conclus",
    "figure.dpi": 150,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "text.parse_math": False,  # a name may hold dollars
}
# The colours of Okabe and Ito, each with its own mark and dash pattern.
_LINES = (("#0072b2", "D", "-"), ("#d55e00", "o", "--"), ("#009e73", "s", ":"), ("#cc79a7", "^", "-."))
_MARKS = {"best": ("#0072b2", "D"), "tied": ("#d55e00", "o"), "worse": ("#666666", "x"), "unknown": ("#666666", "o")}
_FRONT = {
    "square": ("#009e73", "s", "on the Pareto front"),
    "tied": ("#d55e00", "o", "not shown to be off it"),
    "unknown": ("#666666", "o", "too few seeds to tell"),
    "worse": ("#666666", "x", "shown to be off it"),
    "triangle": ("#cc79a7", "^", "breaks a constraint"),
}
_ROWS = 30


def picture(contents: Contents, what: str, params: Sequence[str], suffix: str) -> bytes:
    """One picture as the bytes of a `.png` or `.svg` file.

    Args:
        contents: The result of `jobs.report.contents.gather`.
        what: One of `PLOTS`.
        params: The parameters to draw.
        suffix: `.png` or `.svg`.

    Raises:
        UserError: There is nothing to draw, a parameter is unknown, or the metric may not rank the configurations.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(layout="constrained")
        PLOTS[what](figure, contents, params)
        out = io.BytesIO()
        metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
        figure.savefig(out, format=suffix.removeprefix("."), metadata=metadata)
    # An SVG also contains its texts as comments.
    return visible(out.getvalue().decode()).encode() if suffix == ".svg" else out.getvalue()


def _panels(
    figure: Figure, boards: Boards, width: float, height: Callable[[Leaderboard], float]
) -> Iterator[tuple[Axes, Leaderboard, str]]:
    """One panel for each data set, below one another, with the beginning of its title."""
    heights = [height(board) for _, board in boards]
    figure.set_size_inches(width, sum(heights))
    found = figure.subplots(len(boards), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, board) in zip(found, boards, strict=True):
        yield axes, board, f"{name} · " if len(boards) > 1 else ""


def _leaderboard(figure: Figure, contents: Contents, _: Sequence[str]) -> None:
    boards = ranked(contents)
    for axes, board, title in _panels(figure, boards, 8.0, lambda one: 1.4 + 0.24 * len(one.entries[:_ROWS])):
        entries = board.entries[:_ROWS]
        for row, entry in enumerate(entries):
            colour, mark = _MARKS[verdict(entry)]
            face = "none" if verdict(entry) == "unknown" else colour
            mean, low, high = entry.score.mean, entry.score.low, entry.score.high
            ends = None if low is None or high is None else [[mean - low], [high - mean]]
            axes.errorbar(mean, row, xerr=ends, fmt=mark, color=colour, markerfacecolor=face, capsize=2, markersize=5)
        names = [f"{describe(entry, board)}  #{entry.rank}" for entry in entries]
        axes.set_yticks(range(len(entries)), names, fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric_name(board.metric)}, mean and 95 % interval over {_seeds(board)}")
        left_out = len(board.entries) - len(entries)
        axes.set_title(
            f"{title}diamond: best · disc: tied · cross: worse · ring: too few seeds"
            + (f" · {left_out} more below" if left_out else ""),
            fontsize=8,
        )


def _curves(figure: Figure, contents: Contents, _: Sequence[str]) -> None:
    boards = ranked(contents)
    if not contents.curves:
        raise UserError("There are no learning curves: these rows have no history.")
    metric, found = next(iter(contents.curves.items()))
    for axes, board, title in _panels(figure, boards, 7.0, lambda _: 4.2):
        order = [entry for entry in board.entries if key(entry) in found]
        for entry in order[len(_LINES) :]:
            one = found[key(entry)]
            axes.plot(one.epochs, one.means, color="#999999", linewidth=0.6, alpha=0.5, zorder=1)
        for entry, style in zip(order, _LINES, strict=False):
            _curve(axes, found[key(entry)], f"#{entry.rank} {describe(entry, board)}", style)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric_name(metric))
        axes.set_title(f"{title}mean over {_seeds(board)}, band: its 95 % interval", fontsize=9)
        axes.legend(fontsize=7, frameon=False)


def _curve(axes: Axes, one: Curve, label: str, style: tuple[str, str, str]) -> None:
    colour, mark, dash = style
    every = max(len(one.epochs) // 6, 1)
    axes.plot(
        one.epochs, one.means, color=colour, marker=mark, linestyle=dash, markevery=every, markersize=4, label=label
    )
    if one.half_widths:
        low, high = (
            [mean + sign * half for mean, half in zip(one.means, one.half_widths, strict=True)] for sign in (-1, 1)
        )
        axes.fill_between(one.epochs, low, high, color=colour, alpha=0.13, linewidth=0)


def _selection(figure: Figure, contents: Contents, _: Sequence[str]) -> None:
    boards = [one for one in ranked(contents) if sum(CONSENSUS in entry.secondary for entry in one[1].entries) > 1]
    if not boards:
        raise UserError("There is no consensus to draw: it needs label-free criteria of at least two configurations.")
    for axes, board, title in _panels(figure, boards, 5.0, lambda _: 4.0):
        known = [entry for entry in board.entries if CONSENSUS in entry.secondary]
        for kind, (colour, mark) in _MARKS.items():
            ones = [entry for entry in known if verdict(entry) == kind]
            x, y = [entry.secondary[CONSENSUS].mean for entry in ones], [entry.score.mean for entry in ones]
            if ones:
                face = "none" if kind == "unknown" else colour
                label = "too few seeds" if kind == "unknown" else kind
                axes.plot(x, y, mark, color=colour, markerfacecolor=face, markersize=5, label=label)
        axes.set_title(title.removesuffix(" · "), fontsize=9)
        axes.set_xlabel("consensus of the label-free criteria")
        axes.set_ylabel(f"{metric_name(board.metric)}, mean over {_seeds(board)}")
        axes.legend(fontsize=7, frameon=False, title="by its seeds", title_fontsize=7)


def _pareto(figure: Figure, contents: Contents, _: Sequence[str]) -> None:
    found = [(name, board, points) for name, board in ranked(contents) if (points := front_points(board))]
    if not found:
        raise UserError(
            "There is no Pareto front to draw: name two or more metrics of which configurations have values, as "
            "`pareto nmi seconds`, or in a study as `select: {metrics: [nmi, seconds]}`."
        )
    most = max(len(points) for _, _, points in found)
    figure.set_size_inches(5.0 * most, 4.0 * len(found))
    grid = figure.subplots(len(found), most, squeeze=False)
    for panels, (data, board, points) in zip(grid, found, strict=True):
        title = f"{data} · " if len(found) > 1 else ""
        first = metric_name(next(iter(board.aims.metrics)))
        for axes, (name, shown_points) in zip(panels, points.items(), strict=False):
            _front(axes, shown_points, board)
            axes.set(xlabel=metric_name(name), ylabel=first)
            axes.set_title(f"{title}means over {_seeds(board)}", fontsize=8)
    handles = {label: one for axes in grid.flat for one, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend([*handles.values()], [*handles], loc="outside lower center", ncols=3, fontsize=7, frameon=False)


def _front(axes: Axes, points: FrontPoints, board: Leaderboard) -> None:
    for kind, (colour, mark, label) in _FRONT.items():
        places = [place for _, one, place in points if one == kind]
        if places:
            face = "none" if kind == "unknown" else colour
            xs, ys = zip(*places, strict=True)
            axes.plot(xs, ys, mark, color=colour, markerfacecolor=face, markersize=5, label=label)
    for entry, kind, place in points[:_ROWS]:
        if kind != "worse":
            # What breaks a constraint has no rank, so its parameters name it.
            named = describe(entry, board) if kind == "triangle" else f"#{entry.rank}"
            axes.annotate(named, place, (5, 4), textcoords="offset points", fontsize=7)


def _effect(figure: Figure, contents: Contents, params: Sequence[str]) -> None:
    wanted = param_key(params[0], _trials(contents))
    one = next(effect for effect in contents.effects if effect.key == wanted)
    if one.refusal:
        raise UserError(one.refusal)
    name = labels([one.key])[one.key]
    levels = [level.value for level in one.levels]
    numeric = is_numeric(levels)
    figure.set_size_inches(9.0, 3.8)
    left, right = figure.subplots(1, 2)
    _slopes(left, one, levels)
    left.set(xlabel=name, ylabel=metric_name(one.column))
    left.set_title(
        f"{'thin' if numeric else 'dots'}: one setting of the others"
        + (f"; {'thick' if numeric else 'diamonds'}: mean of {counted(one.blocks, 'block')}" if one.blocks else ""),
        fontsize=8,
    )
    _differences(right, one)
    right.set_xlabel(f"difference of {metric_name(one.column)}, 95 % interval")
    right.set_title("matched pairs, equal in everything else", fontsize=8)


def _importance(figure: Figure, contents: Contents, _: Sequence[str]) -> None:
    found = contents.importance
    if found is None:
        raise UserError(contents.unshared or "No parameter varies over the finished trials: nothing to compare.")
    names = labels(key for one in found.parameters for key in one.keys)
    shares = shown(found)
    rows = [" x ".join(names[key] for key in one.keys) for one in shares]
    rows += [] if found.luck is None else ["luck (the seed)"]
    figure.set_size_inches(7.5, 1.3 + 0.3 * len(rows))
    axes = figure.subplots()
    for row, one in enumerate(shares):
        _share(axes, row, one)
    if found.luck is not None:
        axes.barh(len(shares), found.luck, height=0.5, color="#bbbbbb", hatch="////", edgecolor="white")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-0.01, 1.01)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel(f"share of the variance of {metric_name(found.column)} between trials, 95 % interval")
    axes.set_title("square: matters · ring: not shown to matter · hatched: luck", fontsize=8)


def _share(axes: Axes, row: int, one: Share) -> None:
    if one.share is None or one.low is None or one.high is None:
        axes.text(0.01, row, one.verdict, va="center", fontsize=7)
        return
    colour, mark, face = ("#009e73", "s", "#009e73") if one.verdict.startswith("matters") else ("#666666", "o", "none")
    axes.barh(row, one.share, height=0.5, color=colour, alpha=0.3)
    # Rounding may put the estimate slightly outside its interval; that side then has length 0.
    reach = [[max(0.0, one.share - one.low)], [max(0.0, one.high - one.share)]]
    axes.errorbar(one.share, row, xerr=reach, fmt=mark, color=colour, markerfacecolor=face, capsize=3, markersize=5)


def _slopes(axes: Axes, one: Effect, levels: Sequence[Any]) -> None:
    numeric = is_numeric(levels)
    joined = "-" if numeric else "none"  # Words such as the names of methods have no order.
    x = dict(zip(levels, levels if numeric else range(len(levels)), strict=True))
    for each in one.slices:
        values = [point.mean for point in each.points]
        places = [x[point.value] for point in each.points]
        mark = "" if numeric else "."
        axes.plot(places, values, color="#888888", linestyle=joined, marker=mark, linewidth=0.7, alpha=0.6)
    matched = [(x[level.value], level.matched) for level in one.levels if level.matched is not None]
    means = [mean for _, mean in matched]
    axes.plot([place for place, _ in matched], means, color="#0072b2", linestyle=joined, marker="D", linewidth=2)
    if numeric and is_wide(levels):
        axes.set_xscale("log")
    if len(levels) <= 12:
        texts = [tables.cell_text(one) for one in tables.numbers(levels)]
        axes.set_xticks([x[level] for level in levels], texts)
        axes.minorticks_off()


def _differences(axes: Axes, one: Effect) -> None:
    shown = [each for each in one.differences if each.estimate] if len(one.differences) > _ROWS else one.differences
    names = [f"{tables.cell_text(each.low)} → {tables.cell_text(each.high)}  ({each.n} pairs)" for each in shown]
    for row, each in enumerate(shown):
        if each.estimate is None:
            # In the middle of the drawing: zero may be at its edge, where the names of the rows stand.
            middle = axes.get_yaxis_transform()
            axes.text(0.5, row, each.verdict, va="center", ha="center", fontsize=7, transform=middle)
            continue
        colour, mark = {"better": ("#0072b2", "^"), "worse": ("#d55e00", "v")}.get(each.verdict, ("#666666", "o"))
        axes.errorbar(
            each.estimate.mean, row, xerr=each.estimate.half_width, fmt=mark, color=colour, capsize=3, markersize=5
        )
        axes.annotate(
            each.verdict, (each.estimate.mean, row), (0, 7), textcoords="offset points", ha="center", fontsize=7
        )
    axes.axvline(0, color="#333333", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(len(shown) - 0.4, -0.6)


def _interaction(figure: Figure, contents: Contents, params: Sequence[str]) -> None:
    trials = _trials(contents)
    found = interaction(trials, *(param_key(name, trials) for name in params))
    if found.refusal:
        raise UserError(found.refusal)
    rows, columns = (list(map(tables.cell_text, tables.numbers(levels))) for levels in found.levels)
    figure.set_size_inches(2.4 + 0.85 * len(columns), 1.6 + 0.5 * len(rows))
    axes = figure.subplots()
    axes.grid(visible=False)
    _cells(figure, axes, found)
    names = labels(found.keys)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns)
    axes.set(ylabel=names[found.keys[0]], xlabel=names[found.keys[1]])
    axes.set_title(f"{metric_name(found.column)}: mean and number of trials", fontsize=9)


def _cells(figure: Figure, axes: Axes, found: Interaction) -> None:
    shape = [len(levels) for levels in found.levels]
    grid = [[float("nan")] * shape[1] for _ in range(shape[0])]
    for (i, j), cell in found.cells.items():
        grid[i][j] = cell.mean
    means = [cell.mean for cell in found.cells.values()]
    middle = (min(means) + max(means)) / 2
    image = axes.imshow(grid, cmap="cividis", aspect="auto")
    figure.colorbar(image, ax=axes, label=metric_name(found.column))
    for i in range(shape[0]):
        for j in range(shape[1]):
            cell = found.cells.get((i, j))
            if cell is None:
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", color="#bbbbbb"))
            text = f"{intervals.plus_minus(cell.mean, None)}\nn = {cell.n}" if cell else "not run"
            bright = cell is None or cell.mean > middle
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color="black" if bright else "white")


def _trials(contents: Contents) -> Trials:
    if contents.trials is None:
        raise ValueError("read without what drawings need")
    return contents.trials


def _seeds(board: Leaderboard) -> str:
    numbers = sorted({entry.score.n for entry in board.entries})
    if len(numbers) == 1:
        return counted(numbers[0], "seed")
    return f"{numbers[0]} to {numbers[-1]} seeds"


PLOTS: dict[str, Callable[[Figure, Contents, Sequence[str]], None]] = {
    "leaderboard": _leaderboard,
    "curves": _curves,
    "selection": _selection,
    "importance": _importance,
    "pareto": _pareto,
    "effect": _effect,
    "interaction": _interaction,
}
"""The pictures by name."""
