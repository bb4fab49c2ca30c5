"""An MLflow tracking server, at the address in `MLFLOW_TRACKING_URI`.

The experiment is that of `MLFLOW_EXPERIMENT_NAME`, by default the study's name. Keys and passwords come from MLflow's
own environment variables. A server that does not answer in 5 seconds is given up for this trial.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from core.errors import UserError
from jobs.execution.tracked import Run

_STATES = {"ok": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "paused": "SCHEDULED", "interrupted": "KILLED"}
_EPOCH = "epoch"
"""A metric of its own: its last value tells what the server has."""
_TAG = "conclus.run"
_MOST_PARAMS = 100
"""Of one request."""
_LONGEST = 500
"""Characters of a parameter that every version takes."""


class Tracker:
    """Keeps one run on the server for a trial, by mlflow-skinny.

    Args:
        run: the trial.

    Raises:
        UserError: no server is named.
    """

    needs = "mlflow"
    install = "uv sync --extra mlflow --inexact --no-dev"

    def __init__(self, run: Run) -> None:
        # MLflow's own are 120 seconds and 7 times, each wait longer than the one before.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # What a trial prints is kept with the results, and the address may have a password.
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            raise UserError("MLFLOW_TRACKING_URI names no server")
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.study)
        found = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{run.id}'", max_results=1)
        self._done = int(found[0].data.metrics.get(_EPOCH, 0)) if found else 0
        self._id: str = found[0].info.run_id if found else self._new(experiment, run)
        if found:
            self._client.update_run(self._id, status="RUNNING")

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if known := self._client.get_experiment_by_name(name):
            return known.experiment_id
        try:
            return self._client.create_experiment(name)
        except MlflowException:  # Another trial made it meanwhile.
            if known := self._client.get_experiment_by_name(name):
                return known.experiment_id
            raise

    def _new(self, experiment: str, run: Run) -> str:
        from mlflow.entities import Param

        tags = {_TAG: run.id, "conclus.study": run.study, "conclus.trial": run.trial_key}
        made: str = self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
        pairs = {"seed": run.seed, **run.params}
        params = [Param(key, str(value)[:_LONGEST]) for key, value in pairs.items() if value is not None]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(made, params=params[start : start + _MOST_PARAMS])
        return made

    def log(self, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Sends an epoch that the server does not have, in one request."""
        if epoch <= self._done:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        told = {**values, "seconds": seconds, _EPOCH: epoch}
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, epoch) for name, value in told.items()])

    def close(self, status: str, reason: str) -> None:
        """Tells the server how the trial ended."""
        if reason:
            self._client.set_tag(self._id, "conclus.reason", reason)
        self._client.set_terminated(self._id, _STATES[status])
