"""The clusters of one trial as an object: each sample's cluster, and what the clusters hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from jobs.conclusions.arguments import check_choice, is_name
from jobs.conclusions.frames import Frame, framed, of_sheet
from jobs.conclusions.shown import chart_of
from jobs.present.effect import paragraphs
from jobs.present.leaderboard import Sheet
from jobs.present.output import width
from jobs.present.tables import Column
from jobs.present.visible import visible

if TYPE_CHECKING:
    import altair as alt

    from jobs.models.assignments import KeptClusters
    from jobs.models.choice import ChosenTrial
    from jobs.report.cluster_contents import ClusterContents

SAMPLES = "samples"
"""The table of the clusters themselves, one row per sample."""


@dataclass(frozen=True, repr=False, eq=False)
class Clusters:
    """The clusters of a trial's samples. What they hold is read from the study's data when it is first asked for.

    Attributes:
        trial: The trial, and why it was chosen.
        kept: Each sample's cluster as it is stored.
    """

    trial: ChosenTrial
    kept: KeptClusters

    @cached_property
    def contents(self) -> ClusterContents:
        """What the clusters hold: sizes, examples, and what else the data gives; see `conclus clusters`."""
        from jobs.report import cluster_contents, cluster_data

        read = cluster_data.read(self.trial.folder, self.trial.row, self.kept, None)
        return cluster_contents.gather(read, self.trial.why, replace(cluster_contents.PAGE, umap=False))

    def table(self, part: str = SAMPLES, *, frame: Frame = "pandas") -> Any:
        """One of the tables that `conclus assign` and `conclus clusters` write.

        Args:
            part: `samples` (each sample's cluster), `sizes`, `examples`, `terms`, `features`, `confusion`, `recall` or
                `map`; those that the data does not give are empty.
            frame: `pandas`, `polars` or `arrow`: what is returned.

        Raises:
            UserError: There is no such table or frame, or the frame's package is not installed.
        """
        from jobs.report import cluster_files

        if is_name(part) and part == SAMPLES:
            return framed(self.kept.table, frame)
        makers = cluster_files.tables(self.contents)
        check_choice("part", part, [SAMPLES, *makers])
        names, *rows = makers[part]
        return framed(of_sheet(Sheet([Column(str(name)) for name in names], [list(row) for row in rows])), frame)

    def chart(self, part: str = "") -> alt.TopLevelMixin:
        """The map of the samples as Altair's own chart: by `cluster`, or, with labels, by `class`.

        Raises:
            UserError: There is no such chart, or the data are not where the study says.
        """
        from jobs.report import cluster_map

        if self.contents.map is None:
            raise UserError("There is no map: " + " ".join(self.contents.notes))
        charts = cluster_map.charts(self.contents)
        return chart_of({name: lambda one=one: one for name, one in charts.items()}, part)

    def __repr__(self) -> str:
        return visible(self._words("table", width())).rstrip("\n")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self._words("html", None)

    def _words(self, fmt: str, characters: int | None) -> str:
        """The trial, its clusters with their sizes and, of texts, their terms, and notes."""
        found = self.contents
        columns, rows = [Column("cluster"), Column("samples")], [[one, size] for one, size in enumerate(found.sizes)]
        if found.terms:
            columns.append(Column("terms", right=False, drop=1))
            rows = [[*row, ", ".join(term for term, _ in found.terms.get(row[0], ()))] for row in rows]
        blocks = [
            f"{self.trial.why}; clusters of epoch {self.kept.epoch}.",
            Sheet(columns, rows).render(fmt, characters),
        ]
        return paragraphs([*blocks, *(f"{one}." for one in self.trial.remarks), *found.notes], fmt, characters)
