"""What `conclus plan` says of the differences that a study can see: by the rule of ties and the spread over seeds."""

import math
import re
import statistics

import numpy as np
import pytest

from jobs.analysis.ties import leads
from jobs.planning import plan as planning
from jobs.planning.power import CONFIGURATIONS, DETECTABLE, SPREADS, detectable
from jobs.results import writer
from jobs.results.schema import Attempt
from jobs.study import study as studies
from tests.rates import highest, lowest

STUDY = """study: s
trial: {data: digits, method: cc, epochs: 2}
space: {learning_rate: {grid: [1.0e-4, 1.0e-3, 1.0e-2]}}
seeds: [0, 1, 2]
"""


@pytest.mark.parametrize(("configurations", "seeds"), [(2, 3), (5, 3), (10, 5), (30, 3), (3, 8)])
def test_the_difference_that_is_named_is_told_from_luck_in_80_of_100_studies(configurations, seeds, repeats):
    rng, count = np.random.default_rng(0), repeats(250)
    shown = 0
    for _ in range(count):
        values = rng.standard_normal((configurations, seeds))
        values[0] += detectable(configurations, seeds)
        order = sorted(range(configurations), key=lambda one: -values[one].mean())
        found = leads([dict(enumerate(values[one].tolist())) for one in order], maximise=True)
        shown += order[0] == 0 and found[order.index(1)].is_sure
    assert lowest(0.8, count) - 0.01 <= shown / count <= highest(0.8, count) + 0.01


def test_between_the_known_numbers_it_is_interpolated_and_beyond_them_it_falls_as_the_error_of_a_mean():
    assert detectable(10, 3) == DETECTABLE[3][CONFIGURATIONS.index(10)]
    halfway = (detectable(10, 3) + detectable(30, 3)) / 2
    assert detectable(17, 3) == pytest.approx(halfway, rel=0.01)
    assert detectable(5000, 3) == detectable(1000, 3)
    assert detectable(10, 40) == pytest.approx(detectable(10, 10) / 2)


def test_the_spreads_of_the_docs_are_those_of_the_measurements(root):
    text = (root / "docs" / "searches.md").read_text()
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \| (0\.\d+) \|$", text, re.MULTILINE)
    assert {(data, method, score): float(value) for data, method, score, value in rows} == SPREADS
    lines = (root / "docs" / "benchmarks.md").read_text().splitlines()

    def by_interval(start, place):
        (line,) = [line for line in lines if line.startswith(start)]
        half = [float(one) for one in re.findall(r"±(\d*\.\d+)", line)][place]
        return half * math.sqrt(3) / 4.302653  # Student's quantile for three seeds

    topics = "| 20 Newsgroups, 1,883 words, 20 topics, `{}`: NPMI"
    measured = {
        ("digits", "cc", "acc"): statistics.stdev([0.956, 0.862, 0.871]),
        ("digits", "cc", "nmi"): by_interval("| `studies/quickstart.yaml` at 60 epochs", 0),
        ("digits", "conclus", "acc"): by_interval("| digits, 120 epochs |", 0),
        ("digits", "conclus", "nmi"): by_interval("| digits, 120 epochs |", 1),
        ("documents", "gc-atm", "npmi"): by_interval(topics.format("gc-atm weighted"), 0),
        **{
            ("documents", name, "npmi"): by_interval(topics.format(name), 0)
            for name in ("bat", "prodlda", "lda", "nmf")
        },
    }
    assert any("seeds 0 to 2: ACC" in line and "(.956, .862, .871)" in line for line in lines)
    assert measured == pytest.approx(SPREADS, abs=5e-4)


@pytest.fixture
def plan(tmp_path, command):
    def plan(*arguments, text=STUDY):
        (tmp_path / "study.yaml").write_text(text)
        code, out, err = command("plan", tmp_path / "study.yaml", "--no-data", "--results", tmp_path / "r", *arguments)
        assert (code, err) == (0, "")
        return " ".join(out.split())

    return plan


def store(tmp_path, cells, name="s"):
    """Rows of some configurations of a study, each with seeds at a mean and so far to both sides of it."""
    (tmp_path / "study.yaml").write_text(STUDY.replace("study: s", f"study: {name}"))
    study = studies.load(tmp_path / "study.yaml")
    made = planning.make(study).trials
    spreads = dict(zip(dict.fromkeys(one.config_key for one in made), cells, strict=False))
    for one in (one for one in made if one.config_key in spreads):
        attempt = Attempt(
            study=name,
            trial_key=one.trial_key,
            config_key=one.config_key,
            seed=one.seed,
            attempt_id=one.trial_key,
            status="ok",
            params=dict(one.parameters),
            data_hash=one.data_hash,
            seconds=1.0,
            metrics={"nmi": 0.8 + (one.seed - 1) * spreads[one.config_key]},
        )
        writer.write(str(tmp_path / "r"), attempt)


@pytest.fixture
def other(tmp_path):
    """Other data than the study's, as `--set` takes it."""
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    return f"data={{name: file, path: {tmp_path / 'mine.csv'}}}"


def test_a_new_study_is_told_the_spread_of_the_docs(plan, other):
    under = f"{DETECTABLE[3][CONFIGURATIONS.index(3)] * 0.014:.2g}"
    assert (
        "with 3 seeds and the spread of digits/cc in the docs (0.014), "
        f"differences of nmi under about {under} stay ties in over 20 of 100 studies"
    ) in plan()
    assert "the spread of cc on other data in the docs (0.014)" in plan("--set", other)


