"""TensorBoard's event files, in `_trackers/tensorboard` of the study's results.

Metrics are scalars by epoch, signals of health lie under `health`, and parameters are in the HParams tab once a trial
has ended. A trial that goes on hides what an earlier attempt wrote of later epochs, as TensorBoard itself does it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from core.errors import UserError
from jobs.execution.tracked import Run


class Tracker:
    """Writes one folder of event files for a trial, by tensorboardX.

    Args:
        run: the trial.

    Raises:
        UserError: the results are in an object store.
    """

    needs = "tensorboardX"
    install = "uv sync --extra tensorboard --inexact --no-dev"

    def __init__(self, run: Run) -> None:
        from tensorboardX import SummaryWriter

        if run.folder is None:
            raise UserError("event files need results in a folder, and these are in an object store")
        self._params = run.params
        self._last: Mapping[str, float] = {}
        # Two attempts may begin in one second, of which the file's name has the number.
        self._writer = SummaryWriter(
            str(run.folder / "tensorboard" / run.trial_key),
            purge_step=run.after + 1,
            filename_suffix=f".{run.attempt_id}",
        )

    def log(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Writes the scalars of an epoch to the disk."""
        del seconds  # TensorBoard has its own clock.
        for name, value in values.items():
            self._writer.add_scalar(_tag(name), value, epoch)
        self._last = {_tag(name): value for name, value in values.items() if math.isfinite(value)}
        self._writer.flush()

    def close(self, status: str, reason: str) -> None:
        """Writes the parameters and how the trial ended, and closes the file."""
        from tensorboardX.summary import hparams

        params = {key: _plain(value) for key, value in self._params.items()}
        if file := self._writer.file_writer:
            for one in hparams(params, dict(self._last)):
                file.add_summary(one)
        self._writer.add_text("status", f"{status}: {reason}" if reason else status)
        self._writer.close()


def _tag(name: str) -> str:
    """`health/imbalance` for `health.imbalance`: TensorBoard groups by the part before a slash."""
    return name.replace(".", "/", 1)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
