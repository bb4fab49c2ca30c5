"""The clusters of one trial with the samples that they are of, which are read anew as the trial's study says."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import plugins
from core.config import trial as trial_config
from core.config.trial import PlugIn, TrialConfig
from core.data import analyzer, remote
from core.data.object_store import bare, is_address
from core.datasets import multiview
from core.errors import UserError
from core.formats.records import read_texts, texts_file
from core.formats.text_sources import TextOptions, read_source
from core.training import data_cache
from jobs.models import assignments
from jobs.results import records
from jobs.results.layout import model_folder
from jobs.study import snapshot, trust
from jobs.study import study as studies
from jobs.study.space import Range, Values, branch, grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.data.dataset import Dataset
    from jobs.models.assignments import KeptClusters
    from jobs.results.storage import Place
    from jobs.study.study import Study

_MOST = 64
"""Of the ways in which a study's space may name data, so many are looked at."""
_BEGINNING = 12
"""Words of a document that are shown."""


@dataclass(frozen=True, eq=False)
class TrialClusters:
    """The clusters of one trial.

    Attributes:
        folder: The folder of its study.
        row: The trial's row.
        kept: The cluster of each sample, as stored.
        data: The samples that were clustered, in the same order; None where they are missing.
        plug_in: What they were read by; None where they are missing.
        texts: The texts of the samples, where they are texts.
        missing: Why there are no samples, as a sentence; empty if there are.
    """

    folder: Place
    row: Mapping[str, Any]
    kept: KeptClusters
    data: Dataset | None
    plug_in: PlugIn | None
    texts: list[str]
    missing: str


def read(folder: Place, row: Mapping[str, Any], kept: KeptClusters, named: str | None = None) -> TrialClusters:
    """The clusters of a trial, with the samples where they can be read and are those of the trial.

    Args:
        folder: The folder of its study.
        row: Its row, with `trial_key`, `data_hash` and `params_json`.
        kept: Its stored clusters.
        named: The path or address of the data, if the user names it. Only then is an object store asked.
    """
    try:
        config = _config(folder, row, named)
        data = data_cache.load_data(config, str(row.get("data_hash")))
        texts = _texts(config.data)
    except UserError as error:
        return TrialClusters(folder, row, kept, None, None, [], str(error))
    if not assignments.ids_of(data).equals(kept.table["id"].combine_chunks()):
        return TrialClusters(folder, row, kept, None, None, [], "the stored clusters are of other samples")
    return TrialClusters(folder, row, kept, data.part("train"), config.data, texts, "")


def texts_of(folder: Place, row: Mapping[str, Any]) -> list[str]:
    """The texts that a trial was trained on, those of its views too; empty if its data are no texts.

    Args:
        folder: The folder of its study.
        row: Its row, with `data_hash` and `params_json`.

    Raises:
        UserError: They are missing, elsewhere or not those of the trial.
    """
    plug_in = _config(folder, row, None).data
    if plug_in.name != "multiview":
        return _texts(plug_in)
    with remote.held(plug_in.options, anew=False) as (options, _):
        return multiview.texts_of(**options)


def beginnings(folder: Place, row: Mapping[str, Any], ids: Collection[str]) -> dict[str, str]:
    """The first words of documents by their ids; empty where the data here are no texts or not those of the trial.

    Args:
        folder: The folder of its study.
        row: Its row, with `data_hash` and `params_json`.
        ids: The documents.
    """
    try:
        plug_in = _config(folder, row, None).data
        path = str(plug_in.options.get("path"))
        if plug_in.name != "documents" or path.lower().endswith(".npz"):
            return {}
        options = {name: plug_in.options[name] for name in ("text", "labels", "split_by", "remove")}
        source = read_source(path, TextOptions(**options))
    except UserError:
        return {}
    places = {one: place for place, one in enumerate(map(str, source.ids.tolist())) if one in ids}
    return {one: " ".join(source.texts[place].split()[:_BEGINNING]) for one, place in places.items()}


