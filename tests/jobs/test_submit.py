"""submit, logs, stop and resume against a real cluster of two nodes that asks for a token."""

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
import requests

from cluster.submit import Jobs
from jobs.results.reader import read_results
from jobs.study import study
from jobs.submission import submit
from tests.cluster.nodes import Nodes, free_port, new_token

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STUDY = """study: {name}
trial:
  data: digits
  encoder: {{name: mlp, widths: [16]}}
  method: ./mine.py
  epochs: {epochs}
  evaluation: {{every: 2}}
space: {{learning_rate: {{grid: [5.0e-4, 1.0e-3]}}}}
seeds: {seeds}
"""


@pytest.fixture(scope="module")
def nodes():
    """A head that takes jobs and a worker; jobs start the `python` of the head's path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        # Of this checkout nothing is to be seen from the cluster: what jobs import was sent.
        patch.delenv("PYTHONPATH", raising=False)
        with Nodes(token=new_token(), jobs=True) as started:
            started.add("one")
            yield started


@pytest.fixture
def here(nodes, tmp_path, monkeypatch, root):
    """A person's folder with a study and its method in a file beside it, and their token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", nodes.token)
    # Ray's own client would go there instead of where it is told.
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{free_port()}")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(root / "core" / "methods" / "cc.py", tmp_path / "mine.py")
    (tmp_path / "study.yaml").write_text(STUDY.format(name="s", epochs=2, seeds=[0]))
    return tmp_path


def rows(folder):
    table = read_results(str(folder), attempts=True, columns=["param.*"], history=True)
    return table.to_pylist()


def jobs_of(nodes):
    """What the cluster's dashboard tells of its jobs."""
    own = {"Authorization": f"Bearer {nodes.token}"}
    return requests.get(f"{nodes.jobs_address}/api/jobs/", headers=own, timeout=30).text


def files_of(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_no_node_can_run_is_said_when_it_is_submitted(nodes, here, capsys):
    jobs = Jobs(nodes.jobs_address)
    submit.warn_of_nodes(jobs, study.load("study.yaml"))
    assert not capsys.readouterr().err
    submit.warn_of_nodes(jobs, study.load("study.yaml", ["resources.custom={tape: 1}"]))
    assert capsys.readouterr().err == (
        "Warning: A trial asks for tape: 1, but the nodes offer no kind of card and no custom resource. "
        "The job ends at once, unless the cluster can start such a node.\n"
    )


def test_a_study_is_run_with_all_that_belongs_to_it_and_the_token_is_nowhere(nodes, here, command):
    shared = here / "shared"
    code, out, err = command(
        "submit", "study.yaml", "--address", nodes.jobs_address, "--results", shared, "--set", "batch_size=128",
        "--follow",
    )  # fmt: skip
    assert code == 0, out + err
    assert "SUCCEEDED" in err
    assert "Tune failed" not in out
    assert "all 2 trials are done" in out
    seen = {(one["status"], one["param.batch_size"], one["param.method.name"]) for one in rows(shared)}
    assert seen == {("ok", 128.0, "mine.py")}
    record = json.loads((shared / "study=s" / "_job.json").read_text())
    assert record["address"] == nodes.jobs_address
    assert record["job"] in err
    assert nodes.token not in out + err + jobs_of(nodes)
    assert nodes.token.encode() not in files_of(shared)
    code, out, err = command("logs", shared)
    assert (code, "all 2 trials are done" in out) == (0, True)
    code, out, _ = command("status", shared)
    assert out.startswith("s: 2 of 2 trials done\n  best nmi 0.")
    assert record["job"] in out


def wait_for(condition):
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def done(folder):
    """The good attempts, by trial."""
    if not list(folder.glob("study=*/trials/*.parquet")):
        return {}
    return {one["trial_key"]: one["attempt_id"] for one in rows(folder) if one["status"] == "ok"}


def test_stop_keeps_everything_and_resume_runs_no_finished_trial_again(nodes, here, command):
    shared = here / "shared"
    (here / "study.yaml").write_text(STUDY.format(name="long", epochs=40, seeds=[0, 1]))
    code, out, err = command("submit", "study.yaml", "--address", nodes.jobs_address, "--results", shared)
    assert code == 0, out + err
    assert f"conclus stop {shared} --study long" in err
    code, _, err = command("resume", shared)
    assert code == 2
    assert re.search(r"the job long-\w{26} is (PENDING|RUNNING)", err)
    wait_for(lambda: done(shared))
    code, out, err = command("stop", shared)
    assert code == 0, out + err
    assert "STOPPED" in err
    before = done(shared)
    assert 1 <= len(before) < 4
    assert out.startswith(f"long: {len(before)} of 4 trials done")
    assert "running" not in out
    log = command("logs", shared)[1]
    assert f"go on with: conclus resume {shared} --study long" in log
    assert command("stop", shared)[0] == 0
    (here / "study.yaml").unlink()
    (here / "mine.py").unlink()
    code, out, err = command("resume", shared)
    assert code == 0, out + err
    code, out, err = command("logs", shared, "--follow")
    assert (code, "all 4 trials are done" in out) == (0, True), out + err
    after = rows(shared)
    assert len(done(shared)) == 4
    for key, attempt in before.items():
        assert [one["attempt_id"] for one in after if one["trial_key"] == key] == [attempt]
    for one in after:
        epochs = [entry["epoch"] for entry in one["history"] if entry["metric"] == "loss"]
        assert len(epochs) == len(set(epochs))


@pytest.mark.parametrize(
    ("token", "sentence"), [("", "asks for a token"), ("0" * 64, "does not accept the token of RAY_AUTH_TOKEN")]
)
def test_no_token_and_a_wrong_one_are_a_sentence_each(nodes, here, command, monkeypatch, token, sentence):  # noqa: PLR0917
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    before = jobs_of(nodes)
    code, out, err = command("submit", "study.yaml", "--address", nodes.jobs_address, "--results", here / "shared")
    assert code == 2
    assert sentence in err.splitlines()[-1]
    assert "Traceback" not in out + err
    assert "0" * 64 not in out + err
    assert jobs_of(nodes) == before
    assert not (here / "shared").exists()


def test_a_job_that_the_cluster_does_not_know_is_a_sentence(nodes, here, command):
    code, _, err = command("logs", "nowhere", "--address", nodes.jobs_address, "--job", "s-1")
    assert code == 2
    assert f"{nodes.jobs_address} has no job s-1" in err


def test_a_study_that_is_wrong_is_not_sent(nodes, here, command):
    before = jobs_of(nodes)
    (here / "study.yaml").write_text("study: s\ntrial: {data: {name: file, path: gone.csv}}\n")
    code, _, err = command("submit", "study.yaml", "--address", nodes.jobs_address, "--results", here / "shared")
    assert code == 2
    assert "gone.csv" in err
    assert "if the data lie on the cluster alone, add --remote-data" in err
    assert jobs_of(nodes) == before
