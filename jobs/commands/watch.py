"""`conclus watch`: repeats `conclus status` until the studies are done."""

from __future__ import annotations

import sys
import textwrap
import time
from typing import TYPE_CHECKING

import click

from jobs.present import options
from jobs.present.output import width
from jobs.present.visible import control, one_line

if TYPE_CHECKING:
    from jobs.health.status import StudyStatus

_WIDTH = 80
_LOOKS = 3
"""So many looks in a row find that nothing runs a study before that is said: a process may be about to start."""
_DAY = 86400
"""The longest time between two looks, in seconds."""
_CLEAR = "\x1b[H\x1b[J"
"""Moves the cursor to the upper left corner and clears the screen."""


@click.command("watch")
@click.argument("results", default="results", type=click.Path())
@options.studies
@click.option(
    "--every",
    type=options.FiniteRange(min=0.1, max=_DAY),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
def command(results: str, studies: tuple[str, ...], every: float) -> None:
    """Watch the studies in the folder RESULTS (default: results) until they are done, or until Ctrl-C.

    It reads only result files, so it also works on a copy of a study or on one that runs on a cluster. On a terminal
    the screen is redrawn, with the running trials as a table; elsewhere a line is printed whenever something changes.
    It ends, too, when nothing runs a study that has trials left, and says how to go on. The exit code is 1 if trials
    failed, and 3 if trials are left.
    """
    from cluster.executor import LEFT
    from jobs.live.ends import advice, is_over, is_run
    from jobs.live.following import Following
    from jobs.results.layout import folders_of

    shown: list[str] = []
    followed = [Following(folder) for folder in folders_of([results], studies)]
    left = [0] * len(followed)
    while True:
        found = [one.look() for one in followed]
        if sys.stdout.isatty():
            screen = _screen(found)
            control(sys.stdout, _CLEAR)
            click.echo(screen)
        else:
            told = [_line(one) for one in found]
            click.echo("".join(f"{line}\n" for line in told if line not in shown), nl=False)
            shown = told
        pairs = [*zip(followed, found, strict=True)]
        is_left = [not is_over(one) and not is_run(study, one) for study, one in pairs]
        left = [looks + 1 if alone else 0 for looks, alone in zip(left, is_left, strict=True)]
        if all(is_over(one) or n >= _LOOKS for one, n in zip(found, left, strict=True)):
            break
        time.sleep(every)
    for study, one in pairs:
        if not is_over(one):
            click.echo(advice(results, study, one))
    if any(one.count("failed") for one in found):
        sys.exit(1)
    if any(left):
        sys.exit(LEFT)


def _screen(found: list[StudyStatus]) -> str:
    """The whole screen from the top of the terminal; lines that do not fit are left out."""
    import shutil

    from jobs.present.status import screen

    told = [one_line(line) for one in found for line in (*screen(one, width()), *one.warnings, "")]
    height = shutil.get_terminal_size().lines - 1
    return "\n".join([*told[: height - 1], time.strftime("%H:%M:%S  (Ctrl-C leaves)")])


def _line(one: StudyStatus) -> str:
    """One line, broken where it is longer than `_WIDTH`: the counts, the best of each data set, the unwell trials."""
    from jobs.present.status import headline, unwell

    told = [
        f"best {one.metric}{f' on {name}' if len(one.bests) > 1 else ''} {best.score.text} (n={best.score.n})"
        for name, best in one.bests
    ]
    line = one_line(f"{', '.join([headline(one), *told])}{unwell(one)}")
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
