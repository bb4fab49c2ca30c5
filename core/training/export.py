"""Writes a trained method to files: its weights, and the other values that are needed to build it again."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.corpus import Corpus, inverse_frequencies
from core.data.dataset import Dataset
from core.data.modalities import side_by_side
from core.data.source import on_device
from core.data.stored import Stored
from core.errors import UserError
from core.evaluation import kmeans
from core.evaluation.assignment import Assignment, assigned
from core.evaluation.clustering import predict
from core.training.fit import build
from core.training.method import Method
from core.training.state import TrainingState


@dataclass(frozen=True)
class SavedModel:
    """A method at one epoch.

    Attributes:
        weights: parameters and buffers by name, on the CPU.
        rest: the other values that its outputs depend on: plain values and tensors.
        previous: its last scoring: `centroids` of k-means on its features and `centres` of its clusters, (K, dim);
            None for a method that does not cluster.
    """

    weights: dict[str, Tensor]
    rest: dict[str, Any]
    previous: dict[str, Tensor] | None

    @classmethod
    def of(cls, state: TrainingState) -> SavedModel:
        """A copy of the model in a training state."""
        copied: dict[str, Tensor] = {name: _own(one) for name, one in state.method["modules"].items()}
        rest = {name: _own(one) for name, one in state.method.items() if name not in _TRAINING}
        return cls(copied, rest, None if state.previous is None else _own(state.previous))

    def weights_file(self) -> bytes:
        """The content of `best_model.pt`: a dictionary of tensors for `torch.load(…, weights_only=True)`."""
        return _saved(self.weights)

    def safetensors_file(self) -> bytes:
        """The same weights as safetensors, a format that cannot hold code.

        Raises:
            UserError: safetensors is not installed.
        """
        return safetensors().save(self.weights)

    def rest_file(self) -> bytes:
        """The values that a method that clusters needs besides its weights."""
        previous = self.previous or {}
        return _saved({"rest": self.rest, "centroids": previous.get("centroids"), "centres": previous.get("centres")})


_TRAINING = {"modules", "optimisers", "step_guard"}


def _own(value: Any) -> Any:
    """A copy with all tensors on the CPU, without optimisers, which only training needs."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True).contiguous()
    if isinstance(value, Mapping):
        return {name: _own(one) for name, one in value.items() if name not in {"optimisers", "step_guard"}}
    return value


def _saved(content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def safetensors() -> Any:
    """The library that writes and reads safetensors files.

    Raises:
        UserError: it is not installed.
    """
    try:
        from safetensors import torch as library
    except ImportError as error:
        raise UserError("safetensors is not installed: uv sync --extra safetensors --inexact --no-dev") from error
    return library


def blueprint(trial: Mapping[str, Any], data: Dataset, n_clusters: int) -> dict[str, Any]:
    """All that a method is built from besides its weights, for JSON; `data` is the training part."""
    return {
        "trial": dict(trial),
        "sample_shape": list(data.sample_shape),
        "n_samples": data.n_samples,
        "n_clusters": n_clusters,
        "arrays": {name: list(array.shape[1:]) for name, array in data.arrays.items()},
        "modalities": [{"name": one.name, "shape": list(one.shape)} for one in data.modalities],
        # Of documents, what turns new ones into samples; the words are the names of the features.
        "idf": None if data.corpus is None else inverse_frequencies(data.corpus.counts).tolist(),
    }


@dataclass(frozen=True)
class ClusterPlaces:
    """Where the clusters of a method lie among its features of length 1.

    Attributes:
        centroids: of k-means, (K, dim); None for a method that does not cluster.
        centres: of its own clusters, (K, dim); None in a model of conclus 0.2.0.
    """

    centroids: kmeans.Matrix | None
    centres: kmeans.Matrix | None


def rebuilt(plan: Mapping[str, Any], weights: bytes, rest: bytes | None, device: str) -> tuple[Method, ClusterPlaces]:
    """The method of a blueprint with its weights, and where its clusters lie.

    Args:
        plan: as from `blueprint`.
        weights: content of `best_model.pt` or `best_model.safetensors`.
        rest: content of `SavedModel.rest_file`.
        device: the device of the method.

    Raises:
        UserError: the weights do not fit the blueprint, or cannot be read.
    """
    mistakes = Mistakes()
    trial = {**plan["trial"], "views": {"name": "noise"}}  # views are for training
    if isinstance(trial.get("encoder"), Mapping) and "weights" in trial["encoder"]:
        trial["encoder"] = {**trial["encoder"], "weights": None}  # those of the file were trained on
    config = read_trial(trial, ("trial",), mistakes)
    if mistakes.found:
        raise UserError(f"the model's configuration is not valid here: {mistakes.found[0].text}")
    blank = torch.zeros((), device=device)
    samples = blank.expand(plan["n_samples"], *plan["sample_shape"])
    arrays = {name: blank.expand(plan["n_samples"], *shape) for name, shape in plan["arrays"].items()}
    # A model of before there were modalities says nothing of them.
    modalities = side_by_side({one["name"]: tuple(one["shape"]) for one in plan.get("modalities") or ()})
    if modalities and [modalities[-1].stop] != list(plan["sample_shape"]):
        raise UserError("the modalities in the description of the model are not those of its samples: it is damaged")
    words = tuple(plan.get("feature_names") or ())
    # Only training needs the documents: an empty one stands for them.
    corpus = Corpus("", sparse.csr_matrix((1, len(words)), dtype=np.int32)) if plan.get("idf") else None
    kinds: dict[str, Any] = {"arrays": arrays, "modalities": modalities, "words": words, "corpus": corpus}
    method = build(config, samples, plan["n_clusters"], seed=0, **kinds)
    try:
        loaded: dict[str, Any] = {"rest": {}}
        if rest is not None:
            loaded = torch.load(io.BytesIO(rest), map_location=device, weights_only=True)
        method.load_state(method.state() | loaded["rest"] | {"modules": _tensors(weights, device)})
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the weights do not fit the description of the model beside them ({reason})") from error
    found = (loaded.get(name) for name in ("centroids", "centres"))
    return method, ClusterPlaces(*(None if one is None else one.cpu().numpy() for one in found))


def _tensors(content: bytes, device: str) -> dict[str, Tensor]:
    if content[:2] == b"PK":
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return {name: one.to(device) for name, one in safetensors().load(content).items()}


@dataclass(frozen=True)
class Embedded:
    """Vectors (n, dim), and for a method that clusters the clusters of the n samples."""

    vectors: NDArray[np.float32]
    assignment: Assignment | None


def embed(method: Method, places: ClusterPlaces, samples: NDArray[np.float32] | Stored, device: str) -> Embedded:
    """The outputs of a method for samples (n, *sample_shape).

    Without a head, a sample belongs to the cluster of the nearest k-means centroid.
    """
    found = predict(method, on_device(samples, torch.device(device)))
    vectors = found.features.numpy()
    features = kmeans.unit_rows(vectors)
    if found.probabilities is not None:
        probabilities = found.probabilities.numpy()
        unknown = np.full((probabilities.shape[1], vectors.shape[1]), np.nan, np.float32)
        centres = unknown if places.centres is None else places.centres
        return Embedded(vectors, assigned(features, probabilities.argmax(axis=1), centres, probabilities))
    if places.centroids is None:
        return Embedded(vectors, None)
    return Embedded(vectors, assigned(features, kmeans.nearest(features, places.centroids), places.centroids, None))
