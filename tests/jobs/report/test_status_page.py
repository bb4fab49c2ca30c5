"""The status page of one trial: every number is from the run, in both languages; refusals; hostile values."""

import itertools
import re
import string

import numpy as np
import pytest

from core.evaluation.rules import RULES
from jobs.health.forecast import COLUMNS, forecast
from jobs.present import phrases_en, phrases_zh
from jobs.results import writer
from jobs.results.reader import load
from jobs.results.schema import Attempt

KINDS = ("the cat sat on a mat", "stocks fell again in early trade today", "rain and wind are coming")
STUDY = """
study: talk
trial:
  data: {name: text, path: talk.csv, dimensions: 8}
  encoder: {name: mlp, widths: [16]}
  method: cc
  epochs: 6
  evaluation: {every: 1}
space:
  learning_rate: {grid: [1.0e-3, 1.0e-2]}
seeds: [0]
"""
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?%?")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of two trials on 45 texts of three kinds, 24, 15 and 6 of them."""
    import conclus

    folder = tmp_path_factory.mktemp("status")
    texts = [f"{KINDS[kind]} {i}" for kind, count in enumerate((24, 15, 6)) for i in range(count)]
    labels = [kind for kind, count in enumerate((24, 15, 6)) for _ in range(count)]
    rows = "\n".join(f"{text},{label}" for text, label in zip(texts, labels, strict=True))
    (folder / "talk.csv").write_text(f"text,label\n{rows}\n")
    (folder / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["conclus", "run", "study.yaml", "--workers", "1", "--quiet"])
        try:
            conclus.main()
        except SystemExit as leave:
            assert not leave.code  # noqa: PT017
    return folder / "results", texts


def page(command, *arguments):
    code, out, err = command("report", *arguments, "--style", "status")
    assert code == 0, err
    return out


