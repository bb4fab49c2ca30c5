"""The effect of a parameter whose values are words: no line joins them, and no two texts overlap."""

import pytest
from matplotlib.figure import Figure

from jobs.report import html, plots
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


def test_no_line_joins_methods_in_the_report(contents, results):
    def effects(found):
        text = html.page(found, "2026-01-01")
        return text[text.index('<section id="effects"') :].split("</section>")[0]

    joined = 'class="curve best"'
    assert joined not in effects(contents)
    assert joined in effects(gather([str(results)], "nmi", "max"))


def test_no_line_joins_methods_in_the_plot_and_verdicts_stand_beside_the_names(contents):
    figure = Figure(layout="constrained")
    plots.PLOTS["effect"](figure, contents, ["method.name"])
    figure.canvas.draw()
    left, right = figure.axes
    assert {line.get_linestyle() for line in left.lines} == {"None"}
    assert right.texts
    names = [one.get_window_extent() for one in right.get_yticklabels()]
    assert not any(text.get_window_extent().overlaps(name) for text in right.texts for name in names)
