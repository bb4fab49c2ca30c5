"""The cost of evaluation compared with training: digits, CC with default settings, one thread, one seed."""

from __future__ import annotations

import sys

import torch

from benchmarks.rows import tell
from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.training.fit import fit

LIMIT = 0.10


def share(every: int) -> tuple[float, float]:
    """Training seconds, and evaluation seconds as a share of them, over a whole trial."""
    config = read_trial({"evaluation": {"every": every}}, (), Mistakes())
    data = plugins.load("datasets", "digits")()
    rows = list(fit(config, data, seed=0))
    training = sum(row.train_seconds for row in rows)
    return training, sum(row.evaluation_seconds for row in rows) / training


def main() -> None:
    """Prints the share for the default interval and for every epoch; exit code 1 if the default exceeds the limit."""
    torch.set_num_threads(1)
    share(60)  # imports and first calls
    default = read_trial({}, (), Mistakes()).evaluation.every
    for every in (default, 1):
        training, part = share(every)
        tell(f"digits: scoring, every = {every}, as a share of training", f"{part:.1%} of {training:.1f} s")
        if every == default and part > LIMIT:
            sys.exit(f"above the limit of {LIMIT:.0%}")


if __name__ == "__main__":
    main()
