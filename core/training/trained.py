"""A trained method that is kept, as an estimator keeps it: plain values, and the modules that are made from them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.config.schema import Mistakes
from core.config.trial import TrialConfig, read_plug_in
from core.data.modalities import Modality
from core.data.source import on_device
from core.data.stored import Stored
from core.evaluation import kmeans
from core.evaluation.assignment import assigned, centres_of
from core.evaluation.clustering import predict, signals
from core.evaluation.label_free import Subsample
from core.evaluation.outputs import Outputs
from core.training.device import named
from core.training.fit import build
from core.training.method import Method
from core.training.state import TrainingState

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Trained:
    """A trained method as plain values, which are pickled, and the modules made from them, which are not."""

    config: TrialConfig
    sample_shape: tuple[int, ...]
    n_samples: int
    content: bytes
    centroids: NDArray[np.float32]
    modalities: tuple[Modality, ...] = ()
    made: dict[torch.device, Method] = field(default_factory=dict[torch.device, Method])

    def outputs(self, samples: NDArray[np.float32] | Stored, device: str) -> Outputs:
        """The method's outputs for samples (n, *sample_shape), on the CPU.

        Raises:
            UserError: the device does not exist, or the method's file is missing.
        """
        where = named(device)
        # `predict` turns the method's training mode off and on again: two threads must not do this at once.
        with _ONE_AT_A_TIME:
            return predict(self._method(where), on_device(samples, where))

    def labels(self, outputs: Outputs) -> NDArray[np.int64]:
        """The most probable clusters (n,), or, without a head, the clusters of the nearest k-means centroids."""
        if outputs.probabilities is not None:
            return outputs.probabilities.argmax(dim=1).numpy()
        return kmeans.nearest(kmeans.unit_rows(outputs.features.numpy()), self.centroids)

    def score(self, samples: NDArray[np.float32] | Stored, outputs: Outputs) -> float:
        """The label-free score of n samples with these outputs, in 0..1; k-means has the centroids of the training."""
        features = kmeans.unit_rows(outputs.features.numpy())
        by_kmeans = kmeans.nearest(features, self.centroids)
        subsample, labels = Subsample.of(samples), self.labels(outputs)
        return signals(subsample, features, labels, by_kmeans, outputs.probabilities)["label_free"]

    def assignments(self, outputs: Outputs, labels: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The clusters of the n samples of the outputs, with `labels` (n,), as columns of n values by name."""
        features, n = kmeans.unit_rows(outputs.features.numpy()), len(labels)
        head = None if outputs.probabilities is None else outputs.probabilities.numpy()
        centres = self.centroids if head is None else centres_of(features, labels, len(self.centroids))
        found = assigned(features, labels, centres, head)
        return {
            "id": np.arange(n),
            "cluster": labels,
            "probability": np.full(n, np.nan, np.float32) if found.probabilities is None else found.probabilities,
            "second": np.full(n, -1) if found.seconds is None else found.seconds,
            "distance": found.distances,
        }

    def _method(self, device: torch.device) -> Method:
        """The method with its trained weights; it is made at the first call."""
        if device not in self.made:
            blank = torch.zeros((), device=device).expand(self.n_samples, *self.sample_shape)
            # Views are for training, and might search for neighbours among blank samples. The state holds the weights.
            views, encoder = read_plug_in("views", "noise", (), Mistakes()), self.config.encoder
            options = {name: None if name == "weights" else one for name, one in encoder.options.items()}
            config = replace(self.config, views=views, encoder=replace(encoder, options=options))
            state, _ = TrainingState.from_bytes(self.content, str(device))
            self.made[device] = build(config, blank, len(self.centroids), seed=0, modalities=self.modalities)
            self.made[device].load_state(state.method)
        return self.made[device]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"made": {}}
