"""The data set of a trial, kept in memory for the next trial of the same process."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

from core.config import plugins
from core.config.trial import PlugIn, TrialConfig
from core.data import remote
from core.data.dataset import Dataset
from core.data.object_store import bare, is_address
from core.errors import UserError
from core.training import frozen


def load_data(config: TrialConfig, data_hash: str, device: str = "cpu") -> Dataset:
    """The trial's data set, kept in memory for the next trial of this process.

    With a frozen encoder its samples are the encoder's vectors, which the device computes if the cache has none.

    Raises:
        UserError: the data cannot be read, or it changed since the plan was made.
    """
    data = _load(config.data.name, json.dumps(config.data.options))
    if data.fingerprint != data_hash:
        path = config.data.options.get("path")
        name = bare(path) if isinstance(path, str) and is_address(path) else data.name
        raise UserError(f"the data {name} changed since the plan was made: run the study again")
    return frozen.encoded(config, data, device) if frozen.is_frozen(config) else data


def forget() -> None:
    """Lets go of the data sets that are kept: no trial follows in this process."""
    _load.cache_clear()


def sample_shape(config: TrialConfig) -> tuple[int, ...]:
    """The shape of the data's own samples, before a frozen encoder."""
    return _load(config.data.name, json.dumps(config.data.options)).sample_shape


@lru_cache(maxsize=2)
def _load(name: str, options: str) -> Dataset:
    return read(PlugIn(name=name, options=json.loads(options)))


def read(plug_in: PlugIn) -> Dataset:
    """The data set that a plug-in loads.

    Raises:
        UserError: the data cannot be read, or the plug-in returns something else.
    """
    with remote.held(plug_in.options) as (options, told):
        data: object = plugins.load("datasets", plug_in.name)(**options)
    if not isinstance(data, Dataset):
        raise UserError(
            f"the data set {plug_in.name} returns a {type(data).__name__}: a core.data.dataset.Dataset is needed"
        )
    return replace(data, notes=(*data.notes, *told)) if told else data
