"""What `auto` chooses for the samples of a data set as views and as encoder, and why; known without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from core.config import plugins
from core.config.trial import TrialConfig, unused
from core.data.stored import Stored
from core.training.frozen import is_frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.data.dataset import Dataset

AUTO = "auto"
# Images with a smaller side are too small for crops, and for convolutions that halve them.
_LEAST_SIDE = 16
# Of so many rows it shows whether their numbers are shares.
_LOOKED_AT = 64
_VECTORS = "the samples are vectors"


class Automatic(NamedTuple):
    """The name of a family of views or of an encoder, and the reason as words."""

    name: str
    why: str


def views_for(shapes: Sequence[tuple[int, ...]], *, documents: bool = False) -> Automatic:
    """The family of views for samples whose modalities have these shapes, at least one.

    (channels, height, width) is an image. `documents` says that the samples are shares of words, see `are_shares`.
    """
    if len(shapes) > 1:
        return Automatic("multiview", f"the samples have {len(shapes)} views")
    if documents:
        return Automatic("words", "the samples are documents, as shares of words")
    shape = shapes[0]
    if not _is_image(shape):
        return Automatic("neighbours", _VECTORS)
    if _is_large(shape):
        return Automatic("image", _images(shape))
    return Automatic("affine", f"{_images(shape)}, too small for crops")


def encoder_for(shapes: Sequence[tuple[int, ...]]) -> Automatic:
    """The encoder for samples whose modalities have these shapes, at least one."""
    if len(shapes) > 1:
        return Automatic("multiview", f"the samples have {len(shapes)} views")
    shape = shapes[0]
    if not _is_image(shape):
        return Automatic("mlp", _VECTORS)
    if _is_large(shape):
        return Automatic("convnet", _images(shape))
    return Automatic("mlp", f"{_images(shape)} are as small as vectors")


def are_shares(samples: Stored) -> bool:
    """Whether samples are held sparse and their rows are not negative and sum to 1, as documents are."""
    if not samples.is_sparse:
        return False
    rows = samples[:_LOOKED_AT]
    return bool((rows >= 0).all() and (abs(rows.sum(axis=1) - 1) < 1e-3).all())


def chosen(config: TrialConfig, data: Dataset) -> dict[str, Automatic]:
    """What `auto` is in a trial on a data set, by the parameter; empty where nothing is left to it.

    Args:
        config: of the trial.
        data: its data set, with samples as they are or, of a frozen encoder, with its vectors.
    """
    found: dict[str, Automatic] = {}
    idle = unused(config.method.name)
    shapes = [one.shape for one in data.modalities] or [data.sample_shape]
    if config.encoder.name == AUTO and "encoder" not in idle:
        found["encoder"] = encoder_for(shapes)
    # A method that maps inputs to targets takes no views.
    clusters = plugins.constant("methods", config.method.name, "clusters", default=True)
    if config.views.name == AUTO and "views" not in idle and clusters:
        samples = data.part("train").samples
        documents = isinstance(samples, Stored) and are_shares(samples)
        of_encoder = Automatic(views_for([(1,)]).name, f"the vectors of {config.encoder.name} are no images")
        found["views"] = of_encoder if is_frozen(config) else views_for(shapes, documents=documents)
    return found


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3


def _is_large(shape: tuple[int, ...]) -> bool:
    return min(shape[1:]) >= _LEAST_SIDE


def _images(shape: tuple[int, ...]) -> str:
    return f"images of {shape[1]} x {shape[2]}"
