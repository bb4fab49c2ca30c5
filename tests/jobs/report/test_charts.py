"""Charts in a real browser: every kind is drawn without a network, and hostile names stay text."""

import json
import re
from html import unescape
from xml.etree import ElementTree as ET

import altair as alt
import pytest

from jobs.analysis.pareto import Aims
from jobs.charts import look
from jobs.charts.bars import bars
from jobs.charts.courses import POINTS, courses, thinned
from jobs.charts.figure import figure
from jobs.charts.matrix import matrix
from jobs.charts.page import scripts
from jobs.charts.points import points
from jobs.report import html, plots, vega
from jobs.report.contents import gather
from jobs.report.markup import join
from jobs.report.plots import PLOTS
from jobs.report.sections import Section

TAKEN = "document.documentElement.dataset.taken='yes'"
EVIL = [
    f"</script><script>{TAKEN}</script>",
    f"<img src=x onerror={TAKEN}>",
    f"'\"); {TAKEN}; //",
    "datum['x'].constructor.constructor('return 1')()",
    "line\nbreak\ttab \x1b[31mred \x00 nul \u202e turned",
    "${1}{{2}}%s\\",
    "back\\\\slash \" ' ` & &lt;",
    "__proto__",
    "constructor",
    "",
    "null",
]


def page(charts):
    body = join(vega.drawing(one) for one in charts)
    return html.document(EVIL[0], "test", EVIL[1], [Section("a", EVIL[2], body)], "Made by a test.")


def every(names):
    n = len(names)
    values = [1.5 - i for i in range(n)]
    places = [(float(i), float(i % 3)) for i in range(n)]
    signs = {name: i for i, name in enumerate(names)}
    told = {"first": names, "second": names}
    lines = {name: {other: [(1, 1.0), (2, 0.5 + i)] for other in names[:2]} for i, name in enumerate(names)}
    return {
        "courses": courses(lines, "value", names[5] if n > 5 else names[0]),
        "bars": bars(names, values, names, names[0]),
        "matrix": matrix([[i * j for j in range(n)] for i in range(n)], names, names, ("down", "across"), names[3]),
        "points": points(places, names, signs=signs, told=told, titles=("x", "y", "group"), words=names[4]),
    }


def test_hostile_names_go_through_every_chart_as_text(browser):
    charts = every(EVIL)
    text = page(charts.values())
    assert text.count("<script>") == 3
    assert "unsafe-eval" not in text
    dom, console = browser(text)
    assert console == []
    assert 'data-drawn="yes"' in dom
    assert "data-taken" not in dom
    dom = dom[: dom.index("</main>")]
    assert "<img" not in dom
    assert dom.count('<svg xmlns="http://www.w3.org/2000/svg"') == 4
    drawn = "".join(re.findall(r"<svg.*?</svg>", dom, re.DOTALL))
    words = {unescape(one).strip() for one in re.findall(r"<text[^>]*>(.*?)</text>", drawn)}
    assert "null" in words
    assert {"__proto__", "constructor"} <= words
    assert any("\\x1b" in one or "line\\nbreak" in one for one in words)
    assert "\x1b" not in dom
    assert "\u202e" not in dom


def test_what_the_charts_are_of_is_drawn(browser):
    names = ["apple", "pear", "plum"]
    signs = {"apple": 0, "pear": 1, "plum": 2}
    charts = [
        bars(names, [3.0, -1.0, 2.0], ["+3.0", "-1.0", "+2.0"], "Three fruits."),
        matrix([[7, 0], [1, 5], [0, 0]], names, ["0", "1"], ("class", "cluster"), "Fruits by cluster."),
        points([(0, 0), (1, 1), (2, 0)], names, signs=signs, told={}, titles=("x", "y", "fruit"), words="A map."),
        courses(
            {
                "apple": {"size": [(1, 3.0), (2, float("nan")), (3, 9.0)], "spread": [(1, 1.0), (2, 0.0), (3, 2.0)]},
                "pear": {"size": [(1, 1.0), (2, 2.0)]},
            },
            "fruit",
            "Two courses.",
            log=True,
        ),
    ]
    dom, console = browser(page(charts))
    assert console == []
    dom = dom[: dom.index("</main>")]
    svgs = re.findall(r"<svg.*?</svg>", dom, re.DOTALL)
    texts = [re.findall(r"<text[^>]*>(.*?)</text>", one) for one in svgs]
    assert {"apple", "pear", "plum", "+3.0", "-1.0", "+2.0"} <= set(texts[0])
    assert {"class", "cluster", "7", "1", "5", "apple"} <= set(texts[1])
    assert "0" not in texts[1][texts[1].index("plum") + 1 :]
    assert texts[2].count("apple") == 3  # At its middle, behind it, and in the legend.
    assert {"apple", "pear", "size", "spread", "epoch"} <= set(texts[3])
    assert "plum" not in texts[3]
    # A line for each signal of each fruit: one that is not finite, or not above zero, is a gap.
    assert len(re.findall(r'aria-roledescription="line mark"', svgs[3])) == 3
    for svg, words in zip(svgs, ("Three fruits.", "Fruits by cluster.", "A map.", "Two courses."), strict=True):
        assert f'aria-label="{words}"' in dom
        assert "var(--" in svg
    # A negative bar differs by more than its side of zero; a group by its shape too.
    assert look.OTHER in svgs[0]
    shapes = re.findall(r'aria-roledescription="point"|class="mark-symbol[^"]*"', svgs[2])
    assert shapes


