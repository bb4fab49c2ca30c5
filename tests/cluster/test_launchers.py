"""The files that bring a cluster up, checked by Ray's own schema and commands; each check also sees a broken copy."""

import copy
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from datetime import datetime
from pathlib import Path

import click
import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler import sdk
from ray.scripts import symmetric_run

import conclus

ROOT = Path(__file__).resolve().parents[2]
LAUNCHERS = ("ray_config.yaml", "docs/cluster/aws.yaml", "docs/cluster/gcp.yaml")
RAYJOB = "docs/cluster/kuberay-rayjob.yaml"
SLURM = ROOT / "docs" / "cluster" / "slurm.sh"

# The fields of KubeRay's API, from ray-operator/apis/ray/v1/rayjob_types.go (commit 0057210) and raycluster_types.go
# (commit 026f143) of ray-project/kuberay; authOptions from the notes of its release 1.5.1; of pods and containers,
# some of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/.
FIELDS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata",
        "clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId",
        "submissionMode", "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished",
        "shutdownAfterJobFinishes", "suspend",
    },
    "spec.submitterConfig": {"backoffLimit"},
    "spec.rayClusterSpec": {
        "headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions",
        "headServiceAnnotations", "suspend", "authOptions",
    },
    "spec.rayClusterSpec.authOptions": {"mode"},
    "spec.rayClusterSpec.autoscalerOptions": {
        "resources", "image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext",
        "idleTimeoutSeconds", "upscalingMode",
    },
    "spec.rayClusterSpec.headGroupSpec": {
        "serviceType", "headService", "enableIngress", "rayStartParams", "template",
    },
    "spec.rayClusterSpec.workerGroupSpecs.0": {
        "groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template",
        "scaleStrategy",
    },
}  # fmt: skip
FIELDS["spec.rayClusterSpec.workerGroupSpecs.1"] = FIELDS["spec.rayClusterSpec.workerGroupSpecs.0"]
TEMPLATE = {
    "": {"metadata", "spec"},
    "spec": {"containers", "volumes", "serviceAccountName", "nodeSelector", "tolerations", "securityContext"},
    "spec.containers.0": {"name", "image", "env", "resources", "volumeMounts", "ports", "securityContext"},
}
SUBMISSION_MODES = {"K8sJobMode", "HTTPMode", "InteractiveMode"}


@functools.cache
def start_options():
    """The options of `ray start`, whose module takes more than a second to import."""
    from ray.scripts import scripts

    return {name for option in scripts.start.params for name in option.opts}


def load(name):
    return yaml.safe_load((ROOT / name).read_text())


def commands(config, kind):
    return [one for one in config[f"{kind}_start_ray_commands"] if "ray start" in one]


def complaints(config):
    """What is wrong with how the nodes of a launcher file are started."""
    for kind in ("head", "worker"):
        (one,) = commands(config, kind)
        yield from (f"{kind}: {complaint}" for complaint in complaints_of(one))
    setup = " ".join(config["setup_commands"])
    is_own = config["provider"]["type"] == "local"
    wanted = {
        "a cloud's dashboard is open": is_own or "--dashboard-host=127.0.0.1" in commands(config, "head")[0],
        "the token does not travel": config["file_mounts"].get("~/.ray/auth_token") == "~/.ray/auth_token",
        "the token is readable": "chmod 600 ~/.ray/auth_token" in setup,
        "conclus is not installed": re.search(r'venv ~/\.conclus && .*pip install --quiet "\$HOME/conclus', setup),
    }
    yield from (complaint for complaint, fine in wanted.items() if not fine)


def complaints_of(command):
    # Every command has a shell of its own: what another one exports is gone.
    if not re.search(r"export [^;]*RAY_AUTH_MODE=token", command):
        yield "no token mode"
    if not re.search(r"export [^;]*RAY_AUTH_TOKEN_PATH=\$HOME/\.ray/auth_token", command):
        yield "no token"
    for option in re.findall(r"(--[a-z-]+)", command.partition("ray start")[2]):
        if option not in start_options():
            yield f"ray start has no {option}"


SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """What Ray makes of a launcher file, by its own schema; of one's own machines as `ray up` itself does it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # Ray keeps what it has made there

    def prepared(config):
        if config["provider"]["type"] == "local":
            return sdk.bootstrap_config(config, no_config_cache=True)
        # `ray up` would ask the cloud.
        filled = sdk.fillout_defaults(config)
        jsonschema.validate(filled, SCHEMA)
        return filled

    return prepared


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_accepts_the_launcher_file(name, prepare):
    prepared = prepare(load(name))
    types = prepared["available_node_types"]
    assert prepared["head_node_type"] in types
    assert sum(one.get("min_workers", 0) for one in types.values()) <= prepared["max_workers"]
    assert list(complaints(prepared)) == []


@pytest.mark.parametrize("name", LAUNCHERS)
def test_its_commands_are_shell(name, prepare):
    config = prepare(load(name))
    for kind in ("setup_commands", "head_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        for one in config[kind]:
            done = subprocess.run(["bash", "-n", "-c", one], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), one


@pytest.mark.parametrize("name", LAUNCHERS[1:])
def test_a_cloud_s_workers_come_and_go_and_some_have_a_card(name, prepare):
    prepared = prepare(load(name))
    types = prepared["available_node_types"]
    of = {kind: (one["min_workers"], one["max_workers"]) for kind, one in types.items() if kind != "head"}
    assert of == {"workers": (1, 8), "cards": (0, 8)}
    assert prepared["idle_timeout_minutes"] == 10
    assert types["head"]["resources"]["CPU"] == 0
    card = types["cards"]
    # Of an instance of AWS Ray finds out its cards; g5 has them.
    assert card["resources"].get("GPU") == 1 or card["node_config"]["InstanceType"].startswith("g5.")


def test_machines_of_ones_own_are_all_used(prepare):
    prepared = prepare(load("ray_config.yaml"))
    (node_type,) = prepared["available_node_types"].values()
    assert node_type["min_workers"] == node_type["max_workers"] == len(prepared["provider"]["worker_ips"]) == 2


@pytest.mark.parametrize("name", LAUNCHERS)
@pytest.mark.parametrize("change", [{"worker_ips": []}, {"provider": {"type": 5}}, {"setup_commands": "pip"}])
def test_ray_refuses_a_broken_launcher_file(name, change, prepare):
    with pytest.raises((jsonschema.ValidationError, click.ClickException, ValueError, TypeError, NotImplementedError)):
        prepare(load(name) | change)


def test_machines_of_ones_own_need_their_addresses(prepare):
    config = load("ray_config.yaml")
    del config["provider"]["head_ip"]
    with pytest.raises((click.ClickException, SystemExit)):
        prepare(config)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled", "worker: no token mode"),
        ("RAY_AUTH_TOKEN_PATH=$HOME/.ray/auth_token", "", "head: no token"),
        ("venv ~/.conclus", "venv ~/.ray", "conclus is not installed"),
        ("--address=", "--adress=", "worker: ray start has no --adress"),
        ("chmod 600", "chmod 644", "the token is readable"),
        ('"~/.ray/auth_token": "~/.ray/auth_token"', '"~/x": "~/x"', "the token does not travel"),
    ],
)
def test_a_start_without_a_token_is_seen(old, new, complaint):
    text = (ROOT / "ray_config.yaml").read_text()
    assert old in text
    assert complaint in list(complaints(yaml.safe_load(text.replace(old, new))))


def test_an_open_dashboard_in_a_cloud_is_seen():
    text = (
        (ROOT / "docs/cluster/aws.yaml").read_text().replace("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0")
    )
    assert list(complaints(yaml.safe_load(text))) == ["a cloud's dashboard is open"]


def unknown(node, fields):
    """The fields of a document that the interface does not have."""
    for path, known in fields.items():
        part = node
        for step in filter(None, path.split(".")):
            part = part[int(step) if step.isdecimal() else step]
        yield from (f"{path}.{name}" for name in part if name not in known)


def unknown_names(job):
    """The fields of a RayJob that neither KubeRay's interface nor that of pods has."""
    yield from unknown(job, FIELDS)
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield from unknown(group["template"], TEMPLATE)


