"""Damages files of every kind at random, and counts how often the damage is seen, is not seen, or gives a traceback.

Run with `python -m benchmarks.damage [DAMAGES] [SEED] [TRIALS]`. It also measures the cost of digests when reading
TRIALS trials, alternating with and without them in one run.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.trials import attempts
from core.data.dataset import Dataset
from core.errors import UserError
from core.evaluation.assignment import Assignment
from core.seal import seal_json, unseal_json
from core.training.export import SavedModel
from core.training.state import TrainingState
from jobs.analysis.leaderboard import wanted_columns
from jobs.execution import driver
from jobs.execution.queue import Queue
from jobs.models import assignments
from jobs.models.best import NAME, refuse_damaged
from jobs.results import compact, header, kept, peek, reader, writer
from jobs.results.checkpoints import Checkpoints, try_to_read
from jobs.results.layout import JOB
from jobs.results.schema import Attempt
from jobs.study import snapshot, study

SEEN, SILENT, TRACEBACK, OTHER, NOTHING = "seen", "silent", "traceback", "another study", "no change"
PAGE = 512
REPEATS = 5
YAML = """study: demo
trial:
  data: {name: digits}
  method: {name: cc, instance_temperature: 0.5}
  encoder: {name: mlp, widths: [64]}
  epochs: 20
space:
  learning_rate: {grid: [2.0e-4, 5.0e-4]}
seeds: [0, 1, 2]
select: {metric: nmi, mode: max}
"""

Check = Callable[[bytes], str]
"""Maps the damaged content of a file to an outcome."""


def damaged(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """The kind of damage, and the content with one bit flipped, its end cut off, or a page zeroed."""
    at = chance.randrange(len(content))
    kind = chance.choices(("flip", "truncation", "zeroed page"), (8, 1, 1))[0]
    if kind == "truncation":
        return kind, content[:at]
    if kind == "zeroed page":
        begin = at - at % PAGE
        page = content[begin : begin + PAGE]
        return kind, content[:begin] + bytes(len(page)) + content[begin + PAGE :]
    return kind, content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def survey(count: int, seed: int, folder: Path) -> Counter[tuple[str, str, str]]:
    """The number of each (file, damage, outcome), for `count` damages in total."""
    chance = random.Random(seed)
    subjects = dict(_subjects(folder))
    found: Counter[tuple[str, str, str]] = Counter()
    for number in range(count):
        name = list(subjects)[number % len(subjects)]
        content, check = subjects[name]
        kind, other = damaged(content, chance)
        found[name, kind, NOTHING if other == content else _outcome(check, other)] += 1
    return found


def _outcome(check: Check, content: bytes) -> str:
    try:
        return check(content)
    except Exception:  # noqa: BLE001 - any exception would be shown as a traceback
        return TRACEBACK


def _subjects(folder: Path) -> Iterator[tuple[str, tuple[bytes, Check]]]:
    """Each kind of file: its content, and the check of a damaged one."""
    one = writer.write(str(folder / "one"), next(iter(attempts(1))))
    yield "attempt's file", (Path(str(one)).read_bytes(), _rows(Path(str(one)), 1))
    for attempt in attempts(20):
        writer.write(str(folder / "many"), attempt)
    compact.compact(str(folder / "many"))
    (part,) = (folder / "many").rglob("*.parquet")
    yield "compacted file", (part.read_bytes(), _rows(part, 20))
    yield "clusters", _clusters(folder / "clusters")
    yield "checkpoint", (_checkpoint(2), _resumed(folder / "checkpoints"))
    files = _model()
    for name in files:
        yield name, (files[name], _kept_model(files, name))
    told = {"study": "demo", "trials": [["key", "cell", seed] for seed in range(50)], "n_trials": 50}
    yield "_study.json", (seal_json(told), _told(told))
    yield "exchange", (_checkpoint(2), _exchange(folder / "exchange.pt"))
    own = study.parse(YAML, "study.yaml", Path())
    yield "study.yaml", (YAML.encode(), _study(own.whole(), OTHER))
    copy = Path(str(snapshot.write(own, folder / "copy")))
    yield "_study.yaml", (copy.read_bytes(), _study(own.whole(), SILENT))
    (folder / "copy" / JOB).write_bytes(seal_json(vars(driver.new_job("demo", "http://head:8265", "/results", 2))))
    yield "_job.json", ((folder / "copy" / JOB).read_bytes(), _job(folder / "copy"))
    yield from _queued(own, folder / "queue")


def _rows(path: Path, count: int) -> Check:
    """The reader and `peek` must both skip all rows of the file, and say so."""
    root = path.parents[2]
    if reader.load(str(root)).table.num_rows != count:
        raise AssertionError

    def check(content: bytes) -> str:
        path.write_bytes(content)
        loaded, seen = reader.load(str(root)), peek.statuses(str(root), "bench")
        told = len(loaded.skipped) == len(seen.skipped) == 1
        return SEEN if told and not loaded.table.num_rows and not seen.statuses else SILENT

    return check


def _clusters(folder: Path) -> tuple[bytes, Check]:
    """A file of samples' clusters; a damaged one must be refused."""
    clusters = np.arange(300) % 3
    floats = (clusters / 3).astype(np.float32)
    data = Dataset("d", floats[:, None], None, (), "d")
    attempt = Attempt(study="s", trial_key="t", config_key="c", seed=0, attempt_id="A", status="ok")
    rule = assignments.KeepRule("nmi", "max", every=True)
    assignments.keep(folder, attempt, (1, Assignment(clusters, floats, clusters, floats)), data, rule)
    (file,) = (Path(str(one)) for one in assignments.stored(folder).values())
    row = {"trial_key": "t", "attempt_id": "A", "cluster_sizes": [100, 100, 100]}
    assignments.read(folder, row)

    def check(content: bytes) -> str:
        file.write_bytes(content)
        try:
            assignments.read(folder, row)
        except UserError:
            return SEEN
        return SILENT

    return file.read_bytes(), check


