"""Rows of a log that was imported, beside the runs of a study that ranks by a metric of its own."""

import pytest

from jobs.present.chosen import chosen
from jobs.results import writer
from jobs.results.schema import Attempt

PARAMS = {"batch_size": 64, "epochs": 80, "data.name": "documents", "data.test": 0.2, "optimiser.name": "adam"}
ONLY_NEURAL = ("batch_size", "epochs", "optimiser.name")


def attempt(study, key, seed, params, metrics, **told):
    return Attempt(
        study=study,
        trial_key=f"{key}{seed}",
        config_key=key,
        seed=seed,
        attempt_id=f"A{seed}",
        params=params,
        metrics=metrics,
        **{"status": "ok", **told},
    )


@pytest.fixture
def results(tmp_path):
    """Two methods of one study, and a log of three rows, the first of which has a score of its own."""
    folder = tmp_path / "results"
    for method, npmi in (("bat", 0.3), ("nmf", 0.2)):
        params = {key: value for key, value in PARAMS.items() if method == "bat" or key not in ONLY_NEURAL}
        for seed in (0, 1):
            history = [(1, 1.0, "npmi", npmi + seed / 100)]
            metrics = {"npmi": npmi + seed / 100, "nmi": 1 - npmi}
            row = attempt(
                "news", method, seed, params | {"method.name": method}, metrics, history=history, data_hash="d"
            )
            writer.write(str(folder), row)
    (folder / "study=news" / "_study.json").write_text(
        '{"study": "news", "select": {"metric": "mean5.npmi", "mode": "max"}}'
    )
    for row, batch in enumerate((256, 512, 1024)):
        metrics = {} if row else {"palmetto_npmi": 0.03}
        told = {"method.name": "gc-atm", "batch_size": batch}
        writer.write(str(folder), attempt("log", f"log{row}", -1000 - row, told, metrics, source="import"))
    return folder


def test_an_import_has_no_say_in_what_ranks(results):
    assert (chosen([str(results)], []).metric, chosen([str(results)], []).mode) == ("mean5.npmi", "max")


def test_what_an_import_does_not_tell_is_no_column(results, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("aggregate", results, "-v")
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    head = next(line for line in lines if line.startswith("#"))
    assert head.split()[:3] == ["#", "method.name", "mean5.npmi"]
    assert "in all that have it: batch_size=64" in " ".join(out.split())
    assert "3 finished trials have no finite value of this metric: left out." in lines
    assert "yet" not in out
    writer.write(str(results), attempt("news", "now", 0, {"method.name": "nmf"}, {}, status="running"))
    assert "1 of 6 configurations have no finished value yet." in command("aggregate", results)[1]


def test_an_import_with_the_metric_stands_in_the_table_of_the_runs(results, command):
    told = {"method.name": "gc-atm", "batch_size": 64}
    writer.write(str(results), attempt("other", "x", -7, told, {"npmi": 0.1}, source="import"))
    code, out, _ = command("aggregate", results, "--metric", "npmi")
    assert code == 0
    head = next(line for line in out.splitlines() if line.startswith("#"))
    assert head.split()[:4] == ["#", "study", "method.name", "npmi"]


@pytest.mark.parametrize("words", ["aggregate", "effect"])
def test_a_metric_that_an_import_has_is_named(results, command, words):
    code, _, err = command(words, results, *(["batch_size"] if words == "effect" else []), "--study", "log")
    assert code == 2
    assert err == "Error: No trial has a value of 'nmi': name another metric, such as palmetto_npmi.\n"


def test_no_seed_is_shown_where_an_import_knows_none(results, command):
    code, out, _ = command("health", results, "--study", "log")
    assert code == 0
    assert " -100" not in out
    assert "seed" not in command("health", results, "--study", "log", "--trial", "log0")[1]
    page = results.parent / "page.html"
    assert command("report", results, "--out", page)[0] == 0
    text = page.read_text()
    assert "-1000, " not in text
    assert " -1000" not in text
    assert "_study.json is missing" not in text


LOG = """**Log:** gc_atm/20news_2021-08-18-23-12_topic20
**Method:** we set the learning rate of the generator to lr/100, and the temperature to 0.5

| batch size | clip | learning rate | n_critic |
| ---------- | ---- | ------------- | -------- |
| 256        | 0.01 | 1e-4          | 5        |
"""


def test_the_table_of_an_import_fits_80_columns(command, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "log.md").write_text(LOG)
    code, out, err = command("import", tmp_path / "log.md", "--study", "x", "--yes", "--results", tmp_path / "r")
    assert code == 0, err
    table = [line for line in out.splitlines() if "param." in line or "─" in line]
    assert len(table) > 5
    assert max(map(len, table)) <= 80
    assert any("param.method.generator_learning_rate  lr/100" in line for line in table)


def test_on_and_metric_are_the_same_in_aggregate(results, command):
    assert command("aggregate", results, "--on", "nmi") == command("aggregate", results, "--metric", "nmi")
