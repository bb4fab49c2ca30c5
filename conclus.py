"""The front door of conclus: its command, and the names for use from Python, all loaded when first asked for."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from core.estimator import ContrastiveClustering
    from jobs.conclusions.results import open_results as open  # noqa: A004 - as gzip.open
    from jobs.execution.runner import run
    from jobs.results.reader import read_results
    from jobs.study.study import Study
    from jobs.study.study import from_mapping as study
    from jobs.study.study import load as load_study

__version__ = "0.3.0"

ROOT = Path(__file__).resolve().parent
PACKAGES = ("cluster", "jobs", "core", "losses")
NOT_ON_WINDOWS = {"fcntl", "resource"}
"""Modules of Python that Windows lacks; the commands that only read results or ask a cluster do not need them."""
PUBLIC = {
    "ContrastiveClustering": ("core.estimator", "ContrastiveClustering"),
    "Study": ("jobs.study.study", "Study"),
    "study": ("jobs.study.study", "from_mapping"),
    "load_study": ("jobs.study.study", "load"),
    "run": ("jobs.execution.runner", "run"),
    "open": ("jobs.conclusions.results", "open_results"),
    "read_results": ("jobs.results.reader", "read_results"),
}
__all__ = [  # noqa: RUF022 - in the order in which they are used
    "ContrastiveClustering",
    "Study",
    "study",
    "load_study",
    "run",
    "open",
    "read_results",
]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'conclus' has no attribute {name!r}")
    module, attribute = PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """The names for use from Python, which a notebook offers to complete."""
    return [*__all__, "__version__"]


GROUPS = {
    "Plan and run": {
        "data": "Show what is read from a file or a folder of data.",
        "plan": "Check a study; show its trials and the time they will take.",
        "run": "Run the missing trials; show the leaderboard.",
        "status": "Show the state of studies: done, failed, best, time left.",
        "watch": "Show the state of studies until they are done.",
        "serve": "Show the report as a live page in a browser.",
        "logs": "Show the output of a study's job, and why trials failed.",
        "stop": "Stop the study that is running.",
        "resume": "Run the missing trials of an interrupted study.",
        "queue": "Queue studies for the same machines, one after another.",
        "methods": "List methods, losses, data sets and all other options.",
        "schema": "Write the JSON Schema of study files, for editors.",
    },
    "Conclude": {
        "aggregate": "Rank the configurations: means and intervals over seeds.",
        "effect": "Show the effect of one parameter.",
        "importance": "Show which parameters matter, and how much is luck.",
        "interaction": "Show whether two parameters interact.",
        "next": "Propose the next study, and write its file.",
        "confirm": "Run more seeds until they tell the best from the others.",
        "export": "Write the best configuration as a study of one trial.",
        "selection": "Show how good choosing without labels is.",
        "health": "Show what is wrong with trials, and which settings die of it.",
        "note": "Note something on a study or a trial; list notes.",
        "assign": "Show or write each sample's cluster.",
        "clusters": "Show what the clusters of a trial hold: page and files.",
        "topics": "Show topics: words, documents, and which come again.",
        "diff": "Compare two sets of results.",
        "report": "Write a page, or a table for a paper.",
        "plot": "Draw one figure.",
    },
    "Clusters": {
        "submit": "Run a study on a Ray cluster.",
        "doctor": "Check this machine, or every node of a cluster.",
    },
    "Files": {
        "import": "Import a table or log kept by hand.",
        "embed": "Map data to vectors with a saved model.",
        "sql": "Query the results in SQL.",
        "compact": "Move many small result files to a few large ones.",
        "cache": "Show and remove what can be made again, as prepared data.",
    },
}
"""The commands in the order of `conclus --help`, each in one line of at most 80 columns."""


class Help(click.HelpFormatter):
    """Breaks no line at a hyphen: `--seeds-at-most` is one word."""

    def write_text(self, text: str) -> None:
        """A paragraph."""
        super().write_text(_unbroken(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Names and what they mean."""
        super().write_dl([(_unbroken(name), _unbroken(text)) for name, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        """All that was written."""
        return super().getvalue().replace(_HYPHEN, "-")


_HYPHEN = "\u2011"
"""A hyphen at which no line is broken."""


def _unbroken(text: str) -> str:
    return text.replace("-", _HYPHEN)


click.Context.formatter_class = Help


class Commands(click.Group):
    """Finds commands by file name in jobs/commands; a file is imported when its command or its help is asked for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click calls it so
        """The commands in groups; none of their files is imported."""
        width = max(len(name) for group in GROUPS.values() for name in group)
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", line) for name, line in group.items()])

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        """The names of the files."""
        return sorted(path.stem for path in (ROOT / "jobs" / "commands").glob("*.py") if path.stem != "__init__")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"jobs.commands.{cmd_name}").command
        # What a shell shows beside a name that it completes.
        command.short_help = next((group[cmd_name] for group in GROUPS.values() if cmd_name in group), None)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest command named when there is no such one."""
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            from core.config.schema import did_you_mean

            near = did_you_mean(args[0], self.list_commands(ctx))
            ctx.fail(f"no such command {args[0]!r}{near}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: eval "$(_CONCLUS_COMPLETE=bash_source conclus)" in ~/.bashrc; others: docs/completion.md',
)
@click.version_option(__version__)
def cli() -> None:
    """Studies of clustering, topic models and embeddings: plan, run, keep as Parquet, conclude.

    Start with:  conclus run studies/quickstart.yaml
    """


def hidden_packages() -> list[str]:
    """One sentence for each of our packages that another one of the same name hides."""
    sentences: list[str] = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent.parent != ROOT:
            where = origin or "a folder without __init__.py"
            sentences.append(
                f"another package called {name!r} ({where}) hides conclus's own: "
                "run conclus in an environment of its own"
            )
    return sentences


def main() -> None:
    """Runs the command; a person's mistakes become one line each and exit code 2."""
    if sentences := hidden_packages():
        click.echo("\n".join(f"Error: {one}" for one in sentences), err=True)
        sys.exit(2)
    if os.environ.get("_CONCLUS_COMPLETE"):
        # Names of ours alone, which click writes as bytes: `Visible` takes none. It ends the process.
        cli.main(prog_name="conclus")
    from cluster.executor import ClusterError
    from core.errors import UserError
    from jobs.present.visible import Visible

    if sys.stdout is None:  # Its number would be given to the first file that is opened.
        click.echo("Error: standard output is closed: nothing can be shown; >/dev/null throws it away", err=True)
        sys.exit(1)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)
    # What files hold is shown, never obeyed: by whatever prints, in whichever command.
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (one if isinstance(one, Visible) else Visible(one) for one in streams)
    try:
        _run(UserError, ClusterError)
    finally:
        sys.stdout, sys.stderr = streams


def _run(*mistakes: type[Exception]) -> None:
    from cluster.executor import ClusterError
    from core.errors import UserError
    from jobs.present.output import fitted
    from jobs.present.visible import OutputError, bounded, one_line

    try:
        # In its standalone mode click makes "Aborted!" and exit code 1 of a KeyboardInterrupt.
        # Of `python -m conclus` click would take the file's name for the command's.
        code: int | None = cli.main(prog_name="conclus", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except mistakes as error:
        lines = error.lines if isinstance(error, UserError) else (str(error),)
        click.echo("\n".join(fitted(f"Error: {bounded(one_line(line))}", sys.stderr) for line in lines), err=True)
        sys.exit(error.exit_code if isinstance(error, ClusterError) else 2)
    except OutputError as error:
        with contextlib.suppress(OSError):  # Standard error may be full, too.
            click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
        # What is left in the streams is not written at the end of the process, which would be a traceback.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(1)
    except OSError as error:
        # Whatever the system refuses of a file that somebody named; what has none is a mistake of ours.
        if error.filename is None:
            raise
        click.echo(bounded(one_line(f"Error: {error.filename}: {error.strerror}")), err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if error.name not in NOT_ON_WINDOWS:
            raise
        name = next((one for one in sys.argv[1:] if not one.startswith("-")), "")
        click.echo(
            f"Error: `conclus {name}` needs Linux or macOS: on Windows run it in WSL2, or hand the "
            "study to a cluster with `conclus submit`",
            err=True,
        )
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
