"""The estimates of `conclus plan` in words: from the trials that are done, or from a probe."""

from __future__ import annotations

import statistics

from cluster.executor import TaskResources
from cluster.resources import fitting, this_machine
from core.errors import counted
from jobs.planning import forecast
from jobs.planning.cpu_fallback import on_cpu
from jobs.planning.plan import Plan
from jobs.planning.probe import Found, probe
from jobs.present.tables import duration
from jobs.study.study import Study


def from_done(plan: Plan, results: str, missing: int) -> list[str]:
    """How long the missing trials take on this machine if they take as long as those that are done."""
    from jobs.results.reader import load

    table = load([results], columns=["seconds"], studies=[plan.study.name]).table
    planned = {one.trial_key for one in plan.trials}
    rows = zip(*(table[name].to_pylist() for name in ("trial_key", "status", "seconds")), strict=True)
    seconds = [length for key, status, length in rows if key in planned and status == "ok" and length is not None]
    workers = _workers(plan.study, plan.study.resources.gpu)
    return [
        (
            f"to go: about {duration(forecast.from_done(seconds, missing, workers))}, an estimate: "
            f"{counted(missing, 'trial')} x {statistics.median(seconds):.3g} s{_over(workers)}"
        ),
        f"  (median of {counted(len(seconds), 'done trial')})",
    ]


def from_probe(plan: Plan) -> str:
    """What a trial of the largest configuration needs, the proposed resources, and the time of the study with them."""
    found = probe(plan)
    share = _share(plan.study, found)
    return "\n".join([*_probe_lines(found), _proposal(plan.study, found, share), _study_time(plan, found, share)])


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
    epochs = [one.config.epochs for one in plan.trials]
    epochs += [found.config.epochs] * (plan.n_trials - len(epochs))
    seconds = _seconds(found)
    longest = forecast.study_seconds([count * seconds for count in epochs], workers)
    return (
        f"the whole study: at most about {duration(longest)} on this machine: {plan.n_trials} trials, "
        f"{sum(epochs):,} epochs x {seconds:.3g} s{_over(workers)}"
    )


def _seconds(found: Found) -> float:
    return forecast.epoch_seconds(found.train_seconds, found.evaluation_seconds, found.config.evaluation.every)


def _workers(study: Study, gpu: float) -> int:
    """How many trials with this share of a GPU the machine runs at the same time for the study; at least 1."""
    asked = TaskResources(cpu=study.resources.cpu, gpu=gpu)
    return max(1, int(fitting(asked, [this_machine(gpus=gpu > 0)]) * study.resources.at_most))


def _over(workers: int) -> str:
    return f" / {counted(workers, 'worker')}"
