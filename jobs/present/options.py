"""Options that have the same meaning in every command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from jobs.present.tables import FORMATS


class FiniteRange(click.FloatRange):
    """A range of numbers that holds neither NaN, which is outside of no range, nor an infinite one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number.

        Raises:
            BadParameter: It is not in the range, or not finite.
        """
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


study = click.argument("study", type=click.Path(path_type=Path, dir_okay=False), metavar="STUDY")


def _not_empty(_context: click.Context, _parameter: click.Parameter, start: str | None) -> str | None:
    """The first characters of a key; none at all, as of a script's empty variable, would mean any trial, or none."""
    if start is not None and not start.strip():
        raise click.BadParameter("write the first characters of a trial's key, or leave the option out.")
    return start


def trial(words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option that names one trial, with its help."""
    return click.option("--trial", metavar="KEY", callback=_not_empty, help=words)


trial_with_clusters = trial(
    "This trial; the first characters of its key do. `conclus aggregate --attempts` shows keys, and for "
    "an unknown one the error lists the trials with stored clusters."
)
best = click.option("--best", is_flag=True, help="The best trial by the study's metric; this is the default.")
best_label_free = click.option(
    "--best-label-free", is_flag=True, help="The best trial by the consensus, which uses no labels."
)
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
    help="Override a value of the study file; repeatable. A key of the space is fixed at the value.",
)


def _with_trackers(_context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """The trackers as an override of the study; a path is that of the command line, not of the study's folder."""
    from core.config import plugins

    whole = [str(Path(name).absolute()) if plugins.is_path(name) else name for name in names]
    return (f"track={json.dumps(whole)}",) if whole else ()


track = click.option(
    "--track",
    multiple=True,
    metavar="NAME",
    callback=_with_trackers,
    help="A tracker that hears of the trials, instead of the study's: tensorboard, wandb, mlflow, a .py file; "
    "repeatable.",
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
"""For commands that run no trials: the plug-in is not remembered."""

# Options of commands that run trials.

workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Number of parallel trials; 1 runs without Ray. [default: as many as fit]",
)
ray_address = click.option(
    "--address",
    metavar="ADDRESS",
    help="A running Ray cluster, HOST:PORT or auto. [default: only this machine]",
)
allow_cpu = click.option("--allow-cpu", is_flag=True, help="Without a GPU, run trials that ask for one on the CPU.")
keep_going = click.option(
    "--keep-going", is_flag=True, help="Do not pause when the first trials fail, all for the same reason."
)
metrics = click.option(
    "--metrics",
    metavar="PORT",
    help="Serve metrics of the run for Prometheus, on this machine alone; on another address by HOST:PORT.",
)
quiet = click.option("--quiet", is_flag=True, help="No progress and no table: errors only.")

# Options of commands that analyse results.

analysed = click.argument("results", nargs=-1, type=click.Path())
on_metric = click.option(
    "--on", "--metric", "metric", help="The metric: nmi, best.acc, mean5.npmi.  [default: the study's own, else nmi]"
)
mode = click.option(
    "--mode", type=click.Choice(["max", "min"]), help="Which values are better.  [default: the study's own]"
)
where = click.option(
    "--where", default="", help="Only matching rows: \"learning_rate < 1e-3 and method.name == 'cc'\"."
)
studies = click.option("--study", "studies", multiple=True, help="Only this study; repeatable.")
fmt = click.option(
    "--format", "fmt", type=click.Choice(FORMATS), default="table", show_default=True, help="The output format."
)
out = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="A file to write: .csv, .md, .tex or .json."
)
labels = click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Your own names of metrics, parameters, methods and data sets: docs/labels.md.",
)
percent = click.option("--percent", is_flag=True, help="In LaTeX: scores from 0 to 1 times 100.")
one_study = click.option("--study", "studies", multiple=True, help="The study, if RESULTS contains several.")
address = click.option(
    "--address",
    metavar="URL",
    help="The head node's dashboard: http://HEAD:8265.  [default: from _job.json, if you submitted to it]",
)
job = click.option("--job", metavar="ID", help="The job's name on the cluster.  [default: from _job.json]")
insecure = click.option(
    "--insecure", is_flag=True, help="Allow a cluster without a token even if it is on another machine."
)
