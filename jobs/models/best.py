"""Saves the weights of a trial at its best epoch: `select: {save_model: true}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from core.config.trial import TrialConfig, to_mapping
from core.data.dataset import Dataset
from core.errors import UserError
from core.seal import seal_json
from core.training import data_cache, frozen
from core.training.export import SavedModel, blueprint
from core.training.n_clusters import count_clusters
from core.training.state import TrainingState
from jobs.results.layout import model_folder
from jobs.results.storage import Place, put

NAME = "best_model"


@dataclass
class BestModel:
    """Files of one trial in its study's folder: `models/_<trial_key>/best_model.*`.

    `.pt` and `.safetensors` contain only the weights, `.json` describes the model, and `.rest` has what a clustering
    method needs besides the weights. The description contains a digest of each file and of itself. The files are
    written when the trial ends and before each checkpoint.

    Attributes:
        folder: the folder of the files.
        about: entries on the trial for the description, as JSON values.
    """

    folder: Place
    about: Mapping[str, Any]
    _unsaved: tuple[SavedModel, dict[str, Any]] | None = None

    @classmethod
    def of(cls, folder: Place, order: Mapping[str, Any]) -> BestModel:
        """The files of the trial of an order, in its study's folder."""
        told = ("study", "trial_key", "seed", "data_hash", "code_hash")
        return cls(model_folder(folder, order["trial_key"]), {name: order[name] for name in told})

    def keep(self, state: TrainingState, epoch: int, metric: str, value: float) -> None:
        """Keeps a copy of the best epoch so far in memory."""
        self._unsaved = SavedModel.of(state), {"epoch": epoch, "metric": metric, "value": value}

    def write(self, config: TrialConfig, data: Dataset) -> None:
        """Writes the best epoch if it is newer than the files, the description last.

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
            "scaling": _scaling(training),
            "feature_names": list(training.feature_names),
        }
        if frozen.is_frozen(config):
            told["frozen"] = frozen.described(config, data, data_cache.sample_shape(config))
        files = {f"{NAME}.pt": model.weights_file(), f"{NAME}.safetensors": model.safetensors_file()}
        if n_clusters:
            files[f"{NAME}.rest"] = model.rest_file()
        for name, content in files.items():
            put(self.folder / name, content)
        told["files"] = {name: sha256(content).hexdigest() for name, content in files.items()}
        put(self.folder / f"{NAME}.json", seal_json(told))
        self._unsaved = None


def refuse_damaged(told: Mapping[str, Any], name: str, content: bytes | None) -> None:
    """Checks one of a model's files (None if it is missing) against the digest in its description.

    Models of conclus 0.1.0 have no digests.

    Raises:
        UserError: it is not the file that was written with this description.
    """
    files = told.get("files") or {}
    if files.get(name) != (None if content is None or not files else sha256(content).hexdigest()):
        raise UserError(
            f"{name} does not belong to {NAME}.json beside it: it is damaged, or the trial was killed while it wrote: "
            "run the study again"
        )


def _scaling(data: Dataset) -> list[list[Any]] | None:
    """The offset and divisor with which the data set scaled its samples; of images, one number for a whole channel."""
    if data.scaling is None:
        return None
    ones = [1] * (len(data.sample_shape) - 1)
    return [one.reshape(-1, *ones).tolist() for one in data.scaling]
