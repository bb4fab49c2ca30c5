"""Names for readers: metrics in their usual spelling, parameters by their usual signs, and a person's own names.

CSV, JSON and, without a person's own names, tables at the terminal keep the keys that a person types (`nmi`,
`learning_rate`). Tables for papers, charts and pages take the names from here: `NMI`, `τ_I`. They are plain text;
`jobs.present.tables.tex` makes the signs of mathematics of them for LaTeX, so that there is one table for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config.schema import did_you_mean
from core.data.dataset import PARTS
from core.errors import UserError
from jobs.analysis import data_sets
from jobs.analysis.scores import metric_name
from jobs.results.names import MEAN5, PARAM, may_mean, short_names
from jobs.results.reader import column_cells
from jobs.study import yaml_document

if TYPE_CHECKING:
    import pyarrow as pa

_METRICS = {
    "acc": "ACC",
    "oa": "OA",
    "nmi": "NMI",
    "ami": "AMI",
    "ari": "ARI",
    "fmi": "FMI",
    "f1": "F1",
    "pair_f1": "pairwise F1",
    "macro_f1": "macro F1",
    "balanced_acc": "balanced ACC",
    "kappa": "κ",
    "v_measure": "V-measure",
    "npmi": "NPMI",
    "npmi_15": "NPMI of 15 words",
    "umass": "UMass",
    "c_v": "C_V",
    "uci": "UCI",
    "inverted_rbo": "inverted RBO",
    "mse": "MSE",
    "mrr": "MRR",
    "recall_at_1": "R@1",
    "recall_at_5": "R@5",
    "recall_at_10": "R@10",
    "knn_consistency": "k-NN consistency",
    "davies_bouldin": "Davies-Bouldin",
    "calinski_harabasz": "Calinski-Harabasz",
    "label_free": "label-free score",
    "seconds": "time (s)",
}
"""The usual spelling of metrics; any other is its own name with blanks, as `topic diversity`."""
_OF_METRICS = {
    "input_kmeans_": "k-means of the input, ",
    "candidate_": "candidate ",
    "kmeans_": "k-means ",
    "reverse_": "reverse ",
    **{f"{part}_": f"{part} " for part in PARTS},
}
"""What stands before a metric's own name."""
_OF_EPOCHS = {"best.": " (best epoch)", MEAN5: " (mean of the last 5)"}
_PARAMETERS = {
    "method.instance_temperature": "τ_I",
    "method.cluster_temperature": "τ_C",
    "method.temperature": "τ",
    "method.loss.temperature": "τ",
    "method.name": "method",
    "method.loss.name": "loss",
    "encoder.name": "encoder",
    "views.name": "views",
    "data.name": "data set",
    "optimiser.name": "optimiser",
    "n_clusters": "K",
}
"""The usual signs of parameters, and the words for what is chosen by name; any other is its own name with blanks."""
_SECTIONS = {
    "metrics": "nmi: NMI",
    "parameters": "method.threshold: θ",
    "methods": "cc: CC",
    "data": "digits: Digits",
}
_LONGEST = 60
_ALIKE = "tables and charts could not tell them apart"


