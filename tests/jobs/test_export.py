"""`conclus export`: the study that it writes runs the same trial again, to the last bit."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import conclus
from core.config.trial import parameters
from core.errors import UserError
from jobs.results import identity, reader, writer
from jobs.results.schema import Attempt

STUDY = """study: s
trial:
  n_clusters: 2
  epochs: 2
  batch_size: 8
  method: {name: cc}
  encoder: {name: mlp, widths: [4]}
  views: {name: noise}
space:
  data:
    grid: [{name: file, path: a/t.csv}, {name: file, path: b/u.csv}]
  learning_rate: {grid: [1.0e-3, 1.0e-2]}
seeds: [3, 4]
select: {metric: acc}
resources: {cpu: 1}
"""
SCORES = ("metric.nmi", "metric.acc", "metric.loss")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Eight trials on two files, run once."""
    import conclus

    folder = tmp_path_factory.mktemp("export")
    for name, step in (("a/t.csv", 10), ("b/u.csv", 7)):
        (folder / name).parent.mkdir()
        rows = "".join(f"{i % 2 * 9 + i / step},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
        (folder / name).write_text("u,v,label\n" + rows)
    (folder / "s.yaml").write_text(STUDY)
    conclus.run(conclus.load_study(folder / "s.yaml"), results=str(folder / "results"), workers=1)
    return folder


def rows(results, **wanted):
    return reader.load([str(results)], **wanted).table.to_pylist()


def whole(params, plug_ins=None):
    """What tells of a trial with these parameters, with its keys."""
    key = identity.config_key(params, "", plug_ins=plug_ins)
    told = {"study": "s", "config_key": key, "trial_key": identity.trial_key(key, 0), "seed": 0, "attempt_id": "a"}
    return told | {"status": "ok", "params": params, "plug_ins": plug_ins or {}}


def test_the_exported_study_repeats_the_best_trial(finished, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = ("--where", "data.path == 'u.csv'")
    code, said, err = command("export", finished / "results", "--best", *where, "--out", "best.yaml")
    assert (code, said) == (0, "Wrote best.yaml.\n")
    assert re.fullmatch(r"trial \w+ is exported, of seed 3, the smallest; --trial names another\n", err)
    assert command("run", "best.yaml", "--workers", "1")[0] == 0
    (again,) = rows(tmp_path / "results")
    there = {one["trial_key"]: one for one in rows(finished / "results")}
    first = there[again["trial_key"]]  # Its key is that of the trial that it repeats.
    assert [again[name] for name in SCORES] == [first[name] for name in SCORES]
    assert (again["study"], again["seed"]) == ("s-best", 3)
    told = json.loads(command("aggregate", finished / "results", *where, "--format", "json")[1])
    assert first["config_key"] == told[0]["config_key"]
    head = (tmp_path / "best.yaml").read_text().splitlines()[0]
    assert re.fullmatch(r"# The best configuration of s by conclus export: acc .* over 2 seeds.*\.", head)
    code, _, err = command("export", finished / "results", *where, "--out", "best.yaml")
    assert (code, "is there already" in err) == (2, True)


def test_of_data_without_labels_the_export_runs(command, tmp_path):
    (tmp_path / "t.csv").write_text("u,v\n" + "".join(f"{i % 2 * 9 + i / 10},{i % 3}\n" for i in range(20)))
    study = {
        "study": "s",
        "trial": {
            "data": {"name": "file", "path": str(tmp_path / "t.csv"), "labels": "none"},
            "n_clusters": 2,
            "method": "kmeans",
        },
        "seeds": [0, 1],
        "resources": {"cpu": 1},
    }
    conclus.run(conclus.study(study), results=str(tmp_path / "results"), workers=1)
    code, text, _ = command("export", tmp_path / "results")
    (tmp_path / "best.yaml").write_text(text)
    assert (code, "metric: consensus" in text) == (0, True)
    code, _, err = command("plan", tmp_path / "best.yaml", "--results", tmp_path / "again")
    assert (code, "needs labels" in err) == (0, False), err


def test_a_trial_is_found_by_its_key_among_several_studies(finished, command, tmp_path):
    shutil.copytree(finished / "results", tmp_path / "results")
    row = {"study": "t", "trial_key": "zz", "config_key": "c", "seed": 0, "attempt_id": "a", "status": "ok"}
    writer.write(str(tmp_path / "results"), Attempt(**row, params={}, metrics={"acc": 0.5}))
    key = rows(finished / "results")[0]["trial_key"]
    code, text, err = command("export", tmp_path / "results", "--trial", key)
    assert (code, text.startswith(f"# Trial {key} of s by conclus export.")) == (0, True), err
    code, _, err = command("export", tmp_path / "results", "--trial", "yy")
    assert (code, "has a trial that begins with 'yy'" in err) == (2, True)
    with pytest.raises(UserError, match=r"choose one, as conclus\.open"):
        conclus.open(tmp_path / "results").next()


def test_any_trial_can_be_exported(finished, command, tmp_path):
    for one in rows(finished / "results")[-2:]:
        (tmp_path / "one.yaml").write_text(command("export", finished / "results", "--trial", one["trial_key"])[1])
        planned = command("plan", tmp_path / "one.yaml", "--results", finished / "results")[1]
        assert "1 trial" in planned
        assert f"seeds: [{one['seed']}]" in (tmp_path / "one.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "The trials are of several data sets. The best of each is one of --trial "),
        (["--trial", "0", "--best"], "give one of them"),
        (["--trial", "zz"], "There is no trial 'zz' in s"),
        (["--study", "t"], "There is no study 't'"),
    ],
)
def test_what_cannot_be_exported_is_told(finished, command, words, said):
    code, _, err = command("export", finished / "results", *words)
    assert (code, said in err) == (2, True)


@pytest.mark.parametrize(
    ("source", "params", "said"),
    [
        ("import", {"learning_rate": 1.0}, "was imported from a table"),
        ("pbt", {"epochs": 3}, "is a member of a population"),
        ("run", {"method.name": "cc", "method.speed": 3}, "unknown key"),
        ("run", {"method.name": "cc", "data.name": "digits", "epochs": 3}, "another value of batch_size"),
    ],
)
def test_a_trial_that_is_not_known_whole_is_refused(tmp_path, command, source, params, said):
    writer.write(str(tmp_path), Attempt(**whole(params), source=source, metrics={"nmi": 0.5}))
    plan = {"source": {"study": "s", "trial": {"data": "digits"}}}
    (tmp_path / "study=s" / "study.json").write_text(json.dumps(plan))
    code, _, err = command("export", tmp_path)
    assert (code, said in err) == (2, True), err


def test_a_best_across_numbers_of_clusters_says_what_its_score_is_worth(tmp_path, command):
    source = {"study": "s", "trial": {"data": {"name": "digits"}}}
    for count in (10, 11):
        params = parameters(conclus.study(source).cell({"n_clusters": count}))
        writer.write(str(tmp_path), Attempt(**whole(params), metrics={"nmi": 0.5}, health={"raw_silhouette": 0.1}))
    (tmp_path / "study=s" / "_study.json").write_text(json.dumps({"source": source}))
    for metric, told in (("raw_silhouette", True), ("nmi", False)):
        code, out, _ = command("export", tmp_path, "--metric", metric)
        first = out.splitlines()[0]
        assert (code, "across numbers of clusters (10, 11), to all of which no score" in first) == (0, told), first


def test_mistakes_name_the_options_that_there_are(finished, command):
    code, _, err = command("export", finished / "results", "--trial", "zzz")
    assert (code, "There is no trial 'zzz' in s: conclus aggregate --attempts lists them." in err) == (2, True)
    code, _, err = command("export", finished / "results", "--best", "--trial", "zzz")
    assert (code, "--trial and --best each name a trial: give one of them" in err) == (2, True)


def test_a_row_that_contradicts_itself_is_refused(finished, command, tmp_path):
    shutil.copytree(finished / "results", tmp_path / "results")
    (first, *_) = rows(tmp_path / "results")
    (file,) = (tmp_path / "results").rglob(f"{first['trial_key']}.*.parquet")
    table = pq.read_table(file)
    place = table.column_names.index("param.optimiser.learning_rate")
    forged = table.set_column(place, table.schema.names[place], pa.array([0.5]))
    writer.put(file, writer.serialise(forged))
    assert rows(tmp_path / "results")[0]["param.optimiser.learning_rate"] == 0.5
    for words in (["--trial", first["trial_key"]], ["--where", "learning_rate == 0.5"]):
        code, out, err = command("export", tmp_path / "results", *words)
        assert (code, out) == (2, "")
        assert f"Trial {first['trial_key']} is not exported: its row tells two values of optimiser.learning_rate" in err


@pytest.mark.parametrize("part", ["params", "seed", "config_key", "trial_key", "data_hash", "plug_ins", "protocol"])
def test_a_row_whose_key_is_not_that_of_what_it_tells_is_refused(tmp_path, command, part):
    other = {"params": {"batch_size": 4}, "seed": 1, "plug_ins": {"method.name": {"name": "x.py", "sha256": "1" * 64}}}
    source = {"study": "s", "trial": {"data": {"name": "digits"}}}
    content = whole(parameters(conclus.study(source).cell({})))
    for place, change in (("honest", {}), ("forged", {part: other.get(part, 0 if part == "protocol" else "0" * 16)})):
        kept = content | ({"params": content["params"] | change["params"]} if "params" in change else change)
        if part == "protocol" and change:
            kept["seed"] = 1
        results = tmp_path / place
        writer.write(str(results), Attempt(**kept, metrics={"nmi": 0.5}))
        (results / "study=s" / "_study.json").write_text(json.dumps({"source": source}))
        code, out, err = command("export", results)
        if place == "honest":
            assert (code, err, "seeds: [0]" in out) == (0, "", True)
    assert (code, out) == (2, "")
    assert "is not exported: its key is not that of the parameters, data, plug-ins and seed that its row tells" in err


METHOD = '''"""A method that says when it is run."""

from pathlib import Path

from core.methods.kmeans import Method as Base

Path(__file__).with_name("it-ran").write_text("yes")


class Method(Base):
    """K-means."""
'''


def test_a_strangers_plug_in_is_named_and_not_run(command, tmp_path):
    (tmp_path / "own.py").write_text(METHOD)
    source = {"study": "s", "trial": {"data": {"name": "digits"}, "method": {"name": str(tmp_path / "own.py")}}}
    params = parameters(conclus.study(source).cell({}))
    (tmp_path / "own.py").unlink()
    (tmp_path / "it-ran").unlink(missing_ok=True)
    results = tmp_path / "results"
    own = {"method.name": {"name": "own.py", "sha256": "0" * 64}}
    writer.write(str(results), Attempt(**whole(params, own), metrics={"nmi": 0.5}))
    (results / "study=s" / "_study.json").write_text(json.dumps({"source": source}))
    assert "own.py of methods does not exist" in command("export", results, "--best")[2]
    copy = results / "study=s" / "_plugins" / "own.py"
    copy.parent.mkdir()
    copy.write_text(METHOD)
    code, said, err = command("export", results, "--best", "--out", tmp_path / "best.yaml")
    assert (code, err) == (0, "")
    assert (
        f"It names the plug-in {copy}, which lies in the results: it runs only if you read it and add --plug-in" in said
    )
    assert str(copy) in (tmp_path / "best.yaml").read_text()
    assert not copy.with_name("it-ran").exists()
    code, _, err = command("run", tmp_path / "best.yaml", "--results", tmp_path / "again", "--workers", "1")
    assert (code, "is not allowed" in err, copy.with_name("it-ran").exists()) == (2, True, False)
