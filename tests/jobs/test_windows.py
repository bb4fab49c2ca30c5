"""On Windows conclus is a client: it reads results and submits studies; what runs trials says what it needs."""

import json
import os
import subprocess
import sys

import pytest

STUDY = """study: s
trial: {data: digits, method: cc, encoder: {name: mlp, widths: [8]}, epochs: 1}
space: {learning_rate: {grid: [5.0e-4, 1.0e-3]}}
seeds: [0]
"""


@pytest.fixture
def on_windows(root, tmp_path, monkeypatch):
    """Runs commands without what only Unix has; their output with a width of 120 columns."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)

    def run(*commands):
        return subprocess.run(
            [sys.executable, root / "tests" / "jobs" / "like_windows.py", json.dumps(commands)],
            env=os.environ | {"PYTHONPATH": str(root), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.slow
def test_results_are_read(on_windows, command):
    assert command("run", "study.yaml", "--workers", "1")[0] == 0
    commands = {
        ("status",): "s: 2 of 2 trials done",
        ("aggregate", "results"): "learning_rate  nmi",
        ("plan", "study.yaml"): "2 done, 0 missing",
        ("report", "results", "--out", "page.html"): "Wrote page.html.",
    }
    done = on_windows(*commands)
    assert done.returncode == 0, done
    assert [one for one in commands.values() if one not in done.stdout] == []


def test_a_study_is_checked_and_the_cluster_is_asked(on_windows):
    assert "Run STUDY on a Ray cluster" in on_windows(["submit", "--help"]).stdout
    done = on_windows(["submit", "study.yaml", "--address", "http://127.0.0.1:9", "--results", "/shared/results"])
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "s: 2 configurations, 2 trials" in done.stderr
    assert "Nothing answers at http://127.0.0.1:9" in done.stderr


def test_what_runs_trials_says_what_it_needs_before_it_starts(on_windows, tmp_path):
    done = on_windows(["run", "study.yaml"])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: `conclus run` needs Linux or macOS: on Windows run it in WSL2, "
        "or hand the study to a cluster with `conclus submit`\n"
    )
    assert not (tmp_path / "results").exists()