def test_the_spread_of_earlier_trials_comes_before_that_of_the_docs(plan, other, tmp_path):
    store(tmp_path, [0.02, 0.04], name="earlier")
    pooled = math.sqrt((0.02**2 + 0.04**2) / 2)
    assert f"the spread of digits/cc so far ({pooled:.2g})" in plan()
    assert f"the spread of cc so far ({pooled:.2g})" in plan("--set", other)
    assert "the spread of conclus on other data" not in plan("--set", "method=conclus")
    assert "the spread of digits/conclus in the docs (0.012)" in plan("--set", "method=conclus")


def test_several_spreads_are_told_from_the_least_to_the_most(plan):
    text = STUDY.replace("learning_rate: {grid: [1.0e-4, 1.0e-3, 1.0e-2]}", "method: {grid: [cc, conclus]}")
    two = DETECTABLE[3][0]
    assert (
        "with 3 seeds and spreads from 0.012 (digits/conclus in the docs) to 0.014 (digits/cc in the docs), "
        f"differences of nmi under about {two * 0.012:.2g} to {two * 0.014:.2g} stay ties"
    ) in plan(text=text)


def test_spreads_that_are_shown_alike_are_one(plan, tmp_path):
    store(tmp_path, [0.01201, 0.01201], name="earlier")
    text = STUDY.replace("learning_rate: {grid: [1.0e-4, 1.0e-3, 1.0e-2]}", "method: {grid: [cc, conclus]}")
    assert (
        "and the spread of digits/conclus in the docs and digits/cc so far (0.012), "
        f"differences of nmi under about {DETECTABLE[3][0] * 0.012:.2g} stay ties"
    ) in plan(text=text)


def test_no_difference_is_larger_than_the_range_of_the_score(plan, tmp_path):
    store(tmp_path, [0.9, 0.9], name="earlier")
    assert "differences of nmi of any size stay ties in over 20 of 100 studies" in plan()
    text = STUDY.replace("learning_rate: {grid: [1.0e-4, 1.0e-3, 1.0e-2]}", "method: {grid: [cc, conclus]}")
    assert f"differences of nmi under about {DETECTABLE[3][0] * 0.012:.2g} to any at all stay ties" in plan(text=text)


def test_without_any_spread_it_is_told_in_standard_deviations(plan):
    told = f"differences of ari under about {DETECTABLE[3][CONFIGURATIONS.index(3)]:.1f} standard deviations over seeds"
    assert told in plan("--set", "select.metric=ari")


@pytest.mark.parametrize(
    "arguments", [["--set", "space.learning_rate={grid: [1.0e-3]}"], ["--set", "select.metric=consensus"]]
)
def test_where_no_configurations_are_compared_over_seeds_nothing_is_said(plan, arguments):
    assert "stay ties" not in plan(*arguments)


def test_the_consensus_is_told_not_to_compare_numbers_of_clusters(plan, command, tmp_path):
    told = "the consensus does not compare different n_clusters: each has its own ranking, "
    several = ["--set", "space.learning_rate={grid: [1.0e-3]}", "--set", "space.n_clusters={grid: [4, 3]}"]
    by_consensus = ["--set", "select.metric=consensus"]
    assert f"{told}as `conclus aggregate --where 'n_clusters == 3'` shows" in plan(*several, *by_consensus)
    named = ["--set", "space.learning_rate={grid: [1.0e-3]}", "--set", "space.n_clusters={grid: [auto, null]}"]
    assert told.rstrip(", ") in plan(*named, *by_consensus)
    assert told not in plan(*by_consensus)
    assert told not in plan(*several)
    searched = ["--set", "search={name: optuna, trials: 4}", "--set", "space={n_clusters: {int: [3, 6]}}"]
    assert "label_free, by which the search chooses, is not fair to all of them" in plan(*searched, *by_consensus)
    # Data without labels are selected by consensus, whatever the file leaves out.
    (tmp_path / "mine.csv").write_text("a,b\n" + "".join(f"{row % 3},{row / 9}\n" for row in range(12)))
    (tmp_path / "s.yaml").write_text(STUDY)
    here = ["--set", f"data={{name: file, path: {tmp_path / 'mine.csv'}}}", "--set", "trial.epochs=1"]
    code, out, err = command("plan", tmp_path / "s.yaml", *here, *several, "--results", tmp_path / "r")
    assert code == 0, err
    assert told in " ".join(out.split())
    assert "stay ties" not in out


def test_one_seed_sees_nothing(plan):
    assert "with 1 seed no two configurations can be told apart: give more seeds" in plan("--set", "seeds=[0]")


def test_a_study_that_is_done_is_told_nothing(plan, tmp_path):
    store(tmp_path, [0.02, 0.02, 0.02])
    assert "0 missing" in plan()
    assert "stay ties" not in plan()


def test_results_that_cannot_be_read_tell_no_spread(plan, tmp_path):
    store(tmp_path, [0.02, 0.02], name="earlier")
    for file in (tmp_path / "r").rglob("*.parquet"):
        file.write_bytes(b"torn")
    assert "digits/cc in the docs" in plan()
