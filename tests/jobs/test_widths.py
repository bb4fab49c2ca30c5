"""At 80 and at 60 columns no command prints a wider line, nor breaks a word of a sentence."""

import random
import re
from datetime import UTC, datetime, timedelta

import pytest

import conclus
from jobs.present import visible
from jobs.results import writer
from jobs.results.schema import Attempt

WIDTHS = (80, 60)
STUDY = """study: s
trial:
  data: {name: file, path: t.csv}
  n_clusters: 2
  epochs: 2
  batch_size: 8
  encoder: {name: mlp, widths: [4]}
space: {learning_rate: {grid: [1.0e-3, 1.0e-2]}, method: {choice: [cc, tcl]}}
seeds: [0, 1]
"""
COMMANDS = [
    "aggregate one",
    "aggregate one -v --sort learning_rate --top 2",
    "aggregate one --columns ledger",
    "aggregate one --attempts",
    "aggregate two",
    "aggregate two --table methods --on nmi,acc",
    "effect one learning_rate",
    "importance one",
    "interaction one learning_rate instance_temperature",
    "selection one",
    "next one",
    "health one",
    "status one",
    "status two",
    "diff one one",
    "diff one two --study s",
    "sql one|describe trials",
    "sql one|select study, trial_key, status, metric.nmi from trials",
    'sql one|select study, trial_key, config_key, status, reason, started, "metric.nmi", "metric.acc" from trials',
    "note one",
    "methods",
    "methods methods cc",
    "methods losses",
    "plan s.yaml",
    "plan s.yaml --set epochz=3",
    "aggregate one --where zz<1",
    "data t.csv",
    "logs one",
    "clusters one",
    "topics one",
]


def rows(study, data_sets):
    noise = random.Random(study)
    for data in data_sets:
        for cell, rate in enumerate((1e-4, 2e-4, 5e-4)):
            for warm in (0.3, 0.5):
                for seed in (0, 1, 2):
                    nmi = 0.5 + 400 * rate + noise.gauss(0, 0.01)
                    key = f"{data[:2]}{cell}{warm}"
                    params = {"optimiser.learning_rate": rate, "method.instance_temperature": warm, "data.name": data}
                    yield Attempt(
                        study=study,
                        trial_key=f"{key}-{seed}",
                        config_key=key,
                        seed=seed,
                        attempt_id=f"A{key}-{seed}",
                        status="failed" if seed == 2 and cell == 0 else "ok",
                        reason="DIVERGED: the loss is not finite" if seed == 2 and cell == 0 else None,
                        started=datetime(2026, 6, 7, 8, tzinfo=UTC) + timedelta(minutes=cell),
                        seconds=40.0,
                        epochs_done=5,
                        host="a-machine-with-a-long-name",
                        data_hash=f"hash of {data}",
                        params=params | {"method.name": "cc", "epochs": 5},
                        metrics={"nmi": nmi, "acc": nmi + 0.02, "ari": nmi - 0.1, "loss": 9 - 3 * nmi},
                        health={"raw_silhouette": nmi - 0.2, "label_free": nmi, "knn_consistency": nmi + 0.1},
                        history=[(epoch, float(epoch), "nmi", nmi * epoch / 5) for epoch in range(1, 6)],
                    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("widths")
    for place, study, data in (("one", "s", ("digits",)), ("two", "t", ("digits", "wine", "breast_cancer"))):
        for row in rows(study, data):
            writer.write(str(made / place), row)
    samples = "".join(f"{i % 2 * 9 + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
    (made / "t.csv").write_text("u,v,label\n" + samples)
    (made / "s.yaml").write_text(STUDY)
    return made


@pytest.fixture
def terminal(command, monkeypatch, folder):
    """What a command shows in a terminal of a width."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(visible.Visible, "isatty", lambda _: True, raising=False)

    def show(width, *words):
        monkeypatch.setenv("COLUMNS", str(width))
        _, out, err = command(*words)
        return re.sub(r"\x1b\[K|\r", "", out + err)  # The bar that was there before.

    return show


def words_of(text):
    """The words of a text; a hyphen within a word is no place to break it. What is cut with `…` says so."""
    return set(re.findall(r"(?<![\w-])[A-Za-z](?:[\w-]*[A-Za-z])?(?![\w…-])", text))


@pytest.mark.parametrize("line", COMMANDS)
def test_no_line_is_wider_than_the_terminal(terminal, line):
    start, _, query = line.partition("|")
    words = [*start.split(), *filter(None, [query])]
    whole = words_of(terminal(400, *words))
    # The heads of columns may be folded within a key: learning_ rate.
    whole |= {part for word in whole for part in word.split("_")} | {"The", "parameters", "of", "more", "csv", "and"}
    for width in WIDTHS:
        shown = terminal(width, *words)
        wide = [one for one in shown.splitlines() if len(one) > width]
        assert wide == []
        assert words_of(shown) <= whole, "a part of a word would be new"


@pytest.mark.parametrize("name", ["", *sorted(name for group in conclus.GROUPS.values() for name in group)])
def test_no_help_is_wider_than_the_terminal(terminal, name):
    whole = terminal(400, *filter(None, [name]), "--help")
    for width in WIDTHS:
        shown = terminal(width, *filter(None, [name]), "--help")
        assert [one for one in shown.splitlines() if len(one) > width] == []
        options = set(re.findall(r"--[a-z][a-z-]*[a-z]", whole))
        assert set(re.findall(r"--[a-z][a-z-]*", shown)) <= options, "an option is broken at its hyphen"


def test_a_word_that_is_broken_would_be_seen(terminal, monkeypatch):
    from jobs.commands import selection

    monkeypatch.setattr(selection, "wrapped", lambda text, _width: [text[:30], text[30:]])
    with pytest.raises(AssertionError):
        test_no_line_is_wider_than_the_terminal(terminal, "selection one")
