"""Weights & Biases; without an account its files lie in the results, for `wandb sync` at a later time.

It is offline unless `WANDB_MODE=online` is set. The project is that of `WANDB_PROJECT`, by default conclus; the study
is the group. Keys and teams come from W&B's own environment variables and are not in the files. `WANDB_DIR` names
another folder for them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.execution.tracked import Run
from jobs.ledger import wandb_file

_WRITING_SECONDS = 5.0


class Tracker:
    """Keeps one run of W&B for a trial.

    Args:
        run: the trial.

    Raises:
        UserError: there is no folder for its files.
    """

    needs = "wandb"
    install = "uv sync --extra wandb --inexact --no-dev"

    def __init__(self, run: Run) -> None:
        import wandb

        home = os.environ.get("WANDB_DIR")
        folder = Path(home) if home else run.folder
        if folder is None:
            raise UserError("its files need results in a folder, and these are in an object store: set WANDB_DIR")
        folder.mkdir(parents=True, exist_ok=True)
        online = os.environ.get("WANDB_MODE") == "online"
        done = 0 if online else _last_epoch(folder, run.id)
        # It prints the account, and what a trial prints is kept; its facts on the machine name the user.
        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            # Seconds after which a killed trial's epochs are in the file; W&B's own are 15.
            x_transaction_log_flush_interval=1.0,
        )
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "conclus",
            entity=None if online else "",
            group=run.study,
            id=run.id,
            name=run.name,
            dir=str(folder),
            config={**run.params, "seed": run.seed},
            mode="online" if online else "offline",
            resume="allow",
            reinit="create_new",
            settings=quiet,
        )
        self._done = self._run.step - 1 if online and self._run.resumed else done

    def log(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Hands on an epoch that W&B does not have."""
        if epoch > self._done:
            # Without `commit` it would wait for the next one.
            self._run.log({**values, "epoch": epoch, "seconds": seconds}, step=epoch, commit=True)

    def close(self, status: str, reason: str) -> None:
        """Ends the run; one that failed or was interrupted is so in W&B."""
        self._run.summary.update({"conclus.status": status, "conclus.reason": reason})
        file = Path(self._run.dir).parent / f"run-{self._run.id}.wandb"
        self._run.finish(exit_code=0 if status in {"ok", "stopped", "paused"} else 1)
        # W&B's own process may still be writing, and a trial that goes on at once reads in it what is done.
        until = time.monotonic() + _WRITING_SECONDS
        while file.is_file() and _read(file).exit_code is None and time.monotonic() < until:
            time.sleep(0.05)


def _last_epoch(folder: Path, run_id: str) -> int:
    """The last epoch that earlier attempts left in offline files."""
    # The folder of a second run in the same second has -1 at its end.
    files = folder.glob(f"wandb/offline-run-*/run-{run_id}.wandb")
    return max((epoch for file in files for epoch, _ in _read(file).history), default=0)


def _read(file: Path) -> wandb_file.Written:
    """What is in a file; nothing if nothing has been written yet."""
    with contextlib.suppress(UserError):
        return wandb_file.read(file)
    return wandb_file.Written()
