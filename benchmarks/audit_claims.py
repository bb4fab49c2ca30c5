"""A claim of the audit, and what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar
from zlib import crc32

import numpy as np

Draw = np.random.Generator
Measure = Callable[[Draw, int], Iterable[float]]
"""Gives one number per simulated study: 0 or 1, or a share."""
SIGMAS = 3


@dataclass(frozen=True)
class Claim:
    """A claim and how to measure it.

    Attributes:
        what: The claim, in a few words.
        cell: The kind of studies for which it is measured.
        bound: The rate that must not be passed.
        measure: What measures it.
        studies: The number of studies; 0 for what is no rate.
        is_floor: Whether the rate must be at least the bound, as coverage must.
    """

    what: str
    cell: str
    bound: float
    measure: Measure
    studies: int = 1000
    is_floor: bool = False

    def row(self, share: float = 1.0) -> Row:
        """Measures it over this share of its studies; the random numbers depend on the claim alone."""
        count = max(20, round(self.studies * share)) if self.studies else 0
        rng = np.random.default_rng(crc32(f"{self.what}|{self.cell}".encode()))
        found = np.array(list(self.measure(rng, count or 1)), np.float64)
        error = float(found.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else 0.0
        return Row(self, float(found.mean()), error, len(found))


@dataclass(frozen=True)
class Row:
    """What was measured of a claim: the mean over its studies and the standard error of that mean."""

    HEAD: ClassVar = "| claim | studies | bound | measured | standard error | n | |"
    claim: Claim
    measured: float
    error: float
    studies: int

    @property
    def is_beyond(self) -> bool:
        """Whether the rate lies beyond its bound by more than `SIGMAS` standard errors."""
        beyond = self.claim.bound - self.measured if self.claim.is_floor else self.measured - self.claim.bound
        return beyond > SIGMAS * self.error

    def told(self) -> str:
        """The row for people, in Markdown."""
        claim = self.claim
        figures = (
            [f"{self.measured:.3g}", f"{self.error:.2g}", f"{self.studies:,}"]
            if claim.studies
            else [f"{self.measured:.2g}", "", ""]
        )
        cells = [claim.what, claim.cell, f"{'≥' if claim.is_floor else '≤'} {claim.bound:.3g}", *figures]
        return f"| {' | '.join(cells)} | {'beyond' if self.is_beyond else ''} |"


def cell_of(shape: Sequence[int]) -> str:
    """A shape as text, as `8 x 3`."""
    return " x ".join(map(str, shape))


def covers(what: str, cell: str, measure: Measure, studies: int = 1000) -> Claim:
    """The claim that 95 % intervals hold the truth."""
    return Claim(f"coverage of {what}", cell, 0.93, measure, studies, is_floor=True)


def finds(what: str, cell: str, measure: Measure) -> Claim:
    """The claim that a difference that is there is found: a rule that says nothing would keep all other bounds."""
    return Claim(f"{what} finds a difference", cell, 0.8, measure, 300, is_floor=True)
