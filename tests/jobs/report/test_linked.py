"""The page under a real pointer: hovering tells, dragging picks in all charts, a click dims, a wheel zooms."""

import json
import re

import pytest

import conclus
from jobs.charts.page import scripts
from jobs.report import html
from jobs.report.contents import gather
from tests.jobs.report.test_browser import large

DIM = "[...document.querySelectorAll('#leaderboard tbody tr.dim')].map((one) => Number(one.dataset.c))"
PICKED = (
    "[...linked].map((one) => { const picked = one.signal('picked'); return picked && Object.keys(picked).length; })"
)


def page(store):
    return html.page(gather([str(store.path)], "nmi", "max"), "Made by a test.")


def test_a_pointer_hovers_drags_and_clicks(store, pilot):
    store.fill()
    pilot.open(page(store))
    chart = "#parallel .vega:nth-of-type(1)"

    # Hovering over a trial tells its key, its seed and its parameters.
    points = "#parallel figure .vega"
    left, top, *_ = pilot.place(f"{points} .mark-symbol.role-mark path")
    pilot.move(left + 3, top + 3)
    pilot.settle()
    told = pilot.ask("document.querySelector('#vg-tooltip-element.visible')?.innerText")
    assert re.search(r"trial s-\d-\d \(#\d\)", told)
    assert re.search(r"seed [012]", told)
    assert re.search(r"learning rate 0\.000\d", told)

    # Dragging over the upper half of the scores picks those configurations everywhere.
    left, top, width, height = pilot.place(points)
    pilot.drag((left + 60, top + 5), (left + width - 10, top + height * 0.4))
    pilot.settle()
    rates = "[...document.querySelectorAll('#leaderboard tbody tr:not(.dim)')].map((one) => one.cells[0].textContent)"
    assert pilot.ask(rates) == ["1", "2"]
    assert sorted(pilot.ask(DIM)) == [3, 4, 5, 6]
    assert set(pilot.ask(f"(refresh(), {PICKED})")) <= {2, False}
    strong = (
        f"[...document.querySelectorAll('{chart} .mark-line path')].map((one) => Number(one.getAttribute('opacity')))"
    )
    assert sum(one > 0.5 for one in pilot.ask(strong)) == 2
    assert sum(one < 0.1 for one in pilot.ask(strong)) == 4

    # A click beside it ends that.
    pilot.click(left + width - 12, top + height * 0.55)
    pilot.settle()
    assert pilot.ask(DIM) == []

    # Dragging over an axis of the parallel coordinates does the same.
    left, top, width, _ = pilot.place("#parallel .vega > div")
    x = pilot.ask(f"(() => {{ const r = document.querySelector('{chart} .mark-rule line:last-of-type');"
                  "return r.getBoundingClientRect().left; })()")  # fmt: skip
    pilot.drag((x - 15, top + 25), (x + 25, top + 80))
    pilot.settle()
    assert 0 < len(pilot.ask(DIM)) < 6
    pilot.click(left + 30, top + 200)
    pilot.settle()
    assert pilot.ask(DIM) == []

    # A click on a row, too.
    left, top, width, height = pilot.place("#leaderboard tbody tr[data-c='2'] button")
    pilot.click(left + width / 2, top + height / 2)
    pilot.settle()
    assert sorted(pilot.ask(DIM)) == [1, 3, 4, 5, 6]
    assert pilot.said == []


def test_a_legend_dims_the_rest_and_a_wheel_zooms(store, pilot):
    store.fill()
    pilot.open(page(store))
    left, top, width, height = pilot.place("#curves .vega .role-legend-symbol path", 1)
    pilot.click(left + width / 2, top + height / 2)
    pilot.settle()
    ends = "[...document.querySelectorAll('#curves .vega')][0].querySelectorAll('.mark-symbol.role-mark path')"
    strong = [one > 0.5 for one in pilot.ask(f"[...{ends}].map((one) => Number(one.getAttribute('opacity') ?? 1))")]
    assert strong == [False, True, False, False]
    ticks = "[...document.querySelectorAll('#curves .vega')][0].querySelectorAll('.role-axis-label')[0].textContent"
    before = pilot.ask(ticks)
    left, top, width, height = pilot.place("#curves .vega .root")
    pilot.wheel(left + width / 2, top + height / 3, -400)
    pilot.settle()
    assert pilot.ask(ticks) == before  # A page that scrolls does not zoom.
    left, top, width, height = pilot.place("#curves .vega .root")
    pilot.wheel(left + width / 2, top + height / 3, -400, ctrl=True)
    pilot.settle()
    assert pilot.ask(ticks) != before
    assert pilot.said == []


