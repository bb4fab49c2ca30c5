"""`conclus assign`: the cluster of each sample, as a trial found it."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import UserError, counted
from jobs.present import options
from jobs.present.inputs import check_one_choice
from jobs.present.output import remark, say, warn, width

_SHOWN = 10


@click.command()
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.trial_with_clusters
@options.best
@options.best_label_free
@click.option(
    "--data",
    metavar="FILE",
    help="The study's .h5ad file or scene, if it lies elsewhere now or in an object store.  [default: the path in the "
    "study]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to write: .csv, .tsv or .parquet; .h5ad, a copy of the study's data; .png or .npy, the map of a "
    "scene.  [default: show the first]",
)
def command(  # noqa: PLR0917 (click passes them by name)
    results: str,
    studies: tuple[str, ...],
    trial: str | None,
    best: bool,
    best_label_free: bool,
    data: str | None,
    out: Path | None,
) -> None:
    """Show the cluster of each sample of a trial of the study in RESULTS (default: results), or write all to a file.

    The columns are id (the data's own, or the row number from 0), cluster, its probability, the second-best cluster,
    and the distance to the centre of the cluster. They are of the last scoring, as are the trial's scores. An .h5ad
    file gets the column conclus_cluster in obs; the study's own file stays as it is. Of a scene, .png shows the
    clusters beside the ground truth, and .npy holds the cluster of each pixel, -1 for those not trained on.
    """
    from jobs.execution import driver
    from jobs.models import choice, written

    check_one_choice({"--trial": trial, "--best": best, "--best-label-free": best_label_free})
    if data is not None and (out is None or out.suffix not in written.WITH_DATA):
        raise UserError("--data is the study's data: give it with --out …h5ad, …png or …npy")
    if out is not None:
        written.check(out)
    folder = driver.one_study(results, studies, trial)
    found = choice.choose(folder, trial=trial, label_free=best_label_free)
    kept = found.clusters()
    of = "" if kept.part == "all" else " of the training part"
    remark([f"{found.why}; clusters of epoch {kept.epoch}"])
    warn(found.remarks)
    if out is None:
        click.echo(written.text(kept.table, _SHOWN, width()), nl=False)
        if (left := kept.table.num_rows - _SHOWN) > 0:
            remark([f"and {counted(left, 'more sample')}{of}: write all with --out clusters.csv"])
        return
    if out.suffix == written.H5AD:
        written.write_h5ad(found, kept, data, out)
    elif out.suffix in written.MAPS:
        written.write_map(found, kept, data, out)
    else:
        written.write_table(kept.table, out)
    say(f"Wrote the clusters of {counted(kept.table.num_rows, 'sample')}{of} to {out}.")
