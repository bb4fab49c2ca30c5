"""`conclus selection`: how well label-free criteria choose."""

from collections.abc import Sequence
from pathlib import Path

import click

from core.errors import UserError
from jobs.present import inputs, options
from jobs.present.output import deliver, format_of, remark, width, wrapped


@click.command("selection")
@options.analysed
@options.where
@options.studies
@options.fmt
@options.out
def command(results: tuple[str, ...], where: str, studies: tuple[str, ...], fmt: str, out: Path | None) -> None:
    """Show how well each label-free criterion chooses among the configurations in RESULTS (default: results).

    For data with labels, it shows the criterion's rank correlation with nmi and acc, and how far its choice is below
    the best. Trust a criterion on unlabelled data only if it did well on labelled data of the same kind.
    """
    deliver(_text(results or ("results",), where, studies, format_of(out, fmt)), out)


def _text(paths: Sequence[str], where: str, studies: Sequence[str], fmt: str) -> str:
    from jobs.analysis import apart
    from jobs.analysis.selection import COLUMNS, criteria_report
    from jobs.present.leaderboard import selection_notes, selection_sheet

    wanted = ["param.*", *apart.COLUMNS, "metric.nmi", "metric.acc", *COLUMNS]
    table = inputs.rows(paths, where=where, studies=studies, columns=wanted).table
    reports = criteria_report(table)
    if not any(one.choices for one in reports):
        raise UserError(
            "There is nothing to choose: it takes two configurations of one study, data set and number of clusters, "
            "with label-free criteria (health.*), which imported rows and pairs do not have. Scores without labels: "
            "conclus aggregate --metric raw_silhouette."
        )
    notes, sheet = [*selection_notes(reports), *apart.notes(table)], selection_sheet(reports)
    if fmt == "table":
        return (
            sheet.render(fmt, width()) + "\n" + "".join(f"{line}\n" for one in notes for line in wrapped(one, width()))
        )
    remark(notes)
    return sheet.render(fmt)
