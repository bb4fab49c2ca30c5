"""Any classification model of torchvision by name, without its classifier: weights from a file, frozen or fine-tuned.

The names are those of `torchvision.models.list_models(module=torchvision.models)`; nothing is downloaded.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from core.encoders._pretrained import Model, Pretrained, library_missing, quiet, refuse_shape, refuse_unknown


class Encoder(Pretrained):
    """What the model's last layer, its classifier, is given."""

    pixels: ClassVar[bool] = True

    def __init__(
        self, sample_shape: tuple[int, ...], *, model: str, weights: str | None = None, frozen: bool = False
    ) -> None:
        """The model.

        Args:
            sample_shape: (channels, height, width), with pixels in 0..1; one channel is repeated.
            model: its name in torchvision, as `resnet50`.
            weights: the file of its weights on this machine (.safetensors, or one of torch.save), or PACKAGE:FILE of an
                installed package; without it they are random.
            frozen: the weights stay as they are; the vectors of all samples are computed once and kept in the cache,
                and the trial trains on them.

        Raises:
            UserError: torchvision is not installed or has no such model, or samples or weights do not fit it.
        """
        super().__init__(sample_shape, lambda: _made(model, sample_shape), weights=weights, frozen=frozen)


def _made(name: str, sample_shape: tuple[int, ...]) -> Model:
    try:
        from torchvision import models
    except ImportError as error:
        raise library_missing("torchvision", error) from error
    refuse_unknown("torchvision", name, models.list_models(module=models))
    told: Any = models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    with quiet():
        module = models.get_model(name, weights=None)
    size = getattr(module, "image_size", None)
    sides = told.meta["min_size"] if size is None else (size, size)
    refuse_shape(name, sample_shape, sides, exact=size is not None)
    dropped = [_without_classifier(module), *_without_side_outputs(module)]
    normalisation = told.transforms()

    def fitted(stored: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: one for key, one in stored.items() if not key.startswith(tuple(f"{one}." for one in dropped))}

    return Model(name, module, normalisation.mean, normalisation.std, fitted)


def _without_classifier(module: nn.Module) -> str:
    """Puts nothing in the place of the last layer with weights; its name."""
    name = [name for name, one in module.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)][-1]
    module.set_submodule(name, nn.Identity())
    return name


def _without_side_outputs(module: nn.Module) -> list[str]:
    """Removes the classifiers in the middle of googlenet and inception; their names."""
    found = [name for name in ("aux1", "aux2", "AuxLogits") if hasattr(module, name)]
    for name in found:
        setattr(module, name, None)
    if found:
        vars(module)["aux_logits"] = False
    return found
