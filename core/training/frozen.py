"""A frozen encoder: the vectors of all samples are computed once per data set and encoder, and all trials share them.

A trial with `encoder: {…, frozen: true}` trains on these vectors. They lie in the cache as the model gives them, in
evaluation mode, and each number of them is standardised when it is read, as the columns of a table are.

Importing the module imports nothing heavy: `conclus plan` asks whether an encoder is frozen.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.config import plugins
from core.config.trial import TrialConfig
from core.data.dataset import Dataset
from core.data.prepared import prepared, room
from core.data.stored import Stored, as_stored
from core.data.told import told
from core.errors import UserError
from core.seal import canonical_json
from core.training import weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.training.method import Encoder

# Images at once.
_BATCH = 32


def is_frozen(config: TrialConfig) -> bool:
    """Whether the trial trains on the vectors of a frozen encoder."""
    return config.encoder.options.get("frozen") is True


def encoded(config: TrialConfig, data: Dataset, device: str) -> Dataset:
    """The data set with the encoder's vectors in the place of its samples, from the cache or computed on the device.

    Raises:
        UserError: the encoder has no weights or does not fit the samples, or the cache cannot be written.
    """
    key = _key(config, data, device)
    found = prepared(key, lambda: _computed(config, data, device, key))
    return replace(data, samples=found.samples, fingerprint=key, feature_names=(), axes=())


def check(config: TrialConfig, sample_shape: tuple[int, ...]) -> tuple[str, ...]:
    """Checks that encoder, samples and views fit together, without memory for weights; returns what is to be said.

    Raises:
        UserError: they do not.
    """
    import torch

    from core.training.method import first_argument

    if config.optimiser.encoder_learning_rate is not None:
        raise UserError("trial.optimiser.encoder_learning_rate: a frozen encoder is not trained: leave it out")
    with torch.device("meta"), contextlib.suppress(NotImplementedError, RuntimeError):
        encoder = _built(config, sample_shape)
        try:
            family = plugins.load("views", config.views.name)
            family(first_argument(family, (encoder.dim,)), **config.views.options)
        except UserError as error:
            raise UserError(
                f"trial.views: {config.views.name} are not for vectors, and the frozen encoder gives vectors of "
                f"{encoder.dim} numbers: use auto, noise, tabular or neighbours"
            ) from error
        once = f"encoder {config.encoder.name}: frozen: its {encoder.dim} numbers of each sample are computed once"
        return (*encoder.notes, f"{once}, by the first trial, and kept in the cache")
    return ()


def vectors(config: TrialConfig, samples: NDArray[np.float32] | Stored, device: str) -> Iterator[NDArray[np.float32]]:
    """The vectors of samples (n, *sample_shape), some rows at a time, as the model gives them in evaluation mode.

    Raises:
        UserError: the encoder has no weights or does not fit the samples.
    """
    import numpy as np
    import torch

    where = torch.device(device)
    encoder = _built(config, tuple(samples.shape[1:])).to(where).eval()
    with torch.inference_mode():
        for start in range(0, len(samples), _BATCH):
            batch = np.ascontiguousarray(samples[start : start + _BATCH])
            yield encoder(torch.from_numpy(batch).to(where)).cpu().numpy()


def described(config: TrialConfig, data: Dataset, sample_shape: tuple[int, ...]) -> dict[str, Any]:
    """What a saved model needs to get vectors of later samples, as JSON values.

    Args:
        config: of the trial.
        data: with the vectors.
        sample_shape: that of the samples before the encoder.
    """
    scaling = data.samples.scaling.offset_and_divisor() if isinstance(data.samples, Stored) else ()
    content = weights.digest(_weights(config))
    return {"sample_shape": list(sample_shape), "weights": content, "scaling": [one.tolist() for one in scaling]}


def again(
    config: TrialConfig, description: Mapping[str, Any], samples: NDArray[np.float32], device: str
) -> NDArray[np.float32]:
    """The vectors of later samples (n, *sample_shape) for a saved model, scaled as in training.

    Args:
        config: of the model's trial.
        description: as from `described`.
        samples: as the trial's data set gives them.
        device: that computes them.

    Raises:
        UserError: the encoder's weights are not there, or are others, or the description does not fit them.
    """
    import numpy as np

    named = _weights(config)
    if weights.digest(named) != description["weights"]:
        raise UserError(f"the file {named} has other weights than those of the training: put those in its place")
    found = np.concatenate(list(vectors(config, samples, device)))
    try:
        offset, divisor = (np.asarray(one) for one in description["scaling"])
        return np.ascontiguousarray((found - offset) / divisor, dtype=np.float32)
    except ValueError as error:
        raise UserError("the description of the model does not fit its encoder: it is damaged") from error


def _built(config: TrialConfig, sample_shape: tuple[int, ...]) -> Encoder:
    _weights(config)
    return plugins.load("encoders", config.encoder.name)(sample_shape, **config.encoder.options)


def _weights(config: TrialConfig) -> str:
    named = config.encoder.options.get("weights")
    if named is None:
        raise UserError(
            "trial.encoder.frozen: random weights must be trained: name a file of weights by `weights`, or leave "
            "`frozen` out"
        )
    return named


def _key(config: TrialConfig, data: Dataset, device: str) -> str:
    """The fingerprint of the vectors. The kind of device is part of it, since it decides how numbers are rounded."""
    options = {**config.encoder.options, "weights": weights.digest(_weights(config))}
    parts = {
        "data": data.fingerprint,
        "encoder": [config.encoder.name, plugins.digest("encoders", config.encoder.name)],
        "options": options,
        "device": device.partition(":")[0],
    }
    return hashlib.sha256(canonical_json(parts, allow_nan=False).encode()).hexdigest()


def _computed(config: TrialConfig, data: Dataset, device: str, key: str) -> Dataset:
    import numpy as np

    kept: Any = None
    done = 0
    for block in vectors(config, data.samples, device):
        if kept is None:
            kept = room((data.n_samples, block.shape[1]), np.float32)
        kept[done : done + len(block)] = block
        done += len(block)
        told("computing vectors", done, data.n_samples)
    return Dataset(data.name, as_stored(kept, "standard"), None, (), key)
