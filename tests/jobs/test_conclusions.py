"""Conclusions as objects of Python: what the commands print, the same numbers as tables, and words for mistakes."""

import ast
import contextlib
import doctest
import inspect
import io
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import vl_convert

import conclus
from core.errors import UserError
from jobs.analysis import clusters as cluster_numbers
from jobs.charts import figure, paper
from jobs.conclusions import frames, results
from jobs.conclusions.proposal import NextStudy
from jobs.present.leaderboard import Sheet
from jobs.present.tables import Column
from jobs.study import study as studies
from tests.jobs.report.conftest import Store

NAMES = {"leaderboard": "aggregate"}
STUDY = {
    "study": "s",
    "trial": {
        "data": {"name": "file", "path": "mine.npz"},
        "method": {"name": "cc"},
        "encoder": {"name": "mlp", "widths": [16, 8]},
        "batch_size": 16,
        "epochs": 2,
    },
    "space": {"learning_rate": {"grid": [1e-3, 1e-2]}},
    "seeds": [0, 1],
}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A small study in the folder `results` of the current folder, all of it finished."""
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "results").fill()
    return conclus.open("results")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A real study with stored clusters: its folder."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(folder / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    data = {"name": "file", "path": folder / "mine.npz"}
    study = conclus.study({**STUDY, "trial": {**STUDY["trial"], "data": data}})
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        assert conclus.run(study, results=str(folder / "results"), workers=1, progress=True).done == 4
    (folder / "shown.txt").write_text(shown.getvalue())
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        assert conclus.run(study, results=str(folder / "results"), workers=1, progress=True).done == 4
    assert not shown.getvalue(), "nothing was left to do"
    return folder


def whole(text):
    """A text without the line breaks and blanks that a width makes."""
    return re.sub(r"[\s─]+", " ", text).strip()


ASKED = [
    (lambda one: one.leaderboard(), ["aggregate", "results"]),
    (lambda one: one.leaderboard("nmi,acc"), ["aggregate", "results", "--metric", "nmi,acc"]),
    (lambda one: one.effect("learning_rate"), ["effect", "results", "learning_rate"]),
    (lambda one: one.importance(), ["importance", "results"]),
    (
        lambda one: one.interaction("learning_rate", "instance_temperature"),
        ["interaction", "results", "learning_rate", "instance_temperature"],
    ),
    (lambda one: one.health(), ["health", "results"]),
]


@pytest.mark.parametrize(("ask", "words"), ASKED, ids=lambda one: " ".join(one) if isinstance(one, list) else "")
def test_an_object_says_what_its_command_prints(stored, command, ask, words):
    code, out, _ = command(*words)
    assert code == 0
    assert repr(ask(stored)) == out.rstrip("\n")


@pytest.mark.parametrize(("ask", "words"), ASKED, ids=lambda one: " ".join(one) if isinstance(one, list) else "")
def test_its_tables_are_those_of_its_command_in_each_frame(stored, command, ask, words):
    shown = ask(stored)
    for part in shown.sheets:
        option = [] if part in {"shares", "cells"} else ["--table", part]
        code, out, _ = command(*words, *option, "--format", "csv")
        assert code == 0
        printed = pd.read_csv(io.StringIO(out))
        table = shown.table(part, frame="arrow")
        assert table.column_names == list(printed.columns)
        ours = pd.read_csv(io.StringIO(shown.table(part).to_csv(index=False)))
        pd.testing.assert_frame_equal(ours, printed, check_dtype=False)
        assert shown.table(part, frame="polars").to_arrow().to_pylist() == table.to_pylist()
    assert shown.table().equals(shown.table(next(iter(shown.sheets))))


def test_a_notebook_gets_the_same_words_as_html(stored):
    for ask, _ in ASKED:
        shown = ask(stored)
        html = shown._repr_html_()
        assert {*re.findall(r"</?(\w+)", html)} <= {"table", "tr", "th", "td", "p", "b"}
        said = [unescape(one) for one in re.findall(r"<p>(.*?)</p>", html)]
        assert said
        assert all(whole(one) in whole(repr(shown)) for one in said if not one.startswith("Bold: "))
    board = stored.leaderboard()
    assert f"<b>{board.found.boards[0][1].entries[0].score.text}</b>" in board._repr_html_()
    assert "Bold: the best" in tied()._repr_html_()


def tied():
    """The leaderboard of two settings whose trials are alike."""
    store = Store(Path("tied"))
    rows = [
        store.attempt("t", cell, seed, {"rate": float(cell), "method.name": "cc"}, 0.5 + seed / 100, 3)
        for cell in (0, 1)
        for seed in range(3)
    ]
    store.put("t", rows)
    return conclus.open("tied").leaderboard()


@pytest.mark.parametrize(
    "case",
    [
        (lambda one: one.leaderboard(), ["leaderboard"], ["leaderboard"]),
        (lambda one: one.effect("learning_rate"), ["effect", "learning_rate"], ["values", "differences"]),
        (lambda one: one.importance(), ["importance"], ["shares"]),
        (
            lambda one: one.interaction("learning_rate", "instance_temperature"),
            ["interaction", "learning_rate", "instance_temperature"],
            ["cells"],
        ),
    ],
)
def test_its_charts_are_the_figures_of_plot(stored, command, monkeypatch, case):
    (ask, words, parts), figures = case, []
    monkeypatch.setattr(figure, "figure", lambda charts, *_: figures.extend(charts) or b"")
    shown = ask(stored)
    assert list(shown.charts) == parts
    assert command("plot", "results", *words, "--out", "f.svg")[0] == 0
    for part, plotted in zip(parts, figures, strict=True):
        drawn = shown.chart(part).to_dict()
        assert drawn["datasets"] == paper.on_paper(plotted, 560)["datasets"]
        assert "var(--" not in json.dumps(drawn)
        assert "<svg" in vl_convert.vegalite_to_svg(drawn)
    assert shown.chart().to_dict()["datasets"] == shown.chart(parts[0]).to_dict()["datasets"]


def test_what_cannot_be_drawn_is_said_as_by_plot(stored, command):
    Store(Path("losses")).put("l", [*refused()])
    effect = conclus.open("losses").effect("instance_temperature", "loss")
    code, _, err = command("plot", "losses", "effect", "instance_temperature", "--metric", "loss", "--out", "f.svg")
    assert code == 2
    with pytest.raises(UserError) as raised:
        effect.chart()
    assert whole(str(raised.value)) in whole(err)
    with pytest.raises(UserError, match="part: 'value' is wrong: write one of values, differences"):
        effect.chart("value")


def refused():
    """Trials whose losses may not be compared over the temperature, which rescales them."""
    for cell, temperature in enumerate((0.3, 0.5)):
        for seed in range(3):
            params = {"method.instance_temperature": temperature, "method.name": "cc"}
            yield Store.attempt("l", cell, seed, params, 0.5 + seed / 100, 3)


def test_the_trials_are_those_of_read_results(stored):
    expected = conclus.read_results("results")
    assert stored.trials(frame="arrow").equals(expected)
    assert stored.trials().equals(expected.to_pandas())
    assert isinstance(stored.trials(frame="polars"), pl.DataFrame)
    assert "history" in stored.trials(history=True, frame="polars").columns
    part = conclus.open("results", study="s", where="learning_rate == 5e-4")
    assert {*part.trials()["param.optimiser.learning_rate"]} == {5e-4}
    assert len(part.leaderboard().table()) == 2


def test_what_is_asked_wrongly_is_said_in_words(stored, monkeypatch):
    for wrong, words in (
        (lambda: conclus.open("nowhere"), "There is no results folder 'nowhere'"),
        (lambda: conclus.open("results").health().chart(), "This has no chart: "),
        (lambda: conclus.open("results", study="t"), "There is no study 't' in results"),
        (lambda: stored.effect("lerning_rate"), "learning_rate"),
        (lambda: stored.effect("learning_rate").table("diffs"), "write one of differences, values, slices"),
        (lambda: stored.effect(None), "one of method.instance_temperature, optimiser.learning_rate"),
        (lambda: stored.leaderboard(mode="maximum"), "mode: 'maximum' is wrong: write one of max, min"),
        (lambda: stored.importance(3), "or leave it out; there are acc, ari, confidence, "),
        (lambda: conclus.open("results", study=3), "or a list of names; there are s."),
        (lambda: conclus.run(None), "conclus.run takes a study"),
        (lambda: stored.trials(frame="excel"), "frame: 'excel' is wrong: write one of pandas, polars, arrow"),
        (lambda: stored.report("report.tex"), "should end in .html; `conclus report` writes tables for papers"),
        (lambda: stored.clusters("x", label_free=True), "give one of them"),
        (lambda: conclus.open("results", "results").next(), "asked of one folder of results"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            wrong()
    monkeypatch.setattr(frames.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="polars is not installed: uv pip install polars, or take frame='arrow'"):
        stored.trials(frame="polars")


WRONG = [None, 3, True, [3], "zzz", pd.DataFrame({"a": [1]})]
GOOD = {
    # What is right of these arguments, among what is wrong of others.
    "history": [True],
    "label_free": [True],
    "over": [True],
    "margin": [3],
    "out": ["zzz"],
    "on": [None],
    "mode": [None],
    "trial": [None],
}
RIGHT = {
    "parameter": "learning_rate",
    "first": "learning_rate",
    "second": "instance_temperature",
    "out": "r.html",
}


def questions(stored):
    """All that can be asked of results, of an answer and of its charts: a name, and how it is asked."""
    effect = stored.effect("learning_rate")
    proposal = NextStudy(None, effect.words, effect.sheets)
    for one in (stored, effect, proposal):
        for name, ask in inspect.getmembers(one, inspect.ismethod):
            if not name.startswith("_"):
                yield f"{type(one).__name__}.{name}", ask
    yield "open", lambda study=(), where="": conclus.open("results", study=study, where=where).trials()
    yield "open", lambda paths="results": conclus.open(paths)


def test_every_wrong_argument_of_every_question_is_told_by_its_name(stored):
    asked = 0
    for question, ask in questions(stored):
        names = {*inspect.signature(ask).parameters}
        for name in names:
            right = {key: value for key, value in RIGHT.items() if key in names - {name}}
            for given in WRONG:
                if any(given is one for one in GOOD.get(name, ())):
                    continue
                told = f"{question}({name}={given!r})"
                with pytest.raises(UserError) as raised:
                    pytest.fail(f"{told} is {ask(**right, **{name: given})}")
                (line,) = raised.value.lines
                assert given == "zzz" if isinstance(given, str) else line.startswith(f"{name}: "), told
                asked += 1
    assert asked > 100


def test_a_notebook_shows_a_mistake_without_a_traceback():
    assert UserError("one \x1b[2J 聚", "two")._render_traceback_() == [r"UserError: one \x1b[2J 聚", "UserError: two"]
    assert str(UserError("one \x1b[2J 聚", "two\u3000\x9b")) == "one \\x1b[2J 聚\ntwo\u3000\\x9b"


def test_a_column_of_numbers_and_words_has_words():
    sheet = Sheet(
        [Column("mixed"), Column("whole"), Column("part")], [[1, 1, None], ["a", 2.5, "x"], [None, None, "y"]]
    )
    assert frames.of_sheet(sheet).to_pydict() == {
        "mixed": ["1", "a", None],
        "whole": [1.0, 2.5, None],
        "part": [None, "x", "y"],
    }
    assert frames.of_sheet(Sheet([Column("none")], [])).num_rows == 0


def test_the_report_is_written(stored):
    page = stored.report("r.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_progress_outside_of_a_notebook_is_that_of_the_command(trained):
    assert (trained / "shown.txt").read_text().splitlines()[-1].startswith("4/4 done · best nmi ")


def test_the_next_study_is_that_of_the_command(trained, command, monkeypatch):
    monkeypatch.chdir(trained)
    code, out, _ = command("next", "results", "--out", "theirs.yaml", "--yes")
    assert code == 0
    proposed = conclus.open("results").next()
    assert whole(repr(proposed)) in whole(out)
    assert proposed.write("ours.yaml", over=True).read_bytes() == Path("theirs.yaml").read_bytes()
    with pytest.raises(UserError, match="is there already: name another file"):
        proposed.write("ours.yaml")
    assert [*proposed.table()["parameter"]] == [one.key for one in proposed.found.advice]
    assert conclus.load_study("ours.yaml").name == "s"


def test_the_clusters_are_those_that_the_commands_write(trained, command, monkeypatch, tmp_path):
    monkeypatch.chdir(trained)
    monkeypatch.setattr(cluster_numbers, "has_umap", lambda: False)  # It takes a minute to be imported.
    found = conclus.open("results").clusters()
    assert command("assign", "results", "--out", tmp_path / "c.csv")[0] == 0
    pd.testing.assert_frame_equal(found.table(), pd.read_csv(tmp_path / "c.csv"), check_dtype=False)
    assert command("clusters", "results", "--out", tmp_path / "page")[0] == 0
    for file in (tmp_path / "page").glob("*.csv"):
        ours = pd.read_csv(io.StringIO(found.table(file.stem).to_csv(index=False)))
        pd.testing.assert_frame_equal(ours, pd.read_csv(file), check_dtype=False)
    assert len(found.table("map")) == 60
    assert found.table("terms").empty
    assert "is the best of 4 finished trials" in whole(repr(found))
    assert found._repr_html_().count("<tr>") == 1 + len(found.table("sizes"))
    by_class = found.chart("class").to_dict()
    assert sum(len(rows) for rows in by_class["datasets"].values()) == 60 + 3  # a name in the middle of each class
    for given in ("size", None, ["sizes"], np.arange(2)):
        with pytest.raises(UserError, match=r"part: .* is wrong: write one of samples, sizes"):
            found.table(given)


def test_a_study_of_a_mapping_is_that_of_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", X=np.eye(4), y=np.arange(4))
    kept = {**STUDY, "seeds": (np.int64(0), 1), "space": {"learning_rate": {"grid": np.array([1e-3, 1e-2])}}}
    kept["trial"] = {**STUDY["trial"], "data": {"name": "file", "path": Path("mine.npz")}}
    before = repr(kept)
    text = """study: s
