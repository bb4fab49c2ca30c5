import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product

import pytest

from jobs.analysis.origin import origins, read_plans
from jobs.analysis.outcomes import outcomes, reason_code
from jobs.charts.axis import axis
from jobs.charts.page import scripts
from jobs.health.courses import COLUMNS, judged
from jobs.health.curves import POINTS, curve_metrics, curves
from jobs.present.names import ShownNames
from jobs.report import html, svg
from jobs.report.contents import gather
from jobs.report.effects import effects
from jobs.report.headline import findings
from jobs.report.markup import Markup, tag
from jobs.report.reading import Reading
from jobs.results.reader import load, read_results
from tests.jobs.report.conftest import Store

EVIL = "<script>document.title='taken'</script>\"'&"


class Outline(HTMLParser):
    """What a browser would see: elements, and the texts outside of them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.references = [], [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.references += [value for key, value in attributes if key in {"src", "href", "srcset", "data"}]
        self.references += [key for key, _ in attributes if key.startswith("on")]

    def handle_data(self, text):
        self.texts.append(text)


def page(*paths, metric="nmi", mode="max", **options):
    return html.page(gather(list(map(str, paths)), metric, mode, **options), "Made by a test.")


def charts(text):
    return [json.loads(one) for one in re.findall(r'class="chart">(.*?)</script>', text, re.DOTALL)]


def part_of(text, name):
    return text[text.index(f'<section id="{name}"') :].split("</section>")[0]


def said(*paths, **options):
    return {one.about: one.text for one in findings(gather(list(map(str, paths)), "nmi", "max", **options))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of `results`."""
    store = Store(tmp_path_factory.mktemp("whole"))
    store.fill()
    return page(store.path)


def test_the_page_asks_for_nothing_outside_itself(whole):
    outline = Outline(whole)
    assert outline.references
    assert all(one.startswith("#") for one in outline.references)
    vega, draw = scripts()
    assert whole.count(vega) == whole.count(draw) == 1
    own = whole.replace(vega, "")
    assert "@import" not in own
    assert "url(" not in own


def test_no_text_becomes_markup(store):
    rows = [
        store.attempt("s", 7, seed, {"encoder.name": name, EVIL: EVIL}, 0.5 + seed / 10, 5, reason=f"{EVIL}=1")
        for name in ("a", EVIL)
        for seed in (0, 1)
    ]
    rows.append(store.attempt("s", 9, 0, {"encoder.name": "b"}, 0.5, 5, status="failed", reason=EVIL, host=EVIL))
    store.put("s", rows)
    (store.path / "study=s" / "study.json").write_text('{"commit": "</dd><script>1</script>", "source": {"a": "<b>"}}')
    outline = Outline(page(store.path))
    # The page's own, and the two that draw charts; all others are data.
    assert page(store.path).count("<script>") == 3
    data = page(store.path).count('<script type="application/json" class=')
    assert outline.tags.count("script") == 3 + data
    assert data > 5
    assert any(EVIL in one for one in outline.texts)


def test_the_health_of_trials_is_told_and_drawn(store):
    rows = store.fill(rates=(1e-4, 1e-3), temperatures=(0.3, 0.5))
    for row in rows:
        is_bad = row.params["optimiser.learning_rate"] == 1e-3
        row.history += [(epoch, 1.0, "health.marginal_entropy", 0.2 if is_bad else 0.9) for epoch in range(1, 21)]
    rows[0].status, rows[0].reason = "stopped", f"COLLAPSED@3: {EVIL}"
    rows[0].health["seconds_saved"] = 30.0
    store.put("s", rows)
    part = re.search(r'<section id="health".*?</section>', page(store.path), re.DOTALL)[0]
    assert "12 trials: 6 OK, 6 with codes." in part
    assert "1 trial was stopped by a rule" in part
    assert "30 s" in part
    assert len(re.findall(r">COLLAPSED@\d+<", part)) == 6
    assert ">differs<" in part
    assert ">0 of 6<" in part
    assert ">6 of 6<" in part
    (chart,) = [one for one in charts(part) if "label-free" not in str(one) and "course" in one["description"]]
    lines = {one["trial"] for rows in chart["datasets"].values() for one in rows}
    assert len(lines) == 2
    assert sum(one.startswith("best: ") for one in lines) == 1


