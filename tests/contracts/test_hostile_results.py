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
from core.seal import seal_json, seal_text, unseal_json
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
    ["assign", "results"],
    ["clusters", "results", "--out", "c"],
    ["compact", "results"],
    ["confirm", "results", "--workers", "1"],
    ["diff", "results", "results"],
    ["effect", "results", "learning_rate"],
    ["embed", "MODEL", "mine.npz", "--out", "v.parquet"],
    ["health", "results"],
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
    ["note", "results"],
    ["note", "results", "a note"],
    ["export", "results", "--best"],
    ["sql", "results", "select count(*) from trials"],
    ["status", "results"],
    ["stop", "results"],
    ["submit", "results/study=s/_study.yaml", "--address", "http://127.0.0.1:1", "--results", "/nowhere/results"],
    ["topics", "results"],
]
"""Not here: `cache`, `data`, `doctor`, `methods` read no results, `import` reads tables alone; `watch` is `status`."""
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
    rewrite(queued, queued, str(finished / "own.py"), str(evil))
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


def rewrite(sealed, to, old, new):
    """A text of conclus's with another word in it and a digest that fits."""
    text = sealed.read_text().partition("\n")[2]
    assert old in text
    to.write_bytes(seal_text(text.replace(old, new).encode()))


def call(words):
    model = min(one.name for one in Path("results/study=s/models").iterdir())
    words = [f"results/study=s/models/{model}" if word == "MODEL" else word for word in words]
    return CliRunner().invoke(conclus.cli, words)


def test_the_walk_leaves_no_command_out():
    walked = {words[0] for words in WALK}
    known = set(conclus.cli.list_commands(None))
    assert known - walked == {"cache", "data", "doctor", "import", "methods", "schema", "serve", "watch"}
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
    for name in [one for one in sys.modules if one.startswith("conclus_plugin_own_")]:
        del sys.modules[name]
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
        ("away/_study.yaml", True),
        ("results/s.yaml", False),
        ("results/_queue/12.yaml", True),
        ("results/queue/12.yaml", True),
    ],
)
def test_a_study_in_results_is_not_the_persons_own(tmp_path, file, is_theirs):
    assert trust.is_of_results(tmp_path / file) is is_theirs


@pytest.mark.parametrize(
    ("file", "is_theirs"),
    [
        ("mine.py", False),
        ("plugins/mine.py", False),
        ("results/mine.py", True),
        ("results/a/b/mine.py", True),
        ("results/study=s/mine.py", True),
        ("away/_plugins/mine.py", True),
        ("results/../mine.py", False),
    ],
)
def test_a_plug_in_in_results_is_not_the_persons_own(tmp_path, file, is_theirs):
    (tmp_path / "results" / "study=s").mkdir(parents=True)
    assert trust.lies_in_results(tmp_path / file) is is_theirs


def link_the_entry(evil):
    """An entry of the queue that is a link to a study elsewhere; the plug-in lies elsewhere, too."""
    entry = Path("results/_queue/1.yaml")
    rewrite(entry, Path("theirs.yaml"), str(evil), str(Path("theirs.py").absolute()))
    entry.unlink()
    entry.symlink_to("../../theirs.yaml")
    return ["queue", "run", "--workers", "1"]


def link_the_study(evil):
    """The copy of the study in the results is a link."""
    copy = Path("results/study=s/_study.yaml")
    rewrite(copy, Path("theirs.yaml"), "./_plugins/own.py", str(Path("theirs.py").absolute()))
    copy.unlink()
    copy.symlink_to("../../theirs.yaml")
    return ["run", "results/study=s/_study.yaml", "--workers", "1"]


def link_the_folder(evil):
    """The study's folder is a link, and its copy of the study bears the name that conclus 0.1.0 gave it."""
    shutil.move("results/study=s", "theirs")
    Path("results/study=s").symlink_to("../theirs")
    rewrite(
        Path("theirs/_study.yaml"), Path("theirs/study.yaml"), "./_plugins/own.py", str(Path("theirs.py").absolute())
    )
    Path("theirs/_study.yaml").unlink()
    return ["run", "results/study=s/study.yaml", "--workers", "1"]


