"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from jobs.present.tables import FORMATS

study = click.argument("study", type=click.Path(path_type=Path, dir_okay=False), metavar="STUDY")
results = click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="PLACE",
    help="Where results are kept: a folder, or a prefix of an object store (s3://bucket/prefix, gs://…).",
)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Put a value over the study file's; repeatable. A key taken from the space is pinned to it.",
)


def _plug_ins(*, remember: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def name(_context: click.Context, _parameter: click.Parameter, files: tuple[Path, ...]) -> None:
        from jobs.study import trust

        trust.name(files, remember=remember)
        trust.recall()

    return click.option(
        "--plug-in",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        multiple=True,
        metavar="FILE",
        expose_value=False,
        callback=name,
        help="A Python file that results name and that may run; repeatable. What you ran before needs none.",
    )


plug_in = _plug_ins(remember=True)
plug_in_once = _plug_ins(remember=False)
"""Of a command that runs no trials: what is looked at once is not known from then on."""

# Of the commands that run trials.

workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Trials side by side; 1 runs without Ray. [default: what fits]",
)
ray_address = click.option(
    "--address",
    metavar="ADDRESS",
    help="A running Ray cluster, HOST:PORT or auto. [default: this machine alone]",
)
allow_cpu = click.option(
    "--allow-cpu", is_flag=True, help="Where there is no GPU, run trials that ask for one on the CPU."
)
quiet = click.option("--quiet", is_flag=True, help="No progress and no table: errors only.")

# Of the commands that analyse results.

analysed = click.argument("results", nargs=-1, type=click.Path())
on_metric = click.option(
    "--on", "--metric", "metric", help="The metric: nmi, best.acc, kmeans_nmi.  [default: the study's own, else nmi]"
)
mode = click.option(
    "--mode", type=click.Choice(["max", "min"]), help="Which way is better.  [default: the study's own]"
)
where = click.option("--where", default="", help="Only these rows: \"learning_rate < 1e-3 and method.name == 'cc'\".")
studies = click.option("--study", "studies", multiple=True, help="Only this study; may be given several times.")
fmt = click.option(
    "--format", "fmt", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print it."
)
out = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="A file to write: .csv, .md, .tex or .json."
)
one_study = click.option("--study", "studies", multiple=True, help="The study, where RESULTS holds several.")
address = click.option(
    "--address",
    metavar="URL",
    help="The head node's dashboard: http://HEAD:8265.  [default: what _job.json says, if you submitted to it]",
)
job = click.option("--job", metavar="ID", help="The job's name on the cluster.  [default: what _job.json says]")
insecure = click.option(
    "--insecure", is_flag=True, help="Allow a cluster that asks for no token, beyond this machine too."
)
