"""submit, logs, stop and resume against a real cluster of two nodes that asks for a token."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import requests

from cluster.submit import Jobs
from core.seal import seal_json
from jobs.execution import submit
from jobs.execution.driver import Job
from jobs.results import provenance, stops
from jobs.results.lock import exclusive
from jobs.results.reader import read_results
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from jobs.study import study
from tests.cluster.nodes import Nodes, free_port, new_token
from tests.docs.pages import blocks

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
# At the end of mine.py: trials of the higher learning rate wait after their first epoch until there is a file.
HELD = """

import os
import time

_begin_epoch = Method.begin_epoch


def _wait(self, epoch, samples):
    _begin_epoch(self, epoch, samples)
    is_held = epoch > 1 and self.optimisers["all"].param_groups[0]["lr"] > 7e-4
    while is_held and not os.path.exists({file!r}):
        time.sleep(0.05)


Method.begin_epoch = _wait
"""


@pytest.fixture(scope="module")
def nodes():
    """A head that takes jobs and a worker, started as ray_config.yaml does: by a path, with no Python in the PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/usr/bin:/bin")
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
    table = read_results(str(folder), attempts=True, columns=["param.*", "by"], history=True)
    return table.to_pylist()


def told(nodes):
    """What the cluster's dashboard tells of its jobs."""
    own = {"Authorization": f"Bearer {nodes.token}"}
    return requests.get(f"{nodes.jobs_address}/api/jobs/", headers=own, timeout=300).text


def jobs_of(nodes, study):
    """The jobs of a study that the cluster lists."""
    submitted = [one for one in json.loads(told(nodes)) if one["submission_id"]]
    return [one["submission_id"] for one in submitted if one["metadata"]["study"] == study]


def in_two_terminals(root, *arguments):
    """Exit code and standard error of the same command, started twice at the same moment; once as on Windows."""
    words = [*map(str, arguments)]
    ways = (["-m", "conclus", *words], [root / "tests" / "jobs" / "like_windows.py", json.dumps([words])])
    env = os.environ | {"PYTHONPATH": str(root)}
    both = [subprocess.Popen([sys.executable, *way], env=env, stderr=subprocess.PIPE, text=True) for way in ways]
    errors = [one.communicate(timeout=300)[1] for one in both]
    return [(one.returncode, " ".join(err.split())) for one, err in zip(both, errors, strict=True)]


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


def test_a_study_is_run_with_all_that_belongs_to_it_and_the_token_is_nowhere(nodes, here, command, monkeypatch):
    shared = here / "shared"
    monkeypatch.setenv(provenance.BY, "ann")  # the cluster's user is another than the one who submits
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
    assert {one["by"] for one in rows(shared)} == {"ann"}
    record = json.loads((shared / "study=s" / "_job.json").read_text())
    assert record["address"] == nodes.jobs_address
    assert record["job"] in err
    assert nodes.token not in out + err + told(nodes)
    assert nodes.token.encode() not in files_of(shared)
    code, out, err = command("logs", shared)
    assert (code, "all 2 trials are done" in out) == (0, True)
    code, out, _ = command("status", shared)
    assert out.startswith("s: 2 of 2 trials done\n  best nmi 0.")
    assert record["job"] in out
    # Another terminal has asked the cluster for such a job before this one was submitted.
    (shared / "study=s" / "_job.json").unlink()
    ask, asked = Jobs.having, []
    monkeypatch.setattr(Jobs, "having", lambda *given: ask(*given) if asked else asked.append(given) or [])
    code, _, err = command("submit", "study.yaml", "--address", nodes.jobs_address, "--results", f"{shared}/")
    assert code == 0
    assert f"{record['job']} is SUCCEEDED at {nodes.jobs_address}" in " ".join(err.split())
    assert jobs_of(nodes, "s") == [record["job"]]
    assert json.loads((shared / "study=s" / "_job.json").read_text()) == record


def test_a_job_whose_budget_is_spent_is_left_and_not_called_failed(nodes, here, command):
    where = ("--address", nodes.jobs_address, "--results", here / "shared")
    code, out, err = command("submit", "study.yaml", *where, "--set", "budget.trials=1", "--follow", "--keep-going")
    assert code == 3, out + err
    (entrypoint,) = {one["entrypoint"] for one in json.loads(told(nodes)) if str(here) in one["entrypoint"]}
    assert "--keep-going" in entrypoint
    assert err.splitlines()[-1].endswith(": left, more to do: submit it again")
    code, out, err = command("logs", here / "shared")
    assert (code, "1 trial is left; go on with: conclus resume" in out) == (0, True), out
    assert err.splitlines()[-1].endswith(": left, more to do: submit it again")
    assert " with exit code 3\n" in command("status", here / "shared")[1]
    plan = json.loads((here / "shared" / "study=s" / "_study.json").read_text())["trials"]
    (key,) = {one[0] for one in plan} - done(here / "shared").keys()
    row = Attempt(study="s", trial_key=key, config_key="c", seed=0, attempt_id=new_attempt_id(), status="failed")
    write(str(here / "shared"), row)
    err = command("logs", here / "shared")[2]
    assert err.endswith(f"trial {key} failed: conclus logs {here / 'shared'} --trial {key}\n")


