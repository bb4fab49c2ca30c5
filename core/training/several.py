"""Whether encoder and views of a trial fit data of several modalities; read from their sources, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import plugins
from core.config.trial import TrialConfig
from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Dataset


def check_modalities(config: TrialConfig, data: Dataset) -> None:
    """Checks that an encoder of whole rows gets no row with a missing modality.

    Raises:
        UserError: the views leave modalities out, or the data set lacks some, and the encoder does not know of them.
    """
    if not data.modalities or plugins.constant("encoders", config.encoder.name, "by_modality", default=False):
        return
    views = config.views.name
    if len(data.modalities) > 1 and plugins.constant("views", views, "by_modality", default=False):
        raise UserError(
            f"trial.encoder: {config.encoder.name} takes whole rows, and the views {views} leave out some of the "
            f"{len(data.modalities)} modalities of {data.name}: use the encoder multiview, or the views noise"
        )
    import numpy as np

    if np.isnan(np.asarray(data.samples[:])).any():
        raise UserError(
            f"trial.encoder: {config.encoder.name} takes whole rows, and samples of {data.name} lack modalities or "
            "steps: use the encoder multiview"
        )
