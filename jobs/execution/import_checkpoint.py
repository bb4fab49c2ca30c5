"""`conclus run --checkpoint FILE`: a trial of the study continues from a checkpoint that was stored elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.planning.plan import Plan
from jobs.results import kept, provenance, storage
from jobs.results.checkpoints import Checkpoints
from jobs.results.layout import CHECKPOINTS, study_folder
from jobs.study import plug_ins


def adopt(plan: Plan, results: str, file: Path) -> tuple[str, int]:
    """Copies a checkpoint to where its trial finds it; returns the trial's key and the epoch of the checkpoint.

    Raises:
        UserError: the file is not a checkpoint, belongs to no trial of the plan (the message names the values that
            differ from the most similar trial), was made by other code, or its trial is done.
        StorageError: the results cannot be written.
    """
    from core.training.state import TrainingState

    try:
        content = storage.read_regular(file, storage.LARGEST_MODEL)
        state, extra = TrainingState.from_bytes(content)
        origin = kept.read(extra).origin
        key, made_by = origin["trial_key"], origin["code_hash"]
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{file}: this is not a readable checkpoint ({reason})") from error
    if key not in {one.trial_key for one in plan.trials}:
        raise UserError(f"{file}: the checkpoint belongs to no trial of this study: {_nearest(plan, state.origin)}")
    code = provenance.code_hash(plug_ins.plug_in_files(plan.study))
    if code != made_by:
        raise UserError(
            f"{file}: the checkpoint was made by other code, {made_by}, and this is {code}: results would differ"
        )
    if plan.statuses(results)[0].get(key) == "ok":
        raise UserError(f"{file}: the trial {key} is done: there is nothing to continue")
    own = study_folder(storage.absolute(results), plan.study.name) / CHECKPOINTS
    Checkpoints(own, key).add(state.epoch, content)
    return key, state.epoch


def _nearest(plan: Plan, origin: dict[str, Any]) -> str:
    """The differences between a checkpoint and the most similar trial of the plan."""
    from core.training.state import differences, origin_of

    planned = [origin_of(one.config, one.data_hash, one.seed) for one in plan.trials]
    # The path of the data does not matter: its content is compared.
    each = [differences(origin, {key: one[key] for key in one if key != "data.path"}) for one in planned]
    return min(each, key=lambda one: one.count(" was "))
