"""The estimates of `conclus plan` in words: from the trials that are done, or from a probe."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.executor import TaskResources
from cluster.resources import fitting, this_machine
from core.errors import UserError, counted
from jobs.planning import forecast
from jobs.planning.cpu_fallback import on_cpu
from jobs.planning.plan import Plan
from jobs.present.tables import amount, duration
from jobs.study.study import Study

if TYPE_CHECKING:
    from jobs.planning.probe import Found

UNMEASURED = "cost: not known: no trial is done yet; --probe measures one"
NO_CARD_MEASURED = "cost: not known: nothing was measured on a GPU"


@dataclass(frozen=True)
class Charge:
    """What trials cost.

    Attributes:
        price: The price of an hour of one GPU or one core.
        unit: `gpu-hour` or `cpu-hour`.
        share: The GPUs or cores that one trial holds.
    """

    price: float
    unit: str
    share: float

    def line(self, name: str, seconds: float) -> str:
        """`cost to go: about 12.5 = 5 gpu-hours x 2.5`, for trials that take so many seconds together."""
        hours = seconds / 3600 * self.share
        cost, product = amount(hours * self.price), f"{amount(hours)} {self.unit}s x {self.price:g}"
        return f"{name}: {cost} ({product})" if cost.startswith("under") else f"{name}: about {cost} = {product}"


def charge(text: str, study: Study) -> Charge:
    """Reads a price such as `2.5/gpu-hour`.

    Raises:
        UserError: it is none, or a price of GPUs for a study that uses none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)/((?:gpu|cpu)-hour)", text)
    if found is None:
        raise UserError(f"--price {text}: write it as 2.5/gpu-hour, or as 0.05/cpu-hour for a core")
    price, unit = float(found[1]), found[2]
    if unit == "gpu-hour" and not study.resources.gpu:
        raise UserError(f"--price {text}: the trials of {study.name} hold no GPU: give the price as 0.05/cpu-hour")
    return Charge(price, unit, study.resources.gpu if unit == "gpu-hour" else study.resources.cpu)


def from_done(plan: Plan, results: str, missing: int, cost: Charge | None = None) -> list[str]:
    """How long the missing trials take on this machine if they take as long as those that are done, and what they cost.

    What a GPU costs is told from trials that ran on one.
    """
    from jobs.results.reader import load

    table = load([results], columns=["seconds", "device"], studies=[plan.study.name]).table
    planned = {one.trial_key for one in plan.trials}
    rows = zip(*(table[name].to_pylist() for name in ("trial_key", "status", "seconds", "device")), strict=True)
    done = [
        (length, device)
        for key, status, length, device in rows
        if key in planned and status == "ok" and length is not None
    ]
    seconds = [length for length, _ in done]
    workers = _workers(plan.study, plan.study.resources.gpu)
    lines = [
        (
            f"to go: about {duration(forecast.from_done(seconds, missing, workers))}, an estimate: "
            f"{counted(missing, 'trial')} x {statistics.median(seconds):.3g} s{_over(workers)}"
        ),
        f"  (median of {counted(len(seconds), 'done trial')})",
    ]
    if cost is None:
        return lines
    fit = [length for length, device in done if cost.unit == "cpu-hour" or device != "cpu"]
    return [*lines, cost.line("cost to go", statistics.median(fit) * missing) if fit else NO_CARD_MEASURED]


def from_probe(plan: Plan, cost: Charge | None = None) -> str:
    """What a trial of the largest configuration needs, the proposed resources, and the study's time and cost with them.

    The cost is that of the resources that the study asks for.
    """
    from jobs.planning.probe import probe  # it needs a system like Unix; a plan without it does not

    found = probe(plan)
    share = _share(plan.study, found)
    lines = [*_probe_lines(found), _proposal(plan.study, found, share), _study_time(plan, found, share)]
    if cost is not None and cost.unit == "gpu-hour" and not found.gpu_total:
        lines.append(NO_CARD_MEASURED)
    elif cost is not None:
        lines.append(cost.line("cost of the whole study", sum(_epochs(plan, found)) * _seconds(found)))
    return "\n".join(lines)


def _probe_lines(found: Found) -> list[str]:
    every = found.config.evaluation.every
    size = f"{found.n_parameters:,} parameters x batch size {found.config.batch_size}"
    scoring = f"{found.evaluation_seconds:.3g} s of scoring every {counted(every, 'epoch')}"
    lines = [
        f"probe: the largest of {counted(found.n_considered, 'configuration')}, {size}",
        f"  on           {found.device}",
        f"  main memory  {found.memory_bytes / 1e9:.2f} GB beyond that of its process",
    ]
    if found.gpu_total:
        lines.append(f"  GPU memory   {found.gpu_bytes / 1e9:.2f} GB of {found.gpu_total / 1e9:.1f}")
    return [
        *lines,
        f"  an epoch     {_seconds(found):.3g} s: {found.train_seconds:.3g} s of training, {scoring}",
    ]


def _share(study: Study, found: Found) -> float | None:
    """The share of a GPU for each trial; 0 on the CPU, None if one GPU is too small."""
    if not found.gpu_total:
        return 0.0
    return forecast.card_share(found.gpu_bytes, found.gpu_total, _workers(on_cpu(study), 0.0))


def _proposal(study: Study, found: Found, share: float | None) -> str:
    gpu = f"gpu: {share:g}, " if share else ""
    text = (
        f"proposed: resources: {{cpu: {study.resources.cpu}, {gpu}memory_gb: {forecast.memory_gb(found.memory_bytes)}}}"
    )
    return text + ("" if share is not None else "\n  one GPU is too small for it: use a smaller batch")


def _study_time(plan: Plan, found: Found, share: float | None) -> str:
    workers = _workers(plan.study, 1.0 if share is None else share)
    epochs, seconds = _epochs(plan, found), _seconds(found)
    longest = forecast.study_seconds([count * seconds for count in epochs], workers)
    return (
        f"the whole study: at most about {duration(longest)} on this machine: {plan.n_trials} trials, "
        f"{sum(epochs):,} epochs x {seconds:.3g} s{_over(workers)}"
    )


def _epochs(plan: Plan, found: Found) -> list[int]:
    """The epochs of each trial of the study."""
    epochs = [one.config.epochs for one in plan.trials]
    return epochs + [found.config.epochs] * (plan.n_trials - len(epochs))


def _seconds(found: Found) -> float:
    return forecast.epoch_seconds(found.train_seconds, found.evaluation_seconds, found.config.evaluation.every)


def _workers(study: Study, gpu: float) -> int:
    """How many trials with this share of a GPU the machine runs at the same time for the study; at least 1."""
    asked = TaskResources(cpu=study.resources.cpu, gpu=gpu)
    return max(1, int(fitting(asked, [this_machine(gpus=gpu > 0)]) * study.resources.at_most))


def _over(workers: int) -> str:
    return f" / {counted(workers, 'worker')}"