def _checkpoint(epoch: int) -> bytes:
    attempt = Attempt(study="s", trial_key="t", config_key="c", seed=0, attempt_id="A", seconds=1.5, epochs_done=epoch)
    state = TrainingState(epoch, {"modules": {"w": torch.arange(3000.0)}}, {"order": torch.zeros(16)}, None)
    return state.to_bytes(origin={"trial_key": "t"}, seconds=1.5, label_free=0.5, attempt=kept.of_attempt(attempt))


def _resumed(folder: Path) -> Check:
    """The checkpoint before a damaged one must be used."""

    def read(content: bytes) -> int:
        state, extra = TrainingState.from_bytes(content)
        kept.read(extra)
        return state.epoch

    folder.mkdir()
    (folder / "t.000000001.pt").write_bytes(_checkpoint(1))

    def check(content: bytes) -> str:
        (folder / "t.000000002.pt").write_bytes(content)
        found = Checkpoints(folder, "t")
        return SEEN if found.newest(read) == 1 and found.trouble else SILENT

    return check


def _model() -> dict[str, bytes]:
    from hashlib import sha256

    model = SavedModel({"w": torch.arange(3000.0)}, {"head": torch.ones(4)}, {"centroids": torch.ones(2, 2)})
    files = {
        f"{NAME}.pt": model.weights_file(),
        f"{NAME}.safetensors": model.safetensors_file(),
        f"{NAME}.rest": model.rest_file(),
    }
    told = {"study": "s", "files": {name: sha256(content).hexdigest() for name, content in files.items()}}
    return files | {f"{NAME}.json": seal_json(told)}


def _kept_model(files: dict[str, bytes], name: str) -> Check:
    def check(content: bytes) -> str:
        try:
            told = unseal_json(content if name == f"{NAME}.json" else files[f"{NAME}.json"])
            refuse_damaged(told, name, content)
        except (UserError, ValueError):
            return SEEN
        return SILENT if name != f"{NAME}.json" or json.loads(content) != json.loads(files[name]) else NOTHING

    return check


