"""Studies of several data sets: nothing that acts on scores compares those of one with those of another."""

import io
from itertools import product

import numpy as np
import pytest

from core.errors import UserError
from core.evaluation.assignment import Assignment
from core.training import data_cache
from jobs.analysis.effect import effect
from jobs.analysis.trials import gather
from jobs.execution.progress import Progress
from jobs.models import assignments, choice
from jobs.models.assignments import KeepRule
from jobs.planning import plan as planning
from jobs.planning.confirm import Confirmation
from jobs.results import writer
from jobs.results.schema import Attempt, to_table
from jobs.study import study as studies

STUDY = """study: s
trial: {data: {name: file, path: easy.csv}, n_clusters: 2, epochs: 2, batch_size: 8, encoder: {name: mlp, widths: [4]}}
space: {data.path: {choice: [easy.csv, hard.csv]}, learning_rate: {grid: [1.0e-3, 1.0e-2, 1.0e-1]}}
seeds: [0, 1, 2]
"""
STAGES = """study: s
trial: {data: {name: file, path: easy.csv}, n_clusters: 2, epochs: 2, batch_size: 8, encoder: {name: mlp, widths: [4]}}
seeds: [0, 1]
stages:
  - name: one
    space: {data.path: {choice: [easy.csv, hard.csv]}}
  - {name: two, from: best}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, step in (("easy", 9), ("hard", 1)):
        rows = "".join(f"{i % 2 * step + i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(20))
        (tmp_path / f"{name}.csv").write_text("u,v,label\n" + rows)

    def write(text):
        (tmp_path / "study.yaml").write_text(text)
        return tmp_path / "study.yaml"

    return write


@pytest.fixture
def done(place):
    """The plan of a study whose trials have rows: on the easy data the smallest rate is the best, on the hard one the
    largest.
    """
    plan = planning.make(studies.load(place(STUDY)))
    for one in plan.trials:
        rate = one.parameters["optimiser.learning_rate"]
        easy = one.parameters["data.path"] == "easy.csv"
        row = Attempt(
            study="s",
            trial_key=one.trial_key,
            config_key=one.config_key,
            seed=one.seed,
            attempt_id="01",
            status="ok",
            params=dict(one.parameters),
            metrics={"nmi": (0.9 - rate if easy else 0.2 + rate) + one.seed / 1000},
            data_hash=one.data_hash,
            cluster_sizes=[10, 10],
        )
        writer.write("results", row)
    return plan


def test_each_data_set_has_a_race_of_its_own(done):
    confirmation = Confirmation(done.study, "results", "nmi", "max", most=5, top=2, margin=0.0)
    with pytest.raises(UserError, match=r"2 data sets \(easy, hard\), and no score is compared"):
        confirmation.heat()
    heats = {heat.data: heat for heat in (one.heat() for one in confirmation.of_each_data_set())}
    assert sorted(heats) == ["easy", "hard"]
    best = {name: heat.board.entries[0].params["optimiser.learning_rate"] for name, heat in heats.items()}
    assert best == {"easy": 0.001, "hard": 0.1}
    for name, heat in heats.items():
        assert len(heat.values) == 3
        assert {one.parameters["data.path"] for one in heat.lacking} <= {f"{name}.csv"}


def test_a_plan_of_one_data_set_has_one_race_without_a_name(place):
    plan = planning.make(studies.load(place(STUDY.replace("[easy.csv, hard.csv]", "[easy.csv]"))))
    assert not plan.has_several_data_sets
    assert len(Confirmation(plan.study, "results", "nmi", "max", most=5, top=2, margin=0.0).of_each_data_set()) == 1


def test_the_best_of_a_run_is_not_shown_over_several(done, place):
    progress = Progress(done, len(done.trials), 0, out=io.StringIO())
    progress.values["c"] = [0.5, 0.6]
    assert progress.best() == ""
    one = planning.make(studies.load(place(STUDY.replace("[easy.csv, hard.csv]", "[easy.csv]"))))
    alone = Progress(one, len(one.trials), 0, out=io.StringIO())
    alone.values["c"] = [0.5, 0.6]
    assert alone.best().startswith("best nmi 0.550")


def test_no_stage_starts_from_the_best_of_several_and_that_is_refused_before_the_start(place, command):
    for run in ("plan", "run"):
        code, _, err = command(run, str(place(STAGES)), "--results", "results")
        assert (code, err.count("no score is compared across data sets")) == (2, 1)
    assert command("plan", str(place(STAGES.replace(", from: best", ""))))[0] == 0


def test_a_scheduler_does_not_compare_data_sets(place):
    text = f"{STUDY}search: {{scheduler: asha}}\n"
    with pytest.raises(UserError, match=r"asha compares the scores of trials while they run, and no score is compared"):
        planning.make(studies.load(place(text)))
    planning.make(studies.load(place(text.replace("[easy.csv, hard.csv]", "[easy.csv]"))))


def test_clusters_are_kept_of_the_best_of_each(done, tmp_path):
    folder = tmp_path / "results" / "study=s"
    rule = KeepRule.of("nmi", "max", every=False)
    for one in done.trials:
        easy = one.parameters["data.path"] == "easy.csv"
        value = (0.8 if easy else 0.1) + one.seed / 10
        attempt = Attempt(
            study="s",
            trial_key=one.trial_key,
            config_key=one.config_key,
            seed=one.seed,
            attempt_id="01",
            status="ok",
            params=dict(one.parameters),
            metrics={"nmi": value},
            data_hash=one.data_hash,
            best_metric="nmi",
        )
        clusters = np.repeat([0, 1], 10)
        found = Assignment(clusters, None, None, np.zeros(20, np.float32))
        assignments.keep(folder, attempt, (2, found), data_cache.read(one.config.data), rule)
    kept = {key for key, _ in assignments.stored(folder)}
    found = [one for one in done.trials if one.trial_key in kept]
    assert sorted((one.parameters["data.path"], one.seed) for one in found) == [("easy.csv", 2), ("hard.csv", 2)]
    with pytest.raises(UserError, match=r"no score is compared across data sets.*Name a trial with --trial"):
        choice.choose(folder)
    assert choice.choose(folder, trial=found[0].trial_key).key == found[0].trial_key


def table_of(name):
    """Trials of two methods on two tables of one library, and on another data set."""
    for place, (method, (data, table, base), seed) in enumerate(
        product(("cc", "tcl"), (("lib", "iris", 0.2), ("lib", "wine", 0.7), ("own", None, 0.5)), range(3))
    ):
        yield Attempt(
            study=name,
            trial_key=f"T{place}",
            config_key=f"{method} {table}",
            seed=seed,
            attempt_id=f"A{place}",
            status="ok",
            params={"method.name": method, "data.name": data, "data.table": table, "n_clusters": 3},
            metrics={"nmi": base + 0.1 * (method == "tcl") + 0.001 * seed},
            health={"raw_silhouette": base + 0.1 * (method == "tcl"), "knn_consistency": base + 0.01 * seed},
            data_hash=f"{data}{table}".ljust(64, "0"),
        )


def test_data_sets_stand_apart_under_their_names(tmp_path, monkeypatch, command):
    """Two tables of one library are two data sets, and no text has their fingerprint."""
    monkeypatch.chdir(tmp_path)
    for row in table_of("s"):
        writer.write("results", row)
    found = effect(gather(to_table(list(table_of("s"))), "nmi"), "data.name", "max")
    assert {level.value: level.n for level in found.levels} == {"lib table=iris": 6, "lib table=wine": 6, "own": 6}
    assert not any("the one with the most trials" in note for note in found.notes)
    texts = [command(*words)[1] for words in (["effect", "data"], ["effect", "method"], ["selection"])]
    texts.append(command("diff", "results", "results")[1])
    assert not any("0" * 9 in text for text in texts)
    assert "data at method = cc" in texts[0]
    assert "method at data = lib table=iris\n" in texts[1]
    assert "s (lib table=iris)" in texts[2]
    assert "n_clusters" not in texts[2]
    assert "data_hash" not in texts[3]
    cells = command("interaction", "method", "data")[1]
    assert "quarter of the range of a data set" in " ".join(cells.split())
    # The worse method is the lowest on each data set, the better one the highest.
    shaded = [line for line in cells.splitlines() if "(3)" in line]
    assert sum(line.count("░") for line in shaded) == sum(line.count("█") for line in shaded) == 3
