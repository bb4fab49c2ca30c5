"""Broken study files and data files: exit code 2, one line for each mistake, no traceback, nothing written."""

from pathlib import Path

import numpy as np
import pytest

GOOD = """study: s
trial:
  data: {name: digits}
  method: {name: cc}
  epochs: 1
"""


def study(text: str) -> str:
    """A good study with lines put in or over: `key: value` under the trial is given with two spaces."""
    return GOOD + text


# What is wrong with the file, and the words that its one line must have (`{file}` is the study's path).
STUDIES = {
    "unknown option": (
        study("").replace("{name: cc}", "{name: cc, instance_temprature: 0.1}"),
        "{file}:4: trial.method.instance_temprature: unknown key; did you mean 'instance_temperature'?",
    ),
    "unknown key of the trial": (study("  epoch: 3\n"), "{file}:6: trial.epoch: unknown key; did you mean 'epochs'?"),
    "unknown key of the study": (study("sedes: [1]\n"), "{file}:6: sedes: unknown key; did you mean 'seeds'?"),
    "unknown method": (GOOD.replace("cc", "ccc"), "{file}:4: trial.method.name: 'ccc' is none of the methods"),
    "unknown data": (GOOD.replace("digits", "digitz"), "did you mean 'digits'?"),
    "plug-in file that is not there": (GOOD.replace("cc", "./mine.py"), "mine.py of methods does not exist"),
    "text for a number": (
        study("  batch_size: many\n"),
        "{file}:6: trial.batch_size: 'many' is wrong: a whole number at least 1",
    ),
    "number in quotes": (study('  batch_size: "64"\n'), "'64' is wrong: a whole number"),
    "negative": (study("  optimiser: {learning_rate: -1}\n"), "-1 is wrong: a number above 0"),
    "zero temperature": (
        GOOD.replace("{name: cc}", "{name: cc, cluster_temperature: 0}"),
        "0 is wrong: a number above 0",
    ),
    "not finite": (study("  optimiser: {learning_rate: .inf}\n"), "inf is wrong: a number"),
    "no epochs": (GOOD.replace("epochs: 1", "epochs: 0"), "{file}:5: trial.epochs: 0 is wrong"),
    "half an epoch": (GOOD.replace("epochs: 1", "epochs: 1.5"), "1.5 is wrong: a whole number"),
    "unknown optimiser": (
        study("  optimiser: {name: adm}\n"),
        "one of 'adam', 'adamw' is needed; did you mean 'adam'?",
    ),
    "list for a section": (study("  optimiser: [1]\n"), "a mapping of keys to values is needed"),
    "text for the widths": (study("  encoder: {name: mlp, widths: wide}\n"), "a list, each item a whole number"),
    "no name": (GOOD.replace("study: s\n", ""), "study: is missing"),
    "name with a slash": (GOOD.replace("study: s", "study: a/b"), "'a/b' is wrong: a study's name has letters, digits"),
    "not YAML": (study("  epochs: [1\n"), "not valid YAML"),
    "tab": (study("\tepochs: 2\n"), "{file}:6: not valid YAML"),
    "key twice": (study("  epochs: 2\n"), "{file}:6: trial.epochs: this key is given twice"),
    "object tag": (study("seeds: !!python/object:os.system [0]\n"), "the tag"),
    "a list": ("- 1\n", "{file}:1: a study file is a mapping"),
    "empty": ("", "{file}:1: a study file is a mapping"),
    "unknown key in the space": (study("space: {learning_rat: {grid: [1]}}\n"), "did you mean 'learning_rate'?"),
    "ambiguous key in the space": (study("space: {name: {grid: [a]}}\n"), "write the whole key"),
    "key twice in the space": (
        study("space: {learning_rate: {grid: [1.0]}, optimiser.learning_rate: {grid: [1.0]}}\n"),
        "is in the space twice",
    ),
    "unknown kind of range": (study("space: {learning_rate: {gird: [1.0]}}\n"), "a range is needed, one of {{grid"),
    "bare value in the space": (study("space: {learning_rate: 0.1}\n"), "0.1 is wrong: a range is needed"),
    "empty range": (study("space: {learning_rate: {grid: []}}\n"), "grid needs a list"),
    "value twice": (study("space: {learning_rate: {grid: [0.1, 0.1]}}\n"), "0.1 twice"),
    "bad value in a range": (study("space: {learning_rate: {grid: [0.1, -2]}}\n"), "-2 is wrong: a number above 0"),
    "bad end of a range": (
        study("space: {batch_size: {int: [0, 9]}}\nsearch: {name: random, trials: 2}\n"),
        "0 is wrong: a whole number at least 1",
    ),
    "ends swapped": (study("space: {learning_rate: {uniform: [2, 1]}}\n"), "[2, 1] is empty"),
    "logarithm of zero": (study("space: {learning_rate: {log_uniform: [0, 1]}}\n"), "needs ends above 0"),
    "continuous in a grid": (
        study("space: {learning_rate: {uniform: [0.1, 1]}}\n"),
        "{file}:6: space.optimiser.learning_rate: a grid cannot list a continuous range",
    ),
    "random without a number": (
        study("space: {learning_rate: {uniform: [0.1, 1]}}\nsearch: {name: random}\n"),
        "random needs 'trials'",
    ),
    "unknown search": (study("search: {name: bayes}\n"), "one of 'grid', 'random'"),
    "no seed": (study("seeds: []\n"), "at least one seed"),
    "seed twice": (study("seeds: [1, 1]\n"), "none of them twice"),
    "negative seed": (study("seeds: [-1]\n"), "[-1] is wrong"),
    "one seed as a number": (study("seeds: 3\n"), "3 is wrong: a list"),
    "wrong mode": (study("select: {metric: nmi, mode: maximum}\n"), "did you mean 'max'?"),
    "no core": (study("resources: {cpu: 0}\n"), "0 is wrong: a whole number at least 1"),
    "more cores than there are": (study("resources: {cpu: 4096}\n"), "4096"),
    "more cards than a trial uses": (study("resources: {gpu: 2}\n"), "2 is wrong: a number at least 0 and at most 1"),
    "a kind of card without a card": (study("resources: {accelerator: A100}\n"), "{file}:6: resources.accelerator: "),
    "a custom resource of Ray's own": (study("resources: {custom: {GPU: 1}}\n"), "use resources.gpu"),
    "one and a half of a resource": (study("resources: {custom: {ssd: 1.5}}\n"), "1.5 is wrong: a whole number, or"),
    "a custom resource that is not here": (
        study("resources: {custom: {ssd: 1}}\n"),
        "A trial asks for ssd: 1, but this machine offers no kind of card and no custom resource",
    ),
    "more than the machines": (study("resources: {at_most: 1.5}\n"), "a number above 0 and at most 1"),
    "too many trials": (study("seeds: [1]\nspace: {batch_size: {int: [1, 300000]}}\n"), "300,000 trials"),
    "given twice": (study("  learning_rate: 0.1\n  optimiser: {learning_rate: 0.2}\n"), "keep one"),
}


