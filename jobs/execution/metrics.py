"""Metrics of a run for Prometheus, on request: `conclus run --metrics 9100`."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from statistics import fmean
from typing import TYPE_CHECKING

from cluster.ray_head import is_loopback
from core.errors import UserError
from jobs.analysis.scores import within_trial
from jobs.execution.progress import Progress
from jobs.execution.tasks import Listener
from jobs.planning.plan import Plan
from jobs.present.output import remark
from jobs.results.storage import reason

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_HERE = "127.0.0.1"


class _Counts(Progress):
    """Counts as the line on the terminal does, and shows nothing."""

    def draw(self, *, now: bool = False) -> None:
        """Draws nothing."""

    def say(self, text: str) -> None:
        """Says nothing."""


class Metrics:
    """The studies of a run, one for each stage that has begun, and their numbers as Prometheus asks for them."""

    def __init__(self) -> None:
        self._studies: list[_Counts] = []

    def follow(self, plan: Plan, total: int, done_before: int) -> Listener:
        """What hears the events of a study that begins."""
        self._studies.append(_Counts(plan, total, done_before))
        return self._studies[-1].hear

    def collect(self) -> Iterator[Metric]:
        """The metrics; prometheus_client calls it at each request, in a thread of its own."""
        from prometheus_client.core import GaugeMetricFamily, SummaryMetricFamily

        counts = {
            "planned": ("Trials of the study.", lambda one: one.total),
            "done": ("Trials that ended well, in earlier runs too.", lambda one: one.done_before + one.done),
            "failed": ("Trials of this run that failed.", lambda one: one.failed),
            "running": ("Trials that run now.", lambda one: len(one.running)),
            "stopped_early": ("Of the done trials of this run, those that were stopped early.", lambda one: one.early),
        }
        for name, (text, count) in counts.items():
            family = GaugeMetricFamily(f"conclus_trials_{name}", text, labels=["study"])
            for one in self._studies:
                family.add_metric([one.plan.study.name], count(one))
            yield family
        best = GaugeMetricFamily(
            "conclus_best_value", "Mean over seeds of the best configuration of this run.", labels=["study", "metric"]
        )
        seconds = SummaryMetricFamily(
            "conclus_trial_seconds", "Seconds of the trials of this run that went to their end.", labels=["study"]
        )
        for one in self._studies:
            study = one.plan.study
            if values := one.best_values():
                best.add_metric([study.name, within_trial(study.select.metric)], fmean(values))
            lengths = list(one.seconds)
            seconds.add_metric([study.name], len(lengths), sum(lengths))
        yield best
        yield seconds


@contextlib.contextmanager
def served(text: str, *, quiet: bool) -> Generator[Metrics]:
    """Metrics that are served by HTTP at `PORT` or `HOST:PORT` as long as the block runs; port 0 means any free one.

    Raises:
        UserError: it is no address, the port is taken, or prometheus_client is not installed.
    """
    host, port = _address(text)
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise UserError(
            "--metrics: prometheus_client is not installed: uv sync --extra cluster --inexact --no-dev"
        ) from error
    metrics, registry = Metrics(), CollectorRegistry()
    registry.register(metrics)
    try:
        server, _ = start_http_server(port, host, registry)
    except UnicodeError as error:  # A host's name that none can be.
        raise UserError(f"--metrics {text[:80]}: this is no name of a machine") from error
    except OSError as error:
        raise UserError(f"--metrics {text}: nothing can listen there: {reason(error)}") from error
    shown = f"[{host}]" if ":" in host else host
    if not is_loopback(host):
        remark([f"metrics at http://{shown}:{server.server_port}/metrics: anyone who reaches it can read them"])
    elif not quiet:
        remark([f"metrics at http://{shown}:{server.server_port}/metrics"])
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or len(port) > 5 or int(port) > 65535:
        raise UserError(f"--metrics {text[:80]}: write it as PORT or HOST:PORT, such as 9100 or 0.0.0.0:9100")
    return host.strip("[]") or _HERE, int(port)
