"""An import has scores of its own and no signals: report and plot name another metric, as aggregate does."""

import pytest


@pytest.mark.parametrize("metric", ["nmi", "consensus"])
@pytest.mark.parametrize("words", ["aggregate", "report", "plot leaderboard", "plot curves"])
def test_a_metric_that_an_import_lacks(store, tmp_path, command, words, metric):
    rows = [store.attempt("s", 0, seed, {"x": 1}, 0.5, 3) for seed in (0, 1)]
    for row in rows:
        row.metrics = {"value": 0.5}
        row.health = {}
    store.put("s", rows)
    name, *what = words.split()
    ends = {"report": "html", "plot": "svg", "aggregate": "md"}
    code, _, said = command(name, store.path, *what, "--metric", metric, "--out", tmp_path / f"x.{ends[name]}")
    assert code == 2
    assert said == f"Error: No trial has a value of {metric!r}: name another metric, such as value.\n"
