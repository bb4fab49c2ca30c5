"""Runs one trial in its own process and writes the rows of `core.training.fit` to its result file as they come."""

from __future__ import annotations

import copy
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from cluster import memory
from cluster.executor import EndedEarly
from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import check_loss, read_trial
from core.errors import UserError
from core.evaluation import health
from core.evaluation.assignment import Assignment
from core.training import device, precision
from core.training.chosen import chosen
from core.training.data_cache import load_data
from core.training.early_stopping import beats
from core.training.fit import EpochRow, fit
from core.training.method import DivergedError
from core.training.state import TrainingState
from jobs.analysis.scores import LABEL_FREE, within_trial
from jobs.execution import epochs, output
from jobs.execution.order import Order, first_row
from jobs.execution.tracked import Tracked
from jobs.execution.verdict import SAVED, Judge, joined, kind, left
from jobs.models import assignments, states
from jobs.models.assignments import KeepRule
from jobs.models.best import BestModel
from jobs.results import kept, peek, storage
from jobs.results.checkpoints import Checkpoints, try_to_read
from jobs.results.kept import Kept
from jobs.results.layout import CHECKPOINTS, exchange_file, study_folder
from jobs.results.schema import ELSEWHERE
from jobs.results.stops import Request
from jobs.results.storage import StorageError, put
from jobs.results.writer import write
from jobs.study import plug_ins

Report = Callable[[Mapping[str, Any]], None]