def wait_for(condition):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def done(folder):
    """The good attempts, by trial."""
    if not list(folder.glob("study=*/trials/*.parquet")):
        return {}
    return {one["trial_key"]: one["attempt_id"] for one in rows(folder) if one["status"] == "ok"}


def test_one_job_runs_however_often_it_is_submitted_and_stop_and_resume_keep_everything(nodes, here, command, root):
    shared = here / "shared"
    (here / "study.yaml").write_text(STUDY.format(name="long", epochs=4, seeds=[0, 1]))
    with (here / "mine.py").open("a") as file:
        file.write(HELD.format(file=str(here / "go")))
    submit = ("submit", "study.yaml", "--address", nodes.jobs_address, "--results", shared)
    submitted = in_two_terminals(root, *submit)
    assert sorted("nothing new was submitted" in err for _, err in submitted) == [False, True], submitted
    for code, err in submitted:
        assert code == 0, err
        assert f"conclus stop {shared} --study long" in err
    wait_for(lambda: done(shared))
    (job,) = jobs_of(nodes, "long")
    record = shared / "study=long" / "_job.json"
    for before in (lambda: None, record.unlink):
        before()
        code, _, err = command(*submit)
        assert code == 0
        assert f"{job} is RUNNING at {nodes.jobs_address} (submitted 20" in " ".join(err.split())
        assert json.loads(record.read_text())["job"] == job
    code, _, err = command("resume", shared)
    assert (code, "nothing new was submitted" in " ".join(err.split())) == (0, True)
    stops.ask(record.parent, "t", "ann")
    lock, away = record.with_name("_run.lock"), record.with_name("_away")
    for before in (lambda: None, lambda: lock.rename(away)):  # A job that waits holds no lock.
        before()
        code, _, err = command("resume", shared, "--trial", "t")
        assert (code, "study long runs: trial t stays stopped" in err, stops.asked(record.parent)) == (2, True, {"t"})
    away.rename(lock)
    assert jobs_of(nodes, "long") == [job]
    code, out, err = command("stop", shared)
    assert code == 0, out + err
    assert "STOPPED" in err
    before = done(shared)
    assert 1 <= len(before) <= 2
    assert out.startswith(f"long: {len(before)} of 4 trials done")
    assert "running" not in out
    log = command("logs", shared)[1]
    assert f"go on with: conclus resume {shared} --study long" in log
    assert command("stop", shared)[0] == 0
    (here / "study.yaml").unlink()
    (here / "mine.py").unlink()
    (here / "go").touch()
    code, out, err = command("resume", shared, "--trial", "t")
    assert (code, stops.asked(record.parent)) == (0, set()), out + err
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
    before = told(nodes)
    code, out, err = command("submit", "study.yaml", "--address", nodes.jobs_address, "--results", here / "shared")
    assert code == 2
    assert sentence in err.splitlines()[-1]
    assert "Traceback" not in out + err
    assert "0" * 64 not in out + err
    assert told(nodes) == before
    assert not (here / "shared").exists()


def test_the_port_of_the_head_itself_is_told_from_that_of_its_dashboard(nodes, here, command):
    code, _, err = command("submit", "study.yaml", "--address", f"http://{nodes.address}", "--results", here / "shared")
    assert code == 2
    assert "speaks no HTTP: this may be the port of Ray's own processes" in err
    assert "8265 by default" in err


def test_a_job_that_the_cluster_does_not_know_is_a_sentence(nodes, here, command):
    code, _, err = command("logs", "nowhere", "--address", nodes.jobs_address, "--job", "s-1")
    assert code == 2
    assert f"{nodes.jobs_address} has no job s-1" in err


def test_a_study_that_is_wrong_is_not_sent(nodes, here, command):
    before = told(nodes)
    (here / "study.yaml").write_text("study: s\ntrial: {data: {name: file, path: gone.csv}}\n")
    code, _, err = command("submit", "study.yaml", "--address", nodes.jobs_address, "--results", here / "shared")
    assert code == 2
    assert "gone.csv" in err
    assert "if the data lie on the cluster alone, add --remote-data" in err
    assert told(nodes) == before