def test_markup_escapes_texts_and_attributes_alone():
    assert (
        tag("p", "<b>", tag("i", "&"), class_='"', hidden=True, title=None)
        == '<p class="&quot;" hidden>&lt;b&gt;<i>&amp;</i></p>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert tag("p", ["a", Markup("<b>")], x=1.25) == '<p x="1.2">a<b></p>'


def test_the_conclusions_come_first_and_in_words(results, whole):
    texts = said(results)
    assert texts["Best"].startswith("instance_temperature=")
    assert "learning_rate=0.0005" in texts["Best"]
    assert re.search(r"nmi 0\.\d{3} ±0\.\d{3} \(95 % interval of the mean over 3 seeds\)", texts["Best"])
    assert "seeds" in texts["Tied"]
    assert "uses the labels" in texts["Chosen by"]
    assert texts["Trials"] == "18 of 18 finished."
    assert whole.index("nmi 0.") < whole.index("<table")


def test_conclusions_on_a_data_set_have_a_person_s_own_name_for_it(store):
    store.put(
        "s",
        [
            store.attempt("s", cell, seed, {"batch_size": cell, "data.name": data}, 0.5, 1, data_hash=data)
            for data, seeds, cells in (("one", 3, (0, 1)), ("two", 12, (2, 3)))
            for cell in cells
            for seed in range(seeds)
        ],
    )
    found = gather([str(store.path)], "nmi", "max", drawn=False, paged=False)
    about = {one.about for one in findings(replace(found, labels=ShownNames(data={"one": "First"}, source="l")))}
    assert {"Best on First", "Note on First", "Best on two"} <= about
    assert "Note on one" not in about


def test_options_of_several_data_sets_are_no_parameters_of_the_page(store):
    changes = {"one": {"data.name": "one", "data.scale": None}, "two": {"data.name": "two", "data.scale": "unit"}}
    store.put(
        "s",
        [
            store.attempt(
                "s", cell, seed, {"batch_size": size, "epochs": size * 2 + cell % 2, **own}, 0.5, 1, data_hash=one
            )
            for cell, (size, (one, own)) in enumerate(product((1, 2, 3), changes.items()))
            for seed in range(3)
        ],
    )
    found = gather([str(store.path)], "nmi", "max")
    assert {frozenset(pair.keys) for pair in found.interactions} == {frozenset({"batch_size", "epochs"})}
    shown = str(effects(found))
    assert "<h3>batch_size</h3>" in shown
    assert not {"<h3>data.name</h3>", "<h3>scale</h3>", "<h3>data</h3>"} & {*re.findall("<h3>.*?</h3>", shown)}


def test_failures_and_what_is_missing_are_said_with_their_reasons(store):
    rows = store.fill()
    rows[0].status, rows[0].reason = "failed", "DIVERGED: three steps were not finite"
    rows[1].source = "import"
    store.put("s", rows[:-2])
    (store.path / "study=s" / "study.json").write_text(json.dumps({"trials": [[]] * 18}))
    texts = said(store.path)
    assert texts["Trials"] == "15 of 16 finished, 1 failed, 2 of the plan not begun."
    assert texts["Failed"] == "1 trial of 1 configuration: DIVERGED: three steps were not finite"
    assert texts["Unverified"].startswith("1 row was imported")


def test_a_condition_is_said_and_what_it_leaves_out_is_not_called_missing(store):
    store.fill()
    (store.path / "study=s" / "study.json").write_text(json.dumps({"trials": [[]] * 18}))
    texts = said(store.path, where="seed < 2")
    assert texts["Only"] == "Rows where seed < 2; the others are left out."
    assert texts["Trials"] == "12 of 12 finished."


def test_a_loss_is_not_ranked_across_what_rescales_it(results):
    text = page(results, metric="loss", mode="min")
    assert "Not ranked" in text
    assert "can rescale the loss, so a smaller value need not mean a better model" in text
    assert 'class="interval"' not in text.partition("What each parameter does")[0]
    assert "instance_temperature is not ranked by loss" in text


def test_a_loss_is_ranked_where_nothing_rescales_it(store):
    store.fill(temperatures=(0.3,))
    assert "ranked by loss" in page(store.path, metric="loss", mode="min")


def test_every_part_is_there(whole):
    text = whole
    for part in (
        "conclusions",
        "leaderboard",
        "importance",
        "effects",
        "interactions",
        "parallel",
        "curves",
        "selection",
        "health",
        "seeds",
        "time",
    ):
        assert f'<section id="{part}"' in text, part
    assert len(charts(part_of(text, "curves"))) == 3 + 6
    (parallel, *_) = charts(part_of(text, "parallel"))
    assert max(map(len, parallel["datasets"].values())) == 3 + 2 + 5
    assert "c0de" in text
    assert "da7a" in text
    assert "torch 2.6" in text


def test_rows_without_histories_labels_or_repeats_make_a_page_too(store):
    plain = {"history": [], "health": {}, "source": "import", "started": None, "seconds": None, "env": {}}
    store.put("s", [store.attempt("s", 0, 0, {"learning_rate": 1e-3}, 0.5, 1, **plain)])
    text = page(store.path)
    assert "1 trial · 1 configuration" in text
    assert "curves" not in re.findall(r'<section id="(\w+)"', text)
    assert "unverified" in text


def test_what_matters_is_said_with_its_interval_and_drawn_with_marks_of_their_own(results, whole):
    told = re.fullmatch(
        r"Of the variance between trials learning_rate (\d+)% \((\d+)% … (\d+)%\); luck \(the seed\) \d+%.",
        said(results)["Matters"],
    )
    share, low, high = map(int, told.groups())
    assert 80 <= low <= share <= high <= 100
    part = re.search(r'<section id="importance".*?</section>', whole, re.DOTALL)[0]
    names = ("learning_rate", "instance_temperature", "instance_temperature x learning_rate", "luck (the seed)")
    assert [part.find(f">{name}<") for name in names] == sorted(part.find(f">{name}<") for name in names)
    assert (part.count("mark square"), part.count("mark unknown"), part.count('class="bar"')) == (1, 2, 4)
    assert part.count(">matters<") == 1
    assert part.count(">not shown to matter<") == 2


def test_a_share_that_cannot_be_told_is_not_drawn(store):
    store.fill(rates=(1e-4, 2e-4), seeds=(0,))
    part = re.search(r'<section id="importance".*?</section>', page(store.path), re.DOTALL)[0]
    assert part.count(">too few trials<") == 3
    assert "<svg" not in part
    assert "add seeds or configurations" in part
    assert said(store.path)["Matters"] == "Too few trials to tell which parameters matter."


def test_empty_cells_of_a_heat_map_are_shown(store):
    rows = [one for one in store.fill() if one.config_key != "s-3"]
    store.put("s", rows)
    found = charts(part_of(page(store.path), "interactions"))
    cells = [row for one in found for rows_ in one["datasets"].values() for row in rows_]
    assert [(row["down"], row["across"]) for row in cells if row["text"] == "none"] == [("0.0002", "0.5")]
    assert len([row for row in cells if row["text"] != "none"]) == 5


# The numbers behind the drawings


def test_a_curve_is_the_mean_of_its_seeds_with_the_t_interval(store):
    values = [[0.1, 0.4, 0.5], [0.2, 0.5, 0.7], [0.3, 0.3, 0.9]]
    store.put(
        "s",
        [
            store.attempt("s", 0, seed, {}, 0.5, 0, history=[(e, 0.0, "nmi", v) for e, v in enumerate(row, 1)])
            for seed, row in enumerate(values)
        ],
    )
    table = read_results(str(store.path), history=True)
    assert curve_metrics(table) == ["nmi"]
    (one,) = curves(table, "nmi").values()
    assert one.epochs == (1, 2, 3)
    assert one.means == pytest.approx((0.2, 0.4, 0.7))
    # t(2 degrees, 97.5 %) = 4.302653; standard deviations 0.1, 0.1 and 0.2, over the root of 3
    assert one.half_widths == pytest.approx((0.248414, 0.248414, 0.496828), rel=1e-5)
    assert one.seeds[1] == (1, (0.2, 0.5, 0.7))


def test_a_curve_has_the_epochs_that_all_its_seeds_have_and_not_too_many(store):
    rows = [store.attempt("s", 0, seed, {}, 0.5, epochs) for seed, epochs in ((0, 500), (1, 300))]
    rows[0].history.append((301, 0.0, "nmi", float("nan")))
    store.put("s", rows)
    (one,) = curves(read_results(str(store.path), history=True), "nmi").values()
    assert (one.epochs[0], one.epochs[-1], len(one.epochs)) == (1, 300, POINTS)


def test_outcomes_count_codes_over_trials_and_configurations(store):
    rows = store.fill()
    rows[0].reason = "EMPTY_CLUSTERS=2; COLLAPSED"
    rows[1].reason = rows[5].reason = "EMPTY_CLUSTERS=1"
    store.put("s", rows)
    found = outcomes(read_results(str(store.path)))
    assert [(one.code, one.trials, one.configurations) for one in found.warnings] == [
        ("EMPTY_CLUSTERS", 3, 2),
        ("COLLAPSED", 1, 1),
    ]
    assert reason_code("DIVERGED: x=1") == "DIVERGED"


def test_origins_tell_studies_and_versions_apart(store):
    rows = store.fill()
    rows[0].code_hash = "0ther"
    rows[1].reason = "RESUMED_ELSEWHERE: trained on cpu (f32), then on NVIDIA X (f32); COLLAPSED"
    store.put("s", rows)
    store.fill(study="t", temperatures=(0.3,))
    first, second = origins(read_results(str(store.path)), read_plans([str(store.path)]))
    assert (first.code, second.code) == (("0ther", "c0de"), ("c0de",))
    assert (first.trials, second.trials, first.planned) == (18, 9, None)
    assert first.seconds == pytest.approx(sum(one.seconds for one in rows))
    assert (first.elsewhere, second.elsewhere) == (1, 0)
    text = page(store.path)
    assert "2 versions of the training code" in text
    assert "1 trial went on on another kind of device" in text


# Places in drawings


def test_a_scale_has_a_margin_at_both_ends():
    assert svg.over([0.0, 1.0], 0, 108).place(0.5) == pytest.approx(54)
    assert svg.over([0.0, 1.0], 0, 108).place(0.0) == pytest.approx(4)
    assert svg.over([3.0, 3.0], 0, 100).place(3.0) == pytest.approx(50)


def test_an_axis_takes_numbers_words_and_nothing():
    one = axis(["auto", None, 5, 5])
    assert one.labels() == [(0, "-"), (0.5, "5"), (1, "auto")]
    assert [one.cell(value) for value in ("auto", None, 5)] == ["auto", "-", "5"]
    assert one.order == ["-", "5", "auto"]


def test_many_numbers_are_in_proportion_or_by_their_logarithm():
    linear = axis([i / 20 for i in range(21)])
    assert (linear.order, linear.log, linear.share(0.25)) == (None, False, 0.25)
    assert [place for place, _ in linear.labels()] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    wide = axis([10 ** (-5 + i / 5) for i in range(21)])
    assert wide.log
    assert wide.share(1e-3) == pytest.approx(0.5)
    assert [text for _, text in wide.labels()] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]


