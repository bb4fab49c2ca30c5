"""What a key is made of, and what becomes of results whose key another version or another content of a plug-in made."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from core.config import plugins
from jobs.execution import dispatch
from jobs.execution.trial import run_trial
from jobs.planning import plan, stages
from jobs.results import identity, reader, writer
from jobs.results.identity import PROTOCOL, config_key
from jobs.results.schema import Attempt, to_table
from jobs.results.storage import put
from jobs.study import study

ENCODER = '''"""One layer."""

import math

from core.training.method import Encoder as Base
from torch import nn


class Encoder(Base):
    """Samples of any shape are flattened."""

    def __init__(self, sample_shape, *, dim: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(sample_shape), dim))
        self.dim, self.scale = dim, SCALE

    def forward(self, samples):
        return self.scale * self.layers(samples)
'''
STUDY = """study: s
trial:
  data: {name: file, path: mine.npz}
  encoder: ./narrow.py
  method: cc
  batch_size: 16
  epochs: 1
  evaluation: {every: 1}
seeds: [0, 1]
"""


PAIRS = """trial: {data: digit-halves, method: {name: paired, loss: {name: info-nce, temperature: 0.1}}}
select: {metric: recall_at_1}
"""
POPULATION = """trial: {data: digits, method: cc}
space: {learning_rate: {log_uniform: [1.0e-4, 1.0e-2]}}
search: {name: random, trials: 4, scheduler: pbt}
"""


def write_encoder(folder, scale=1):
    text = ENCODER.replace("SCALE", str(scale))
    (folder / "narrow.py").write_text(text)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    (tmp_path / "study.yaml").write_text(STUDY)
    write_encoder(tmp_path)
    return tmp_path


def made(folder, *overrides):
    return plan.make(study.load(folder / "study.yaml", overrides))


def keys(folder, *overrides):
    return {one.trial_key for one in made(folder, *overrides).trials}


# Keys


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("trial: {data: digits}", "2ba835371c226180"),
        (
            "trial: {data: digits, method: {name: sccl, warmup: 0}, encoder: convnet, views: image, n_clusters: auto}",
            "a1ca22c4c0aa8d81",
        ),
        (PAIRS, "ecf90e05c2c339e5"),
        (POPULATION, "dfa208eea3cf79dd"),
    ],
)
def test_keys_of_conclus_own_plug_ins_stay_what_they_are(tmp_path, text, key):
    """With protocol 5 and the same parameters, keys were those of before plug-ins of one's own had a part in them."""
    (tmp_path / "study.yaml").write_text(f"study: s\n{text}\n")
    first = made(tmp_path).trials[0]
    assert (first.trial_key, first.plug_ins) == (key, {})


def test_every_byte_of_a_plug_in_is_part_of_the_key(folder):
    before = keys(folder)
    write_encoder(folder, scale=2)
    edited = keys(folder)
    write_encoder(folder)
    assert keys(folder) == before
    with (folder / "narrow.py").open("a") as file:
        file.write("# a comment\n")
    assert not before & edited
    assert not keys(folder) & (before | edited)


def test_a_study_that_is_planned_again_has_the_plug_ins_as_they_are_now(folder):
    one = study.load(folder / "study.yaml")
    before = plan.make(one)
    file = folder / "narrow.py"
    file.write_text(file.read_text().replace("*,", "*, more: int = 7,", 1))
    after, fresh = plan.make(one), plan.make(study.load(folder / "study.yaml"))
    assert before.trials[0].parameters.get("encoder.more") is None
    assert after.trials[0].parameters["encoder.more"] == 7
    assert [one.trial_key for one in after.trials] == [one.trial_key for one in fresh.trials]


def test_a_study_elsewhere_and_one_of_another_name_have_the_same_keys(folder, tmp_path):
    before = keys(folder)
    other = tmp_path / "elsewhere" / "deep"
    other.mkdir(parents=True)
    for name in ("mine.npz", "study.yaml", "narrow.py"):
        shutil.copy(folder / name, other / name)
    assert keys(other) == before == keys(other, "study=t")
    (other / "narrow.py").rename(other / "slim.py")
    (other / "study.yaml").write_text(STUDY.replace("narrow", "slim"))
    assert not keys(other) & before