@dataclass(frozen=True, slots=True)
class ShownNames:
    """A person's own names, which go before the usual ones.

    Attributes:
        metrics: By the metric's name, such as `nmi` or `best.nmi`.
        parameters: By the dotted key, or its end, such as `threshold`.
        methods: By the name of the method.
        data: By the name of the data set, as the leaderboard's heading has it.
        source: The file that they are from.
    """

    metrics: Mapping[str, str] = field(default_factory=dict[str, str])
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    methods: Mapping[str, str] = field(default_factory=dict[str, str])
    data: Mapping[str, str] = field(default_factory=dict[str, str])
    source: str = ""

    def metric(self, column: str) -> str:
        """The name of a metric or its column: `NMI` for `metric.nmi`, `k-means ACC (best epoch)`."""
        name = metric_name(column)
        if name in self.metrics:
            return self.metrics[name]
        for prefix, told in _OF_EPOCHS.items():
            if name.startswith(prefix):
                return f"{self.metric(name.removeprefix(prefix))}{told}"
        for prefix, told in _OF_METRICS.items():
            if name.startswith(prefix):
                return f"{told}{self.metric(name.removeprefix(prefix))}"
        return _METRICS.get(name, name.replace("_", " "))

    def by_key(self, keys: Iterable[str]) -> dict[str, str]:
        """The name of each parameter by its dotted key; no two are equal, unless the person named them so."""
        keys = [key.removeprefix(PARAM) for key in keys]
        words = {key: _words(short) for key, short in short_names(keys).items()}
        usual = {key: _PARAMETERS.get(key, words[key]) for key in keys}
        counts = [*usual.values()]
        told = {key: name if counts.count(name) == 1 else _words(key) for key, name in usual.items()}
        return {key: self._own(key) or name for key, name in told.items()}

    @property
    def own(self) -> ShownNames | None:
        """The names where a person gave some, else None: then tables keep the keys that one types."""
        return self if self.source else None

    def parameter(self, key: str) -> str:
        """The name of one parameter among no others."""
        return self.by_key([key])[key.removeprefix(PARAM)]

    def value(self, key: str, value: Any) -> Any:
        """A parameter's value; of `method.name` and `data.name` by the person's name for it."""
        named = {"method.name": self.methods, "data.name": self.data}.get(key.removeprefix(PARAM), {})
        return named.get(str(value), value)

    def data_set(self, name: str) -> str:
        """The name of a data set."""
        return self.data.get(name, name)

    def check(self, table: pa.Table, columns: Iterable[str]) -> list[str]:
        """Sentences on names of the file that fit nothing in the results.

        Args:
            table: Their rows.
            columns: All their columns.

        Raises:
            UserError: A method or a data set has the name of another one: tables and charts would take both for one.
        """
        params = [one.removeprefix(PARAM) for one in columns if one.startswith(PARAM)]
        methods, data = ({*map(str, column_cells(table, f"{PARAM}{key}.name"))} for key in ("method", "data"))
        headings = {name for name, _ in data_sets.split(table)}
        taken = [
            f"{self.source}: {kind}.{name}: {label!r} is another one in these results: {_ALIKE}"
            for kind, there in (("methods", methods), ("data", headings), ("data", data))
            for names in [getattr(self, kind)]
            for name, label in names.items()
            if name != label and {name, label} <= there and label not in names
        ]
        if taken:
            raise UserError(*dict.fromkeys(taken))
        known = {
            "metrics": {metric_name(one) for one in columns if not one.startswith(PARAM)},
            "parameters": {end for key in params for end in _ends(key)},
            "methods": methods,
            "data": headings | data,
        }
        return [
            f"{self.source}: {kind}.{name}: nothing in these results has this name{did_you_mean(name, there) or '.'}"
            for kind, there in known.items()
            for name in getattr(self, kind)
            if name not in there
        ]

    def _own(self, key: str) -> str:
        """The person's name for a parameter: by its whole key, else by the longest end of it."""
        ends = [name for name in self.parameters if may_mean(name, key)]
        return self.parameters[max(ends, key=len)] if ends else ""


USUAL = ShownNames()
"""The usual names."""


def read_labels(path: Path | None) -> ShownNames:
    """The names in a YAML file, or the usual ones without a file.

    Raises:
        UserError: The file cannot be read, or holds something else than names; all mistakes are told with their lines.
    """
    if path is None:
        return USUAL
    document = yaml_document.load(path, "file of names")
    if not isinstance(document.value, dict):
        raise UserError(f"{path}: names are written in sections {_listed()}; see docs/labels.md")
    mistakes: list[str] = []
    for kind, names in document.value.items():
        if kind not in _SECTIONS:
            near = did_you_mean(kind, _SECTIONS)
            mistakes.append(document.told((kind,), f"there is no such section{near or f'; there are {_listed()}'}"))
        elif not isinstance(names, dict):
            mistakes.append(document.told((kind,), f"names are written as `{_SECTIONS[kind]}`"))
        else:
            wrong = {name: one for name, one in names.items() if not _is_label(one)}
            mistakes += [document.told((kind, name), _label_mistake(one)) for name, one in wrong.items()]
            firsts: dict[str, str] = {}
            for name, one in names.items():
                first = firsts.setdefault(" ".join(one.split()), name) if name not in wrong else name
                if first != name:
                    mistakes.append(
                        document.told((kind, name), f"{one!r} is the name of {kind}.{first}, too: {_ALIKE}")
                    )
    if mistakes:
        raise UserError(*mistakes)
    kinds = [one.name for one in fields(ShownNames) if one.name in document.value]
    return ShownNames(**{kind: document.value[kind] for kind in kinds}, source=str(path))


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _LONGEST and "\n" not in value


def _label_mistake(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return f"a name is one line of at most {_LONGEST} characters"
    return f"{value!r} is no name: write a text, in quotes if it looks like a number"


def _words(key: str) -> str:
    """A key as words: `learning rate`, `loss temperature`."""
    return key.removesuffix(".name").replace("_", " ").replace(".", " ")


def _listed() -> str:
    return ", ".join(_SECTIONS)


def _ends(key: str) -> list[str]:
    """The key and each end of it, as `method.threshold` and `threshold`."""
    parts = key.split(".")
    return [".".join(parts[place:]) for place in range(len(parts))]