def check(found, folder: Path, words: str, before: set[Path]) -> None:
    code, out, err = found
    assert code == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("Error: ")
    assert words in err
    assert "Traceback" not in err
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize("what", STUDIES)
def test_a_broken_study_file(what, tmp_path, monkeypatch, command):
    text, words = STUDIES[what]
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "study.yaml"
    file.write_text(text)
    workers = () if what == "more cores than there are" else ("--workers", "1")
    before = set(tmp_path.rglob("*"))
    check(command("run", file, *workers), tmp_path, words.replace("{file}", str(file)).replace("{{", "{"), before)


def test_a_study_file_that_is_not_there(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    check(command("run", "no.yaml"), tmp_path, "no.yaml: the study file cannot be read", set())


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path, command):
    file = tmp_path / "study.yaml"
    file.write_text("study: s\ntrial:\n  epoch: 3\n  batch_size: x\nspace: {wrong: {grid: [1]}}\n")
    _, _, err = command("plan", file)
    assert [line.split(": ")[2] for line in err.splitlines()] == ["trial.epoch", "trial.batch_size"]


@pytest.mark.parametrize("value", ["epochs", "=3", "epochz=3", "name=cc", "epochs=many", "seeds=[1,1]", "epochs=[1"])
def test_a_broken_override(value, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "study.yaml"
    file.write_text(GOOD)
    check(command("run", file, "--set", value), tmp_path, "", {file})


DATA = {
    "not there": (None, "mine.npy"),
    "not a number": (np.array([[1.0, np.nan], [2, 3]]), "row 1 (counted from 1), column 2"),
    "no rows": (np.zeros((0, 3)), ""),
    "one dimension": (np.arange(5.0), ""),
    "objects": (np.array([{}, {}], dtype=object), ""),
    "constant": (np.ones((5, 3)), ""),
}


@pytest.mark.parametrize("what", DATA)
def test_a_broken_data_file_is_found_before_anything_starts(what, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    array, words = DATA[what]
    if array is not None:
        np.save(tmp_path / "mine.npy", array, allow_pickle=True)
    file = tmp_path / "study.yaml"
    file.write_text(GOOD.replace("{name: digits}", "{name: file, path: mine.npy}") + "  n_clusters: 2\n")
    before = set(tmp_path.rglob("*"))
    check(command("run", file, "--workers", "1"), tmp_path, words, before)


def test_unlabelled_data_need_the_number_of_clusters(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(20, 3)))
    file = tmp_path / "study.yaml"
    file.write_text(GOOD.replace("{name: digits}", "{name: file, path: mine.npy}"))
    before = set(tmp_path.rglob("*"))
    check(command("run", file, "--workers", "1"), tmp_path, "trial.n_clusters", before)


@pytest.mark.parametrize(
    "line",
    [("status",), ("logs",), ("stop",), ("resume",), ("aggregate",), ("report",), ("next",), ("compact",)],
    ids=lambda line: line[0],
)
def test_a_study_file_in_place_of_a_folder_of_results_is_named(tmp_path, command, line):
    study = tmp_path / "mine.yaml"
    study.write_text("study: mine\ntrial: {data: digits}\n")
    code, out, err = command(*line, study)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "mine.yaml" in err
    assert "give the folder that `conclus run` wrote to" in err
