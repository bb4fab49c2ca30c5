"""Whether a trial fits data of several modalities, and their size; read from sources of plug-ins, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import plugins
from core.config.trial import TrialConfig, unused
from core.data.modalities import missing
from core.data.stored import dense
from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Dataset

# Float32 numbers of 4 GiB: a method that takes all samples at once has them in memory about three times.
MOST_AT_ONCE = 1 << 30


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


def check_size(config: TrialConfig, data: Dataset) -> None:
    """Checks that a method that takes all samples at once as dense numbers is not given more than 4 GiB of them.

    Raises:
        UserError: the data set is larger.
    """
    name = config.method.name
    if "epochs" not in unused(name) or plugins.constant("methods", name, "sparse", default=False):
        return
    if data.samples.size > MOST_AT_ONCE:
        raise UserError(
            f"trial.method: {name} takes all samples at once, and those of {data.name} are {data.samples.size:,} "
            f"numbers, zeros counted: at most {MOST_AT_ONCE:,} are possible: use a method with epochs, such as conclus"
        )