def test_a_study_that_something_else_runs_is_not_submitted(nodes, here, command):
    shared, before = here / "shared", told(nodes)
    with socket.create_server(("127.0.0.1", 0)) as stranger, exclusive(str(shared), "s"):
        stranger.settimeout(0)
        address = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        job = Job("s-1", address, "s", str(shared), None, "2026-01-01T00:00:00+00:00", "eve@elsewhere")
        (shared / "study=s" / "_job.json").write_bytes(seal_json(asdict(job)))
        code, _, err = command("submit", "study.yaml", "--address", nodes.jobs_address, "--results", shared)
        with pytest.raises(BlockingIOError):  # The address of somebody else's results is told, and not asked.
            stranger.accept()
    assert code == 2
    assert f"s-1, the job before, counts as lost: _job.json names the cluster at {address}, but you never" in err
    assert f"process {os.getpid()} on {socket.gethostname()} is running this study into these results" in err
    assert told(nodes) == before


NOT_FOLLOWED = {
    "uv sync": "copies itself to other machines by SSH; tests/cluster/test_launchers.py checks the file",
    "docker build": "needs Docker and a registry; .ci/run checks the Dockerfile",
    "kubectl": "needs Kubernetes; tests/cluster/test_launchers.py checks the manifest",
    "sbatch": "needs Slurm; tests/cluster/test_launchers.py runs the script",
    "conclus doctor": "tests/jobs/test_doctor.py runs it on such a cluster",
    "uv venv": "downloads gigabytes",
    'python3 -m venv ~/.conclus\n~/.conclus/bin/pip install ".[cluster]"': "downloads gigabytes",
    "python3 -m venv ~/.conclus\n~/.conclus/bin/pip install --index-url": "downloads gigabytes",
    "python3 -m pip wheel": "downloads gigabytes",
    "ray start": "needs a second machine; tests/faults/test_sharing.py starts such nodes",
    "export CUDA_VISIBLE_DEVICES": "needs a card with slices; tests/cluster/test_resources.py counts some",
    "python3 -m venv ~/.conclus\n~/.conclus/bin/pip install --no-index": "tests/docs/test_install.py runs it",
}


def test_the_page_on_clusters_can_be_followed_word_for_word(nodes, here, command, root, monkeypatch):
    (here / "study.yaml").write_text(STUDY.format(name="page", epochs=4000, seeds=[0]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    shell = [one.text for one in blocks(root / "docs" / "cluster.md") if one.language == "sh"]
    assert all(any(text.startswith(begin) for text in shell) for begin in NOT_FOLLOWED)
    told = ""
    for text in shell:
        if text.startswith(tuple(NOT_FOLLOWED)):
            continue
        script = text.replace("http://HEAD:8265", nodes.jobs_address).replace("/shared/results", f"{here}/shared")
        done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        told += done.stdout + done.stderr
    assert (here / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    first, second = re.findall(r"^submitted (\S+) to", told, re.MULTILINE)
    assert {first, second} == set(jobs_of(nodes, "page"))
    begun = (f"submitted {first} to", f"{first} is RUNNING at", f"{first}: STOPPED", f"submitted {second} to")
    places = [told.find(one) for one in begun]
    assert -1 not in places, told
    assert places == sorted(places)
    assert command("stop", here / "shared")[0] == 0


def test_a_job_of_a_lost_head_is_replaced(nodes, here, command):
    shared = here / "shared"
    (here / "study.yaml").write_text(STUDY.format(name="lost", epochs=400, seeds=[0]))
    submit = ("submit", "study.yaml", "--address", nodes.jobs_address, "--results", shared)
    assert command(*submit)[0] == 0
    (job,) = jobs_of(nodes, "lost")
    wait_for(lambda: list(shared.glob("study=lost/_checkpoints/*")))
    nodes.kill("head")
    for arguments in (("logs", shared), ("stop", shared), submit):
        code, _, err = command(*arguments)
        assert code == 2
        assert f"Nothing answers at {nodes.jobs_address}" in err
    nodes.start_head()
    code, _, err = command("logs", shared)
    assert (code, err) == (
        2,
        f"Error: The cluster at {nodes.jobs_address} has no job {job}: was the cluster restarted?\n",
    )
    code, out, err = command("stop", shared)
    assert (code, f"{job} does not run: LOST" in err) == (0, True), err
    code, out, err = command(*submit, "--set", "epochs=2", "--follow")
    assert (code, "all 2 trials are done" in out) == (0, True), out + err
    assert f"{job}, the job before, counts as lost: The cluster at" in err
    (new,) = jobs_of(nodes, "lost")
    assert new != job
    assert json.loads((shared / "study=lost" / "_job.json").read_text())["job"] == new