def topical(store, count=3):
    """Trials of a topic model; the history has names of losses that a stranger wrote."""
    rows = []
    for seed in range(count):
        row = store.attempt("s", 0, seed, {"method.name": "gc_atm"}, 0.5, 4, cluster_sizes=[3, 2])
        row.metrics |= {"npmi": 0.2 + seed / 100, "topic_diversity": 1.0}
        row.topics = [(k, f"{EVIL}{k}{rank}", 1.0) for k in range(2) for rank in range(12)]
        row.topic_coherence, row.topic_documents = [0.2, 0.1], [(1, EVIL)]
        for epoch in (1, 2, 3):
            for name in ("npmi", "topic_diversity", "loss_critic", "loss_x'] + evil()", "health.critic_gap"):
                row.history.append((epoch, 1.0, name, epoch / seed if seed else 0.5))
        rows.append(row)
    store.put("s", rows)
    return rows


def test_topics_of_the_best_trial_with_what_comes_again_and_curves_of_all(store):
    topical(store)
    text = page(store.path, metric="npmi")
    start = text.index('<section id="topics"')
    part = text[start : text.index("</section>", start)]
    assert "2 topics of trial s-0-2, seed 2, the best of the best configuration by npmi (0.220)" in part
    assert part.count("2 of 2") == 2
    titles = re.findall(r"<figcaption><b>([^<]+)", part)
    assert titles == ["npmi", "topic diversity", "loss", "loss_critic", "critic gap"]
    assert len(charts(part)) == 5
    assert "#1 gc_atm s-0-0 seed 0" in str(charts(part)[0])
    assert part.count("<script") == part.count('<script type="application/json" class="chart">') == 5
    assert EVIL in "".join(Outline(part).texts)