def test_the_rayjob_uses_names_that_kuberay_has():
    job = load(RAYJOB)
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert list(unknown_names(job)) == []
    assert cluster["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)
    assert spec["submissionMode"] in SUBMISSION_MODES
    assert (spec["backoffLimit"], spec["shutdownAfterJobFinishes"]) == (0, True)
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())


def test_the_rayjob_s_workers_come_and_go_and_some_have_a_card():
    cluster = load(RAYJOB)["spec"]["rayClusterSpec"]
    of = {}
    for group in cluster["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        cards = container["resources"]["limits"].get("nvidia.com/gpu", 0)  # the name that Ray's autoscaler looks for
        of[group["groupName"]] = (group["minReplicas"], group["replicas"], group["maxReplicas"], cards)
    assert of == {"workers": (1, 1, 8, 0), "cards": (0, 0, 8, 1)}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["idleTimeoutSeconds"] >= 60


def test_every_pod_of_the_rayjob_mounts_the_results():
    cluster = load(RAYJOB)["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        volumes = {one["name"] for one in group["template"]["spec"]["volumes"]}
        assert mounts["results"] == "/results"
        assert set(mounts) == volumes


@pytest.mark.parametrize(
    "place",
    ["spec", "spec.rayClusterSpec", "spec.rayClusterSpec.autoscalerOptions", "spec.rayClusterSpec.workerGroupSpecs.0"],
)
def test_a_name_that_kuberay_does_not_have_is_seen(place):
    job = copy.deepcopy(load(RAYJOB))
    part = job
    for step in place.split("."):
        part = part[int(step) if step.isdecimal() else step]
    part["authOption"] = {"mode": "token"}
    assert list(unknown_names(job)) == [f"{place}.authOption"]


DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_manifest_names_the_image_and_the_ray_of_the_dockerfile():
    cluster = load(RAYJOB)["spec"]["rayClusterSpec"]
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    (image,) = {one["template"]["spec"]["containers"][0]["image"] for one in groups}
    assert f"docker build --tag {image} .\n" in DOCKERFILE
    assert image.endswith(f":{conclus.__version__}")
    assert f"ARG RAY_VERSION={cluster['rayVersion']}\n" in DOCKERFILE
    assert all(one["template"]["spec"]["securityContext"]["fsGroup"] == 1000 for one in groups)
    assert "USER 1000:1000\n" in DOCKERFILE


def test_the_image_gets_what_the_wheel_is_made_of():
    given = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = {one.strip("/") for one in project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]}
    assert given == {*packed, "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}


@pytest.fixture
def slurm(tmp_path):
    """Runs the script with a Slurm of two commands and a `ray` that notes how it was called."""
    env, tools = tmp_path / "env" / "bin", tmp_path / "tools"
    env.mkdir(parents=True)
    tools.mkdir()
    (env / "python").symlink_to(sys.executable)
    (tmp_path / "code").write_text("0")
    note = (
        f"cd {tmp_path}\n"
        'printf "%s\\n" "$@" > arguments\n'
        "env > environment\n"
        'stat -c %a "$RAY_AUTH_TOKEN_PATH" > mode\n'
        'wc -c < "$RAY_AUTH_TOKEN_PATH" > length'
    )
    programs = {
        env / "ray": f'{note}\nwhile [[ $1 != -- ]]; do shift; done; shift; "$@"',
        env / "conclus": f'printf "%s\\n" "$@" > {tmp_path}/told; exit "$(cat {tmp_path}/code)"',
        # The nodes have other numbers of cores than the one that the script runs on.
        tools / "srun": 'while [[ $1 == --* ]]; do shift; done; SLURM_CPUS_ON_NODE=5 exec "$@"',
        tools / "squeue": "echo 2026-12-01T18:00:00",
        tools
        / "scontrol": f"if [[ $1 == requeue ]]; then echo $2 > {tmp_path}/requeued; else printf 'n%s\\n' 1 2 3; fi",
    }
    for path, body in programs.items():
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def run(script, *arguments, **variables):
        allocation = {
            "SLURM_JOB_ID": "123456",
            "SLURM_JOB_NUM_NODES": "3",
            "SLURM_JOB_NODELIST": "n[1-3]",
            "SLURM_CPUS_ON_NODE": "8",
        }
        return subprocess.run(
            ["bash", script, *arguments],
            env={"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path), "CONCLUS_ENV": str(env.parent)}
            | allocation
            | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_slurm_script_calls_symmetric_run_as_it_wants_to_be_called(slurm, tmp_path):
    done = slurm(SLURM, "study.yaml", "/shared/results")
    assert (done.returncode, done.stderr) == (0, "")
    name, *arguments = (tmp_path / "arguments").read_text().splitlines()
    split = arguments.index("--")
    assert name == "symmetric-run"
    started = symmetric_run.curate_and_validate_ray_start_args(arguments[:split])
    assert {one.partition("=")[0] for one in started} <= start_options()
    assert arguments[:6] == [
        "--num-cpus=5", "--include-dashboard=false", "--address", "n1:23456", "--min-nodes", "3"
    ]  # fmt: skip
    assert arguments[split + 1 : split + 3] == ["bash", "-c"]
    told = (tmp_path / "told").read_text().split()
    assert told == ["run", "study.yaml", "--results", "/shared/results", "--address", "n1:23456"]
    environment = (tmp_path / "environment").read_text()
    assert f"SLURM_JOB_END_TIME={datetime(2026, 12, 1, 18).timestamp():.0f}\n" in environment  # noqa: DTZ001 (local)
    assert not (tmp_path / "requeued").exists()


def test_the_other_nodes_of_a_slurm_job_are_told_nothing_of_a_dashboard(slurm, tmp_path):
    slurm(SLURM, "study.yaml", "/shared/results", SLURM_NODEID="1")  # of such a node `ray start` refuses it
    assert (tmp_path / "arguments").read_text().split()[1:3] == ["--num-cpus=5", "--address"]


@pytest.mark.parametrize("said", ["", "N/A", "exit 1"])
def test_a_slurm_job_without_a_time_limit_has_no_end(slurm, tmp_path, said):
    (tmp_path / "tools" / "squeue").write_text(f"#!/bin/bash\n{said if said == 'exit 1' else f'echo {said}'}\n")
    assert slurm(SLURM, "study.yaml", "/shared/results").returncode == 0
    assert "SLURM_JOB_END_TIME=\n" in (tmp_path / "environment").read_text()


def test_the_slurm_script_takes_the_cards_that_slurm_gives_it(slurm, tmp_path):
    assert slurm(SLURM, "study.yaml", "/shared/results", SLURM_GPUS_ON_NODE="2").returncode == 0
    assert (tmp_path / "arguments").read_text().splitlines()[1:3] == ["--num-cpus=5", "--num-gpus=2"]


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (1, False), (2, False), (3, True), (138, False)])
def test_the_slurm_job_ends_as_its_study_does_and_goes_back_to_the_queue_while_trials_are_left(
    slurm, tmp_path, code, requeued
):
    (tmp_path / "code").write_text(str(code))
    done = slurm(SLURM, "study.yaml", "/shared/results")
    assert (done.returncode, (tmp_path / "requeued").exists()) == (code, requeued), done.stderr
    assert not list(tmp_path.glob(".conclus-job*"))


def test_a_slurm_job_whose_ray_did_not_start_has_not_done_its_study(slurm, tmp_path):
    ray = tmp_path / "env" / "bin" / "ray"
    ray.write_text("#!/bin/bash\necho Failed to start Ray >&2\n")  # as symmetric-run does, which then exits with 0
    done = slurm(SLURM, "study.yaml", "/shared/results")
    assert done.returncode == 1
    assert "Error: conclus did not run to its end" in done.stderr
    assert not (tmp_path / "requeued").exists()


def test_the_slurm_job_takes_whole_nodes_and_is_warned_before_its_time_is_over():
    asked = {line.split()[1] for line in SLURM.read_text().splitlines() if line.startswith("#SBATCH")}
    assert {"--exclusive", "--mem=0", "--requeue", "--signal=B:USR1@120"} <= asked


def test_at_usr1_the_slurm_script_tells_the_driver_waits_for_it_and_goes_back_to_the_queue(slurm, tmp_path):
    ray, conclus = tmp_path / "env" / "bin" / "ray", tmp_path / "env" / "bin" / "conclus"
    ray.write_text('#!/bin/bash\nwhile [[ $1 != -- ]]; do shift; done; shift; "$@"\n')
    conclus.write_text(
        "#!/bin/bash\n"
        f"trap 'sleep 0.3; echo saved > {tmp_path}/saved; exit 3' USR1\n"
        f'kill -USR1 "$(cat {tmp_path}/batch)"\n'  # as Slurm does, to the batch shell alone
        "while true; do sleep 0.1; done\n"
    )
    conclus.chmod(0o755)
    watched = tmp_path / "watched.sh"
    watched.write_text(f"#!/bin/bash\necho $$ > {tmp_path}/batch\n{SLURM.read_text()}")
    done = slurm(watched, "study.yaml", "/shared/results")
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "saved").read_text() == "saved\n"
    assert (tmp_path / "requeued").read_text() == "123456\n"
    assert not list(tmp_path.glob(".conclus-job*"))


def test_every_machine_of_a_cloud_names_an_image_with_a_python_that_is_new_enough():
    kinds = load("docs/cluster/aws.yaml")["available_node_types"]
    images = {one["node_config"]["ImageId"] for one in kinds.values()}
    # One image: Ray wants the same Python everywhere. Ubuntu 24.04 has 3.12.
    (image,) = images
    assert image.startswith("resolve:ssm:/aws/service/")
    assert "ubuntu-24.04" in image
    kinds = load("docs/cluster/gcp.yaml")["available_node_types"].values()
    (image,) = {one["node_config"]["disks"][0]["initializeParams"]["sourceImage"] for one in kinds}
    assert "/family/ubuntu-accelerator-2404-amd64-with-nvidia-" in image
    for name in ("docs/cluster/aws.yaml", "docs/cluster/gcp.yaml"):
        before, install = [one for one in load(name)["setup_commands"] if "python3" in one]
        assert "python3-venv" in before
        assert "python3 -m venv" in install


def test_the_slurm_script_hands_on_a_token_that_is_its_user_s_alone(slurm, tmp_path):
    slurm(SLURM, "study.yaml", "/shared/results")
    environment = dict(
        line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines() if "=" in line
    )
    assert environment["RAY_AUTH_MODE"] == "token"
    assert int(environment["RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT"]) > symmetric_run.CLUSTER_WAIT_TIMEOUT
    assert (tmp_path / "mode").read_text() == "600\n"
    assert int((tmp_path / "length").read_text()) == 65
    assert not Path(environment["RAY_AUTH_TOKEN_PATH"]).exists()


def test_the_slurm_script_says_what_it_lacks_and_is_shell(slurm, tmp_path):
    assert "usage: sbatch slurm.sh STUDY RESULTS" in slurm(SLURM).stderr
    assert subprocess.run(["bash", "-n", SLURM], check=False).returncode == 0
    broken = tmp_path / "broken.sh"
    broken.write_text(SLURM.read_text().replace("EXIT", "'"))
    assert subprocess.run(["bash", "-n", broken], check=False, capture_output=True).returncode != 0


def test_a_slurm_script_with_a_head_of_its_own_is_seen(slurm, tmp_path):
    broken = tmp_path / "broken.sh"
    broken.write_text(SLURM.read_text().replace("--disable-usage-stats", "--head"))
    slurm(broken, "study.yaml", "/shared/results")
    _, *arguments = (tmp_path / "arguments").read_text().splitlines()
    with pytest.raises(click.ClickException, match="--head"):
        symmetric_run.curate_and_validate_ray_start_args(arguments[: arguments.index("--")])
