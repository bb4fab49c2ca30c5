"""The same through the commands: folders of results in, printed words, signs and numbers out."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
from click.testing import CliRunner

import conclus
from benchmarks.audit_claims import Claim, Draw, covers
from benchmarks.audit_leaderboards import lossy, picking
from benchmarks.audit_studies import LEVEL, Grid, Study, better, drawn, normal, with_seed_effects
from jobs.results import schema, writer
from jobs.results.layout import COMPACT, PART, study_folder

_ROW = re.compile(r"^(?P<rank>\d+) +(?P<rate>\d+) +(?P<mean>[\d.]+) ±(?P<half>[\d.]+) +(?P<sign>[=?]?) +", re.MULTILINE)
_BEST = re.compile(r"was picked by these values.* is ([\d.]+) \(95 %: ([\d.]+) to ([\d.]+)\)\.")
_STEP = re.compile(
    r" (?P<mean>[+-][\d.]+) ±(?P<half>[\d.]+) .* (?P<verdict>better|worse|no difference shown)$", re.MULTILINE
)


def printed(studies: Iterable[Study], *command: str) -> Iterator[str]:
    """What a command prints on the results of each study, in a terminal of 80 columns."""
    for study in studies:
        with tempfile.TemporaryDirectory() as folder:
            put(folder, study)
            yield started(command[0], folder, *command[1:])


def put(folder: str, study: Study) -> None:
    """Writes the results of a study as `conclus compact` leaves them: one file is faster than one of each trial."""
    table = schema.to_table(list(study.attempts("study")))
    writer.put(study_folder(folder, "study") / COMPACT / f"{PART}0.parquet", writer.stored(table, "study"))


def started(*command: str) -> str:
    """What a command prints, started as `conclus` starts it, but in this process.

    Raises:
        ValueError: It ends with an error.
    """
    found = CliRunner(env={"COLUMNS": "80"}).invoke(conclus.cli, list(command))
    if found.exit_code:
        raise ValueError(f"conclus {' '.join(command)}: {found.output}{found.exception}")
    return found.output


def rows(text: str, count: int) -> list[re.Match[str]]:
    """The rows of a printed leaderboard.

    Raises:
        ValueError: There are not so many.
    """
    found = list(_ROW.finditer(text))
    if len(found) != count:
        raise ValueError(f"{len(found)} rows in place of {count}: {text}")
    return found


def without_sign(make: Grid, shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """Studies of equal configurations in which `aggregate` prints one below the first without the sign `=`."""
    for text in printed(drawn(make, shape, rng, count), "aggregate"):
        yield any(not row["sign"] for row in rows(text, shape[0])[1:])


def covered_rows(shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """The share of the printed intervals of equal configurations that hold their mean."""
    for text in printed(drawn(normal, shape, rng, count), "aggregate"):
        yield float(np.mean([abs(float(one["mean"]) - LEVEL) <= float(one["half"]) for one in rows(text, shape[0])]))


def covered_best(shape: tuple[int, int], spread: float, rng: Draw, count: int) -> Iterator[float]:
    """Whether the printed interval of the picked best holds its true mean."""
    made = list(picking(normal, shape, spread, rng, count))
    for (truth, _), text in zip(made, printed((study for _, study in made), "aggregate"), strict=True):
        told = _BEST.search(" ".join(text.split()))
        if told is None:
            raise ValueError(f"no sentence on the best: {text}")
        place = int(np.log2(float(rows(text, shape[0])[0]["rate"])))
        yield float(told[2]) <= LEVEL + truth[place] <= float(told[3])


def first_by_losing(shape: tuple[int, int], rng: Draw, count: int) -> Iterator[float]:
    """Studies of equal configurations in which the one that loses its worst seeds is printed first, or untold."""
    for text in printed(lossy(shape, 0.0, rng, count), "aggregate"):
        lines = [line.split() for line in text.splitlines()]
        first = next(line for line in lines if line[:1] == ["1"])
        yield first[1] == "1" or "Failed in training" not in text


def verdicts(make: Grid, shape: tuple[int, ...], rng: Draw, count: int) -> Iterator[list[re.Match[str]]]:
    """The rows that `effect` prints on each study.

    Raises:
        ValueError: One is missing.
    """
    for text in printed(drawn(make, shape, rng, count), "effect", "learning_rate"):
        found = list(_STEP.finditer(text))
        if len(found) != shape[0] - 1:
            raise ValueError(f"{len(found)} rows in place of {shape[0] - 1}: {text}")
        yield found


def some_word(make: Grid, shape: tuple[int, ...], rng: Draw, count: int) -> Iterator[float]:
    """Studies without an effect in which `effect` prints `better` or `worse`."""
    for found in verdicts(make, shape, rng, count):
        yield any(one["verdict"] in {"better", "worse"} for one in found)


def covered_steps(make: Grid, shape: tuple[int, ...], rng: Draw, count: int) -> Iterator[float]:
    """Whether all printed intervals of differences hold 0, which they promise together."""
    for found in verdicts(make, shape, rng, count):
        yield all(abs(float(one["mean"])) <= float(one["half"]) for one in found)


def other_words(rng: Draw, _: int) -> Iterator[float]:
    """Whether the started program prints anything else than the command in this process."""
    with tempfile.TemporaryDirectory() as folder:
        put(folder, Study(normal(rng, 4, 3)))
        command = ("aggregate", folder)
        words = [sys.executable, "-m", "conclus", *command]
        done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", check=True)
        yield done.stdout.split() != started(*command).split()


def claims() -> Iterator[Claim]:
    """The claims on what is printed."""
    yield Claim("aggregate prints an equal one without =", "8 x 5", 0.06, partial(without_sign, normal, (8, 5)), 300)
    yield Claim(
        "aggregate prints a worse one without =",
        "8 x 5, one is better by 3 SD",
        0.8,
        partial(without_sign, partial(better, 3, normal), (8, 5)),
        300,
        is_floor=True,
    )
    yield covers("the intervals that aggregate prints", "8 x 5", partial(covered_rows, (8, 5)), 300)
    for shape, spread in [((8, 3), 0.0), ((8, 3), 1.0)]:
        cell = f"{shape[0]} x {shape[1]}, true differences of SD {spread:g}"
        yield covers("the best's interval that aggregate prints", cell, partial(covered_best, shape, spread), 300)
    what = "aggregate prints one that lost its worst seeds first, or does not tell"
    yield Claim(what, "8 x 5, one loses every seed below +0 SD", 0.155, partial(first_by_losing, (8, 5)), 300)
    shape, cell = (4, 9, 3), "4 x 9 x 3, seed x level .5 SD"
    yield Claim("effect prints better or worse", cell, 0.06, partial(some_word, with_seed_effects, shape), 300)
    yield covers("all differences that effect prints", cell, partial(covered_steps, with_seed_effects, shape), 300)
    measure = partial(some_word, partial(better, 2, normal), (2, 9, 3))
    yield Claim("effect prints a true difference", "2 x 9 x 3, of 2 SD", 0.8, measure, 300, is_floor=True)
    yield Claim("the started program prints other words", "aggregate, 4 x 3", 0.0, other_words, 0)