def test_of_two_plug_ins_only_the_trials_of_the_edited_one_change(folder):
    (folder / "study.yaml").write_text(STUDY + "space:\n  encoder: {grid: [./narrow.py, {name: mlp, widths: [4]}]}\n")
    before = {one.config.encoder.name: one.config_key for one in made(folder).trials}
    write_encoder(folder, scale=2)
    after = {one.config.encoder.name: one.config_key for one in made(folder).trials}
    assert before["mlp"] == after["mlp"]
    assert [name for name in before if before[name] != after[name]] == [str(folder / "narrow.py")]


PRINT = """import sys
from jobs.planning import plan
from jobs.study import study
for one in plan.make(study.load(sys.argv[1])).trials[:1]:
    print(one.trial_key, one.plug_ins["encoder.name"]["name"])
"""


def installed(place, text):
    """A distribution that offers the encoder `theirs`, as pip leaves it."""
    about = place / "theirs-1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[conclus.encoders]\ntheirs = their_encoder\n")
    (place / "their_encoder.py").write_text(text)
    return place


def key_of_installed(place, folder, root):
    (folder / "study.yaml").write_text(STUDY.replace("./narrow.py", "theirs"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(root)])}
    done = subprocess.run(
        [sys.executable, "-c", PRINT, folder / "study.yaml"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_module_of_an_entry_point_is_part_of_the_key(folder, root):
    text = ENCODER.replace("SCALE", "1")
    key, name = key_of_installed(installed(folder / "a", text), folder, root)
    assert name == "theirs"
    assert key_of_installed(installed(folder / "b", text), folder, root) == [key, name]
    assert key_of_installed(installed(folder / "a", f"{text}\n"), folder, root) != [key, name]


def test_the_content_of_an_analyzer_is_told_and_is_in_the_key_by_its_data(folder):
    (folder / "texts.csv").write_text("title\n" + "a b\nc d\ne f\n" * 5)
    (folder / "split.py").write_text("def words(text):\n    return text.split()\n")
    text = "study: s\ntrial: {data: {name: text, path: texts.csv, analyzer: split.py:words}, n_clusters: 2}\n"
    (folder / "study.yaml").write_text(text)
    before = made(folder).trials[0]
    assert before.plug_ins["data.analyzer"]["name"] == "split.py:words"
    assert before.config_key == config_key(before.parameters, before.data_hash)
    (folder / "split.py").write_text("def words(text):\n    return list(text)\n")
    after = made(folder).trials[0]
    assert before.config_key != after.config_key
    assert before.plug_ins != after.plug_ins


# Running


def rows(folder, **wanted):
    return reader.read_results(str(folder / "results"), **wanted).to_pylist()


def run(command, folder, *more):
    words = ["run", folder / "study.yaml", "--results", folder / "results", "--workers", "1", *more]
    code, out, err = command(*words)
    assert code == 0, err
    return out, err


def other_way(command, name, folder):
    place = [folder / "results"] if name in {"status", "aggregate"} else [folder / "study.yaml", "--results"]
    code, out, err = command(name, *place, *([] if len(place) == 1 else [folder / "results"]))
    assert code == 0, err
    return out


def test_an_edited_plug_in_is_run_again_and_never_averaged_with_what_it_was(folder, command):
    run(command, folder)
    write_encoder(folder, scale=3)
    said = "2 trials are of another content of narrow.py: they stay and are shown apart"
    out = other_way(command, "plan", folder)
    assert "0 done, 2 missing" in out
    assert said in out
    out, err = run(command, folder, "--set", "seeds=[0, 1, 2]")
    assert said in err
    assert "sha256" in out
    assert "narrow.py is here with 2 contents" in " ".join(out.split())
    cells = {}
    for row in rows(folder):
        told = json.loads(row["plug_ins_json"])["encoder.name"]
        assert (told["name"], row["protocol"]) == ("narrow.py", PROTOCOL)
        cells.setdefault((row["config_key"], told["sha256"]), []).append(row["seed"])
    assert sorted(cells.values()) == [[0, 1], [0, 1, 2]]
    code, out, _ = command("aggregate", folder / "results", "--format", "json")
    board = json.loads(out)
    assert code == 0
    assert sorted(one["nmi_n"] for one in board) == [2, 3]
    assert {one["encoder.name.sha256"] for one in board} == {digest[:12] for _, digest in cells}
    kept = folder / "results" / "study=s" / "_plugins"
    for scale, (_, digest) in zip((1, 3), sorted(cells, key=lambda one: len(cells[one])), strict=True):
        assert (kept / digest / "narrow.py").read_text() == ENCODER.replace("SCALE", str(scale))
    out = other_way(command, "status", folder)
    assert out.startswith("s: 3 of 3 trials done")
    assert said in out


def test_a_plug_in_that_is_back_as_it_was_finds_its_trials_again(folder, command):
    run(command, folder)
    write_encoder(folder, scale=3)
    run(command, folder)
    write_encoder(folder)
    assert "2 done, 0 missing" in other_way(command, "plan", folder)


def test_a_gate_counts_the_trials_of_the_present_content_alone(folder):
    (folder / "study.yaml").write_text(STUDY + "stages:\n  - {name: a, continue_if: {at_least: 0.8}}\n")
    for scale, value in ((1, 0.9012345), (2, 0.5)):
        write_encoder(folder, scale)
        course = stages.load(folder / "study.yaml")
        for trial in plan.make(course.stages[0].study).trials:
            told = {"study": "s.a", "config_key": trial.config_key, "trial_key": trial.trial_key}
            written = attempt(folder, trial, PROTOCOL, value, plug_ins=trial.plug_ins, **told)
            writer.write(str(folder / "results"), written)
        assert course.verdict(0, str(folder / "results")).is_open is (scale == 1)


def test_a_plug_in_that_was_edited_after_planning_is_not_trained(folder):
    planned = made(folder)
    files = [folder / "narrow.py"]
    plugins.allow_named(*files)
    shared = dispatch.shared(planned.study, str(folder / "results"), files, device="cpu")
    write_encoder(folder, scale=9)
    plugins.allow_named(*files)
    told = run_trial({**shared, **dispatch._of_trial(planned.trials[0])}, lambda _: None)
    assert told["status"] == "failed"
    assert "edited after the study was planned" in told["reason"]


# Protocols


def attempt(folder, trial, protocol, value, **changes):
    """A finished trial, with the key that a version of that protocol gave it."""
    key = config_key(trial.parameters, trial.data_hash, protocol=protocol)
    content = {
        "study": "s",
        "trial_key": identity.digest(f"{key}:{trial.seed}"),
        "config_key": key,
        "seed": trial.seed,
        "attempt_id": writer.new_attempt_id(),
        "status": "ok",
        "params": dict(trial.parameters),
        "data_hash": trial.data_hash,
        "protocol": protocol,
        "metrics": {"nmi": value},
        "seconds": 1.0,
    }
    return Attempt(**{**content, **changes})


@pytest.fixture
def mixed(folder):
    """Two seeds of each of two configurations of protocol 4, and of the first as this version names it."""
    text = STUDY.replace("./narrow.py", "{name: mlp, widths: [4]}")
    (folder / "study.yaml").write_text(text + "space:\n  learning_rate: {grid: [1.0e-3, 1.0e-2]}\n")
    planned = made(folder).trials
    for place, trial in enumerate(planned):
        writer.write(str(folder / "results"), attempt(folder, trial, 4, 0.9 + place / 100))
    lowest = min(one.parameters["optimiser.learning_rate"] for one in planned)
    for trial in planned:
        if trial.parameters["optimiser.learning_rate"] == lowest:
            writer.write(str(folder / "results"), attempt(folder, trial, PROTOCOL, 0.5 + trial.seed / 100))
    return folder


SAID = f"4 trials of protocol 4 are read and shown apart from those of protocol {PROTOCOL}: this version would run them"


def test_trials_of_another_protocol_are_told_and_missing(mixed, command):
    out = other_way(command, "plan", mixed)
    assert "2 done, 2 missing" in out
    assert SAID in out
    assert SAID in " ".join(other_way(command, "status", mixed).split())


def test_a_run_tells_them_and_leaves_them(mixed, command):
    _, err = run(command, mixed)
    assert SAID in err
    assert sorted(row["protocol"] for row in rows(mixed)) == [4] * 4 + [PROTOCOL] * 4


def test_the_leaderboard_ranks_them_with_nothing(mixed, command):
    out = " ".join(other_way(command, "aggregate", mixed).split())
    assert f"{SAID} again." in out
    assert "Without a rank: of another protocol" in out
    code, out, _ = command("aggregate", mixed / "results", "--format", "json")
    board = json.loads(out)
    assert code == 0
    assert [(one["rank"], one["protocol"], one["nmi_n"]) for one in board] == [
        (1, PROTOCOL, 2),
        (None, 4, 2),
        (None, 4, 2),
    ]
    assert board[0]["nmi"] < board[1]["nmi"]  # Those apart would have won.
    assert other_way(command, "status", mixed).count("best nmi 0.505") == 1


def test_a_report_shows_them_apart(mixed, command):
    code, _, err = command("report", mixed / "results", "--out", mixed / "page.html")
    page = (mixed / "page.html").read_text()
    assert code == 0, err
    assert "4 trials of protocol 4 are read and shown apart" in page
    assert page.count("another protocol: not compared") == 2
    code, out, err = command("report", mixed / "results", "--format", "latex")
    assert code == 0, err
    assert "Without a rank: of another protocol" in out


def test_effects_and_importance_are_of_one_protocol(mixed, command):
    code, _, err = command("effect", mixed / "results", "learning_rate")
    assert code == 2  # The other value has trials of protocol 4 alone.
    assert SAID in err


def test_rows_that_tell_no_protocol_are_asked_by_their_key(folder, command):
    """As conclus 0.1.0 wrote them: without the columns."""
    (folder / "study.yaml").write_text(STUDY.replace("./narrow.py", "{name: mlp, widths: [4]}"))
    first, second = made(folder).trials
    place = folder / "results" / "study=s" / "compact" / "part-A.parquet"
    stored = [
        attempt(folder, first, 2, 0.5),
        attempt(folder, second, PROTOCOL, 0.6),
        attempt(folder, second, PROTOCOL, 0.7, config_key="unknown", trial_key="u"),
        attempt(folder, second, PROTOCOL, 0.8, config_key="mine", trial_key="i", source="import"),
    ]
    put(place, writer.stored(to_table(stored).drop_columns(["protocol", "plug_ins_json"]), "s"))
    assert sorted((row["trial_key"], row["protocol"]) for row in rows(folder)) == sorted(
        [(stored[0].trial_key, 2), (stored[1].trial_key, PROTOCOL), ("u", 0), ("i", 0)]
    )
    out = other_way(command, "plan", folder)
    assert "1 done, 1 missing" in out
    assert "1 trial of protocol 2 is read" in out
    assert "1 trial of an earlier protocol is read" in out
    assert len(rows(folder, where="protocol == 2")) == 1
    assert command("compact", folder / "results")[0] == 0
    assert len(rows(folder, where="protocol == 2")) == 1


def test_rows_that_say_no_content_are_not_taken_for_those_of_the_plug_in(folder, command):
    first, _ = made(folder).trials
    old = attempt(folder, first, PROTOCOL, 0.5)
    place = folder / "results" / "study=s" / "compact" / "part-A.parquet"
    put(place, writer.stored(to_table([old]).drop_columns(["protocol", "plug_ins_json"]), "s"))
    out = other_way(command, "plan", folder)
    assert "0 done, 2 missing" in out
    assert "1 trial is of narrow.py without saying of which content of it: it stays and is shown apart" in out
