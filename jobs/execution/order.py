"""What a worker is told of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is told: one trial of a plan, where results go, and how to run it. Plain values only.

    `trial` is the configuration as nested mappings. A checkpoint is written after every epoch, so that at most one is
    trained again after a death; but writing takes at most the share `checkpoint_share` of the attempt's time: where it
    costs more, some epochs go without. The result file's heartbeat is written at most every `heartbeat_seconds`.
    `memory_bytes` bounds what the trial takes beyond what its process has, `gpu` is its share of a graphics card.

    For a member of a population (see `jobs.search.pbt`): it trains from epoch `after` to epoch `until`, beginning with
    the weights of the member `inherit` (None: from the start); its parameters `changing` may be other than before.
    `plug_ins` are the sha256 of the plug-in files that the driver lets run; of `contents` the trial's key was made.
    """

    study: str
    results: str
    trial_key: str
    config_key: str
    seed: int
    trial: Mapping[str, Any]
    parameters: Mapping[str, Any]
    data_hash: str
    code_hash: str
    env: Mapping[str, str]
    env_hash: str
    metric: str
    mode: str
    save_model: bool = False
    threads: int = 1
    device: str = "cpu"
    gpu: float = 0.0
    memory_bytes: int | None = None
    checkpoint_share: float = 0.05
    heartbeat_seconds: float = 30.0
    source: str = "run"
    after: int = 0
    until: int | None = None
    inherit: str | None = None
    changing: Sequence[str] = ()
    plug_ins: Sequence[str] = ()
    contents: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
