"""Any image model of timm by name, without its classifier: weights from a file, frozen or fine-tuned.

The names are those of `timm.list_models()`; nothing is downloaded. The library: Wightman, "PyTorch Image Models"
(doi:10.5281/zenodo.4414861).
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from torch import Tensor

from core.encoders._pretrained import Model, Pretrained, library_missing, quiet, refuse_shape, refuse_unknown
from core.errors import UserError

# Below these sides nothing is left of an image after a few layers.
_LEAST = (8, 8)


class Encoder(Pretrained):
    """The model's pooled features, as timm gives them for `num_classes=0`."""

    pixels: ClassVar[bool] = True

    def __init__(
        self, sample_shape: tuple[int, ...], *, model: str, weights: str | None = None, frozen: bool = False
    ) -> None:
        """The model.

        Args:
            sample_shape: (channels, height, width), with pixels in 0..1; one channel is repeated.
            model: its name in timm, as `vit_small_patch14_dinov2`.
            weights: the file of its weights on this machine (.safetensors, or one of torch.save), or PACKAGE:FILE of an
                installed package; without it they are random.
            frozen: the weights stay as they are; the vectors of all samples are computed once and kept in the cache,
                and the trial trains on them.

        Raises:
            UserError: timm is not installed or has no such model, or samples or weights do not fit it.
        """
        super().__init__(sample_shape, lambda: _made(model, sample_shape), weights=weights, frozen=frozen)


def _made(name: str, sample_shape: tuple[int, ...]) -> Model:
    try:
        import timm
    except ImportError as error:
        raise library_missing("timm", error) from error
    refuse_unknown("timm", name.partition(".")[0], timm.list_models())
    try:
        with quiet():
            module: Any = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        raise UserError(f"trial.encoder.model: {name}: {error}: leave out what follows the dot") from error
    told = module.pretrained_cfg
    sides, notes = tuple(told["input_size"][1:]), []
    if told.get("fixed_input_size") and tuple(sample_shape[1:]) != sides:
        patch: Any = getattr(getattr(module, "patch_embed", None), "patch_size", ())
        if not patch or any(side % one for side, one in zip(sample_shape[1:], patch, strict=False)):
            more = f" (or sides that are multiples of {patch[0]})" if patch else ""
            refuse_shape(name, sample_shape, sides, exact=True, more=more)
        refuse_shape(name, sample_shape, patch, exact=False)
        with quiet():
            module = timm.create_model(name, pretrained=False, num_classes=0, img_size=tuple(sample_shape[1:]))
        notes.append(f"its positions are resampled from {sides[0]} x {sides[1]} pixels")
    refuse_shape(name, sample_shape, _LEAST, exact=False)

    def fitted(stored: dict[str, Tensor]) -> dict[str, Tensor]:
        converted = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
        found = stored if converted is None else converted(stored, module)
        last = told.get("classifier") or ()
        heads = {one.partition(".")[0] for one in ([last] if isinstance(last, str) else last)}
        own = module.state_dict()
        return {key: one for key, one in found.items() if key in own or key.partition(".")[0] not in heads}

    return Model(name, module, told["mean"], told["std"], fitted, notes)
