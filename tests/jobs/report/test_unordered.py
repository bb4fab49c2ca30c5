"""The effect of a parameter whose values are words: no line joins them."""

import pytest

from jobs.charts import effect
from jobs.report.contents import gather


@pytest.fixture
def contents(store):
    rows = [
        store.attempt("s", cell, seed, {"method.name": name, "method.temperature": 0.5}, 0.5 + cell / 50 + seed / 99, 3)
        for cell, name in enumerate(("bat", "gc-atm", "lda", "prodlda"))
        for seed in range(2)
    ]
    store.put("s", rows)
    return gather([str(store.path)], "nmi", "max")


def marks(one):
    return {layer["mark"]["type"] for layer in effect.draw(one)["layer"]}


def test_no_line_joins_methods(contents, results):
    (methods,) = contents.effects
    assert marks(methods) == {"point"}
    assert all(marks(one) == {"line", "point"} for one in gather([str(results)], "nmi", "max").effects)