def test_a_chart_of_a_notebook_tells_in_one_line_and_its_legend_fades(store, pilot):
    store.fill()
    chart = conclus.open(store.path).leaderboard().chart().to_dict()
    pilot.open(
        f"<meta charset=utf-8><div id=one></div><script>{scripts()[0]}</script><script>"
        f"vegaEmbed('#one', {json.dumps(chart)}, {{renderer: 'svg'}}).then(() => "
        "{ document.documentElement.dataset.drawn = 'yes'; });</script>"
    )
    points = ".mark-symbol.role-mark path"
    left, top, width, height = pilot.place(points)
    pilot.move(left + width / 2, top + height / 2)
    pilot.settle()
    told = pilot.ask("document.querySelector('#vg-tooltip-element').innerText")
    assert re.fullmatch(r"#\d · NMI 0\.\d+ ±0\.\d+, 3 seeds · τ_I 0\.\d · learning rate 0\.000\d", told)
    strong = f"[...document.querySelectorAll('{points}')].map((one) => Number(one.getAttribute('opacity') ?? 1))"
    assert {*pilot.ask(strong)} == {1}
    left, top, width, height = pilot.place(".role-legend-symbol path")
    pilot.click(left + width / 2, top + height / 2)
    pilot.settle()
    shown = pilot.ask(strong)
    assert (shown.count(1), len({*shown})) == (1, 2)  # The best alone.
    assert pilot.said == []


@pytest.mark.parametrize(("width", "dark"), [(400, False), (1200, True)])
def test_the_page_fits_a_telephone_and_the_dark_and_paper(store, pilot, width, dark):
    store.fill()
    others = {f"optimiser.other_{i}": i for i in range(20)}
    many = [{name: one + i for name, one in others.items()} for i in range(4)]
    store.put("t", [store.attempt("t", i, 0, params, 0.5, 3, data_hash="d2") for i, params in enumerate(many)])
    pilot.open(page(store), width=width, dark=dark)
    assert pilot.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    # What is wider than the window scrolls in a box of its own.
    outside = (
        "[...document.querySelectorAll('main svg, main canvas, main table')].filter((one) => "
        "one.getBoundingClientRect().right > innerWidth && !one.closest('.scroll, .vega')).length"
    )
    assert pilot.ask(outside) == 0
    # Its edge is shaded where there is more, by what stays while the content moves.
    shaded = "getComputedStyle(document.querySelector('.scroll')).backgroundAttachment"
    assert pilot.ask(shaded) == "local, local, scroll, scroll"
    ink = pilot.ask("getComputedStyle(document.querySelector('.vega .role-axis-title text')).fill")
    assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > 384) == dark
    # On paper nothing scrolls: A4 and Letter are 700 pixels wide or more within their margins.
    pilot.ask("drawForPaper()")
    pilot.call("Emulation.setEmulatedMedia", media="print")
    pilot.call("Emulation.setDeviceMetricsOverride", width=700, height=990, deviceScaleFactor=1, mobile=False)
    pilot.settle()
    assert pilot.ask("document.querySelectorAll('main svg.marks').length") > 5
    wide = (
        "[...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 701)"
        ".map((one) => one.outerHTML.slice(0, 150))"
    )
    assert pilot.ask(wide) == []
    boxes = "[...document.querySelectorAll('.scroll, .vega')].map((one) => getComputedStyle(one))"
    assert pilot.ask(f"{boxes}.every((one) => one.overflowX === 'visible' && one.backgroundImage === 'none')")
    # Charts are drawn for the paper, not shrunk to it.
    shrunk = "(one) => one.getBoundingClientRect().width / Number(one.getAttribute('width'))"
    assert min(pilot.ask(f"[...document.querySelectorAll('main svg.marks')].map({shrunk})")) > 0.9
    pilot.call("Emulation.setEmulatedMedia", media="")
    assert pilot.said == []


def test_a_thousand_trials_follow_a_drag(store, pilot):
    store.put("s", large(store, [round(1e-5 * 1.05**i, 9) for i in range(100)]))
    text = page(store)
    assert len(text.encode()) < 5_000_000
    pilot.open(text, whole=False)
    pilot.show("#parallel")
    left, top, width, height = pilot.place("#parallel figure canvas")
    pilot.drag((left + width * 0.4, top + height * 0.3), (left + width * 0.7, top + height * 0.6))
    pilot.settle()
    kept = 1000 - len(pilot.ask(DIM))
    assert 0 < kept < 500
    near = pilot.ask("[...linked].filter((one) => near.has(placeOf(one))).map((one) => "
                     "Object.keys(one.signal('picked')).length)")  # fmt: skip
    assert near
    assert set(near) == {kept}
    # A chart that is drawn only now has what is picked.
    pilot.show("#curves")
    late = "[...linked].find((one) => one.container().closest('#curves'))"
    assert pilot.ask(f"Object.keys({late}.signal('picked')).length") == kept
    assert pilot.said == []