def take_the_study_out(evil):
    """The copy of the study, taken out of the results."""
    Path("away").mkdir()
    rewrite(Path("results/study=s/_study.yaml"), Path("away/_study.yaml"), "./_plugins/own.py", "../theirs.py")
    return ["run", "away/_study.yaml", "--workers", "1"]


def put_a_study_beside(evil):
    """A study file that lies in the results, and a plug-in in a folder beside it."""
    Path("results/code").mkdir()
    shutil.copy("theirs.py", "results/code/own.py")
    Path("results/s.yaml").write_text(STUDY.replace("./own.py", "./code/own.py").replace("mine.npz", "../mine.npz"))
    return ["run", "results/s.yaml", "--workers", "1"]


def follow_next(evil):
    """A person's own study file, which `next` wrote, names the plug-in that lies in the results."""
    text = STUDY.replace("./own.py", "results/study=s/_plugins/own.py")
    Path("n.yaml").write_text(text)
    return ["run", "n.yaml", "--workers", "1"]


def link_the_plug_in(evil):
    """A plug-in outside of the results is a link into them."""
    Path("own.py").unlink()
    Path("own.py").symlink_to(evil)
    return ["run", "s.yaml", "--workers", "1"]


@pytest.mark.parametrize(
    "attack",
    [
        link_the_entry,
        link_the_study,
        link_the_folder,
        take_the_study_out,
        put_a_study_beside,
        follow_next,
        link_the_plug_in,
    ],
)
def test_no_link_and_no_place_makes_a_strangers_plug_in_ones_own(hostile, attack, command):
    harmless = EVIL.partition("class Method")[0] + "class Method(Base):\n    pass\n"
    hostile.write_text(harmless)
    Path("theirs.py").write_text(harmless)
    words = attack(hostile)
    code, *said = command(*words)
    assert code, said
    assert "--plug-in" in " ".join(said)
    assert "Traceback" not in " ".join(said)
    assert not Path("proof").exists(), said
    # With leave the same command runs it: the attack reaches its target.
    if words[0] == "queue":
        state = json.loads(Path("results/_queue/1.json").read_text())
        assert state["state"] == "failed"
        words = ["run", "results/_queue/1.yaml", "--workers", "1"]
    said = command(*words, "--plug-in", "theirs.py")
    assert Path("proof").exists(), said


def test_a_study_beside_its_results_runs_the_plug_in_that_lies_elsewhere(hostile):
    Path("results/s.yaml").write_text(STUDY.replace("./own.py", "../own.py").replace("mine.npz", "../mine.npz"))
    found = CliRunner().invoke(conclus.cli, ["run", "results/s.yaml", "--workers", "1"])
    assert found.exit_code == 0, f"{found.output} {found.exception}"


def test_only_what_ran_is_remembered(hostile):
    """`plan` lets a plug-in run for itself; `run` from then on."""
    mine = EVIL.partition("class Method")[0] + "class Method(Base):\n    pass\n"
    Path("own.py").write_text(mine)
    plan, leave = ["plan", "s.yaml"], ["--plug-in", "own.py"]
    for words, count in ((plan, 0), ([*plan, *leave], 0), (["run", "s.yaml", "--workers", "1"], 1)):
        found = CliRunner().invoke(conclus.cli, words)
        assert found.exit_code == 0, f"{found.output} {found.exception}"
        known = trust.kept().read_text().split() if trust.kept().exists() else []
        assert len(known) == count, words


def test_next_says_that_its_study_names_a_plug_in_of_the_results(hostile, tmp_path):
    Path("results/study=s/_plugins/own.py").write_text(OWN)
    leave = ["--plug-in", str(hostile)]
    found = CliRunner().invoke(conclus.cli, ["next", "results", "--out", "n.yaml", *leave])
    assert found.exit_code == 0, f"{found.output} {found.exception}"
    assert f"n.yaml names the plug-in {hostile}, which lies in the results" in found.output
    assert str(hostile) in Path("n.yaml").read_text()


def test_results_of_this_test_are_as_conclus_writes_them(finished):
    told = json.loads((finished / "results" / "study=s" / "_study.json").read_bytes())
    assert {"source", "trial", "sha256"} <= set(told)