def test_losses_of_two_methods_share_no_axis_and_one_epoch_is_no_curve(store):
    rows = topical(store)
    for config, (method, epochs) in enumerate({"prodlda": 3, "nmf": 1}.items(), 1):
        for seed in range(2):
            row = store.attempt("s", config, seed, {"method.name": method}, 0.5, epochs)
            row.metrics |= {"npmi": 0.1, "topic_diversity": 1.0}
            names = ("npmi", "loss_divergence") if method == "prodlda" else ("npmi",)
            row.history += [(epoch, 1.0, name, 0.1) for epoch in range(1, epochs + 1) for name in names]
            rows.append(row)
    store.put("s", rows)
    text = page(store.path, metric="npmi")
    sections = {
        name: text[text.index(f'<section id="{name}"') :].split("</section>")[0] for name in ("curves", "topics")
    }
    titles = {name: re.findall(r"<figcaption><b>([^<]+)", part) for name, part in sections.items()}
    assert titles["topics"] == ["npmi", "topic diversity", "loss_critic", "loss_divergence", "critic gap"]
    assert "loss" not in titles["curves"]
    assert "NPMI of the first 2, seed by seed" in sections["curves"]
    assert "nmf" not in sections["curves"]


def test_without_topics_there_is_no_such_part(whole, store):
    assert '<section id="topics"' not in whole
    rows = topical(store)
    for row in rows:
        row.topics, row.history = None, []
    store.put("s", rows)
    text = page(store.path, metric="npmi")
    assert "No trial of these results has topics" not in text


def test_the_verdicts_of_a_report_are_those_of_the_histories_and_hold_each_text_once(store):
    store.fill()
    reading = Reading([str(store.path)], (), COLUMNS)
    found = reading.judged(reading.rows("", judged=True).table)
    whole = judged(load([str(store.path)], history=True).table)
    assert found == [replace(one, numbers={}) for one in whole]
    assert all(one.numbers for one in whole)
    for name in ("study", "status", "data"):
        assert len({id(getattr(one, name)) for one in found}) == 1 < len(found)