def test_a_long_course_is_thinned_to_its_ends_and_between():
    series = [(epoch, float(epoch)) for epoch in range(1, 10_001)]
    found = thinned(series)
    assert (len(found), found[0], found[-1]) == (POINTS, series[0], series[-1])
    assert thinned(series[:POINTS]) == series[:POINTS]


@pytest.mark.parametrize("title", EVIL[:5])
def test_a_name_is_never_a_title(title):
    """Vega-Lite writes titles into expressions: there a quote would end the text."""
    with pytest.raises(ValueError, match="title"):
        points([(0, 0)], ["a"], signs={"a": 0}, told={title: ["b"]}, titles=("x", "y", "z"), words="A map.")
    with pytest.raises(ValueError, match="title"):
        matrix([[1]], ["a"], ["b"], (title, "x"), "A matrix.")


@pytest.mark.parametrize("name", ["bars", "courses", "matrix", "points"])
def test_a_page_without_scripts_has_the_words(name):
    charts = every(["a", "b", "c", "words of the matrix", "words of the map", "d"])
    text = page([charts[name]])
    words = charts[name]["description"]
    assert f'<p class="note">{words}</p>' in text
    spec = json.loads(re.search(r'class="chart">(.*?)</script>', text)[1])
    assert spec["description"] == words
    assert "url" not in json.dumps(spec["layer"])


def test_the_scripts_hold_their_licences_and_ask_for_nothing():
    vega_script, draw = scripts()
    head = vega_script[: vega_script.index("*/")]
    for name in ("vega 6.2.0", "vega-lite 6.4.1", "vega-embed 7.0.2", "d3-array", "topojson-client", "lodash.debounce"):
        assert name in head
    assert "University of Washington Interactive Data Lab" in head
    assert "Mike Bostock" in head
    assert "</script" not in vega_script.lower() + draw.lower()
    assert "<!--" not in vega_script + draw
    assert vega_script.count("/*\n") == 1 or vega_script.index("*/") == len(head)
    assert "ast: true" in draw


def test_groups_beyond_the_colours_differ_in_their_shapes():
    signs = {f"g{i}": i for i in range(len(look.PALETTE) * len(look.SHAPES))}
    colours, shapes = look.group_colours(signs).to_dict(), look.group_shapes(signs).to_dict()
    assert len(set(zip(colours["range"], shapes["range"], strict=True))) == len(signs)


def hostile(store):
    """A study whose names of parameters, values, hosts and trials come from strangers."""
    rows = []
    for cell, (name, other) in enumerate(zip(EVIL, [*EVIL[1:], EVIL[0]], strict=True)):
        for seed in range(2):
            params = {"method.name": name or "x", **dict.fromkeys(EVIL[:3], cell % 3), EVIL[3]: other}
            row = store.attempt("s", cell, seed, params, 0.3 + cell / 30 + seed / 99, 5)
            row.host, row.trial_key = name, f"{name}{seed}"
            row.reason = "COLLAPSED" if seed else ""
            row.metrics["seconds"] = 1.0 + cell
            rows.append(row)
    store.put("s", rows)
    return gather([str(store.path)], "nmi", "max", aims=Aims.of(SELECT))


SELECT = {"metric": "nmi", "mode": "max", "metrics": ["nmi", "seconds"]}


def test_hostile_names_go_through_every_part_of_the_page(store, browser):
    text = html.page(hostile(store), "Made by a test.")
    parts = re.findall(r'<section id="(\w+)"', text)
    assert {"front", "effects", "parallel", "curves", "seeds", "selection", "health", "time"} <= {*parts}
    dom, console = browser(text)
    assert console == []
    assert 'data-drawn="yes"' in dom
    assert "data-taken" not in dom
    assert "<img" not in dom[: dom.index("</main>")]
    assert "\x1b" not in dom
    assert "\u202e" not in dom


def test_hostile_names_go_through_every_figure_as_text(store):
    contents = hostile(store)
    whats = {what: [] for what in PLOTS} | {"effect": ["method.name"], "interaction": ["method.name", EVIL[0]]}
    for what, params in whats.items():
        svg = figure(plots.charts(contents, what, params), ".svg", 5.0).decode()
        root = ET.fromstring(svg)  # noqa: S314 - conclus made it
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        assert not list(root.iter("{http://www.w3.org/2000/svg}image"))
        assert "\x1b" not in svg


def test_every_chart_is_as_the_schema_of_vega_lite_wants_it(store):
    store.fill()
    contents = gather([str(store.path)], "nmi", "max", aims=Aims.of(SELECT))
    found = re.findall(r'class="chart">(.*?)</script>', html.page(contents, "x"), re.DOTALL)
    whats = {what: [] for what in PLOTS} | {
        "effect": ["learning_rate"],
        "interaction": ["learning_rate", "instance_temperature"],
    }
    drawn = [one for what, params in whats.items() for one in plots.charts(contents, what, params)]
    for one in [*map(json.loads, found), *drawn]:
        # Of the look, Vega-Lite hands on to Vega what its own schema lacks.
        own = {**one, "config": {**one["config"], "legend": {}}}
        alt.LayerChart.from_dict(own).to_dict()
    assert len(found) > 15
