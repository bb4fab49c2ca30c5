"""What a reader must not miss: bands within a metric's bounds, names that are not cut, and what a figure draws."""

import json
import re
from xml.etree import ElementTree as ET

import pytest

from jobs.analysis.estimates import score
from jobs.charts import curves, look
from jobs.charts.figure import figure
from jobs.report.contents import gather
from jobs.report.plots import charts

TEXT = "{http://www.w3.org/2000/svg}text"
VALUES = (0.55, 0.97)


def two_seeds(store, epochs=4):
    """Two configurations whose two seeds differ much, so that Student's interval reaches far beyond 0 and 1."""
    rows = []
    for cell, rate in enumerate((0.0005, 0.005)):
        params = {"optimiser.learning_rate": rate, "method.instance_temperature": 0.3, "method.a_long_name": cell}
        rows += [store.attempt("s", cell, seed, params, value, epochs) for seed, value in enumerate(VALUES)]
    store.put("s", rows)
    return gather([str(store.path)], "nmi", "max", paged=False)


def drawn(contents, what="curves"):
    return charts(contents, what, [])[0]


def texts(chart, inches=3.3):
    """The lines of all texts of a figure."""
    root = ET.fromstring(figure([chart], ".svg", inches))  # noqa: S314 - conclus made it
    return ["".join(line.itertext()) for one in root.iter(TEXT) for line in (list(one) or [one])]


def test_a_band_ends_where_the_leaderboards_interval_does(store):
    contents = two_seeds(store)
    rows = [row for block in drawn(contents)["datasets"].values() for row in block if row.get("low")]
    assert rows
    assert all(0 <= end <= 1 for row in rows for end in (*row["low"], *row["high"]))
    ticks = [one for one in texts(drawn(contents)) if re.fullmatch(r"\W?\d\.\d", one)]
    assert ticks
    assert {*ticks} <= {f"{one / 10:.1f}" for one in range(11)}
    low, high = curves.band_ends(next(iter(contents.curves["nmi"].values())), "nmi")
    last = score([value * (1 - 0.6**8) for value in VALUES], (0, 1))
    assert (low[-1], high[-1]) == pytest.approx((last.low, last.high))


@pytest.mark.parametrize("what", ["curves", "leaderboard"])
@pytest.mark.parametrize("inches", [2.0, 3.3, 7.0])
def test_no_value_of_a_name_is_cut(store, what, inches):
    found = texts(drawn(two_seeds(store), what), inches)
    assert not any("…" in one for one in found)
    words = " ".join(found)
    assert "rate=0.0005" in words
    assert "rate=0.005" in words
    assert max(len(one) for one in found if "rate=" in one) <= {"curves": look.LEGEND, "leaderboard": look.ROW}[what]


def test_a_long_name_has_as_many_lines_as_it_needs():
    names = ["#1 a_long_name_of_a_parameter=0.0005, b=2e-05", "#1 a_long_name_of_a_parameter=0.0005, b=2e-05"]
    first, second = look.broken(names, 20)
    assert first != second
    lines = first.split("\u00a0 ")
    assert lines == ["#1 a_long_name_of_a_", "parameter= 0.0005,", "b=2e-05"]


def test_no_mark_at_the_edge_is_cut(store):
    chart = drawn(two_seeds(store))
    for layer in chart["layer"]:
        scales = [layer["encoding"][axis]["scale"] for axis in ("x", "y")]
        assert all(one["padding"] > 0 and one["nice"] is False for one in scales)


def test_curves_tell_that_they_are_of_another_metric(store, tmp_path, command):
    two_seeds(store)
    code, _, said = command("plot", store.path, "curves", "--out", tmp_path / "x.svg")
    assert (code, said) == (0, "")
    rows = []
    for cell, temperature in enumerate((0.3, 0.5)):
        row = store.attempt("s", cell, 0, {"method.name": "cc", "method.instance_temperature": temperature}, 0.5, 3)
        row.history = [one for one in row.history if one[2] == "loss" or one[0] == 3]
        rows.append(row)
    store.put("s", rows)
    code, _, said = command("plot", store.path, "curves", "--out", tmp_path / "x.svg")
    assert code == 0
    assert "Drawn is loss: no trial has nmi at more than one epoch." in said
    assert "heights are not comparable: instance_temperature can rescale it." in said


def test_the_scale_of_single_seeds_holds_their_bands(store, tmp_path, command):
    two_seeds(store)
    page = tmp_path / "x.html"
    assert command("report", store.path, "--out", page)[0] == 0
    specs = [json.loads(one) for one in re.findall(r'class="chart">(.*?)</script>', page.read_text(), re.DOTALL)]
    seeds = [one for one in specs if "seeds, their mean" in one["description"]]
    assert seeds
    for one in seeds:
        low, high = one["layer"][0]["encoding"]["y"]["scale"]["domain"]
        bands = [row for block in one["datasets"].values() for row in block if row.get("low")]
        assert all(low - 1e-4 <= min(row["low"]) and max(row["high"]) <= high + 1e-4 for row in bands)
