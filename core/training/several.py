"""Whether encoder and views of a trial fit data of several modalities; read from their sources, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import plugins
from core.config.trial import TrialConfig, unused
from core.data.modalities import missing
from core.data.stored import dense
from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Dataset


def check_modalities(config: TrialConfig, data: Dataset) -> None:
    """Checks that views leave modalities out only where the encoder knows of missing ones.

    Raises:
        UserError: the encoder takes whole rows.
    """
    if len(data.modalities) < 2 or "encoder" in unused(config.method.name):
        return
    if plugins.constant("encoders", config.encoder.name, "by_modality", default=False):
        return
    views = config.views.name
    if plugins.constant("views", views, "by_modality", default=False):
        # Views of whole rows take no samples that lack a modality either.
        other = "" if missing(dense(data.samples), data.modalities) else ", or the views noise"
        raise UserError(
            f"trial.encoder: {config.encoder.name} takes whole rows, and the views {views} leave out some of the "
            f"{len(data.modalities)} modalities of {data.name}: use the encoder multiview{other}"
        )
