"""Time and memory of `aggregate`, `effect`, `importance` over 10,000 trials of 100 epochs, beside Ray Tune's own table.

Run with `python -m benchmarks.conclusions [TRIALS] [TUNE_TRIALS]`; each command is a process of its own, start-up
included. Ray Tune's dataframe is measured over TUNE_TRIALS (200) real trial folders of 100 epochs, written by a Tune
run, in a fresh process: `Tuner.restore`, `get_results`, `get_dataframe`. Its time beyond the imports is scaled linearly
to TRIALS, and said to be.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path
from statistics import median

from jobs.results import schema, writer

EPOCHS = 100
REPEATS = 3
METRICS = ("loss", "acc", "oa", "nmi", "ari", "fmi", "kmeans_acc", "kmeans_nmi", "silhouette", "entropy")
FIXED = {f"group.option_{i}": value for i, value in enumerate([0.1, 3, True, "adam", [512, 256], 60] * 3)}
GRID = {
    "optimiser.learning_rate": [10.0**-k for k in (1, 2, 3, 4, 5)],
    "method.instance_temperature": [k / 10 for k in range(1, 11)],
    "method.cluster_temperature": [k / 10 for k in range(1, 9)],
    "method.threshold": [0.9, 0.93, 0.95, 0.98, 0.99],
}
SEEDS = 5
BATCH = 500
COMMANDS = {
    "aggregate": ["aggregate"],
    "effect": ["effect", "learning_rate"],
    "importance": ["importance"],
}
RUN = (
    "import resource, sys\n"
    "import conclus\n"
    "try:\n    conclus.main()\n"
    "finally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
)
TUNE = """
import sys, time
start = time.perf_counter()
from ray import tune
def train(config):
    for epoch in range({epochs}):
        tune.report({{name: config["x"] + epoch for name in {metrics}}})
if sys.argv[2] == "write":
    tune.Tuner(train, param_space={{"x": tune.uniform(0, 1)}},
               tune_config=tune.TuneConfig(num_samples=int(sys.argv[3]), max_concurrent_trials=2, reuse_actors=True),
               run_config=tune.RunConfig(storage_path=sys.argv[1], name="bench", verbose=0)).fit()
else:
    imported = time.perf_counter()
    results = tune.Tuner.restore(sys.argv[1] + "/bench", trainable=train).get_results()
    rows = len(results.get_dataframe())
    print(rows, imported - start, time.perf_counter() - imported)
"""


def attempts(count: int) -> Iterator[schema.Attempt]:
    """`count` trials of a grid with five seeds: effects, noise, and a few that failed."""
    rng = random.Random(0)
    points = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    for trial, (point, seed) in enumerate(islice(product(points, range(SEEDS)), count)):
        score = 0.5 + point["method.threshold"] / 10 - point["method.instance_temperature"] / 20 + rng.gauss(0, 0.01)
        scores = dict.fromkeys(METRICS, score)
        yield schema.Attempt(
            study="bench",
            trial_key=f"{trial:016x}",
            config_key=f"{trial // SEEDS:016x}",
            seed=seed,
            attempt_id=writer.new_attempt_id(),
            status="ok" if rng.random() < 0.97 else "failed",
            started=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=trial),
            seconds=12.5,
            epochs_done=EPOCHS,
            params=FIXED | point,
            data_hash="d",
            metrics=scores,
            best=scores,
            history=[(epoch, epoch * 0.1, name, score) for epoch in range(EPOCHS) for name in METRICS],
        )


def store(folder: str, count: int) -> None:
    """What `conclus compact` leaves: parts of many rows."""
    rows = attempts(count)
    for part in range(0, count, BATCH):
        table = schema.to_table(list(islice(rows, BATCH)))
        writer.put(Path(folder, "study=bench", "compact", f"part-{part:06}.parquet"), writer.serialise(table))


def measured(folder: str, arguments: list[str]) -> tuple[float, float]:
    """Median wall seconds and largest memory in MiB of a command in fresh processes."""
    name, *rest = arguments
    runs = [_once([name, folder, *rest]) for _ in range(REPEATS)]
    return median(seconds for seconds, _ in runs), max(memory for _, memory in runs)


def _once(arguments: list[str]) -> tuple[float, float]:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(done.stderr.split()[-1]) / 1024


def tune_seconds(folder: str, trials: int) -> tuple[float, float]:
    """Of Ray Tune's dataframe over that many trial folders: seconds of imports, and beyond them."""
    code = TUNE.format(epochs=EPOCHS, metrics=METRICS)
    subprocess.run([sys.executable, "-c", code, folder, "write", str(trials)], check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-c", code, folder, "read"], check=True, capture_output=True, text=True)
    rows, imports, reading = done.stdout.split()[-3:]
    if int(rows) != trials:
        raise RuntimeError(f"Ray Tune read {rows} of {trials} trials")
    return float(imports), float(reading)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    tune_count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as folder:
        store(folder, count)
        found = {name: measured(folder, arguments) for name, arguments in COMMANDS.items()}
    with tempfile.TemporaryDirectory() as folder:
        imports, reading = tune_seconds(folder, tune_count)
    scaled = imports + reading * count / tune_count
    print(f"{count} trials x {EPOCHS} epochs, compacted")
    for name, (seconds, memory) in found.items():
        print(f"{name:<12}{seconds:8.2f} s{memory:8.0f} MiB   Ray Tune takes {scaled / seconds:6.1f} x as long")
    print(f"Ray Tune's dataframe: {imports:.1f} s of imports, {reading:.1f} s over {tune_count} trials")
    print(f"that is {scaled:.0f} s over {count}, if it grows linearly")


if __name__ == "__main__":
    main()
