"""`conclus clusters`: what the clusters of a trial hold, as a page and files."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import UserError, counted
from jobs.present import options
from jobs.present.inputs import check_one_choice
from jobs.present.output import made, remark, say, warn


@click.command()
@click.argument("results", default="results", type=click.Path())
@options.one_study
@options.trial_with_clusters
@options.best
@options.best_label_free
@options.plug_in_once
@click.option(
    "--data",
    metavar="PATH",
    help="The study's data, if it lies elsewhere now or in an object store.  [default: the path in the study]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The folder to write.  [default: clusters-STUDY-KEY]",
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
    """Show what the clusters of a trial of the study in RESULTS (default: results) hold.

    Writes a folder with clusters.html, one page that needs no network, and its parts as CSV and PNG: sizes; of images a
    contact sheet for each cluster, of a scene its map, of texts the terms that set a cluster apart, of other samples
    the features that differ; with labels a confusion matrix and recalls; and a map of the samples. The data is read
    where the study says, and only if it is unchanged. Without it, the page has what the clusters alone give. An object
    store is asked only for an address that you name with --data.
    """
    from jobs.execution import driver
    from jobs.models import choice
    from jobs.report import cluster_contents, cluster_data, cluster_files
    from jobs.results.layout import study_name

    check_one_choice({"--trial": trial, "--best": best, "--best-label-free": best_label_free})
    if out is not None:
        cluster_files.refuse_foreign(out)
    folder = driver.one_study(results, studies, trial)
    found = choice.choose(folder, trial=trial, label_free=best_label_free)
    out = out or Path(f"clusters-{study_name(folder)}-{found.key}")
    title = f"{study_name(folder)} {found.key}"
    cluster_files.refuse_foreign(out, title)
    read = cluster_data.read(folder, found.row, found.clusters(), data)
    if data is not None and read.missing:
        raise UserError(f"--data: {read.missing}")
    if cluster_contents.by_umap(read, cluster_contents.PAGE):
        remark(["drawing the map by UMAP …"])  # importing it alone takes seconds
    contents = cluster_contents.gather(read, found.why, cluster_contents.PAGE)
    remark([found.why, *contents.notes])
    warn(found.remarks)
    files = cluster_files.files(contents, title, made())
    cluster_files.write(out, files, title)
    say(f"Wrote {cluster_files.PAGE} and {counted(len(files) - 1, 'file')} beside it to {out}.")
