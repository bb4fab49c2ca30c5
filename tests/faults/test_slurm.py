"""docs/cluster/slurm.sh as it stands on a real Slurm of two nodes: `pytest -n0 -m slurm`, three minutes."""

import math
import re
import sys
import time
from datetime import datetime
from itertools import groupby
from pathlib import Path

import pytest

from tests.cluster import slurm_nodes
from tests.cluster.slurm_nodes import SlurmNodes
from tests.faults.runs import SLOW, Folder, repeated

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "cluster" / "slurm.sh"
EPOCHS = 15
SEEDS = [0, 1, 2, 3]
BUSY = 240
"""Seconds that anything may take: the machine may be busy."""
ENVIRONMENT = {"CONCLUS_ENV": sys.prefix, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if why := slurm_nodes.lacking():
        pytest.skip(why)
    with SlurmNodes(tmp_path_factory.mktemp("slurm")) as started:
        yield started


def submit(slurm, study, *options):
    """Submits the script as it stands; the job's number."""
    log = f"--output={slurm.folder}/%j.out"
    return slurm(
        "sbatch", "--parsable", f"--chdir={study.path}", log, *options, str(SCRIPT), "study.yaml",
        str(study.path / "results"), **ENVIRONMENT,
    ).strip()  # fmt: skip


def ended(slurm, job):
    return slurm.job(job)["JobState"] in {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL"}


def resources(slurm, job):
    """The cores and cards that the job's Ray has on its nodes."""
    (token,) = slurm.folder.glob(".conclus-job.*/token")
    ray, address = str(Path(sys.prefix) / "bin" / "ray"), f"n1:{20000 + int(job)}"
    told = slurm(ray, "status", "--address", address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    return {name: total for total, name in re.findall(r"/(\S+) (CPU|GPU)", told)}


def environment(slurm):
    """The environment of the job's driver."""
    (driver,) = slurm.folder.glob(".conclus-job.*/driver")
    return slurm("cat", f"/proc/{driver.read_text().strip()}/environ").replace("\0", "\n")


def wait_for_an_epoch(slurm, job, study, *changes):
    """Until the requeued job, with these changes, has got through an epoch of each trial that it runs."""
    # Slurm lets a requeued job wait for two minutes: a node refuses a start in the very second of the end before it.
    slurm.wait_until(lambda: slurm.job(job)["JobState"] == "PENDING", BUSY)
    slurm("scontrol", "update", f"JobId={job}", "StartTime=now+3", "TimeLimit=10", *changes)
    begun = len(study.epochs())

    def went_on():
        assert not ended(slurm, job), slurm.said()
        return len(study.epochs()) > begun + 2

    slurm.wait_until(went_on, BUSY)


def test_its_time_limit_and_a_requeue_cost_no_trial_and_at_most_one_epoch_each_on_two_nodes_and_on_one(slurm, tmp_path):
    study = Folder(tmp_path)
    study.prepare(SLOW.format(pause=3, epochs=EPOCHS, seeds=SEEDS))
    job = submit(slurm, study, "--nodes=2", "--gres=gpu:1", "--time=10", "--signal=B:USR1@30")
    slurm.wait_until(lambda: len(study.epochs()) > 2, BUSY)
    assert resources(slurm, job) == {"CPU": "2.0", "GPU": "2.0"}  # of each node all
    began = datetime.fromisoformat(slurm.job(job)["StartTime"]).timestamp()
    assert f"SLURM_JOB_END_TIME={began + 600:.0f}\n" in environment(slurm)
    # A limit counts in minutes, and Slurm sends the signal up to half a minute earlier than it is asked to.
    slurm("scontrol", "update", f"JobId={job}", f"TimeLimit={math.ceil((time.time() - began + 40) / 60)}")
    slurm.wait_until(lambda: int(slurm.job(job)["Restarts"]) == 1, BUSY)
    said = (slurm.folder / f"{job}.out").read_text()
    assert "stopping: running trials are being kept resumable" in said
    assert "0/4 done · 2 running" in said
    wait_for_an_epoch(slurm, job, study)
    slurm("scontrol", "requeue", job)
    slurm.wait_until(lambda: int(slurm.job(job)["Restarts"]) == 2, BUSY)
    study.mend()
    wait_for_an_epoch(slurm, job, study, "NumNodes=1-1", "NumTasks=1", "NumCPUs=1")
    slurm.wait_until(lambda: ended(slurm, job), BUSY)
    told = slurm.job(job)
    assert (told["JobState"], told["ExitCode"], told["NumNodes"]) == ("COMPLETED", "0:0", "1"), slurm.said()
    study.check_whole({})
    assert [one["status"] for one in study.rows()] == ["ok"] * len(SEEDS)
    assert max(repeated(study.epochs()).values(), default=0) <= 2
    begun = study.epochs()
    for seed in {one.seed for one in begun}:  # no attempt went on after another had begun
        processes = [pid for pid, _ in groupby(one.pid for one in begun if one.seed == seed)]
        assert len(processes) == len(set(processes))
    assert not list(slurm.folder.glob(".conclus-job*"))
