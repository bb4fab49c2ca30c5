"""What makes the key of a configuration, and of which protocol a stored key is."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from core.config.trial import FILES
from core.seal import canonical_json
from jobs.results import records

PROTOCOL = 6
"""Part of every key: raised when the meaning of a configuration or the way of scoring changes. A new one needs a new
minor version, a line in CHANGELOG.md and one in docs/compatibility.md."""
ANALYZER = "data.analyzer"
"""The key of a function that splits texts: its content is part of the data's fingerprint already."""
UNKNOWN = 0
"""What stands for the protocol of a row that does not tell it."""


def config_key(
    values: Mapping[str, Any],
    data_hash: str,
    population: Mapping[str, Any] | None = None,
    *,
    plug_ins: Mapping[str, Mapping[str, str]] | None = None,
    protocol: int = PROTOCOL,
) -> str:
    """The key of a configuration: its parameters after defaults, and the content of its data and its plug-ins.

    Where data and plug-ins lie is no part of it.

    Args:
        values: the parameters, by dotted key.
        data_hash: the data's fingerprint.
        population: for a member of a population, what decides how its values change.
        plug_ins: of each plug-in that is not conclus's own, and of the weights of a pretrained encoder, by dotted key,
            the `sha256` of its file.
        protocol: the protocol of the key.

    Raises:
        ValueError: a parameter is not finite.
    """
    content = {key: value for key, value in values.items() if key not in FILES}
    own = {key: one["sha256"] for key, one in (plug_ins or {}).items() if key != ANALYZER}
    identity = {"protocol": protocol, "data": data_hash, "parameters": content}
    identity |= {"population": population} if population else {}
    identity |= {"plug_ins": own} if own else {}
    return digest(canonical_json(identity, allow_nan=False))


def digest(text: str) -> str:
    """Sixteen hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_key(config: str, seed: int) -> str:
    """The key of one trial of a configuration."""
    return digest(f"{config}:{seed}")


def has_own_keys(row: Mapping[str, Any]) -> bool:
    """Whether the keys of a trial's row are those of what it tells; true of a row of an earlier protocol.

    Args:
        row: `config_key`, `trial_key`, `seed` and, where they are there, `params_json`, `data_hash`, `plug_ins_json`
            and `protocol`. It is no row of an import or a population, whose keys are made of something else.
    """
    if (row.get("protocol") or PROTOCOL) != PROTOCOL:
        return True
    values, own = records.parameters(row.get("params_json")), records.plug_ins(row.get("plug_ins_json"))
    try:
        key = config_key(values, row.get("data_hash") or "", plug_ins=own)
    except ValueError:  # A number that is not finite is in no key.
        return False
    return (row["config_key"], row["trial_key"]) == (key, trial_key(key, row["seed"]))


@lru_cache(maxsize=4096)
def protocol_of(key: str, data_hash: str | None, params_json: str | None) -> int:
    """The protocol of a row that does not tell it, as conclus 0.1.0 wrote them.

    The key is made again from what the row tells, with each protocol that there was: the one that gives the row's key
    is its own.

    Returns:
        The protocol; `UNKNOWN` where none gives it, as for a member of a population.
    """
    values = records.parameters(params_json)
    for protocol in range(PROTOCOL, 0, -1):
        try:
            if config_key(values, data_hash or "", protocol=protocol) == key:
                return protocol
        except ValueError:  # A number that is not finite is in no key.
            return UNKNOWN
    return UNKNOWN
