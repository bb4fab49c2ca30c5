"""All uses of the private names of Ray Tune; see `cluster.ray_compat`."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self


def process_of(trial: Any) -> Any:
    """The actor that runs a trial of Tune.

    Private: `Trial.temporary_state`. Tune has no time limit for a trial without reports: such a limit has to kill the
    trial's process.
    Public instead: none; a `Stopper` is asked only when a trial reports.
    """
    return trial.temporary_state.ray_actor


def error_of(trial: Any) -> BaseException | None:
    """The last error of a trial of Tune; None if Tune has none.

    Private: `Trial.pickled_error_file`, in the temporary folder of the run.
    Public instead: `Trial.get_pickled_error`, once it also finds errors that are not yet in the storage path.
    """
    return pickle.loads(Path(trial.pickled_error_file).read_bytes()) if trial.pickled_error_file else None


@dataclass(frozen=True)
class Places:
    """How many trials of Tune have no worker yet, and how many of the places that it asked Ray for are not there yet.

    Private: `TuneController` and its actor manager. A driver has to know whether it waits for others.
    Public instead: none; a placement group of `ray.util.placement_group_table` does not tell whose it is.
    """

    pending: int
    waiting: int

    @classmethod
    def of(cls, controller: Any) -> Self:
        """Those of a running experiment."""
        manager = controller._actor_manager._resource_manager  # noqa: SLF001
        staged: Mapping[Any, Any] = manager._request_to_staged_pgs  # noqa: SLF001
        return cls(len(controller._pending_trials), sum(map(len, staged.values())))  # noqa: SLF001


class InOrder:
    """A mix-in for Tune's schedulers: trials start in the order in which they were suggested.

    The plain FIFOScheduler chooses the first trial that is not running, even if a worker is already starting for it.
    An idle worker then takes that trial, and the starting worker is thrown away. So only one of several workers ever
    starts, as long as a task is shorter than the start of a process.

    Private: Tune uses its own queue where `choose_trial_to_run` returns None. It keeps the worker of a trial that is
    over for the next one, and its places, as long as one may come; `_cleanup_cached_actors` ends such workers.
    Public instead: options of a scheduler for this order, and of Tune to end workers that have nothing to do.
    """

    ends_idle: Callable[[Places], bool] | None = None
    """Asked in each step of Tune whether workers without a trial are to end."""

    def choose_trial_to_run(self, tune_controller: Any, **_info: Any) -> None:
        """None: Tune takes the next trial of its queue."""
        controller = tune_controller._tune_controller  # noqa: SLF001
        if self.ends_idle is not None and self.ends_idle(Places.of(controller)):
            controller._cleanup_cached_actors(force_all=True)  # noqa: SLF001


class ByTask:
    """A mix-in for ASHA: it knows a trial by its task, so that a task that is tried again is at each rung only once.

    Private: ASHA needs only the `trial_id` of a trial, and no controller.
    Public instead: Tune's own retries keep the trial, but they count the deaths of nodes as failures of the trial.
    """

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Notes a task."""
        super().on_trial_add(tune_controller, _task(trial))  # pyright: ignore[reportAttributeAccessIssue]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> Any:
        """Decides whether a task goes on."""
        return super().on_trial_result(tune_controller, _task(trial), result)  # pyright: ignore[reportAttributeAccessIssue]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
        """Forgets a task that is done, but not its values."""
        super().on_trial_complete(tune_controller, _task(trial), result)  # pyright: ignore[reportAttributeAccessIssue]

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Forgets a task that did not start."""
        super().on_trial_remove(tune_controller, _task(trial))  # pyright: ignore[reportAttributeAccessIssue]


def _task(trial: Any) -> SimpleNamespace:
    """A trial of Tune as ASHA knows it.

    Private: see `ByTask`.
    Public instead: see `ByTask`.
    """
    return SimpleNamespace(trial_id=f"task-{trial.config['task']}")


def tell_past(scheduler: Any, trials: Sequence[Sequence[Mapping[str, float]]]) -> None:
    """Adds the reports of trials of earlier runs to ASHA's rungs.

    Private: ASHA needs only the `trial_id` of a trial, and no controller.
    Public instead: `Tuner.restore`, which needs Tune's own files of those runs.

    Args:
        scheduler: an `AsyncHyperBandScheduler`.
        trials: the results of each trial, in order.
    """
    for number, results in enumerate(trials):
        trial = SimpleNamespace(config={"task": f"past-{number}"})
        scheduler.on_trial_add(None, trial)
        for result in results:
            scheduler.on_trial_result(None, trial, dict(result))
