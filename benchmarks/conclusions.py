"""Time and memory of `aggregate`, `effect`, `importance` over 10,000 trials of 100 epochs, compared with Ray Tune.

It begins with how the effect of a parameter grows with the number of its values, and a Pareto front with that of its
configurations: an exponent of 2 is that of the number of their pairs.

Run with `python -m benchmarks.conclusions [TRIALS] [TUNE_TRIALS]`. Each command runs in a new process and includes its
start-up, with modules already compiled. Ray Tune's dataframe is measured over TUNE_TRIALS (200) real trial folders of
100 epochs, written by a Tune run, in a new process: `Tuner.restore`, `get_results`, `get_dataframe`. Its time after the
imports is scaled linearly to TRIALS, and the output says so.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from math import log
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.rows import tell
from benchmarks.trials import EPOCHS, METRICS, attempts
from jobs.analysis.effect import effect
from jobs.analysis.pareto import front
from jobs.analysis.trials import Trials, factor_of
from jobs.results import schema, writer

REPEATS = 3
SEEDS = 5
GROWN = (125, 250, 500, 1000)
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
    "finally:\n    used = resource.getrusage(resource.RUSAGE_SELF)\n"
    # Not ru_maxrss, which includes the memory of the parent process before exec.
    "    memory = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]\n"
    "    print(used.ru_utime + used.ru_stime, memory, file=sys.stderr)\n"
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


def store(folder: str, count: int) -> None:
    """Writes results as `conclus compact` does: files of many rows."""
    rows = attempts(count)
    for part in range(0, count, BATCH):
        table = schema.to_table(list(islice(rows, BATCH)))
        writer.put(Path(folder, "study=bench", "compact", f"part-{part:06}.parquet"), writer.serialise(table))


def measured(folder: str, arguments: list[str]) -> tuple[float, float, float]:
    """Median wall and CPU seconds and peak memory in MiB of a command in new processes."""
    name, *rest = arguments
    _once([name, folder, *rest])  # Compiles the modules.
    wall, cpu, memory = zip(*(_once([name, folder, *rest]) for _ in range(REPEATS)), strict=True)
    return median(wall), median(cpu), max(memory)


def _once(arguments: list[str]) -> tuple[float, float, float]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    cpu, memory = map(float, done.stderr.split()[-2:])
    return seconds, cpu, memory / 1024


def tune_seconds(folder: str, trials: int) -> tuple[float, float]:
    """Seconds of Ray Tune's imports, and of its dataframe over `trials` trial folders."""
    code = TUNE.format(epochs=EPOCHS, metrics=METRICS)
    subprocess.run([sys.executable, "-c", code, folder, "write", str(trials)], check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-c", code, folder, "read"], check=True, capture_output=True, text=True)
    rows, imports, reading = done.stdout.split()[-3:]
    if int(rows) != trials:
        raise RuntimeError(f"Ray Tune read {rows} of {trials} trials")
    return float(imports), float(reading)


def effect_of(count: int) -> Callable[[], object]:
    """The effect of a parameter with so many values, each run with five seeds."""
    values = rng(count).normal(0.8, 0.05, count * SEEDS)
    numbers, seeds = np.repeat(np.arange(count, dtype=float), SEEDS), np.tile(np.arange(SEEDS), count)
    factor = factor_of("learning_rate", numbers.tolist())
    same = factor_of("data", ["d"] * len(values))
    trials = Trials(
        column="metric.nmi",
        values=values,
        seeds=factor_of("seed", seeds.tolist()),
        data=same,
        factors={factor.key: factor},
        constant={},
        seconds=np.full(len(values), np.nan),
    )
    return partial(effect, trials, factor.key, "max")


def front_of(count: int) -> Callable[[], object]:
    """A front of so many configurations, nearly all unbeaten, by three metrics of five seeds."""
    points = np.abs(rng(count).normal(size=(count, 3)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    noise = rng(count).normal(0, 0.002, (count, 3, SEEDS))
    cells = [
        [dict(enumerate((value + own).tolist())) for value, own in zip(*one, strict=True)]
        for one in zip(points.tolist(), noise, strict=True)
    ]
    return partial(front, cells, [True] * 3)


def rng(seed: int) -> np.random.Generator:
    """A generator of numbers."""
    return np.random.default_rng(seed)


def growth(make: Callable[[int], Callable[[], object]]) -> str:
    """CPU seconds for each number in `GROWN`, the least of three, and the exponent from the first to the last."""
    found: list[float] = []
    for count in GROWN:
        work, times = make(count), list[float]()
        for _ in range(REPEATS):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        found.append(min(times))
    exponent = log(found[-1] / found[0]) / log(GROWN[-1] / GROWN[0])
    told = ", ".join(f"{seconds:.2f} s for {count:,}" for count, seconds in zip(GROWN, found, strict=True))
    return f"{told}: exponent {exponent:.2f}"


def main() -> None:
    """Tells the rows."""
    tell("the effect of a parameter by the number of its values, five seeds each, CPU", growth(effect_of))
    tell("a Pareto front of three metrics by the number of configurations, five seeds each, CPU", growth(front_of))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    tune_count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as folder:
        store(folder, count)
        found = {name: measured(folder, arguments) for name, arguments in COMMANDS.items()}
    with tempfile.TemporaryDirectory() as folder:
        imports, reading = tune_seconds(folder, tune_count)
    scaled = imports + reading * count / tune_count
    for name, (seconds, cpu, memory) in found.items():
        told = f"{seconds:.2f} s ({cpu:.2f} s CPU), {memory:.0f} MiB"
        beside = f"Ray Tune's dataframe, scaled from {tune_count} trials, takes {scaled / seconds:.0f} x as long"
        tell(f"`conclus {name}`, {count:,} trials x {EPOCHS} epochs, gathered", f"{told}; {beside}")
    print(f"Ray Tune's dataframe: {imports:.1f} s of imports, {reading:.1f} s over {tune_count} trials")
    print(f"that is {scaled:.0f} s over {count}, if it grows linearly")


if __name__ == "__main__":
    main()
