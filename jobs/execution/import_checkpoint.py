"""`conclus run --checkpoint FILE`: a study goes on from a checkpoint that lay elsewhere, if it is of one of its own."""

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
    """Puts a checkpoint where its trial finds it; the trial's key, and the epoch that it goes on after.

    Raises:
        UserError: it is none, it is of no trial of the plan (the values that differ from the most similar one are
            named), it was made by other code, or its trial is done.
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
        raise UserError(f"{file}: it is no checkpoint that can be read ({reason})") from error
    if key not in {one.trial_key for one in plan.trials}:
        raise UserError(f"{file}: the checkpoint is of no trial of this study: {_nearest(plan, state.origin)}")
    code = provenance.code_hash(plug_ins.plug_in_files(plan.study))
    if code != made_by:
        raise UserError(
            f"{file}: the checkpoint is of other code, {made_by}, and this is {code}: it would not go on as it began"
        )
    if plan.statuses(results)[0].get(key) == "ok":
        raise UserError(f"{file}: the trial {key} is done: there is nothing to go on with")
    own = study_folder(storage.absolute(results), plan.study.name) / CHECKPOINTS
    Checkpoints(own, key).add(state.epoch, content)
    return key, state.epoch


def _nearest(plan: Plan, origin: dict[str, Any]) -> str:
    """How a checkpoint differs from the trial of the plan that it differs least from."""
    from core.training.state import differences, origin_of

    planned = [origin_of(one.config, one.data_hash, one.seed) for one in plan.trials]
    # Where the data lies tells nothing: its content is compared.
    each = [differences(origin, {key: one[key] for key in one if key != "data.path"}) for one in planned]
    return min(each, key=lambda one: one.count(" was "))
