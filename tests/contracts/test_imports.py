"""Who may import whom, and what a command may load: each guard is also shown a broken sample."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "ray", "numpy", "pyarrow", "sklearn", "scipy", "pandas", "yaml")


def loaded(code: str, cwd: Path) -> set[str]:
    """The heavy modules that are loaded after running code in a fresh interpreter."""
    report = f"\nimport sys; print('LOADED', *[one for one in {HEAVY} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, cwd=cwd, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


def call(*arguments: str) -> str:
    return (
        "import sys, conclus\n"
        f"sys.argv = ['conclus', *{arguments!r}]\n"
        "try: conclus.main()\n"
        "except SystemExit as leave: assert not leave.code, leave.code\n"
    )


def test_help_loads_click_and_nothing_else(root):
    assert loaded(call("--help"), root) == set()


@pytest.mark.parametrize("words", [["methods"], ["methods", "cc"], ["methods", "search"], ["schema"]], ids=" ".join)
def test_what_a_study_may_hold_is_told_without_a_numeric_library(root, words):
    assert loaded(call(*words), root) <= {"yaml"}


def test_plan_loads_no_numeric_library(root, tmp_path):
    plan = call("plan", str(root / "studies" / "quickstart.yaml"), "--results", str(tmp_path), "--no-data")
    assert loaded(plan, root) == {"yaml"}


def test_aggregate_loads_neither_torch_nor_ray_nor_pandas(root, tmp_path):
    make = (
        "from jobs.results.schema import Attempt\nfrom jobs.results.writer import write\n"
        f"write({str(tmp_path)!r}, Attempt(study='s', trial_key='t', config_key='c', seed=0, attempt_id='a',"
        " status='ok', metrics={'nmi': 0.5}))\n"
    )
    loaded(make, root)
    found = loaded(call("aggregate", str(tmp_path)), root)
    assert not found & {"torch", "ray", "pandas", "sklearn", "scipy"}
    assert "pyarrow" in found


def test_the_estimator_is_imported_without_torch_and_fits_with_it(root):
    import_it = "from conclus import ContrastiveClustering as Model"
    assert not loaded(import_it, root) & {"torch", "ray", "yaml"}
    code = f"{import_it}\nimport sys, numpy as np\nassert 'sklearn.cluster' not in sys.modules\n"
    fit = "Model(2, method='kmeans', random_state=0).fit(np.eye(6) * 9 + np.arange(6)[:, None] % 2)"
    assert "torch" in loaded(code + fit, root)


def test_queue_loads_what_looking_at_data_takes_and_no_more(root, tmp_path):
    study = str(root / "studies" / "quickstart.yaml")
    assert loaded(call("queue", "add", study, "--results", str(tmp_path)), root) == {"numpy", "yaml"}
    assert loaded(call("queue", "move", "1", "--front", "--results", str(tmp_path)), root) == set()
    assert (tmp_path / "_queue" / "1.json").exists()


def test_a_text_that_is_written_to_a_file_loads_no_numeric_library(root, tmp_path):
    path = f"Path({str(tmp_path)!r}, 'x.md')"
    written = f"from pathlib import Path; from jobs.present.output import deliver; deliver('x', {path})"
    assert loaded(written, root) == set()
    assert (tmp_path / "x.md").read_text() == "x"


def test_the_front_door_gives_its_names_lazily(root):
    assert loaded("import conclus; conclus.load_study", root) == {"yaml"}
    assert loaded("import conclus; assert 'run' in conclus.PUBLIC", root) == set()


@pytest.fixture
def copy(root, tmp_path):
    """A copy of the code that a test may break."""
    for name in ("jobs", "cluster", "core", "losses"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".importlinter", "conclus.py", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(folder)}
    )


def test_the_contracts_are_kept(copy):
    done = contracts(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/training/fit.py", "import jobs.planning.plan"),
        ("losses/nt_xent.py", "import core.training.fit"),
        ("cluster/tune.py", "import core.errors"),
        ("cluster/executor.py", "import torch"),
        ("jobs/execution/runner.py", "import ray"),
        ("jobs/planning/plan.py", "import torch"),
        ("core/training/fit.py", "import ray"),
        ("jobs/analysis/leaderboard.py", "def load():\n    import core.training.fit"),
        ("losses/nt_xent.py", "import numpy"),
        ("core/training/fit.py", "import click"),
        ("jobs/results/reader.py", "import jobs.analysis.scores"),
        ("jobs/study/space.py", "import jobs.planning.plan"),
        ("jobs/analysis/scores.py", "import jobs.present.tables"),
        ("jobs/execution/runner.py", "import jobs.report.html"),
        ("core/config/schema.py", "import core.data.dataset"),
        ("core/data/scaling.py", "import core.evaluation.metrics"),
        ("core/evaluation/metrics.py", "import core.training.device"),
        ("jobs/commands/sql.py", "import jobs.commands.plan"),
    ],
)
def test_a_contract_that_is_broken_is_seen(copy, file, line):
    path = copy / file
    path.write_text(path.read_text() + f"\n{line}\n")
    done = contracts(copy)
    assert done.returncode == 1, done.stdout


@pytest.mark.parametrize("folder", ["jobs/rooms", "core/rooms"])
def test_a_package_without_a_place_in_the_contracts_is_seen(copy, folder):
    (copy / folder).mkdir()
    (copy / folder / "__init__.py").write_text("")
    done = contracts(copy)
    assert done.returncode == 1, done.stdout


def architecture(root, folder):
    command = [sys.executable, root / "tests" / "contracts" / "architecture.py", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_packages_are_few_and_small_and_import_one_another_in_no_circle(root):
    done = architecture(root, root)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_a_circle_and_a_crowd_at_the_top_are_seen(root, copy):
    with (copy / "jobs" / "results" / "reader.py").open("a") as file:
        file.write("import jobs.analysis.scores\n")
    for name in ("one", "two"):
        (copy / "jobs" / f"{name}.py").write_text("")
    done = architecture(root, copy)
    assert done.returncode == 1
    assert "circle: jobs.analysis, jobs.results" in done.stdout
    assert "3 files at the top of jobs, more than 2" in done.stdout


def test_a_heavy_import_at_the_top_of_a_command_is_seen(copy):
    path = copy / "jobs" / "commands" / "plan.py"
    path.write_text(path.read_text().replace("import click\n", "import click\nimport pyarrow\n", 1))
    command = [Path(sys.executable).with_name("ruff"), "check", "--no-cache", "jobs"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TID253" in done.stdout


def test_a_package_that_hides_ours_is_named(root, tmp_path):
    (tmp_path / "losses").mkdir()
    (tmp_path / "losses" / "__init__.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(root)!r}); import conclus; sys.path.insert(0, '.'); conclus.main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "another package called 'losses'" in done.stderr
    assert str(tmp_path / "losses") in done.stderr
    assert "Traceback" not in done.stderr