def _told(whole: dict[str, Any]) -> Check:
    def check(content: bytes) -> str:
        try:
            return NOTHING if unseal_json(content) == whole else SILENT
        except ValueError:
            return SEEN

    return check


def _exchange(file: Path) -> Check:
    def check(content: bytes) -> str:
        file.write_bytes(content)
        found, trouble = try_to_read(file, TrainingState.from_bytes)
        return SEEN if found is None and trouble else SILENT

    return check


def _job(folder: Path) -> Check:
    whole = driver.read(folder)

    def check(content: bytes) -> str:
        (folder / JOB).write_bytes(content)
        try:
            return NOTHING if driver.read(folder) == whole else SILENT
        except UserError:
            return SEEN

    return check


def _queued(own: study.Study, results: Path) -> Iterator[tuple[str, tuple[bytes, Check]]]:
    """The files of an entry of a queue."""
    queue = Queue(str(results))
    entry = queue.add(own.name, own.whole(), [f"{number:032x}" for number in range(6)])
    state, keys, copy = (queue.path(entry.number, kind) for kind in ("json", "keys", "yaml"))

    def listed(content: bytes) -> str:
        state.write_bytes(content)
        entries, skipped = queue.read()
        state.write_bytes(whole)
        return NOTHING if entries == [entry] else SILENT if entries or not skipped else SEEN

    def counted(content: bytes) -> str:
        keys.write_bytes(content)
        try:
            queue.trials_done(entry, str(results))
        except UserError:
            return SEEN
        return NOTHING if content.split() == names.split() else SILENT

    whole, names = state.read_bytes(), keys.read_bytes()
    yield "queue: .json", (whole, listed)
    yield "queue: .keys", (names, counted)
    yield "queue: .yaml", (copy.read_bytes(), _study(own.whole(), SILENT))


def _study(whole: str, other: str) -> Check:
    """The check of a study file; another valid study counts as `other`.

    A user's own file has no digest: a flip can turn it into another study, which `plan` shows.
    """

    def check(content: bytes) -> str:
        with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
            Path(file.name).write_bytes(content)
            try:
                return NOTHING if study.load(file.name).whole() == whole else other
            except UserError:
                return SEEN

    return check


def cost(count: int, folder: Path) -> tuple[float, float]:
    """CPU seconds of reading `count` trials like `aggregate`, and the share of the digests."""
    for attempt in attempts(count):
        writer.write(str(folder), attempt)
    digest, pairs = header._digest, list[tuple[float, float]]()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    for _ in range(REPEATS):
        header._digest = digest  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        with_digest = _seconds(folder)
        header._digest = lambda file, place: file[place : place + 64]  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        pairs.append((with_digest, _seconds(folder)))
    header._digest = digest  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return median(one for one, _ in pairs), median(one / other for one, other in pairs) - 1


def _seconds(folder: Path) -> float:
    begun = time.process_time()
    reader.load(str(folder), columns=wanted_columns("nmi"))
    return time.process_time() - begun


def main() -> None:
    """Prints both tables."""
    count, seed, trials = (*map(int, sys.argv[1:]), *(10_000, 0, 10_000)[len(sys.argv) - 1 :])
    columns = (SEEN, SILENT, TRACEBACK, OTHER, NOTHING)
    print(f"{count} damages, seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        found = survey(count, seed, Path(folder))
    print(f"{'':<24}{'':<13}" + "".join(f"{one:>15}" for one in columns))
    for name, kind in sorted({key[:2] for key in found}):
        print(f"{name:<24}{kind:<13}" + "".join(f"{found[name, kind, one]:>15}" for one in columns))
    with tempfile.TemporaryDirectory() as folder:
        seconds, share = cost(trials, Path(folder))
    print(f"reading {trials} trials: {seconds:.2f} CPU s, of which the digests are {share:+.1%}")


if __name__ == "__main__":
    main()