def test_charts_are_drawn_as_they_come_near_and_all_are_when_printed(store, pilot):
    store.fill()
    pilot.open(page(store), height=300, whole=False)
    every, drawn = "document.querySelectorAll('.vega').length", "document.querySelectorAll('.vega .vega-embed').length"
    assert pilot.ask(drawn) < pilot.ask(every) / 2
    assert "configurations" in pilot.ask("document.querySelector('#parallel .vega').innerText")
    # A link leads to its part, whatever is drawn on the way, and a click there draws nothing that has faded as strong.
    pilot.ask("document.querySelector('tr[data-c=\"2\"] button').click()")
    pilot.show("#parallel")
    assert 0 <= pilot.ask("document.querySelector('#parallel').getBoundingClientRect().top") < 300
    lines = "[...document.querySelectorAll('#parallel .mark-line path')].map((one) => one.getAttribute('opacity'))"
    assert sorted(float(one) > 0.5 for one in pilot.ask(lines)) == [False] * 5 + [True]
    assert pilot.ask(drawn) < pilot.ask(every)
    # What a printer gets is what stands there between the two events.
    pilot.ask(f"addEventListener('afterprint', () => {{ window.printed = {drawn}; }}), 0")
    pilot.call("Page.printToPDF")
    assert pilot.ask("printed") == pilot.ask(every)
    assert pilot.said == []


EXPRESSIONS = [
    "1 + 2 * 3 - 4 / 5 % 2",
    "'a' + 1 < 'b' && !(2 >= 3) || null",
    "a > 2 ? [a, -a, +'3'] : {b: a}",
    "a === 3 && a != '4' ? {b: a, 'c d': [a]} : 0",
    "split('a,b,c', ',')[1] + upper('x') + length('four')",
    "max(1, a, 7, 5) + clamp(a, 0, 2) + pow(a, 2) + abs(-PI)",
    "if(isValid(a) && isFinite(a) && !isNaN(a), o.b[1], 'no')",
    "inrange(a, [1, 5]) && indexof([1, 2, 3], a)",
    "format(a, '.2f') + join(slice([1, 2, 3], 1), ';')",
    "o[join(['con', 'structor'], '')] || 'nothing'",
    "scale('x', a) + span(domain('x')) + range('x')[1] + bandwidth('b')",
]


def test_expressions_have_the_values_that_vegas_own_interpreter_gives(store, pilot):
    store.fill()
    pilot.open(page(store), whole=False)
    signals = [{"name": "a", "value": 3}, {"name": "o", "value": {"b": [4, 5]}}]
    signals += [{"name": f"e{i}", "update": one} for i, one in enumerate(EXPRESSIONS)]
    scales = [
        {"name": "x", "type": "linear", "domain": [0, 10], "range": [0, 50]},
        {"name": "b", "type": "band", "domain": ["p", "q"], "range": [0, 50]},
    ]
    # The last mark has its ends the wrong way round.
    ends = {"x": {"scale": "x", "field": "v"}, "x2": {"value": 0}, "y2": {"field": "v"}, "height": {"value": 3}}
    marks = [{"type": "rect", "from": {"data": "d"}, "encode": {"update": ends}}]
    data = [{"name": "d", "values": [{"v": 5}, {"v": -5}]}]
    spec = {"signals": signals, "scales": scales, "marks": marks, "data": data, "width": 50, "height": 50}
    values = pilot.ask(
        f"""Promise.all([{{...OPTIONS, expr: undefined}}, OPTIONS].map(async (options) => {{
            const {{ view }} = await vegaEmbed(document.createElement("div"), {{
                $schema: "https://vega.github.io/schema/vega/v6.json", ...{json.dumps(spec)} }}, options);
            return JSON.stringify([Array.from({{length: {len(EXPRESSIONS)}}}, (_, i) => view.signal(`e${{i}}`) ?? null),
                [...view.container().querySelectorAll(".mark-rect path")].map((one) => one.outerHTML)]);
        }}))"""
    )
    theirs, ours = (json.loads(one) for one in values)
    assert theirs[0][9] != ours[0][9] == "nothing"  # Functions are not handed on at all.
    del theirs[0][9], ours[0][9]
    assert ours == theirs
    assert len(ours[1]) == 2
    with pytest.raises(AssertionError, match="There is no function fetch for charts"):
        pilot.ask("put({type: 'CallExpression', callee: {name: 'fetch'}, arguments: []}, {})")
