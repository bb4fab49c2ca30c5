"""Time `conclus aggregate` and what `conclus plan` reads, on 2,000 synthetic trials of 100 epochs.

Run with `python -m benchmarks.aggregate [TRIALS]`; times include the start of Python.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

from jobs.results import compact, schema, writer

EPOCHS = 100
REPEATS = 5
METRICS = (
    *("loss", "loss_instance", "loss_cluster", "acc", "oa", "nmi", "ari", "fmi", "pair_f1"),
    *("purity", "kmeans_acc", "kmeans_nmi", "silhouette", "entropy", "seconds"),
)
FIXED_PARAMS = {f"group.option_{i}": value for i, value in enumerate([0.1, 3, True, "adam", [512, 256], 60] * 3)}
AGGREGATE = "from jobs.commands.aggregate import command; command()"
PEEK = "import sys; from jobs.results.peek import statuses; statuses(sys.argv[1], 'bench')"


def attempts(count: int) -> Iterator[schema.Attempt]:
    """`count` trials, five seeds to a configuration."""
    rng = random.Random(0)
    for trial in range(count):
        config, seed = divmod(trial, 5)
        scores = {name: rng.random() for name in METRICS}
        yield schema.Attempt(
            study="bench",
            trial_key=f"{trial:016x}",
            config_key=f"{config:016x}",
            seed=seed,
            attempt_id=writer.new_attempt_id(),
            status="ok" if rng.random() < 0.97 else "failed",
            started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=trial),
            seconds=12.5,
            epochs_done=EPOCHS,
            params={**FIXED_PARAMS, **_point(config)},
            metrics=scores,
            best=scores,
            history=[(e, e * 0.1, name, rng.random()) for e in range(EPOCHS) for name in METRICS],
        )


def _point(config: int) -> dict[str, float]:
    return {
        "optimiser.learning_rate": 10.0 ** -(1 + config % 4),
        "method.instance_temperature": (1 + config // 4 % 10) / 10,
        "method.cluster_temperature": (1 + config // 40) / 10,
    }


def timed(code: str, *arguments: str) -> float:
    """Median seconds of wall time of a fresh Python that runs `code`."""
    return median(_once(code, arguments) for _ in range(REPEATS))


def _once(code: str, arguments: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for attempt in attempts(count):
            writer.write(folder, attempt)
        print(f"{'write, ms per trial':<34}{(time.perf_counter() - start) / count * 1000:8.2f}")
        print(f"{'peek (the plan), s':<34}{timed(PEEK, folder):8.2f}")
        print(f"{f'aggregate {count} files, s':<34}{timed(AGGREGATE, folder):8.2f}")
        start = time.perf_counter()
        compact.compact(folder)
        print(f"{'compact, s':<34}{time.perf_counter() - start:8.2f}")
        print(f"{'aggregate after it, s':<34}{timed(AGGREGATE, folder):8.2f}")
        print(f"{'peek after it, s':<34}{timed(PEEK, folder):8.2f}")


if __name__ == "__main__":
    main()
