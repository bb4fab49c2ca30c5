"""`conclus submit`: submits a study to a Ray cluster as a job."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from core.data.object_store import bare, is_address
from core.errors import DataError, UserError, counted
from jobs.present import options
from jobs.present.output import remark

if TYPE_CHECKING:
    from jobs.study.study import Study


@click.command()
@options.study
@click.option("--address", metavar="URL", help="The head node's dashboard: http://HEAD:8265.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Instead of --address: the cluster's launcher file, such as ray_config.yaml.",
)
@click.option(
    "--results",
    required=True,
    metavar="FOLDER",
    help="Where results are kept: an absolute path that every node sees, or the URI of an object store.",
)
@options.overrides
@options.track
@options.plug_in
@click.option("--workers", type=click.IntRange(min=1), help="Trials side by side.  [default: what the cluster holds]")
@click.option("--remote-data", is_flag=True, help="The data lie on the cluster alone: they are checked there.")
@options.keep_going
@options.insecure
@click.option(
    "--follow/--no-wait", default=False, help="Show what the job prints until it ends, or leave it to itself. [no-wait]"
)
def command(  # noqa: PLR0917 (click passes them by name)
    study: Path,
    address: str | None,
    config: Path | None,
    results: str,
    overrides: tuple[str, ...],
    track: tuple[str, ...],
    workers: int | None,
    remote_data: bool,
    keep_going: bool,
    insecure: bool,
    follow: bool,
) -> None:
    """Run STUDY on a Ray cluster: its results appear in FOLDER, even if this machine is switched off.

    The study is first checked here. Code, plug-ins and the study are sent with the job, but data are not: their paths
    must be the same on every node, or addresses of an object store. Submitting it again while its job runs starts
    nothing; later it runs the missing trials.
    """
    from jobs.execution.driver import typed_without_until
    from jobs.execution.submit import send
    from jobs.study import study as studies
    from jobs.study import trust
    from jobs.study.plug_ins import every_file

    _check_results(results)
    where = _where(address, config)
    read = studies.load(study, (*overrides, *track))
    trust.of_study(study, every_file(read))
    if read.budget.over:
        raise UserError(read.budget.over)
    _check(read, remote_data=remote_data)
    again = typed_without_until()
    if code := send(
        read, where, results, workers, insecure=insecure, follow=follow, keep_going=keep_going, again=again
    ):
        sys.exit(code)


def _check_results(results: str) -> None:
    if "://" in results and "@" in results.partition("://")[2].partition("/")[0]:
        raise UserError(
            "--results: leave the credentials out of the address, the nodes have their own in the environment"
        )
    # As the nodes see it, whatever system this machine has.
    if "://" not in results and not PurePosixPath(results).is_absolute():
        raise UserError(
            f"--results {results}: the cluster's machines do not know this folder: give an absolute path that all of "
            "them see, or the URI of an object store"
        )


def _where(address: str | None, config: Path | None) -> str:
    if (address is None) == (config is None):
        raise UserError("give the cluster by --address http://HEAD:8265 or by --config ray_config.yaml, one of them")
    if config is None:
        return address or ""
    from cluster.submit import head_of

    return head_of(config)


def _check(study: Study, *, remote_data: bool) -> None:
    """Checks everything that can be checked here before anything is sent."""
    from jobs.planning import plan as planning
    from jobs.planning.data_check import check_data
    from jobs.present.bar import preparing

    if remote_data:
        remark([f"{study.name}: the data are checked on the cluster; see `conclus logs`"])
        return
    try:
        with preparing():
            plan = planning.make(study)
            checked = check_data(plan)
    except DataError as error:
        raise UserError(*error.lines, "if the data lie on the cluster alone, add --remote-data") from error
    for line in checked.lines:
        remark([line])
    remark([f"{study.name}: {counted(plan.n_cells, 'configuration')}, {counted(len(plan.trials), 'trial')}"])
    options = [one.config.data.options for one in plan.trials]
    for path in sorted({str(one["path"]) for one in options if "path" in one}):
        remark([f"{study.name}: {_needed(path)}"])


def _needed(path: str) -> str:
    if not is_address(path):
        return f"{path} must be there on every node of the cluster too"
    return f"each node of the cluster reads {bare(path)} once, with the credentials of its own environment"
