"""The order by which a worker runs a trial, and the first row of an attempt at it."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs.analysis.scores import within_trial
from jobs.models import states
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order to a worker: one trial of a plan, the place of results, and how to run it. It has plain values only.

    `trial` is the configuration as nested mappings. A checkpoint is written after every epoch, so that at most one
    epoch is repeated after a crash. If writing takes more than the share `checkpoint_share` of the attempt's time, some
    epochs are skipped. The result file's heartbeat is written at most every `heartbeat_seconds`. `memory_bytes` limits
    the trial's memory beyond that of its process, and `gpu` is its share of a GPU. `by` is the user who runs it.

    A member of a population (see `jobs.planning.pbt`) trains from epoch `after` to epoch `until`. It starts with the
    weights of the member `inherit` (None: from scratch), and its parameters `changing` may differ from before.
    `plug_ins` are the sha256 digests of the plug-in files that the driver allows to run; the trial's key was made from
    those in `contents`. Without `again` no earlier attempt has left anything of the trial, which then lists no folders,
    as they grow with the study. A trial in which one of the codes `stop` is found ends after this epoch. The trial
    reports its values of the metrics `limited`, which the study's constraints are on, and the trackers `track` hear of
    its epochs.
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
    save_assignments: bool | None = None
    save_state: bool = False
    stop: Sequence[str] = ()
    limited: Sequence[str] = ()
    threads: int = 1
    device: str = "cpu"
    gpu: float = 0.0
    memory_bytes: int | None = None
    checkpoint_share: float = 0.05
    heartbeat_seconds: float = 30.0
    source: str = "run"
    by: str = ""
    after: int = 0
    until: int | None = None
    inherit: str | None = None
    changing: Sequence[str] = ()
    again: bool = True
    plug_ins: Sequence[str] = ()
    track: Sequence[str] = ()
    contents: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    @property
    def base(self) -> str:
        """What this trial and one that differs in its number of epochs alone have in common."""
        return states.base(self.parameters, self.data_hash, self.contents, self.seed)


def first_row(order: Order, attempt_id: str = "") -> Attempt:
    """The row of an attempt that begins now, on this machine; without an id it gets a new one."""
    return Attempt(
        study=order.study,
        trial_key=order.trial_key,
        config_key=order.config_key,
        seed=order.seed,
        attempt_id=attempt_id or new_attempt_id(),
        source=order.source,
        started=datetime.now(UTC),
        own_seconds=0.0,
        host=socket.gethostname(),
        by=order.by,
        gpu=order.gpu,
        params=dict(order.parameters),
        plug_ins={key: dict(one) for key, one in order.contents.items()},
        code_hash=order.code_hash,
        data_hash=order.data_hash,
        env_hash=order.env_hash,
        env=dict(order.env),
        best_metric=within_trial(order.metric),
    )
