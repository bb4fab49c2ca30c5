"""The commands as a person meets them."""

from dataclasses import is_dataclass

import pytest

from core.config import plugins
from core.config.trial import TrialConfig, section_options
from jobs.study import study
from jobs.study.keys import plug_in_fields

WORDS = {"methods": "method", "encoders": "encoder", "views": "view", "datasets": "data", "losses": "method.loss"}


@pytest.mark.parametrize("kind", WORDS)
def test_methods_lists_every_plug_in_with_what_it_is(kind, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("CONCLUS_DATA", raising=False)
    code, out, _ = command("methods", kind)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line[0] != " "] == list(plugins.names(kind))
    assert all(len(line) <= 80 for line in out.splitlines())
    assert command("methods", WORDS[kind]) == (0, out, "")


def test_methods_lists_all_that_a_study_may_name(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("methods")
    assert code == 0
    named = {
        line.split()[0].rpartition(".")[2] for line in out.splitlines() if line.startswith("  ") and line[2] != " "
    }
    plug_ins = {name for kind in plugins.ENTRY for name in plugins.names(kind)}
    sections = {one.name for one in section_options(TrialConfig) if is_dataclass(one.type)} | set(study.SECTIONS)
    assert named >= plug_ins | sections
    assert all(f"`{key.rpartition('.')[2]}: NAME`" in out for _, key in plug_in_fields())
    assert "(name: grid, random, optuna; scheduler: none, asha, pbt)" in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines())


def test_methods_shows_the_options_of_one(command):
    _, out, _ = command("methods", "methods", "cc")
    assert "instance_temperature  0.5  (a number above 0)\n    divides the similarities of samples" in out
    assert "required" in command("methods", "datasets", "file")[1]


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("cc", "instance_temperature  0.5  (a number above 0)"),
        ("nt_xent", "temperature  0.5  (a number)"),
        ("mlp", "widths  [512, 512, 256]  (a list, each item a whole number at least 1)"),
        ("searches", "name       \"grid\"  (one of 'grid', 'random', 'optuna')"),
        ("optimiser", "learning_rate          0.001  (a number above 0)"),
        ("trial.optimiser", "learning_rate          0.001  (a number above 0)"),
        ("trial", "optimiser       (a section: conclus methods optimiser)"),
        ("continue_if", "at_least  null  (a number or null)"),
    ],
)
def test_methods_takes_the_study_s_own_words(command, word, option):
    code, out, err = command("methods", word)
    assert (code, err) == (0, "")
    assert option in out


def test_methods_reads_the_options_of_a_file_without_running_it(command, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        '"""Mine."""\nraise SystemExit(7)\n\nclass Loss:\n    def __init__(self, *, sharp: int = 3):\n'
        '        """It.\n\n        Args:\n            sharp: how\n                sharp \x07 it is.\n        """\n'
    )
    code, out, _ = command("methods", "loss", file)
    assert code == 0
    assert out == "Mine.\n\nsharp  3  (a whole number)\n    how sharp \\x07 it is.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["encoders", "mlpp"], "did you mean 'mlp'?"),
        (["metods"], "did you mean 'methods'?"),
        (["ccc"], "did you mean 'cc'?"),
        (["./mine.py"], "say of which kind it is"),
        (["a", "b"], "kinds: datasets, encoders, views, methods, losses, trackers, trial,"),
    ],
)
def test_methods_names_the_nearest(command, words, said):
    code, _, err = command("methods", *words)
    assert code == 2
    assert said in err


STUDY = """study: s
trial: {data: {name: file, path: mine.csv}, n_clusters: 2, epochs: 2, batch_size: 8, encoder: {name: mlp, widths: [4]}}
space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}}
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "mine.csv").write_text("u,v,label\n" + rows)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_run_does_what_is_missing_and_only_that(folder, command):
    code, out, err = command("run", "study.yaml", "--workers", "1")
    assert code == 0, err
    assert "0 done before" in err
    assert "all 4 trials are done" in err
    assert "learning_rate" in out
    files = sorted((folder / "results").rglob("*.parquet"))
    assert len(files) == 4
    assert "4 done" in command("plan", "study.yaml")[1]
    code, out, err = command("run", "study.yaml", "--workers", "1", "--set", "seeds=[0, 1, 2]")
    assert (code, "4 done before" in err) == (0, True)
    assert len(sorted((folder / "results").rglob("*.parquet"))) == 6
    assert set(files) < set((folder / "results").rglob("*.parquet"))


def test_a_study_that_is_done_starts_nothing(folder, command):
    command("run", "study.yaml", "--workers", "1")
    before = {path: path.stat().st_mtime_ns for path in (folder / "results").rglob("*")}
    code, out, _ = command("run", "study.yaml", "--workers", "1")
    assert code == 0
    assert "learning_rate" in out
    assert {path: path.stat().st_mtime_ns for path in (folder / "results").rglob("*")} == before


def test_failed_trials_are_said_and_tried_again(folder, command):
    code, out, err = command("run", "study.yaml", "--workers", "1", "--set", "learning_rate=1e30", "--set", "seeds=[0]")
    assert code == 1
    assert "failed: DIVERGED" in err
    assert "1 trial failed" in err
    assert "Traceback" not in err + out
    assert "1 failed" in command("plan", "study.yaml", "--set", "learning_rate=1e30", "--set", "seeds=[0]")[1]


def test_quiet_says_nothing(folder, command):
    assert command("run", "study.yaml", "--workers", "1", "--quiet") == (0, "", "")


def test_results_that_cannot_be_written_are_one_line(folder, command):
    (folder / "file").write_text("")
    code, _, err = command("run", "study.yaml", "--workers", "1", "--results", "file/results")
    assert code == 2
    assert "Traceback" not in err
    assert "results cannot be written there" in err


def test_many_files_are_gathered_into_one_and_nothing_changes(folder, command, monkeypatch):
    monkeypatch.setattr("jobs.execution.runner.MANY_FILES", 3)
    code, first, err = command("run", "study.yaml", "--workers", "1")
    assert code == 0, err
    assert len(list((folder / "results").rglob("trials/*.parquet"))) == 0
    assert len(list((folder / "results").rglob("compact/*.parquet"))) == 1
    assert "4 done, 0 missing" in command("plan", "study.yaml")[1]
    assert command("run", "study.yaml", "--workers", "1")[1] == first