def splitting(clusters: TrialClusters) -> dict[str, Any]:
    """How the texts of a trial are split into terms: as its own TF-IDF does it, or by what they look like.

    Raises:
        UserError: The analyzer may not run, or is not installed.
    """
    named = clusters.plug_in.options.get("analyzer") if clusters.plug_in else None
    if named is None and analyzer.one_word_share(clusters.texts) > 0.5:
        named = "char"  # Without spaces between words, a whole clause would be one term.
    return analyzer.settings(named)


def features(clusters: TrialClusters, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """The saved model's features of some samples, (m, dim); None if no model was saved.

    Raises:
        UserError: The model is damaged, or its plug-ins may not run.
    """
    from jobs.models import embedding

    if clusters.data is None:
        return None
    return embedding.features(
        model_folder(clusters.folder, str(clusters.row["trial_key"])), clusters.data.samples[rows]
    )


def _config(folder: Place, row: Mapping[str, Any], named: str | None) -> TrialConfig:
    """A configuration with the data set of a trial, found in the copy of its study by the fingerprint in its row.

    The copy may come from a stranger. So plug-ins that it names by path run only if the user allows them, and a file is
    read only if its content is known to be the trial's. An object store is not asked for an address that it names: the
    request is signed with the user's credentials, and the address may lead to any host.

    Raises:
        UserError: The study is not there, or the data it names are missing, elsewhere or not those of the trial.
    """
    trust.recall()
    told = "the data has changed since this trial ran, or another study ran into this folder"
    if named is not None:
        told = f"{bare(remote.checked(named)) if is_address(named) else named} is not what the trial was trained on"
    with tempfile.TemporaryDirectory(prefix="conclus-clusters-") as scratch:
        file, _ = snapshot.fetch(folder, Path(scratch))
        study = studies.load(file)
        for config in islice(_candidates(study, records.parameters(row.get("params_json"))), _MOST):
            path = config.data.options.get("path")
            if named is not None:
                if not isinstance(path, str):
                    raise UserError(f"the study's data, {config.data.name}, has no path: leave out --data")
                config = replace(  # noqa: PLW2901 (the same data in another place)
                    config, data=replace(config.data, options={**config.data.options, "path": named})
                )
            elif isinstance(path, str) and is_address(path):
                told = f"the data is at {bare(path)}: name it with `conclus clusters --data`"
                continue
            if _fingerprint(config.data) == row.get("data_hash"):
                return config
    raise UserError(told)


def _candidates(study: Study, values: Mapping[str, Any]) -> Iterator[TrialConfig]:
    """Configurations with the data sets that a trial of these parameters, which tell file names alone, may have."""
    told = {key: value for key, value in values.items() if key.startswith("data.")}
    for assignment in grid(_of_data(study.space, told)):
        config = study.cell(assignment)
        found = trial_config.parameters(config)
        if all(found.get(key, value) == value for key, value in told.items()):
            yield config


def _of_data(space: Mapping[str, Range], told: Mapping[str, Any]) -> dict[str, Range]:
    """The keys of a space on which the data depend, as lists; a number may lie between the examples of its range."""
    found: dict[str, Range] = {}
    for key, one in space.items():
        branches = tuple(_of_data(branch(one, value), told) for value in one.examples)
        if key == "data" or key.startswith("data."):
            number = [told[key]] if key in told and not isinstance(told[key], str) else []
            found[key] = Values((*one.examples, *number), (*branches, *({} for _ in number)))
        elif any(branches):
            found[key] = Values(tuple(one.examples), branches)
    return found


def _fingerprint(plug_in: PlugIn) -> str:
    """The fingerprint of data as it is now."""
    with remote.held(plug_in.options) as (options, _):
        return plugins.function("datasets", plug_in.name, "fingerprint")(**options)


def _texts(plug_in: PlugIn) -> list[str]:
    if plug_in.name != "text":
        return []
    with remote.held(plug_in.options, anew=False) as (options, _):
        return read_texts(texts_file(options["path"]), options["text"], options["labels"]).texts
