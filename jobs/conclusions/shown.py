"""One conclusion as an object: the words that its command prints, HTML for notebooks, its tables and its charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from core.errors import UserError
from jobs.conclusions.arguments import check_text, part_of
from jobs.conclusions.frames import Frame, framed
from jobs.present.output import width
from jobs.present.visible import visible

if TYPE_CHECKING:
    import altair as alt
    import pyarrow as pa

Found = TypeVar("Found")


@dataclass(frozen=True, repr=False, eq=False)
class Shown(Generic[Found]):
    """A conclusion. Printed, it is what its command prints; a notebook shows it as HTML, with every name escaped.

    Attributes:
        found: The numbers, as `jobs.analysis` gives them.
        words: The words and tables for people: of a format (`table`, `markdown`, `latex` or `html`) and, for `table`, a
            width in characters.
        sheets: By name what makes each table, with every digit.
    """

    found: Found
    words: Callable[[str, int | None], str]
    sheets: Mapping[str, Callable[[], pa.Table]]

    def table(self, part: str = "", *, frame: Frame = "pandas") -> Any:
        """One of its tables with every digit, as `--format csv` writes it.

        Args:
            part: The name of the table, one of `sheets`; by default the first.
            frame: `pandas`, `polars` or `arrow`: what is returned.

        Raises:
            UserError: There is no such table or frame, or the frame's package is not installed.
        """
        return framed(self.sheets[part_of(part, self.sheets)](), frame)

    def chart(self, part: str = "") -> alt.TopLevelMixin:
        """Refuses: it has tables alone.

        Raises:
            UserError: Always.
        """
        check_text("part", part, "leave it out")
        raise UserError(f"This has no chart: `.table()` gives its table {next(iter(self.sheets))}.")

    def __repr__(self) -> str:
        return visible(self.words("table", width())).rstrip("\n")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.words("html", None)


@dataclass(frozen=True, repr=False, eq=False)
class Drawn(Shown[Found]):
    """A conclusion that has charts, too, the same as `conclus plot` and `conclus report` draw.

    Attributes:
        charts: By name what declares each chart, as Vega-Lite.
    """

    charts: Mapping[str, Callable[[], Mapping[str, Any]]]

    def chart(self, part: str = "") -> alt.TopLevelMixin:
        """One of its charts as Altair's own, which a notebook draws and `.save("chart.html")` writes.

        Args:
            part: The name of the chart, one of `charts`; by default the first.

        Raises:
            UserError: There is no such chart, or nothing to draw.
        """
        return chart_of(self.charts, part)


def chart_of(charts: Mapping[str, Callable[[], Mapping[str, Any]]], part: str) -> alt.TopLevelMixin:
    """The chart of this name, or the first; see `Drawn.chart`."""
    from jobs.charts.paper import chart

    if not charts:
        raise UserError("There is nothing to draw.")
    return chart(charts[part_of(part, charts)]())