def known_numbers(row, texts):
    """The numbers that the page of a trial may have, none of them made by the page's own code."""
    series = {}
    for step in row["history"]:
        series.setdefault(step["metric"], []).append(step["value"])
    nmi, loss = series["nmi"], series["loss"]
    steps = [after - before for before, after in itertools.pairwise(nmi)]
    middle = sorted(steps)[len(steps) // 2]
    jump = sum(abs(step - middle) for step in steps) / len(steps)
    slopes = sorted((nmi[j] - nmi[i]) / (j - i) for j in range(6) for i in range(j))
    sizes = row["cluster_sizes"]
    found = [*nmi, loss[0], loss[-1], jump, 1 - jump, slopes[len(slopes) // 2]]
    found += [sum(step > 0.005 for step in steps), sum(step < -0.005 for step in steps)]
    found += [min(sizes), len(sizes), sum(sizes), max(sizes) / max(1, min(sizes)), 24 / 6]
    found += [sum(len(text.split()) for text in texts) / len(texts), len(texts)]
    start = row["metric.input_kmeans_nmi"]
    found += [start, abs(round(nmi[-1], 3) - round(start, 3))]  # As a reader gets the difference from both.
    found += [row["health.silhouette"], row["seed"], *range(7)]  # Epochs and counts of codes and trials.
    # What the phrases have: 90 % intervals, 10 epochs, 5 times the imbalance, a difference that counts as none.
    found += [90, 0.9, 10, 5, 0.005, row["param.optimiser.learning_rate"], row["param.epochs"], row["param.batch_size"]]
    return found


def is_of(token, known):
    digits = len(token.rstrip("%").partition(".")[2])
    value, scale = float(token.rstrip("%")), 100 if token.endswith("%") else 1
    return any(abs(value - scale * one) <= 0.5 * 10**-digits + 1e-9 for one in known)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_number_is_from_the_run(results, command, lang):
    folder, texts = results
    table = load([str(folder)], history=True).table.to_pylist()
    best, other = sorted(table, key=lambda row: -row["metric.nmi"])
    found = page(command, folder, "--lang", lang)
    assert best["trial_key"] in found
    both = [known_numbers(row, texts) for row in (best, other)]
    known = [*both[0], other["metric.nmi"], (best["metric.nmi"] + other["metric.nmi"]) / 2]
    known += [other["param.optimiser.learning_rate"]]
    told = re.sub(r"^\d+\. |^#+ \d\. |@\d+|=\d+", "", found.replace(best["trial_key"], ""), flags=re.MULTILINE)
    told = told.replace(other["trial_key"], "")
    # The evidence of a code: a signal's name and its value in some epoch.
    series = {}
    for step in best["history"]:
        series.setdefault(step["metric"].removeprefix("health."), []).append(step["value"])
    for name, token in re.findall(r"([a-z\\_]+) (\d\S*?)[,)\uff09]", told):
        if (name := name.replace("\\", "")) in series:
            known += [float(f"{value:.4g}") for value in series[name] if f"{value:.4g}" == token]
    assert len(NUMBER.findall(told)) > 40
    wrong = [token for token in NUMBER.findall(told) if not is_of(token, known)]
    assert not wrong
    mean = sum(len(text.split()) for text in texts) / len(texts)
    assert f"{mean:.2f}" in found
    assert f"{best['metric.nmi']:.3f} ({best['metric.nmi']:.1%})" in found
    named = page(command, folder, "--lang", lang, "--trial", other["trial_key"][:6])
    assert f"{best['metric.nmi']:.3f}" in named  # As the better trial of the study, with what is other in it.
    assert "learning" in named


def test_the_sections_are_those_of_the_document_in_its_order(results, command):
    found = page(command, results[0], "--lang", "zh")
    heads = [line for line in found.splitlines() if line.startswith("## ")]
    parts = ["当前训练状态", "值分析", "训练建议", "预期改进轨迹", "下一步行动", "诊断检查清单", "总结"]
    assert len(heads) == len(parts)
    assert all(part in head for part, head in zip(parts, heads, strict=True))
    assert {line[:5] for line in found.splitlines() if line.startswith("- [")} == {"- [x]", "- [ ]"}
    assert "90 %" not in found
    assert not re.search(r"[一-鿿]", page(command, results[0]))


def running_store(folder, **told):
    """Ten finished trials of a study, and one that has reached a third."""
    for trial in range(10):
        values = [0.3 + 0.02 * epoch + 0.01 * trial * epoch / 9 for epoch in range(1, 10)]
        writer.write(str(folder), attempt(f"k{trial}", values))
    writer.write(str(folder), attempt("now", [0.33, 0.35, 0.37], status="running", **told))


def attempt(key, values, **told):
    params = {
        "epochs": 9,
        "method.name": "cc",
        "data.name": "digits",
        "learning_rate": int(key[1:]) if key[1:].isdigit() else 5,
    }
    content = {
        "study": "s",
        "trial_key": key,
        "config_key": key,
        "seed": 0,
        "attempt_id": writer.new_attempt_id(),
        "status": "ok",
        "epochs_done": len(values),
        "data_hash": "d",
        "cluster_sizes": [5, 4],
        "metrics": {"nmi": values[-1], "loss": 1.0} if values else {},
        "health": {"label_free": 0.5},
        "history": [(epoch, 1.0, "nmi", value) for epoch, value in enumerate(values, 1)],
    }
    return Attempt(**{**content, **told, "params": {**params, **told.get("params", {})}})


def test_the_trajectory_of_a_running_trial_is_its_forecast(tmp_path, command):
    running_store(tmp_path)
    table = load([str(tmp_path)], history=True, columns=list(COLUMNS)).table
    found = page(command, tmp_path, "--trial", "now")
    rows = re.findall(r"^\| (\d) \| (\S+) \(\S+\) \| (\S+) to (\S+) \| forecast \|$", found, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [5, 6, 7, 9]
    for epoch, value, low, high in rows:
        one = forecast(table, "nmi", "s", "now", int(epoch))
        assert (value, low, high) == (f"{one.value:.3f}", f"{one.low:.3f}", f"{one.high:.3f}")
    assert "from 10 finished trials of 10 configurations of this study" in found
    assert "Length of the texts**: unknown (the data are no texts)" in found
    one = forecast(table, "nmi", "s", "now")
    assert " ".join(f"{one.sentence}.".split()) in " ".join(command("health", tmp_path, "--trial", "now")[1].split())
    assert "expected" not in command("health", tmp_path, "--trial", "k3")[1]
    assert "so the forecast may be far off" not in found
    running_store(tmp_path / "other", params={"batch_size": 16})
    named = "The finished trials have other values of batch_size, so the forecast may be far off."
    assert named in page(command, tmp_path / "other", "--trial", "now")
    assert "other values of batch_size" in " ".join(command("health", tmp_path / "other", "--trial", "now")[1].split())
    for trial in range(2):
        (file,) = tmp_path.glob(f"study=s/trials/k{trial}.*")
        file.unlink()
    assert "8 configurations of its study and 0 other studies" in page(command, tmp_path, "--trial", "now")
    assert "No forecast: too few" in command("health", tmp_path, "--trial", "now")[1]


def test_values_of_strangers_make_no_markup_and_no_control(tmp_path, command):
    evil = "x\x1b[31m|<script>alert(1)</script>\n# big\n- [x] `done` ![](http://h/i.png)"
    running_store(
        tmp_path,
        reason=evil,
        params={"method.name": evil, "data.path": evil, "data.name": "file", f"{evil}.key": evil},
    )
    for lang in ("en", "zh"):
        found = page(command, tmp_path, "--trial", "now", "--lang", lang)
        assert "\x1b" not in found
        assert not re.search(r"(?<!\\)<script", found)
        assert "\n# big" not in found
        assert "![](" not in found.replace("!\\[", "")
        for table in re.findall(r"(?:^\|.*\n)+", found, re.MULTILINE):
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(counts) == 1, table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trial", "ab"], "add --style status"),
        (["--lang", "zh"], "add --style status"),
        (["--style", "status", "--format", "latex"], "leave out --format latex"),
        (["--style", "status", "--out", "page.html"], "should end in .md"),
        (
            ["--style", "status", "--trial", "zz"],
            "no trial 'zz' in these results: there are k0, k1, k2, k3, k4, k5, k6, k7, k8, ",
        ),
        (
            ["--style", "status", "--on", "nmii", "--trial", "k1"],
            "There is no column 'nmii' in the results; did you mean 'nmi'?",
        ),
        (["--style", "status", "--on", "ari"], "No trial has a value of 'ari'"),
    ],
)
def test_refusals_are_one_line(tmp_path, command, arguments, said):
    running_store(tmp_path)
    code, out, err = command("report", tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_both_languages_have_the_same_phrases_and_all_that_the_rules_need():
    english, chinese = phrases_en.PHRASES, phrases_zh.PHRASES
    assert list(english) == list(chinese)
    for key in english:
        assert fields(english[key]) == fields(chinese[key]), key
    assert set(phrases_zh.WHY) == {rule.code for rule in RULES}
    assert set(phrases_zh.HOW) == {change.how for rule in RULES for change in rule.change}


def fields(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def collapsed(key, entropy=0.1, reason="", **params):
    """A trial that has collapsed unless its entropy is high."""
    history = [(epoch, 1.0, name, value) for epoch in range(1, 10) for name, value in signals(epoch, entropy)]
    settings = {"optimiser.learning_rate": 0.01, "batch_size": 64, "method.entropy_weight": 1.0, "learning_rate": 0}
    return attempt(key, [0.5] * 9, params={**settings, **params}, history=history, reason=reason)


def signals(epoch, entropy):
    return [("nmi", 0.5), ("loss", 1 / epoch), ("health.marginal_entropy", entropy), ("health.clusters_empty", 0)]


def test_what_was_measured_comes_first_and_what_did_not_help_is_no_advice(tmp_path, command):
    writer.write(str(tmp_path), collapsed("own"))
    for run in "ab":
        writer.write(str(tmp_path), collapsed(f"rate{run}", **{"optimiser.learning_rate": 0.001}))
        writer.write(str(tmp_path), collapsed(f"size{run}", 0.9, batch_size=256))
    unknown = {"optimiser.learning_rate": 0.01, "batch_size": 512, "method.entropy_weight": 1.0, "learning_rate": 0}
    writer.write(str(tmp_path), attempt("imported", [0.5], params=unknown, health={}, history=[]))
    found = page(command, tmp_path, "--trial", "own")
    assert "512" not in found  # Without a course, nothing is known of its codes.
    measured = "`batch_size` = 256 instead of 64"
    assert f"1. {measured}: 2 of 2 comparable trials had no COLLAPSED, against 0 of 1" in found
    assert "tried here, did not help: 0 of 2" in found
    assert "lower `optimiser.learning_rate`" not in found
    assert "raise `batch_size`" not in found  # The same change as the measured one.
    assert "2. raise `method.entropy_weight`" in found
    writer.write(str(tmp_path / "plain"), collapsed("own", **{"method.entropy_weight": None}))
    assert "method.entropy" not in page(command, tmp_path / "plain")
    assert f"Change one thing and run it again: {measured}." in found
    assert "没有帮助" in page(command, tmp_path, "--trial", "own", "--lang", "zh")


def test_equal_scores_are_neither_lost_nor_worse_and_several_data_sets_are_said(tmp_path, command):
    for key, nmi, data in [
        ("best", 1.0, "d"),
        ("a", 0.9998, "d"),
        ("b", 1.0002, "d"),
        ("c", 0.4, "d"),
        ("e", 0.2, "z"),
    ]:
        metrics = {"nmi": nmi, "input_kmeans_nmi": 1.0002}
        history = [(9, 1.0, name, value) for name, value in metrics.items()]
        writer.write(str(tmp_path), attempt(key, [nmi], metrics=metrics, data_hash=data, history=history))
    found = page(command, tmp_path, "--trial", "best")
    assert "Other finished trials on this data: 3. Ended lower than this one is now: 1; equal: 2; higher: 0." in found
    for wrong in ("data ended higher", "0.000", "Of the 1"):
        assert wrong not in found
    assert "the training has changed nothing" in found
    assert "k-means of the input (unknown)" not in found
    low = page(command, tmp_path, "--trial", "c")
    assert "**Most trials on this data ended higher**: 3 of 3 others." in low
    assert "k-means of the input** has NMI 1.000 (100.0%): the training has lost 0.600" in low
    chosen = page(command, tmp_path)
    assert "It is the best of 5 trials by the NMI. These were trained on 2 data sets, whose scores do not" in chosen
    assert "data sets, whose" not in page(command, tmp_path, "--where", "nmi > 0.3")


@pytest.mark.parametrize(("epochs", "trend", "steady"), [(1, False, False), (4, False, True), (5, True, True)])
def test_few_scored_epochs_tell_no_trend_and_no_stability(tmp_path, command, epochs, trend, steady):
    writer.write(str(tmp_path), attempt("a", [0.5] * epochs))
    found = page(command, tmp_path, "--trial", "a")
    said = "plateau" if trend else f"unknown ({epochs} of 5 scored epochs)"
    assert f"| **Trend** | {said} |" in found
    assert ("- [ ] Trend: improving (unknown)" in found) is not trend
    assert ("| **Stability** | unknown |  |" in found) is not steady
    assert ("- [ ] More rises than falls (unknown)" in found) is (epochs == 1)
    assert ("+0.0000" in found) is trend


def test_a_trial_without_a_score_is_judged_by_the_metric_of_its_study_and_says_so(tmp_path, command):
    writer.write(
        str(tmp_path), attempt("now", [], status="running", metrics={"loss": 2.0}, health={}, cluster_sizes=[])
    )
    for lang, words in (("en", "No epoch has a NMI yet."), ("zh", "还没有任何 epoch 的 NMI")):
        found = page(command, tmp_path, "--trial", "now", "--lang", lang)
        assert words in found
        for wrong in ("label", "? ", "unknown a scored", "0 found", "of 0 ", "发现 0 个"):
            assert wrong not in found.replace("Imbalance of the clusters", ""), wrong
    history = [(1, 1.0, "health.label_free", 0.5)]
    unlabelled = {"metrics": {}, "health": {"label_free": 0.5}, "history": history}
    writer.write(str(tmp_path / "two"), attempt("now", [], status="running", **unlabelled))
    assert "label_free now: 0.500" in page(command, tmp_path / "two", "--trial", "now").replace("\\_", "_")


def test_labelled_samples_are_told_apart_from_clusters_in_both_languages(tmp_path, command):
    epoch = {"nmi": 0.5, "health.selected": 200.0, "health.selected_share": 0.5, "health.cluster_size_min": 71.0}
    for least in (62.0, 0.0):
        history = [(1, 1.0, name, value) for name, value in {**epoch, "health.selected_min": least}.items()]
        writer.write(str(tmp_path), attempt(f"k{least:.0f}", [0.5], history=history))
    found, chinese = (page(command, tmp_path, "--trial", "k62", "--lang", lang) for lang in ("en", "zh"))
    note = "the selection has labelled 200 samples, 50.0% of all"
    assert f"| **Smallest number of labelled samples of a cluster** | 62 | {note} |" in found
    assert "| **Smallest cluster** | 71 |" in found
    assert "**The selection works**: each cluster has 62 labelled samples or more." in found
    assert "| **每个聚类的最小已标注样本数** | 62 |" in chinese
    assert "**样本选择有效**" in chinese
    assert "**The selection has left a cluster out**" in page(command, tmp_path, "--trial", "k0")


def test_a_trial_that_has_ended_gets_advice_for_the_next_run(tmp_path, command):
    reason = "BELOW_INPUT: nmi 0.229 against 0.737"
    writer.write(str(tmp_path), collapsed("own", reason=reason))
    found, chinese = (page(command, tmp_path, "--trial", "own", "--lang", lang) for lang in ("en", "zh"))
    assert "### Figures to watch in the next run" in found
    assert "the next run needs another setting (see below), not more epochs" in found
    assert "may reach more" not in found
    assert "nmi 0.229 against 0.737 of clusters of the input" in found
    assert "against" not in chinese
    assert "下次训练需要更换设置" in chinese
    rising = page(command, tmp_path, "--trial", put_rising(tmp_path))
    assert "for the next run, more than 9 epochs may reach more" in rising
    assert "needs another setting" not in rising


def put_rising(folder):
    writer.write(str(folder), attempt("rising", [0.1 * epoch for epoch in range(1, 10)]))
    return "rising"


VIEWS = """
study: talk
trial:
  data: {name: multiview, path: talk.npz, views: [VIEWS], dimensions: 8}
  encoder: multiview
  method: umc
  epochs: 1
seeds: [0]
"""


@pytest.mark.parametrize(
    ("views", "said"),
    [
        ("words, sound", "**Length of the texts**: 3.00 words a text on average, over 39 texts"),
        ("sound, more", "no texts"),
    ],
)
def test_the_length_of_texts_is_that_of_views_of_texts(tmp_path, command, monkeypatch, views, said):
    chance = np.random.default_rng(0)
    words = np.array(["", *(f"a {'fox' if i % 2 else 'hen'} {i}" for i in range(39))])
    sound, more = chance.normal(size=(2, 40, 4))
    np.savez(tmp_path / "talk.npz", words=words, sound=sound, more=more, label=np.arange(40) % 2)
    (tmp_path / "study.yaml").write_text(VIEWS.replace("VIEWS", views))
    monkeypatch.chdir(tmp_path)
    code, _, err = command("run", "study.yaml", "--workers", "1", "--quiet")
    assert code == 0, err
    assert said in page(command, tmp_path / "results")


def test_a_code_is_told_from_the_first_epoch_of_its_condition_and_a_last_score_at_the_end(tmp_path, command):
    history = [(epoch, 1.0, "health.clusters_empty", float(epoch > 2)) for epoch in range(1, 10)]
    history += [(9, 1.0, "nmi", 0.2), (9, 1.0, "input_kmeans_nmi", 0.7)]
    writer.write(str(tmp_path), attempt("a", [0.2] * 9, history=history))
    found, chinese = (page(command, tmp_path, "--trial", "a", "--lang", lang) for lang in ("en", "zh"))
    assert "**EMPTY_CLUSTERS=1** since epoch 3:" in found.replace("\\_", "_")
    assert "**BELOW_INPUT** at the end:" in found.replace("\\_", "_")
    assert "自第 3 个 epoch 起" in chinese
    assert "结束时" in chinese