trial: {data: {name: file, path: mine.npz}, method: {name: cc}, encoder: {name: mlp, widths: [16, 8]},
  batch_size: 16, epochs: 2}
space: {learning_rate: {grid: [0.001, 0.01]}}
seeds: [0, 1]
"""
    assert conclus.study(kept) == studies.parse(text, "s.yaml", Path())
    assert repr(kept) == before


def test_all_mistakes_of_a_mapping_are_told_at_once():
    wrong = {"study": "s", "trial": {"data": "digits", "epochs": -3, "methd": 1}}
    with pytest.raises(UserError) as raised:
        conclus.study(wrong)
    assert [line.partition(": ")[0] for line in raised.value.lines] == ["the study"] * 2
    assert "trial.methd: unknown key; did you mean 'method'?" in raised.value.lines[0]
    assert "trial.epochs: -3 is wrong" in raised.value.lines[1]
    circle = {"study": "s"}
    circle["trial"] = circle
    for content, words in (
        ({"study": "s", "trial": {"data": object()}}, "trial.data: a object cannot stand in a study"),
        ({"study": "s", "trial": {3: 4}}, "trial.3: a key must be a text"),
        (circle, "nested deeper than 50 levels"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            conclus.study(content)


def test_python_offers_the_names_that_it_gives():
    assert {*conclus.__all__} == {*conclus.PUBLIC}
    assert dir(conclus) == sorted([*conclus.__all__, "__version__"])
    # A type checker sees the same names of the same modules.
    tree = ast.parse(Path(conclus.__file__).read_text(encoding="utf-8"))
    (typed,) = (one for one in tree.body if isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING")
    imported = {
        name.asname or name.name: (one.module, name.name)
        for one in typed.body
        for name in one.names  # type: ignore[attr-defined]
    }
    assert imported == conclus.PUBLIC
    for name in conclus.__all__:
        assert callable(getattr(conclus, name))


@pytest.mark.parametrize("module", [results, studies])
def test_the_examples_are_true(module, stored):
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


def test_arrow_is_what_frames_are_made_of(stored):
    assert isinstance(stored.leaderboard().table(frame="arrow"), pa.Table)


@pytest.mark.parametrize("path", ["q.yaml", Path("q.yaml")])
def test_a_path_in_the_place_of_a_study_is_told_of(path):
    with pytest.raises(UserError, match=r"'q\.yaml' is a path: use conclus\.load_study"):
        conclus.study(path)
    with pytest.raises(UserError, match=r"conclus\.run takes a study: conclus\.load_study"):
        conclus.run(path)


@pytest.mark.parametrize("question", ["leaderboard", "effect", "importance", "interaction", "next", "report"])
def test_what_ranks_has_the_name_of_the_command_line(question):
    options = {one.opts[0] for one in conclus.cli.get_command(None, NAMES.get(question, question)).params}
    taken = {*inspect.signature(getattr(results.Results, question)).parameters} & {"metric", "on", "mode", "margin"}
    assert "on" in taken
    assert {f"--{name}" for name in taken} <= options
