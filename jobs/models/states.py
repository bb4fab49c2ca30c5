"""States of finished trials, from which trials of more epochs go on: `select: {save_state: true}`.

Of each configuration and seed the state after the most epochs is kept: `<study folder>/_states/<base>.<epoch>.pt`. The
base stands for all that a trial's key does but the number of epochs. It is the state that a trial of more epochs has
after that epoch: the last epoch of a trial is scored otherwise, and is not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from core.config import plugins
from core.config.trial import unused
from core.errors import UserError, counted
from jobs.models.assignments import forget
from jobs.results import storage
from jobs.results.checkpoints import try_to_read
from jobs.results.identity import config_key, trial_key
from jobs.results.layout import STATES

if TYPE_CHECKING:
    from core.config.trial import TrialConfig
    from jobs.planning.plan import PlannedTrial
    from jobs.results.storage import File, Place

_State = TypeVar("_State")


def base(parameters: Mapping[str, Any], data_hash: str, plug_ins: Mapping[str, Mapping[str, str]], seed: int) -> str:
    """What the keys of a trial and of one that differs in its number of epochs alone have in common."""
    values = {key: value for key, value in parameters.items() if key != "epochs"}
    return trial_key(config_key(values, data_hash, plug_ins=plug_ins), seed)


def keep(folder: Place, base: str, epoch: int, content: bytes) -> None:
    """Stores a state in a study's folder; then deletes those of the same base after fewer epochs.

    Raises:
        StorageError: it cannot be written.
    """
    if storage.is_link(folder / STATES):  # It may lead out of the results.
        return
    storage.put(folder / STATES / f"{base}.{epoch:09}.pt", content)
    forget(_before(folder, base, epoch))


def newest(folder: Place, base: str, epochs: int, read: Callable[[bytes], _State]) -> tuple[_State | None, str]:
    """The state of this base after the most epochs below `epochs` that can be read, and why a newer one cannot.

    Raises:
        StorageError: the object store does not answer.
    """
    trouble = ""
    for file in reversed(_before(folder, base, epochs)):
        found, why = try_to_read(file, read)
        if found is not None:
            return found, trouble
        trouble = trouble or why
    return None, trouble


def going_on(folder: Place, trials: Iterable[PlannedTrial]) -> list[str]:
    """How many of these trials have a state to go on from, by its epoch: `3 trials go on from epoch 5`."""
    kept: dict[str, list[int]] = {}
    for file in storage.files(folder / STATES, ".pt"):
        if epoch := _epoch(file):
            kept.setdefault(storage.name_of(file).partition(".")[0], []).append(epoch)
    found: Counter[int] = Counter()
    for one in trials if kept else ():
        own = kept.get(base(one.parameters, one.data_hash, one.plug_ins, one.seed), ())
        found.update([max(before)] if (before := [epoch for epoch in own if epoch < one.config.epochs]) else ())
    return [f"{counted(n, 'trial')} {'go' if n > 1 else 'goes'} on from epoch {epoch}" for epoch, n in found.items()]


def size(folder: Place) -> tuple[int, int]:
    """The number of states in a study's folder, and their bytes together."""
    sizes = [storage.size(file) for file in storage.files(folder / STATES, ".pt")]
    return len(sizes), sum(sizes)


def _before(folder: Place, base: str, epochs: int) -> list[File]:
    """The files of a base after fewer epochs, the fewest first."""
    files = storage.files(folder / STATES, ".pt", prefix=f"{base}.")
    return [file for file in files if 0 < _epoch(file) < epochs]


def _epoch(file: File) -> int:
    number = storage.name_of(file).split(".")[1]
    return int(number) if number.isascii() and number.isdigit() and len(number) == 9 else 0


def refuse_fixed(trials: Iterable[PlannedTrial]) -> None:
    """Checks that trials can go on to more epochs than they are planned for.

    Raises:
        UserError: what one does in an epoch depends on the number of epochs.
    """
    for config in {one.config_key: one.config for one in trials}.values():
        if why := _obstacle(config):
            raise UserError(f"select.save_state: {why}: leave save_state out, and more epochs begin with the first")


def _obstacle(config: TrialConfig) -> str:
    """Why a trial cannot go on to more epochs; empty if it can."""
    if "epochs" in unused(config.method.name):
        return f"the method {config.method.name} has no epochs"
    if config.optimiser.schedule != "constant":
        return f"trial.optimiser.schedule: {config.optimiser.schedule} spreads the learning rate over all the epochs"
    if config.optimiser.warmup:
        return "trial.optimiser.warmup is a share of all the epochs"
    method = config.method.name
    free = plugins.constant("methods", method, "any_epochs", default=False)
    if isinstance(free, tuple):
        shares = [name for name in free if config.method.options.get(name)]
        return f"trial.method.{shares[0]} is a share of all the epochs (0 would do)" if shares else ""
    return "" if free else f"what the method {method} does in an epoch depends on the number of epochs"
