"""Results name code of a stranger: no command runs it, and all that need it say how a person lets it run."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import conclus
from core.config import plugins
from core.errors import UserError
from core.seal import seal_json, unseal_json
from jobs.study import trust

STUDY = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: ./own.py}
  encoder: {name: mlp, widths: [8]}
  batch_size: 60
  epochs: 1
space:
  learning_rate: {grid: [2.0e-4, 5.0e-4]}
seeds: [0, 1]
select: {metric: nmi, mode: max, save_model: true}
"""
OWN = "from core.methods.cc import Method as Base\nclass Method(Base):\n    pass\n"
# Runs when it is imported, and when an annotation of its options is evaluated.
EVIL = """import os
with open(os.environ["PROOF"], "a") as proof:
    proof.write("imported ")
from core.methods.cc import Method as Base
class Method(Base):
    def __init__(self, setting, *, x: [c for c in ().__class__.__base__.__subclasses__()
                 if c.__name__ == "_wrap_close"][0].__init__.__globals__["system"]("echo evaluated >> $PROOF") = 1):
        super().__init__(setting)
"""
WALK = [
    ["aggregate", "results"],
    ["aggregate", "results", "--columns", "ledger"],
    ["compact", "results"],
    ["confirm", "results", "--workers", "1"],
    ["diff", "results", "results"],
    ["effect", "results", "learning_rate"],
    ["embed", "MODEL", "mine.npz", "--out", "v.parquet"],
    ["importance", "results"],
    ["interaction", "results", "learning_rate", "seed"],
    ["logs", "results"],
    ["next", "results", "--out", "n.yaml"],
    ["plan", "results/study=s/_study.yaml"],
    ["plot", "results", "leaderboard", "--out", "p.svg"],
    ["queue", "list"],
    ["queue", "run", "--workers", "1"],
    ["report", "results", "--out", "r.html"],
    ["resume", "results", "--workers", "1"],
    ["run", "results/study=s/_study.yaml", "--workers", "1"],
    ["selection", "results"],
    ["sql", "results", "select count(*) from trials"],
    ["status", "results"],
    ["stop", "results"],
    ["submit", "results/study=s/_study.yaml", "--address", "http://127.0.0.1:1", "--results", "/nowhere/results"],
]
"""Not here: `doctor` and `methods` read no results, `import` reads tables alone, `watch` is `status` until Ctrl-C."""
NEED = [["embed"], ["next"], ["plan"], ["resume"], ["run"], ["submit"]]
"""Those that cannot do their work without the plug-in."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    classes = np.arange(120) % 3
    samples = (rng.normal(size=(3, 6)) * 4)[classes] + rng.normal(size=(120, 6))
    np.savez(folder / "mine.npz", x=samples.astype("f4"), y=classes)
    (folder / "own.py").write_text(OWN)
    (folder / "s.yaml").write_text(STUDY)
    front_door = [sys.executable, str(conclus.ROOT / "conclus.py")]
    for words in (["queue", "add", "s.yaml"], ["run", "s.yaml", "--workers", "1"]):
        subprocess.run([*front_door, *words], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def hostile(finished, tmp_path, monkeypatch):
    """The results of a stranger, in which every place that names a plug-in names an evil one."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    study = tmp_path / "results" / "study=s"
    evil = study / "_plugins" / "own.py"
    evil.write_text(EVIL)
    told = unseal_json((study / "_study.json").read_bytes())
    told["source"]["trial"]["method"] = {"name": str(evil)}
    told["trial"]["method"] = {"name": str(evil)}
    (study / "_study.json").write_bytes(seal_json(told))
    models = list((study / "models").glob("*/best_model.json"))
    for model in models:
        described = unseal_json(model.read_bytes())
        described["trial"]["method"] = {"name": str(evil)}
        model.write_bytes(seal_json(described))
    queued = tmp_path / "results" / "_queue" / "1.yaml"
    assert str(finished / "own.py") in queued.read_text()
    queued.write_text(queued.read_text().replace(str(finished / "own.py"), str(evil)))
    assert models
    assert "./_plugins/own.py" in (study / "_study.yaml").read_text()
    # One trial is lacking, so that there is something to run.
    next(iter((study / "trials").glob("*.parquet"))).unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROOF", str(tmp_path / "proof"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # `queue run` is called in this process, and hears signals from then on.
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield evil
    for number, handler in kept.items():
        signal.signal(number, handler)


def call(words):
    model = min(one.name for one in Path("results/study=s/models").iterdir())
    words = [f"results/study=s/models/{model}" if word == "MODEL" else word for word in words]
    return CliRunner().invoke(conclus.cli, words)


def test_the_walk_leaves_no_command_out():
    walked = {words[0] for words in WALK}
    known = set(conclus.cli.list_commands(None))
    assert known - walked == {"doctor", "import", "methods", "schema", "watch"}
    assert walked <= known


@pytest.mark.parametrize("words", WALK, ids=lambda one: " ".join(one[:2]))
def test_no_command_runs_what_results_name(hostile, words):
    found = call(words)
    assert not Path("proof").exists(), Path("proof").read_text()
    if [words[0]] in NEED:
        said = f"{found.output} {found.exception}"
        assert found.exit_code, said
        assert "own.py" in said, said


def test_the_same_file_runs_where_a_person_names_it(hostile):
    """The attack reaches its target: with leave the file is run, and from then on needs none."""
    model = str(min(hostile.parents[1].glob("models/*")))
    with pytest.raises(UserError, match="--plug-in"):
        plugins.load("methods", str(hostile))
    hostile.write_text(EVIL.partition("class Method")[0] + "class Method(Base):\n    pass\n")
    found = CliRunner().invoke(
        conclus.cli, ["embed", model, "mine.npz", "--out", "v.parquet", "--plug-in", str(hostile)]
    )
    assert found.exit_code == 0, f"{found.output} {found.exception}"
    assert Path("proof").read_text() == "imported "
    plugins._allowed.clear()
    plugins.function.cache_clear()
    again = CliRunner().invoke(conclus.cli, ["embed", model, "mine.npz", "--out", "w.parquet"])
    assert again.exit_code == 0, f"{again.output} {again.exception}"
    assert Path("proof").read_text() == "imported imported "
    kept = trust.kept()
    assert len(kept.read_text().split()) == 1
    assert kept.stat().st_mode & 0o077 == 0


def test_a_file_that_changed_after_it_was_named_is_refused(tmp_path):
    plug_in = tmp_path / "mine.py"
    plug_in.write_text("class Loss:\n    pass\n")
    trust.name([plug_in])
    plug_in.write_text("class Loss:\n    other = True\n")
    with pytest.raises(UserError, match="you have neither named it"):
        plugins.load("losses", str(plug_in))


@pytest.mark.parametrize(
    ("file", "is_theirs"),
    [
        ("s.yaml", False),
        ("studies/queue/first.yaml", False),
        ("results/study=s/_study.yaml", True),
        ("results/_queue/12.yaml", True),
        ("results/queue/12.yaml", True),
    ],
)
def test_a_study_in_results_is_not_the_persons_own(tmp_path, file, is_theirs):
    assert trust.lies_in_results(tmp_path / file) is is_theirs


def test_results_of_this_test_are_as_conclus_writes_them(finished):
    told = json.loads((finished / "results" / "study=s" / "_study.json").read_bytes())
    assert {"source", "trial", "sha256"} <= set(told)