def run_trial(payload: Mapping[str, Any], report: Report, attempt_id: str = "") -> Mapping[str, Any]:
    """Runs one attempt at one trial, to its end or to the first `report` that raises SystemExit.

    If it raises EndedEarly, the row is closed as `stopped`; after any other SystemExit the trial can be resumed.

    It continues from the trial's checkpoint if there is one. Every exception except SystemExit and KeyboardInterrupt
    becomes a `failed` row, so that no method can end the study.

    Args:
        payload: the fields of an `Order`.
        report: receives after each epoch `epoch`, `epochs`, the selection metric's last `value`, `seconds` so far, the
            `loss` (None without one), and whether this epoch was `scored`.
        attempt_id: the attempt's id; by default a new one.

    Returns:
        `status` (`paused` for a member of a population that waits), `reason`, `verdict`, `config_key`, `seconds`,
        `epochs` done, the selection metric's last `value`, the values of the `limited` metrics, the seconds `saved` by
        an early end (None without one), and whether the row is `stored`. If not, this is the attempt's only record.
    """
    order = Order(**payload)
    plugins.allow(*order.plug_ins)
    if order.again and peek.has_finished(study_folder(order.results, order.study), order.trial_key):
        known = {"status": "ok", "reason": "", "verdict": "", "config_key": order.config_key, "saved": None}
        return {**known, "seconds": 0.0, "epochs": 0, "value": None, "limited": {}, "stored": True}
    running = _Running(order, attempt_id)
    try:
        # CUDA's own memory and the 1 GB that pyarrow reserves at its first row belong to the process, not the trial.
        resume = running.begin()
        with memory.at_most(order.memory_bytes):
            running.train(report, resume)
    except StorageError as error:
        running.fail(f"RESULTS_UNWRITABLE: {error}", log=False)  # A later attempt goes on from the checkpoint.
    except UserError as error:
        running.fail(f"BAD_INPUT: {error}")
    except DivergedError as error:
        running.diverged(str(error))
    except Exception as error:  # noqa: BLE001 - any error of a plug-in ends only this trial, not the study
        running.fail(f"{kind(error)}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return running.outcome()


_SAME = ("trial_key", "data_hash", "code_hash", "after")
"""The fields of an order that must be equal for a trial to go on from a checkpoint."""


class _Running:
    """A running attempt: its row, its checkpoint, and when each was last written."""

    def __init__(self, order: Order, attempt_id: str) -> None:
        self.order = order
        self.config = read_trial(order.trial, ("trial",), Mistakes())
        self.folder = study_folder(order.results, order.study)
        self.checkpoints = Checkpoints(self.folder / CHECKPOINTS, order.trial_key, again=order.again)
        self.metric = within_trial(order.metric)
        self.attempt = first_row(order, attempt_id)
        self.judge = Judge(self.config.epochs)
        self.model = BestModel.of(self.folder, vars(order)) if order.save_model else None
        self.scored: tuple[int, Assignment] | None = None
        self.label_free = float("-inf")
        self.began = self.beaten = time.monotonic()
        self.request = Request(self.folder, order.trial_key)
        self.tracked = Tracked(order)
        self.devices: list[str] = []
        self.elsewhere = ""
        self.seconds = self.saving = 0.0
        self.stored = True

    def begin(self) -> TrainingState | None:
        """Prepares the device and writes the first row; returns the state to resume from, or None."""
        order = self.order
        if plug_ins.contents(self.config) != order.contents:
            changed = "a plug-in or a file of weights"
            raise UserError(f"{changed} was edited after the study was planned, or is another one here: run it again")
        self.attempt.device = device.prepare(order.device, threads=order.threads, share=order.gpu)
        self.attempt.precision = precision.resolve(self.config, torch.device(order.device))
        resume = self._resume()
        self._add_device()
        write(order.results, self.attempt)
        self.tracked.open(self.attempt.attempt_id, resume.epoch if resume else 0)
        return resume

    def train(self, report: Report, resume: TrainingState | None) -> None:
        """Trains to the last epoch and writes rows and checkpoints."""
        order, keep = self.order, self.order.save_state
        self.data = data = load_data(self.config, order.data_hash, order.device)
        names = {f"chosen_{key}": choice.name for key, choice in chosen(self.config, data).items()}
        self.attempt = replace(self.attempt, **names)
        self.judge = Judge(self.config.epochs, self.config.batch_size, data.part("train").n_samples)
        for row in fit(self.config, data, seed=order.seed, device=order.device, resume=resume, extendable=keep):
            if row.unended:
                self._keep_state(row.unended)
            self._record(row)
            self.tracked.log(self.attempt)
            if row.last:
                break
            if row.epoch == self.order.until:
                self._pause(row)
                return
            if why := self.judge.hopeless(self.attempt, order.stop):
                self._end_hopeless(why)
                return
            if (by := self.request.came()) and not self.order.until:  # Members of a population wait for each other.
                self._stop(row, by)
                return
            self._save(row)
            try:
                report(self._news(row))
            except EndedEarly:
                self._end_early(row)
                return
            except SystemExit:
                self._interrupted(row)
                raise
        self.attempt.status = "ok"
        warnings = [*health.warnings(self.attempt.metrics, self.attempt.health), *check_loss(self.config)]
        self.attempt.reason = joined(self.attempt.reason, *warnings)
        self._finish()

    def diverged(self, why: str) -> None:
        """Ends the attempt as failed, or as stopped if the study stops what has diverged."""
        epoch = self.attempt.epochs_done + 1
        self.attempt.history.append((epoch, self.seconds, "loss", math.inf))
        self.judge.fill(self.attempt, ended=False)
        if "DIVERGED" in self.order.stop:
            self.attempt.own_seconds = time.monotonic() - self.began
            try:
                self._end_hopeless(f"DIVERGED@{epoch}: {why}")
            except StorageError as error:
                self.fail(f"RESULTS_UNWRITABLE: {error}", log=False)
        else:
            self.fail(f"DIVERGED: {why}")

    def fail(self, reason: str, *, log: bool = True) -> None:
        """Ends the attempt as failed and writes the traceback to a separate file."""
        self.attempt.own_seconds = time.monotonic() - self.began
        self.attempt.status, self.attempt.reason = "failed", self.tracked.close("failed", reason)
        try:
            write(self.order.results, self.attempt)
        except StorageError:
            self.stored = False
        if log:
            name = f"{self.order.trial_key}.{self.attempt.attempt_id}.txt"
            output.keep_traceback(self.folder, name, traceback.format_exc())
            self.checkpoints.clear()

    def outcome(self) -> dict[str, Any]:
        """The report on a finished attempt for the driver."""
        return {
            "status": "paused" if self.attempt.status == "running" else self.attempt.status,
            "reason": self.attempt.reason,
            "verdict": self.attempt.verdict,
            "config_key": self.attempt.config_key,
            "seconds": self.attempt.seconds,
            "epochs": self.attempt.epochs_done,
            "value": self._value(),
            "limited": {name: epochs.value(self.attempt, name) for name in self.order.limited},
            "stored": self.stored,
            "saved": self.attempt.health.get(SAVED),
        }

    def _news(self, row: EpochRow) -> dict[str, Any]:
        value, loss = self._value(), row.metrics.get("loss")
        told = {"epoch": row.epoch, "epochs": self.config.epochs, "value": value, "seconds": self.seconds, "loss": loss}
        return told | {"scored": row.scores is not None and value is not None}

    def _end_early(self, row: EpochRow) -> None:
        self._end(f"BEHIND: stopped after epoch {row.epoch} of {self.config.epochs} by its {self.metric}")

    def _end_hopeless(self, why: str) -> None:
        self.attempt.health[SAVED] = left(self.attempt, self.config.epochs)
        self._end(why)

    def _end(self, why: str) -> None:
        """Ends the attempt as stopped; nothing goes on from it."""
        self.attempt.status, self.attempt.reason = "stopped", joined(why, self.elsewhere)
        self._finish()

    def _finish(self) -> None:
        self._write_model()
        self._keep_clusters()
        self._write_last()
        self.checkpoints.clear()
        self.request.forget()

    def _stop(self, row: EpochRow, by: str) -> None:
        """Ends the attempt because somebody asked for it; its checkpoint stays, should it be run again."""
        self._write_checkpoint(row)
        self.attempt.status = "stopped"
        self.attempt.reason = f"STOPPED: by {by}, after epoch {row.epoch} of {self.config.epochs}"
        self._keep_clusters()
        self._write_last()

    def _pause(self, row: EpochRow) -> None:
        """Pauses at an exchange of the population until the next order."""
        put(exchange_file(self.folder, self.order.trial_key, row.epoch), self._content(row))
        self.attempt.reason = joined(self.attempt.reason, f"WAITING: for the exchange at epoch {row.epoch}")
        self._write_last("paused")
        self.checkpoints.clear()

    def _value(self) -> float | None:
        return self.attempt.metrics.get(self.metric, self.attempt.health.get(self.metric))

    # Rows

    def _write(self) -> None:
        """Writes the row with its verdict so far."""
        self.judge.fill(self.attempt, ended=self.attempt.status == "ok")
        write(self.order.results, self.attempt)

    def _write_last(self, status: str = "") -> None:
        """Ends the trackers' runs and writes the last row, with what they failed in."""
        self.attempt.reason = self.tracked.close(status or self.attempt.status, self.attempt.reason)
        self._write()

    def _record(self, row: EpochRow) -> None:
        attempt, changing = self.attempt, {key: self.order.parameters[key] for key in self.order.changing}
        self.seconds += row.train_seconds + row.evaluation_seconds
        attempt.own_seconds = time.monotonic() - self.began
        found = epochs.add(attempt, row, self.seconds, changing, self.data)
        if row.scores is not None:
            self.scored = row.scores.assignment and (row.epoch, row.scores.assignment)
        self._keep_best(row.epoch, found)
        if self.model and attempt.best_epoch == row.epoch:
            self.model.keep(row.state(), row.epoch, self.metric, attempt.best[self.metric])
        if (value := found.get(LABEL_FREE)) is not None and value > self.label_free:
            attempt.label_free_epoch, self.label_free = row.epoch, value

    def _keep_best(self, epoch: int, found: dict[str, float]) -> None:
        name = self.metric
        if name in found and beats(found[name], self.attempt.best.get(name), self.order.mode):
            self.attempt.best_epoch, self.attempt.best = epoch, found

    # Checkpoints

    def _save(self, row: EpochRow) -> None:
        now = time.monotonic()
        if self.saving <= self.order.checkpoint_share * (now - self.began):
            self._write_checkpoint(row)
            self.saving += time.monotonic() - now
        if now - self.beaten >= self.order.heartbeat_seconds:
            self._write()
            self.beaten = now

    def _interrupted(self, row: EpochRow) -> None:
        self._write_checkpoint(row)
        self.attempt.reason = "INTERRUPTED"
        self._write()
        self.tracked.close("interrupted", self.attempt.reason, leaving=True)

    def _write_model(self) -> None:
        if self.model:
            self.model.write(self.config, self.data)

    def _keep_clusters(self) -> None:
        """Stores the samples' clusters before the row that they belong to: no finished row is without them."""
        if self.scored and self.order.save_assignments is not False:
            rule = KeepRule.of(self.order.metric, self.order.mode, every=self.order.save_assignments)
            assignments.keep(self.folder, self.attempt, self.scored, self.data, rule, again=self.order.again)

    def _keep_state(self, row: EpochRow) -> None:
        """Stores the state and the results so far that a trial of more epochs has after the last epoch of this one."""
        before = copy.deepcopy(self.attempt), self.seconds, self.label_free
        self._record(row)
        states.keep(self.folder, self.order.base, row.epoch, self._content(row))
        self.attempt, self.seconds, self.label_free = before

    def _write_checkpoint(self, row: EpochRow) -> None:
        self._write_model()
        self.checkpoints.add(row.epoch, self._content(row))

    def _content(self, row: EpochRow) -> bytes:
        """The bytes of a checkpoint: the state after an epoch and the attempt's results so far."""
        told = {"seconds": self.seconds, "label_free": self.label_free, "attempt": kept.of_attempt(self.attempt)}
        return row.state().to_bytes(origin=self._origin(), **told)

    def _read(self, content: bytes) -> tuple[TrainingState, Kept]:
        state, extra = TrainingState.from_bytes(content, self.order.device)
        return state, kept.read(extra)

    def _read_same(self, content: bytes) -> tuple[TrainingState, Kept]:
        found = self._read(content)
        is_same = all(found[1].origin.get(name) == getattr(self.order, name) for name in (*_SAME[1:], "base"))
        if not is_same or not 0 < found[0].epoch < self.config.epochs:
            raise ValueError("it is of other code or data, or of other parameters, seed or epochs")
        return found

    def _origin(self) -> dict[str, Any]:
        """The values that must be equal for a resumed trial to go on, and the devices that trained it so far."""
        return {name: getattr(self.order, name) for name in (*_SAME, "base")} | {"devices": "\n".join(self.devices)}

    def _add_device(self) -> None:
        """Marks a trial that goes on on another device or in another precision: a rerun need not give the same row."""
        here = f"{self.attempt.device} ({self.attempt.precision})"
        self.devices += [here] if self.devices[-1:] != [here] else []
        self.elsewhere = f"{ELSEWHERE}: trained on {', then on '.join(self.devices)}" if len(self.devices) > 1 else ""
        self.attempt.reason = joined(self.attempt.reason, self.elsewhere)

    def _resume(self) -> TrainingState | None:
        """The state of an earlier, interrupted attempt; None if it is from other code or cannot be read."""
        found, trouble = self.checkpoints.newest(self._read), self.checkpoints.trouble
        if found is None:
            self.attempt.reason = trouble and f"RESTARTED: the checkpoint could not be read ({trouble})"
            return self._inherited() if self.order.inherit else self._continued()
        state, told = found
        if any(told.origin.get(name) != getattr(self.order, name) for name in _SAME):
            self.checkpoints.reject()
            self.attempt.reason = "RESTARTED: the checkpoint is of other code or data"
            return None
        self._adopt(told)
        if trouble:
            self.attempt.reason = f"RESUMED at epoch {state.epoch}: a newer checkpoint could not be read ({trouble})"
        return state

    def _continued(self) -> TrainingState | None:
        """The state of a finished trial of fewer epochs; None if there is none or it is from other code."""
        if not self.order.save_state:
            return None
        found, trouble = states.newest(self.folder, self.order.base, self.config.epochs, self._read_same)
        if trouble:
            self.attempt.reason = f"RESTARTED: the state of fewer epochs could not be used ({trouble})"
        if found is None:
            return None
        self._adopt(found[1])
        self.attempt.continued_from = f"{found[1].origin['trial_key']}:{found[0].epoch}"
        return found[0]

    def _inherited(self) -> TrainingState | None:
        """The state with which a member of a population starts a stage: perhaps another's weights, but its own history.

        A member that failed before the exchange has no history. If a file of the exchange is damaged or missing, the
        member continues with its own weights, or without any from the first epoch.
        """
        place = exchange_file(self.folder, self.order.trial_key, self.order.after)
        given, trouble = try_to_read(exchange_file(self.folder, str(self.order.inherit), self.order.after), self._read)
        own, own_trouble = try_to_read(place, self._read)
        if own:
            self._adopt(own[1])
        if trouble or (own_trouble and storage.is_file(place)):
            self.attempt.reason = f"RESTARTED: the exchange could not be read ({trouble or own_trouble})"
        found = given or own
        if found is None:
            return None
        self.devices = found[1].devices
        return found[0]

    def _adopt(self, told: Kept) -> None:
        """Takes over the results so far of an earlier attempt."""
        self.seconds, self.label_free, self.devices = told.seconds, told.label_free, told.devices
        self.attempt = replace(self.attempt, **told.attempt)
