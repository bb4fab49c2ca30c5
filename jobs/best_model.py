"""The weights of a trial at its best epoch, kept as files: `select: {save_model: true}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core import registry
from core.config import TrialConfig, count_clusters, to_mapping
from core.data import Dataset
from core.state import State
from core.weights import Model, blueprint
from jobs.results.storage import Place, put

MODELS = "models"
NAME = "best_model"


@dataclass
class BestModel:
    """Files of one trial in its study's folder: `models/<trial_key>/best_model.*`.

    `.pt` and `.safetensors` hold the weights alone, `.json` tells what they are of, and `.rest` is what a method that
    clusters needs beside them. They are written when the trial ends, and before each checkpoint.

    Attributes:
        folder: where they lie.
        about: the trial, by names that JSON holds.
    """

    folder: Place
    about: Mapping[str, Any]
    _unsaved: tuple[Model, dict[str, Any]] | None = None

    def keep(self, state: State, epoch: int, metric: str, value: float) -> None:
        """Holds the best epoch so far in memory."""
        self._unsaved = Model.of(state), {"epoch": epoch, "metric": metric, "value": value}

    def write(self, config: TrialConfig, data: Dataset) -> None:
        """Writes what is not in the files yet, the description last.

        Raises:
            StorageError: the folder cannot be written.
        """
        if self._unsaved is None:
            return
        model, epoch = self._unsaved
        training = data.part("train")
        n_clusters = count_clusters(config, training)
        told = {
            **self.about,
            **epoch,
            **blueprint(to_mapping(config), training, n_clusters),
            "scaling": _scaling(config),
            "feature_names": list(training.feature_names),
        }
        put(self.folder / f"{NAME}.pt", model.weights_file())
        put(self.folder / f"{NAME}.safetensors", model.safetensors_file())
        if n_clusters:
            put(self.folder / f"{NAME}.rest", model.rest_file())
        put(self.folder / f"{NAME}.json", json.dumps(told, indent=1).encode())
        self._unsaved = None


def _scaling(config: TrialConfig) -> list[list[Any]] | None:
    """What the data set subtracts from samples and divides them by, if it is one of the user's files."""
    if config.data.name != "file":
        return None
    found = registry.function("datasets", "file", "scaling")(**config.data.options)
    return None if found is None else [one.tolist() for one in found]
