"""Studies whose clusters are stored, made without training: data, the study's copy, a row and the clusters."""

import numpy as np

from core.config import trial as trial_config
from core.evaluation.assignment import Assignment
from core.training import data_cache
from jobs.models import assignments, choice
from jobs.models.assignments import KeepRule
from jobs.report import cluster_data
from jobs.results import writer
from jobs.results.layout import study_folder
from jobs.results.schema import Attempt
from jobs.study import snapshot
from jobs.study import study as studies


class Clustered:
    """One study with one trial in a results folder."""

    def __init__(self, folder, data, clusters, *, probabilities=None, distances=None, name="s", **trial):
        self.results = folder / "results"
        file = folder / f"{name}.yaml"
        file.write_text(f"study: {name}\ntrial:\n  data: {data}\n  method: cc\n  n_clusters: 3\n")
        study = studies.load(file)
        config = study.cell({})
        self.data = data_cache.read(config.data).part("train")
        self.folder = study_folder(str(self.results), name)
        snapshot.write(study, self.folder)
        clusters = np.asarray(clusters, np.int64)
        n = len(clusters)
        probabilities = np.linspace(0.9, 0.5, n) if probabilities is None else probabilities
        distances = np.linspace(0.1, 1.0, n) if distances is None else distances
        content = {
            "study": name,
            "trial_key": "abc123",
            "config_key": "c",
            "seed": 0,
            "attempt_id": writer.new_attempt_id(),
            "status": "ok",
            "params": trial_config.parameters(config),
            "data_hash": self.data.fingerprint,
            "metrics": {"nmi": 0.5, "acc": 0.5},
            "best_metric": "nmi",
            "epochs_done": 3,
            "health": {"label_free": 0.4},
            "cluster_sizes": np.bincount(clusters).tolist(),
            "history": [(3, 1.0, "nmi", 0.5)],
        }
        self.attempt = Attempt(**{**content, **trial})
        writer.write(str(self.results), self.attempt)
        found = self.assignment = Assignment(
            clusters,
            None if probabilities is False else np.asarray(probabilities, np.float32),
            (clusters + 1) % 3,
            np.asarray(distances, np.float32),
        )
        assignments.keep(
            self.folder, self.attempt, (3, found), data_cache.read(config.data), KeepRule("nmi", "max", every=True)
        )

    @property
    def row(self):
        """The trial's row as a command has it."""
        return choice.choose(self.folder).row

    def read(self, named=None):
        """The clusters with their samples."""
        row = self.row
        return cluster_data.read(self.folder, row, assignments.read(self.folder, row), named)
