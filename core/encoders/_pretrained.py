"""What encoders of other libraries share: weights from a file, the model's normalisation, and a frozen model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.config.schema import did_you_mean, nearest
from core.errors import UserError
from core.training.method import Encoder
from core.training.weights import located


class Pretrained(Encoder):
    """A model of another library without its classifier.

    The samples are images with pixels in 0..1, which are normalised by the model's own mean and deviation; an image of
    one channel is repeated for a model of three. Dropout and stochastic depth are switched off: they would draw from
    torch's global generator, and the trial could not be repeated. A frozen model is never trained, and always in
    evaluation mode.

    A frozen encoder of samples of shape (dim,) takes them for the model's own features, and hands them on: the
    vectors of all samples are computed once, see `core.training.frozen`.
    """

    gains_from_bf16 = True
    model: nn.Module | None
    mean: Tensor
    deviation: Tensor

    def __init__(
        self, sample_shape: tuple[int, ...], make: Callable[[], Model], *, weights: str | None, frozen: bool
    ) -> None:
        """The model.

        Args:
            sample_shape: (channels, height, width).
            make: makes the model; it is not called if the samples are features already.
            weights: the file of its weights; None for random ones.
            frozen: the weights stay as they are.

        Raises:
            UserError: the samples or the weights do not fit the model.
        """
        super().__init__()
        self.frozen = frozen
        if frozen and len(sample_shape) == 1:
            self.model, self.dim = None, sample_shape[0]
            return
        made = make()
        self.model = made.module
        if weights is not None:
            _load(made, weights)
        for module in self.model.modules():
            for name in ("p", "drop_prob"):
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, 0.0)
        self.register_buffer("mean", torch.tensor(made.mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(made.deviation).view(-1, 1, 1), persistent=False)
        self.dim = self._measured(made.name, sample_shape)
        if frozen:
            self.requires_grad_(requires_grad=False)
        self.notes = tuple(_notes(made, sample_shape, weights))

    def train(self, mode: bool = True) -> Pretrained:
        """Training mode, except for a frozen model."""
        return super().train(mode and not self.frozen)

    def forward(self, samples: Tensor) -> Tensor:
        """Features (n, dim) of samples (n, channels, height, width), or, if frozen, of features (n, dim)."""
        if self.model is None:
            return samples
        return self.model((samples - self.mean) / self.deviation)

    def _measured(self, name: str, sample_shape: tuple[int, ...]) -> int:
        """The number of features, by a sample of zeros."""
        self.eval()
        try:
            with torch.no_grad():
                found = self(torch.zeros(1, *sample_shape))
        except (RuntimeError, AssertionError, ValueError) as error:
            if "meta" in str(error):  # What a check without memory for weights cannot do is no fault of the samples.
                raise NotImplementedError(str(error)) from error
            raise UserError(
                f"the model {name} cannot take images of shape {sample_shape} ({_short(error)}): give the data the "
                "option `size` with the sides that it was made for"
            ) from error
        self.train()
        return found.shape[1]


@dataclass(frozen=True)
class Model:
    """A model of another library.

    Attributes:
        name: for messages.
        module: from normalised images (n, 3, height, width) to features (n, dim).
        mean: of each channel, subtracted from pixels in 0..1.
        deviation: of each channel, divides after that.
        fitted: changes the names and shapes of stored weights to those of the module, as the library does.
        notes: what is to be said of the model.
    """

    name: str
    module: nn.Module
    mean: Sequence[float]
    deviation: Sequence[float]
    fitted: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]
    notes: Sequence[str] = ()


def library_missing(name: str, error: ImportError) -> UserError:
    """The error for a library that is not installed, with what installs it."""
    return UserError(f"the encoder {name!r} needs {name} ({_short(error)}): uv sync --extra vision --inexact --no-dev")


def refuse_unknown(library: str, name: str, known: Iterable[str]) -> None:
    """Checks the name of a model.

    Raises:
        UserError: the library has no model of this name.
    """
    known = list(known)
    if name not in known:
        near = did_you_mean(name, known)
        raise UserError(
            f"trial.encoder.model: {name!r} is no model of {library}{near}; known: {nearest(name, known)}. Nothing is "
            "downloaded: `weights` names a file"
        )


def refuse_shape(
    name: str, sample_shape: tuple[int, ...], sides: Sequence[int], *, exact: bool, more: str = ""
) -> None:
    """Checks the samples of a model with three channels.

    Args:
        name: the model's.
        sample_shape: of the samples.
        sides: the height and width that the model needs.
        exact: whether larger sides are wrong, too.
        more: which other sides are right, as a further part of the sentence.

    Raises:
        UserError: the samples are not images of this size.
    """
    if len(sample_shape) != 3:
        hint = "use the encoder 'mlp' for vectors"
    elif sample_shape[0] not in {1, 3}:
        hint = "use an encoder for any number of channels, as 'resnet18'"
    elif tuple(sample_shape[1:]) != tuple(sides) if exact else min(sample_shape[1:]) < min(sides):
        hint = f"give the data the option `size: {max(sides)}`"
    else:
        return
    raise UserError(
        f"the model {name} needs images of 3 channels, or 1, and {'' if exact else 'at least '}{sides[0]} x {sides[1]} "
        f"pixels{more}, not samples of shape {sample_shape}: {hint}"
    )


def _notes(made: Model, sample_shape: tuple[int, ...], weights: str | None) -> Iterator[str]:
    if weights is None:
        yield f"encoder {made.name}: its weights are random: name a file of weights by `weights`"
    mean, deviation = (", ".join(f"{one:g}" for one in each) for each in (made.mean, made.deviation))
    grey = "; the one channel is repeated" if sample_shape[0] == 1 else ""
    yield f"encoder {made.name}: pixels in 0..1 are normalised by its mean ({mean}) and deviation ({deviation}){grey}"
    yield from (f"encoder {made.name}: {one}" for one in made.notes)


def _load(made: Model, weights: str) -> None:
    path = located(weights)
    try:
        with quiet():
            stored = made.fitted(_unwrapped(_read(path)))
            made.module.load_state_dict(dict(stored))
    except (RuntimeError, LookupError, AttributeError, ValueError) as error:
        raise UserError(
            f"trial.encoder.weights: {path} does not hold the weights of {made.name} ({_short(error)}): name the model "
            "that they are of"
        ) from error


def _read(path: Path) -> Any:
    """The content of a file of weights, on the CPU; no code in it is run."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise UserError("safetensors is not installed: uv sync --extra vision --inexact --no-dev") from error
    except Exception as error:
        raise UserError(
            f"trial.encoder.weights: {path} cannot be read ({_short(error)}): it must be .safetensors, or a dictionary "
            "of tensors written by torch.save"
        ) from error


def _unwrapped(stored: Any) -> dict[str, Tensor]:
    """The weights by name, out of the dictionary that training scripts put around them."""
    for key in ("state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict):
        return {}
    return {str(name): one for name, one in stored.items() if isinstance(one, Tensor)}


@contextmanager
def quiet() -> Generator[None]:
    """Without the warnings of libraries, which are for programmers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _short(error: Exception) -> str:
    """An error in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
