"""The snapshot of a study is the same study: anywhere, with its overrides, without the files it was made of."""

import shutil

import pytest

from core.errors import UserError
from jobs.planning import plan
from jobs.study import snapshot, study

TEXT = """study: s
trial: {data: digits, method: ./mine.py, epochs: 3, encoder: {name: mlp, widths: [8]}}
space:
  learning_rate: {grid: [1.0e-3, 1.0e-2]}
  views: {grid: [noise, {name: ./views.py}]}
seeds: [0, 1]
search: {name: grid, seed: 3}
resources: {cpu: 2, custom: {ssd: 0.5}, at_most: 0.5}
"""


@pytest.fixture
def file(tmp_path, root):
    folder = tmp_path / "theirs"
    folder.mkdir()
    shutil.copy(root / "core" / "methods" / "cc.py", folder / "mine.py")
    shutil.copy(root / "core" / "views" / "noise.py", folder / "views.py")
    (folder / "study.yaml").write_text(TEXT)
    return folder / "study.yaml"


def keys(one):
    return [(trial.trial_key, trial.config_key, trial.seed) for trial in plan.make(one).trials]


def test_it_plans_the_same_trials_elsewhere_and_without_the_originals(file, tmp_path):
    read = study.load(file, ["batch_size=64", "learning_rate=0.5"])
    planned = keys(read)
    copy = snapshot.write(read, tmp_path / "copy")
    shutil.move(tmp_path / "copy", tmp_path / "elsewhere")
    shutil.rmtree(file.parent)
    again = study.load(tmp_path / "elsewhere" / copy.name)
    assert keys(again) == planned
    assert len(planned) == 4
    assert again.trial["batch_size"] == 64
    assert (again.search, again.resources, again.select) == (read.search, read.resources, read.select)
    assert str(tmp_path / "theirs") not in (tmp_path / "elsewhere" / copy.name).read_text()


def test_a_snapshot_of_a_snapshot_is_the_same(file, tmp_path):
    first = snapshot.write(study.load(file), tmp_path / "a")
    second = snapshot.write(study.load(first), tmp_path / "b")
    assert first.read_text() == second.read_text()
    snapshot.write(study.load(first), tmp_path / "a")  # over itself, as resume does
    assert first.read_text() == second.read_text()
    assert (tmp_path / "a" / "_plugins" / "mine.py").read_bytes() == (
        tmp_path / "b" / "_plugins" / "mine.py"
    ).read_bytes()


def test_a_plug_in_in_the_space_is_found_beside_the_study_file(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {trial.config.views.name for trial in plan.make(study.load(file)).trials}
    assert names == {"noise", str(file.parent / "views.py")}


def test_two_plug_ins_of_one_name_are_refused(file, tmp_path):
    (file.parent / "other").mkdir()
    shutil.copy(file.parent / "views.py", file.parent / "other" / "mine.py")
    file.write_text(TEXT.replace("./views.py", "./other/mine.py"))
    with pytest.raises(UserError, match=r"two plug-ins are called mine.py: rename one"):
        snapshot.write(study.load(file), tmp_path / "copy")


def test_a_copy_that_was_damaged_is_refused_in_one_line_and_stays(file, tmp_path, command):
    copy = snapshot.write(study.load(file, ["learning_rate=0.5"]), tmp_path / "results" / "study=s")
    copy.write_bytes(damaged := copy.read_bytes().replace(b"learning_rate: 0.5", b"learning_rate: 0.1"))
    for line in (["plan", copy], ["resume", tmp_path / "results"]):
        code, out, err = command(*line)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{copy}: it is damaged or was edited" in err
        assert "restore it from a copy, or delete its first line" in err
    assert copy.read_bytes() == damaged


def test_an_edited_copy_without_its_digest_is_read_and_told(file, tmp_path):
    folder = tmp_path / "copy"
    copy = snapshot.write(study.load(file), folder)
    assert snapshot.fetch(folder, tmp_path) == (copy, [])
    copy.write_text(copy.read_text().partition("\n")[2].replace("seeds: [0, 1]", "seeds: [7]"))
    found, (note,) = snapshot.fetch(folder, tmp_path)
    assert found == copy
    assert f"{copy} holds no digest" in note
    assert study.load(copy).seeds == (7,)


def test_the_copy_says_what_the_study_is_chosen_by(file, tmp_path):
    for number, (overrides, said) in enumerate(
        {(): ("nmi", "max"), ("select.metric=loss", "select.mode=min"): ("loss", "min")}.items()
    ):
        snapshot.write(study.load(file, overrides), tmp_path / str(number))
        found = snapshot.select(tmp_path / str(number))
        assert (found["metric"], found["mode"]) == said
    assert snapshot.select(tmp_path / "none") is None
