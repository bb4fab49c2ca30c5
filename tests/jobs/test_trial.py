"""One trial in its process: its row, its failures, its checkpoint, and a process killed at any moment."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.config import plugins
from core.config.trial import to_mapping
from core.evaluation import health
from jobs.execution.trial import run_trial
from jobs.planning import plan
from jobs.results import provenance, reader, stops
from jobs.results.layout import study_folder
from jobs.study import study

TEXT = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: cc}
  encoder: {name: mlp, widths: [16, 8]}
  batch_size: 16
  epochs: 6
  evaluation: {every: 2}
"""


@pytest.fixture
def payload(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    (tmp_path / "study.yaml").write_text(TEXT)

    def payload(results="results", overrides=(), **changes):
        (one, *_) = plan.make(study.load(tmp_path / "study.yaml", overrides)).trials
        env = provenance.environment()
        order = {
            "study": "s",
            "results": str(tmp_path / results),
            "trial_key": one.trial_key,
            "config_key": one.config_key,
            "seed": one.seed,
            "trial": to_mapping(one.config),
            "parameters": dict(one.parameters),
            "data_hash": one.data_hash,
            "contents": one.plug_ins,
            "code_hash": "code",
            "env": env,
            "env_hash": provenance.environment_hash(env),
            "metric": "nmi",
            "mode": "max",
            "checkpoint_share": 1.0,
        }
        return order | changes

    return payload


def row(order, *, attempts=False):
    table = reader.read_results([order["results"]], history=True, attempts=attempts)
    return table.to_pylist()[0] if not attempts else table.to_pylist()


def history(order):
    """The row's history without its clock."""
    return [(one["epoch"], one["metric"], one["value"]) for one in row(order)["history"]]


def ignore(_):
    pass


def test_a_request_to_end_that_comes_in_the_last_epoch_is_deleted(payload):
    order = payload(overrides=["trial.epochs=1", "trial.evaluation.every=1"])
    folder = study_folder(order["results"], "s")
    stops.ask(folder, order["trial_key"], "ann")
    stops.ask(folder, "another", "ann")
    assert run_trial(order, ignore)["status"] == "ok"
    assert stops.asked(folder) == {"another"}


def test_the_row_of_a_finished_trial(payload):
    order, heard = payload(), []
    outcome = run_trial(order, heard.append)
    found = row(order)
    assert (outcome["status"], found["status"]) == ("ok", "ok")
    metrics, signals = (
        {name.partition(".")[2]: value for name, value in found.items() if name.startswith(kind)}
        for kind in ("metric.", "health.")
    )
    assert found["reason"] == "; ".join(health.warnings(metrics, signals))
    assert outcome["value"] == found["metric.nmi"]
    assert [one["epoch"] for one in heard] == [1, 2, 3, 4, 5]
    assert found["epochs_done"] == 6
    assert found["param.method.instance_temperature"] == 0.5
    assert sum(found["cluster_sizes"]) == 60
    scored = {one["epoch"]: one["value"] for one in found["history"] if one["metric"] == "nmi"}
    assert set(scored) == {2, 4, 6}
    assert found["best_epoch"] == min(epoch for epoch in scored if scored[epoch] == max(scored.values()))
    assert found["best.nmi"] == max(scored.values())
    label_free = {one["epoch"]: one["value"] for one in found["history"] if one["metric"] == "health.label_free"}
    assert found["label_free_epoch"] == max(label_free, key=lambda epoch: (label_free[epoch], -epoch))
    assert len(found["probe_labels"]) == 60
    assert sorted(set(found["probe_labels"])) == list(range(len(set(found["probe_labels"]))))
    losses = [one["value"] for one in found["history"] if one["metric"] == "loss"]
    assert len(losses) == 6
    assert not list(Path(order["results"]).rglob("*.pt"))


def test_a_row_names_what_auto_came_to(payload):
    order = payload("open", ["encoder.name=auto"])
    run_trial(order, ignore)
    found = row(order)
    assert (found["param.encoder.name"], found["chosen_encoder"]) == ("auto", "mlp")
    assert (found["param.views.name"], found["chosen_views"]) == ("auto", "neighbours")
    order = payload("named", ["views=noise"])
    run_trial(order, ignore)
    assert (row(order)["chosen_encoder"], row(order)["chosen_views"]) == ("", "")


def test_interrupted_and_resumed_equals_uninterrupted(payload):
    straight = payload("straight")
    run_trial(straight, ignore)
    for stop_after in range(1, 6):
        order = payload(f"stopped-{stop_after}")

        def stop(news, stop_after=stop_after):
            if news["epoch"] == stop_after:
                raise SystemExit

        with pytest.raises(SystemExit):
            run_trial(order, stop)
        assert (row(order)["status"], row(order)["reason"]) == ("running", "INTERRUPTED")
        assert row(order)["epochs_done"] == stop_after
        heard = []
        assert run_trial(order, heard.append)["status"] == "ok"
        assert [one["epoch"] for one in heard] == list(range(stop_after + 1, 6))  # it did not start again
        assert history(order) == history(straight)
        for name in ("best.nmi", "best_epoch", "label_free_epoch", "probe_labels", "cluster_sizes"):
            assert row(order)[name] == row(straight)[name]


# Before its last epoch it waits for those who are to kill it.
SLOW = """import json, pathlib, sys, time
sys.path.insert(0, {root!r})
from jobs.execution.trial import run_trial

def report(news):
    time.sleep(0.15)
    while news["epoch"] == 5 and not pathlib.Path(sys.argv[1]).with_name("go").exists():
        time.sleep(0.05)

run_trial(json.load(open(sys.argv[1])), report)
"""


def test_a_trial_killed_at_random_moments_ends_as_an_uninterrupted_one(payload, tmp_path):
    straight, order = payload("straight"), payload("killed")
    run_trial(straight, ignore)
    (tmp_path / "order.json").write_text(json.dumps(order))
    code = SLOW.format(root=str(Path(__file__).resolve().parents[2]))
    killed, chance = 0, random.Random(4)
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "order.json")])
        deadline = time.monotonic() + 300
        while not list((tmp_path / "killed").rglob("*.parquet")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(chance.uniform(0.2, 0.5) if killed else 1.0)
        if process.poll() is None and killed < 2:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        if killed == 2:
            (tmp_path / "go").touch()
        if process.wait() == 0:
            break
    assert killed == 2
    assert history(order) == history(straight)
    assert [one["status"] for one in row(order, attempts=True)].count("ok") == 1


def test_a_finished_trial_is_not_run_again(payload):
    order, heard = payload(), []
    run_trial(order, ignore)
    assert run_trial(order, heard.append)["status"] == "ok"
    assert not heard
    assert len(row(order, attempts=True)) == 1


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04 half a zip"])
def test_a_torn_checkpoint_starts_the_trial_again_and_says_so(payload, content):
    order = payload()
    folder = Path(order["results"], "study=s", "_checkpoints")
    folder.mkdir(parents=True)
    (folder / f"{order['trial_key']}.pt").write_bytes(content)
    assert run_trial(order, ignore)["status"] == "ok"
    assert row(order)["reason"].startswith("RESTARTED: the checkpoint could not be read")


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def stop_after(epoch):
    def report(news):
        if news["epoch"] == epoch:
            raise SystemExit

    return report


@pytest.mark.parametrize(("torn", "said"), [(1, "RESUMED at epoch 3: a newer checkpoint"), (2, "RESTARTED: ")])
def test_a_checkpoint_cut_in_half_costs_the_epochs_since_the_one_before_it(payload, torn, said):
    straight, order, heard = payload("straight"), payload(), []
    run_trial(straight, ignore)
    with pytest.raises(SystemExit):
        run_trial(order, stop_after(4))
    stored = sorted(Path(order["results"]).rglob("*.pt"))
    assert [file.name.split(".")[1] for file in stored] == ["000000003", "000000004"]
    for file in stored[-torn:]:
        cut(file)
    run_trial(order, lambda news: heard.append(news["epoch"]))
    assert row(order)["reason"].startswith(said)
    assert heard == list(range(4 if torn == 1 else 1, 6))
    assert history(order) == history(straight)
    assert not list(Path(order["results"]).rglob("*.pt"))


def test_torn_checkpoints_do_not_stand_in_the_way_of_later_ones(payload):
    order, heard = payload(), []
    with pytest.raises(SystemExit):
        run_trial(order, stop_after(4))
    for file in Path(order["results"]).rglob("*.pt"):
        cut(file)
    with pytest.raises(SystemExit):
        run_trial(order, stop_after(2))
    run_trial(order, lambda news: heard.append(news["epoch"]))
    assert heard == [3, 4, 5]


@pytest.mark.parametrize(("share", "newest"), [(1.0, [1, 2, 3, 4, 5]), (0.0, [1, 1, 1, 1, 1])])
def test_a_checkpoint_is_written_after_every_epoch_unless_that_takes_too_much_of_the_time(payload, share, newest):
    order, seen = payload(checkpoint_share=share), []

    def look(_):
        seen.append(max(int(file.name.split(".")[1]) for file in Path(order["results"]).rglob("*.pt")))

    run_trial(order, look)
    assert seen == newest


def test_where_results_cannot_be_written_the_outcome_says_so(payload, tmp_path):
    (tmp_path / "a-file").touch()
    outcome = run_trial(payload("a-file/results"), ignore)
    assert (outcome["status"], outcome["stored"]) == ("failed", False)
    assert outcome["reason"].startswith("RESULTS_UNWRITABLE: ")
    assert "\n" not in outcome["reason"]


def test_a_checkpoint_of_other_code_is_not_gone_on_with(payload):
    straight = payload("straight")
    run_trial(straight, ignore)

    def stop(_):
        raise SystemExit

    with pytest.raises(SystemExit):
        run_trial(payload(), stop)
    with pytest.raises(SystemExit):
        run_trial(payload(code_hash="newer"), stop)
    (newer,) = Path(payload()["results"]).rglob("*.pt")  # the one of the older code is gone
    assert newer.name.endswith(".000000001.pt")
    shutil.rmtree(newer.parent)
    with pytest.raises(SystemExit):
        run_trial(payload(), stop)
    run_trial(payload(code_hash="newer"), ignore)
    assert row(payload())["reason"].startswith("RESTARTED: the checkpoint is of other code or data")
    assert history(payload()) == history(straight)


def test_a_loss_that_is_not_finite_is_a_failed_row_with_its_reason(payload):
    order = payload(overrides=["learning_rate=1e30"])
    assert run_trial(order, ignore)["status"] == "failed"
    assert row(order)["reason"].startswith("DIVERGED: 3 steps in a row")


def test_an_error_of_a_plug_in_is_a_failed_row_with_its_traceback(payload, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from core.methods.cc import Method as Base\n"
        "class Method(Base):\n"
        "    def __init__(self, setting, *, at: int = 3):\n"
        "        super().__init__(setting)\n"
        "        self.at, self.steps = at, 0\n"
        "    def step(self, batch):\n"
        "        self.steps += 1\n"
        "        if self.steps > self.at: raise RuntimeError('mine broke\\nbadly')\n"
        "        return super().step(batch)\n"
    )
    plugins.allow_named(tmp_path / "mine.py")
    order = payload(overrides=[f"method.name={tmp_path / 'mine.py'}", "method.at=5"])
    assert run_trial(order, ignore)["reason"] == "ERROR: RuntimeError: mine broke"
    found = row(order)
    assert (found["status"], found["param.method.name"], found["epochs_done"]) == ("failed", "mine.py", 1)
    (log,) = Path(order["results"]).rglob("*.txt")
    assert "mine broke\nbadly" in log.read_text()


def test_data_that_changed_since_the_plan_fail_the_trial(payload, tmp_path):
    order = payload(data_hash="0" * 64)
    assert run_trial(order, ignore)["status"] == "failed"
    assert row(order)["reason"].startswith("BAD_INPUT: the data mine changed")


def test_an_image_view_of_vectors_is_bad_input(payload):
    order = payload(overrides=["views.name=affine"])
    assert run_trial(order, ignore)["status"] == "failed"
    assert row(order)["reason"].startswith("BAD_INPUT: views 'affine' need images")


MINE = """
import math

from core.evaluation.clustering import Scores
from core.methods.cc import Method as Base
from core.evaluation.scoring import Scoring as BaseScoring


class Scoring(BaseScoring):
    values = iter(VALUES)

    def __call__(self, method, *, due, last, outputs):
        return Scores({"mine": next(self.values)}, {})


class Method(Base):
    loss_parts = ("loss_instance", "loss_cluster", "loss_entropy")
    scores = ("mine",)

    def scoring(self, task):
        return Scoring()
"""


@pytest.mark.parametrize(("mode", "best"), [("max", 3), ("min", 2)])
def test_the_best_epoch_is_one_with_a_number_where_the_first_had_none(payload, tmp_path, mode, best):
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("VALUES", "[math.nan, 0.1, 0.3, math.nan, 0.2, 0.1]") + f"# {mode}\n")
    plugins.allow_named(file)
    order = payload(overrides=[f"method={file}"], metric="mine", mode=mode)
    assert run_trial(order, ignore)["status"] == "ok"
    found = row(order)
    assert (found["best_epoch"], found["best.mine"]) == (best, {3: 0.3, 2: 0.1}[best])
