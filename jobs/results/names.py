"""Short names for columns: `learning_rate` for `param.optimiser.learning_rate`, `nmi` for `metric.nmi`."""

from collections.abc import Iterable

from core.config.schema import did_you_mean, nearest
from core.errors import UserError

PARAM, METRIC = "param.", "metric."
"""Prefixes of the columns of parameters and metrics."""
MEAN5 = "mean5."
"""Prefix of the columns of means of a trial's last five reports of a metric."""
METRICS = (METRIC, "best.", MEAN5, "health.")
"""Prefixes of the columns that hold metrics."""

_ALIASES = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "k": "n_clusters",
    "temp": "temperature",
    "tau": "temperature",
    "tau_i": "instance_temperature",
    "tau_c": "cluster_temperature",
    "optimizer": "optimiser",
}
"""What people write for the names of parameters."""


def spelled(name: str) -> str:
    """The name as conclus spells it: `optimiser.learning_rate` for `optimizer.lr`."""
    return ".".join(_ALIASES.get(part, part) for part in name.split("."))


def resolve(name: str, columns: Iterable[str]) -> str:
    """The column that `name` means: a full name, a key without its prefix, or the end of one parameter's key.

    `method` is short for `method.name`. If there is no such column, a usual abbreviation, as `lr`, means the parameter.

    Raises:
        UserError: No column fits, or more than one.
    """
    columns = list(columns)
    if name in columns:
        return name
    found = _found(name, columns) or _found(spelled(name), columns)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"The name {name!r} is ambiguous: write {' or '.join(sorted(found))}.")
    raise UserError(f"There is no column {name!r} in the results{_hint(name, columns)}")


def _found(name: str, columns: list[str]) -> list[str]:
    """The columns that a name may be short for."""
    found = [prefix + name for prefix in (PARAM, METRIC) if prefix + name in columns]
    found = found or [one for one in (f"{PARAM}{name}.name",) if one in columns]
    return found or [column for column in columns if may_mean(name, column) and column.startswith(PARAM)]


def spellings(name: str) -> set[str]:
    """All that `resolve` may look for when it is asked for this name."""
    return {one for way in (name, spelled(name)) for one in (way, f"{way}.name")}


def may_mean(name: str, column: str) -> bool:
    """Whether `name` could be short for `column`, without knowing the other columns."""
    return column == name or column.endswith(f".{name}")


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """For each dotted key, its shortest ending that no other key shares."""
    keys = list(keys)
    return {key: _shortest(key, keys) for key in keys}


def _shortest(key: str, keys: list[str]) -> str:
    parts = key.split(".")
    endings = [".".join(parts[i:]) for i in range(len(parts) - 1, -1, -1)]
    return next(ending for ending in endings if ending == key or sum(may_mean(ending, k) for k in keys) == 1)


def _hint(name: str, columns: list[str]) -> str:
    spellings = [*columns, *(column.rsplit(".", 1)[-1] for column in columns)]
    near = did_you_mean(name, spellings)
    return near or f"; there are {nearest(name, columns)}; `conclus sql 'describe trials'` lists all."
