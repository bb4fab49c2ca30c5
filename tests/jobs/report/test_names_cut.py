"""Long names in charts: cut so that they stay different, and whole in the text alternative and under the pointer."""

import json
import string

from hypothesis import given
from hypothesis import strategies as st

from jobs.analysis.comparison import comparison, leaderboards
from jobs.analysis.leaderboard import leaderboard
from jobs.charts import gantt, heat, parallel
from jobs.charts.axis import axis
from jobs.charts.look import cut, in_full
from jobs.charts.runs import runs
from jobs.results.schema import to_table
from tests.jobs.report.conftest import attempt

LONG = [f"a_method_with_a_very_long_name_{word}_and_a_long_end_as_well" for word in ("of_one", "of_two")]


@given(st.lists(st.text(string.ascii_lowercase + "-.", max_size=40), max_size=8))
def test_cut_names_are_short_and_stay_different(names):
    found = cut(names, 12)
    assert len({*found}) == len(names)
    assert all(len(text) <= 12 and "\u00a0" not in text for text in found)
    kept = [one for one in names if len(one) <= 12 and names.count(one) == 1]
    assert {*kept} <= {*found}


def test_the_part_that_differs_is_kept():
    assert cut(LONG, 22) == ["…f_one_and_a_lon…_well", "…f_two_and_a_lon…_well"]
    lanes = [f"{host} {lane}" for host in LONG for lane in range(1, 5)]
    assert len({*cut(lanes, 22)}) == len(lanes)
    hosts = [f"node-{n}.a-long-domain.example.org" for n in (1, 2)]
    assert cut(hosts, 22) == ["node-1.a-lo…xample.org", "node-2.a-lo…xample.org"]
    assert in_full(LONG, cut(LONG, 22)) == f" In full: {LONG[0]}; {LONG[1]}."
    assert not in_full(["short"], ["short"])


def test_what_looks_alike_cut_is_numbered():
    layers = [str([512] * count) for count in (5, 6, 7)]
    assert cut(layers, 18) == ["…2, 512, 512, 512]", "…2, 512, 512,… (2)", "…2, 512, 512,… (3)"]
    twice = [f"resnet-on-imagenet-{one}-with-augmentation-{other}-for-ever" for one in "AB" for other in "CD"]
    assert len({*cut(twice, 18)}) == 4
    assert not [text for text in (*cut(twice, 18), *axis(layers).texts.values()) if "\u00a0" in text]


def shown(chart):
    """The names that a chart shows, and what it tells where the pointer is."""
    rows = [row for one in chart["datasets"].values() for row in one]
    fields = [row.get(field, []) for row in rows for field in ("lane", "down", "across", "text", "name")]
    names = {name for one in fields for name in ([one] if isinstance(one, str) else one)}
    return names, json.dumps([row.get("told") for row in rows])


def test_gantt_parallel_coordinates_and_heat_maps_tell_whole_names():
    rows = [
        attempt(
            "s", cell, seed, {"method.name": LONG[cell], "data.name": data}, 0.5 + cell / 9, 3,
            host=LONG[cell], data_hash=data, config_key=f"{cell}{data}", trial_key=f"{cell}{seed}{data}",
        )
        for cell in range(2)
        for seed in range(2)
        for data in LONG
    ]  # fmt: skip
    table = to_table(rows)
    one = to_table([row for row in rows if row.data_hash == LONG[0]])
    compared = comparison(table, leaderboards(table, "nmi", "max"))
    charts = (
        gantt.draw(runs(one, "metric.nmi"), {}),
        parallel.draw(leaderboard(one, "nmi", "max")),
        heat.methods(compared),
    )
    for chart in charts:
        names, told = shown(chart)
        assert len([name for name in names if "…" in name]) >= 2
        assert not {*LONG} & names
        for name in LONG:
            assert name in chart["description"]
            assert name in told
