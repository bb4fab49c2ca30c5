"""The names of the losses, scores and signals that a trial reports, known before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import plugins
from core.config.trial import TrialConfig, unused
from core.errors import UserError
from core.evaluation import names

if TYPE_CHECKING:
    from core.data.dataset import Dataset


def reported(config: TrialConfig, data: Dataset) -> set[str] | None:
    """The names of the losses, scores and signals that a trial reports; None if its method does not declare them.

    Raises:
        UserError: the method's declarations are not of the form that `core.training.method.Method` requires.
    """
    name = config.method.name
    parts, scores = (plugins.constant("methods", name, one, default=None) for one in ("loss_parts", "scores"))
    if parts is None or scores is None:
        return None
    if not _are_names(parts) or not (scores in names.SCORINGS if isinstance(scores, str) else _are_names(scores)):
        raise UserError(
            f"{plugins.source('methods', name)}: 'loss_parts' must be a tuple of names, and 'scores' too, or one of "
            f"{', '.join(names.SCORINGS)}"
        )
    if not _are_names(plugins.constant("methods", name, "rescales", default=())):
        raise UserError(f"{plugins.source('methods', name)}: 'rescales' must be a tuple of names of options")
    names.declared_directions(name)
    counted = data.reference or data.corpus
    ordered = counted is not None and counted.sequence is not None
    of_data = names.reported(scores, labelled=data.labelled_parts, parts=data.held_parts, ordered=ordered)
    found = {"loss", *parts, *of_data}
    # The only signal of two evaluations: a method without epochs has one.
    return found - {"label_flips"} if "epochs" in unused(name) else found


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
