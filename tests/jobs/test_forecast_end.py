"""The forecast of a trial's last score: its coverage by simulation, and when it is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.health import forecast as forecasts
from jobs.health.forecast import LEVEL, NEEDED, Forecast, Past, TooFew, expected, forecast
from jobs.results import writer
from jobs.results.reader import load
from jobs.results.schema import Attempt

EPOCHS = 20


def store(seed, studies, trials):
    """Courses that rise to a level, with a late change that all trials of a study share."""
    chance = np.random.default_rng(seed)
    at = np.arange(1, EPOCHS + 1) / EPOCHS
    found = []
    for study in range(studies):
        level, rate, late = chance.normal(0.5, 0.1), chance.uniform(2, 6), chance.normal(0, 0.1)
        for trial in range(trials):
            top = level + chance.normal(0, 0.05)
            values = top * (1 - np.exp(-rate * at)) + late * at**3 + chance.normal(0, 0.01, EPOCHS)
            found.append(past(f"s{study}", f"{study}-{trial}", values))
    return found


def past(study, config_key, values, epochs=EPOCHS, *, is_whole=True):
    at = np.arange(1, len(values) + 1) / epochs
    return Past(study, config_key, "cc", "d", epochs, at, np.asarray(values, float), is_whole)


def cut(one, epoch=EPOCHS // 3):
    return past(one.study, one.config_key, one.values[:epoch], is_whole=False)


def hits(first, trials, without):
    """For each of 60 stores, the share of the first study's trials whose end is in the interval."""
    shares = []
    for seed in range(60):
        known = store(seed, first, trials)
        news = [one for one in known if one.study == "s0"][:3]
        rest = [[one for one in known if without(one, new)] for new in news]
        found = [expected(cut(new), others, "nmi") for new, others in zip(news, rest, strict=True)]
        shares.append(np.mean([f.low <= new.values[-1] <= f.high for f, new in zip(found, news, strict=True)]))
    return np.array(shares)


@pytest.mark.parametrize(
    ("studies", "trials", "without"),
    [
        (30, 4, lambda one, new: one.study != new.study),
        (1, 20, lambda one, new: one is not new),
    ],
    ids=["of a study never seen before", "of a study with 19 other configurations"],
)
def test_the_interval_covers_nine_of_ten_ends(studies, trials, without):
    found = hits(studies, trials, without)
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert 0.01 < error < 0.05
    assert abs(found.mean() - LEVEL) <= 2 * error


def test_trials_of_one_study_do_not_stand_for_others():
    """Studies of very different ends and many trials each: the widths must come from the studies."""
    chance = np.random.default_rng(0)
    ends = chance.normal(0.5, 0.1, 15)
    known = [
        past(f"s{study}", f"{study}-{trial}", np.linspace(0.3, end, EPOCHS) + chance.normal(0, 0.001, EPOCHS))
        for study, end in enumerate(ends)
        for trial in range(20)
    ]
    # Up to the fourth epoch, noise and little more is known.
    new = past("new", "c", np.full(1, 0.3), is_whole=False)
    found = expected(new, known, "nmi")
    assert (found.by, found.groups, found.trials) == ("study", 15, 300)
    assert found.high - found.low > 2 * 1.645 * 0.1


def test_the_error_of_a_trial_is_that_of_a_forecast_without_its_own_group():
    """Each study has data and a method of its own, which count 25 times as much as the others for its trials."""
    chance = np.random.default_rng(0)
    known = [
        replace(past(f"s{study}", f"{study}-{trial}", np.linspace(0.3, end, EPOCHS)), method=f"m{study}", data=f"{end}")
        for study, end in enumerate(chance.normal(0.5, 0.1, 15))
        for trial in range(5)
    ]
    courses = [replace(one, values=one.values + chance.normal(0, 0.001, EPOCHS)) for one in known]
    found = expected(past("new", "c", np.full(1, 0.3), is_whole=False), courses, "nmi")
    assert found.high - found.low > 2 * 1.645 * 0.1


def test_it_is_refused_below_nine_studies_and_nine_configurations():
    known = [one for one in store(0, NEEDED + 1, 2) if one.study != "s0"]
    new = cut(store(0, 1, 1)[0])
    assert isinstance(expected(new, known, "nmi"), Forecast)
    fewer = [one for one in known if one.study != "s1"]
    own = store(1, 1, NEEDED - 1)
    own = [past("s0", f"own-{i}", one.values) for i, one in enumerate(own)]
    assert expected(new, [*fewer, *own], "nmi") == TooFew("nmi", NEEDED - 1, NEEDED - 1)
    more = past("s0", "own-more", own[0].values)
    assert expected(new, [*fewer, *own, more], "nmi").by == "configuration"
    assert "8 configurations of its study and 8 other studies" in TooFew("nmi", 8, 8).sentence


def test_only_comparable_trials_count():
    known = [one for one in store(0, NEEDED + 1, 1) if one.study != "s0"]
    new = cut(store(0, 1, 1)[0])
    assert isinstance(expected(new, known, "nmi"), Forecast)
    cases = {
        "unfinished": past("s1", "1-0", known[0].values, is_whole=False),
        "thrice as long": past("s1", "1-0", np.resize(known[0].values, 3 * EPOCHS), 3 * EPOCHS),
        "scored later": Past("s1", "1-0", "cc", "d", EPOCHS, np.array([0.5, 1.0]), np.array([0.4, 0.5]), is_whole=True),
    }
    for name, one in cases.items():
        assert isinstance(expected(new, [one, *known[1:]], "nmi"), TooFew), name


def test_a_forecast_stays_on_the_scale_of_its_score_and_equal_courses_have_no_width():
    known = [past(f"s{i}", str(i), np.linspace(0.5, 0.99, EPOCHS)) for i in range(20)]
    found = expected(cut(past("new", "c", np.linspace(0.5, 0.99, EPOCHS))), known, "nmi")
    assert found.value == pytest.approx(0.99, abs=1e-6)
    assert found.high - found.low < 1e-6
    late = np.random.default_rng(0).normal(0, 0.05, 20)
    known = [past(f"s{i}", str(i), np.linspace(0.9, 0.95 + one, EPOCHS)) for i, one in enumerate(late)]
    new = past("new", "c", np.linspace(0.97, 0.98, 6), is_whole=False)
    assert expected(new, known, "nmi").high == 1.0
    assert expected(new, known, "raw_score").high > 1.0


RISING = [np.linspace(0.3, 0.87 + 0.002 * place, EPOCHS) for place in range(14)]
SCORES = st.floats(0, 1) | st.sampled_from([0.1, 0.3, 0.6131])
COURSES = st.lists(SCORES, min_size=EPOCHS, max_size=EPOCHS) | SCORES.map(lambda one: [one] * EPOCHS)


@pytest.mark.parametrize(
    ("courses", "own"),
    [
        (RISING, [0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96]),
        ([[0.6131] * EPOCHS] * 12, [0.3, 0.4, 0.45]),
        ([0.1 + 0.0313 * np.arange(EPOCHS)] * 12, [0.12, 0.14, 0.3]),
    ],
    ids=["far above the others", "equal constant courses", "equal rising courses"],
)
def test_a_course_unlike_the_others_has_an_interval_on_the_scale(courses, own):
    known = [past("s", str(place), one) for place, one in enumerate(courses)]
    found = expected(past("s", "own", own, is_whole=False), known, "nmi")
    assert 0 <= found.low <= found.value <= found.high <= 1
    free = expected(past("s", "own", own, is_whole=False), known, "raw_score")
    assert -2 < free.low <= free.value <= free.high < 4


def test_a_course_below_zero_is_not_lifted_to_those_of_the_others():
    known = [past("s", str(place), np.full(EPOCHS, 0.1)) for place in range(12)]
    assert expected(past("s", "own", [-0.2] * 5, is_whole=False), known, "ari").value == pytest.approx(-0.2)


@given(
    st.lists(COURSES, min_size=1, max_size=3),
    st.lists(SCORES, min_size=1, max_size=EPOCHS - 1),
    st.sampled_from(["nmi", "ari", "raw_score"]),
)
@example([[5e-155] * EPOCHS, [0.0] * EPOCHS], [1.0], "nmi")
@example([[0.5] * EPOCHS, [0.2] * EPOCHS], [1e200], "raw_score")
def test_an_interval_holds_its_value_and_stays_on_the_scale(courses, own, metric):
    known = [past("s", str(place), courses[place % len(courses)]) for place in range(12)]
    found = expected(past("s", "own", own, is_whole=False), known, metric)
    assert found.low <= found.value <= found.high
    assert metric == "raw_score" or (found.low >= 0 and found.high <= 1)


def test_many_trials_of_one_study_take_no_other_study_out(monkeypatch):
    monkeypatch.setattr(forecasts, "MOST", 27)
    known = [one for one in store(0, NEEDED + 1, 1) if one.study != "s0"]
    more = [past("s1", f"1-more-{i}", known[0].values) for i in range(100)]
    found = expected(cut(store(0, 1, 1)[0]), [*known[:4], *more, *known[4:]], "nmi")
    assert (found.groups, found.trials) == (NEEDED, NEEDED - 1 + 3)


def test_a_trial_that_is_past_the_end_of_all_finished_ones_is_not_forecast():
    known = [one for one in store(0, NEEDED + 1, 1) if one.study != "s0"]
    values = np.linspace(0.3, 0.4, EPOCHS + 1)
    found = expected(past("new", "c", values, 2 * EPOCHS, is_whole=False), known, "nmi")
    assert found == TooFew("nmi", 0, NEEDED, longest=EPOCHS)
    assert "no finished trial got so far: the longest comparable one has 20 epochs" in found.sentence
    assert isinstance(expected(past("new", "c", values[1:], 2 * EPOCHS, is_whole=False), known, "nmi"), Forecast)


def test_values_that_no_finished_trial_has_are_named():
    known = [one for one in store(0, NEEDED + 1, 1) if one.study != "s0"]
    seen = {"batch_size": 256, "encoder.widths": "[64]", "rate": 0.1, "epochs": EPOCHS}
    known = [replace(one, params={**seen, "rate": 0.1 * i}) for i, one in enumerate(known)]
    new = replace(cut(store(0, 1, 1)[0]), params={**seen, "rate": 0.15})
    assert expected(new, known, "nmi").unseen == ()
    other = replace(new, params={**seen, "batch_size": 16, "encoder.widths": "[8]", "rate": 0.15, "only": 1})
    found = expected(other, known, "nmi")
    assert found.unseen == ("batch_size", "encoder.widths", "only")
    assert found.sentence.endswith("other values of batch_size, encoder.widths, only, so it may be far off")


def attempt(study, trial, values, status="ok", **params):
    epochs = params.pop("epochs", EPOCHS)
    return Attempt(
        study=study,
        trial_key=f"{study}-{trial}",
        config_key=f"{study}-{trial}",
        seed=0,
        attempt_id=writer.new_attempt_id(),
        status=status,
        epochs_done=len(values),
        data_hash="d",
        params={"epochs": epochs, "method.name": "cc", **params},
        history=[(epoch, 1.0, "nmi", value) for epoch, value in enumerate(values, 1)],
    )


def test_it_reads_the_store(tmp_path):
    known = store(3, 11, 2)
    for one in known:
        writer.write(str(tmp_path), attempt(one.study, one.config_key, one.values.tolist()))
    new = cut(known[0])
    writer.write(str(tmp_path), attempt("new", "x", new.values.tolist(), "running"))
    # A stopped trial, and rows of a stranger with no number of epochs.
    writer.write(str(tmp_path), attempt("s1", "stopped", [9.0] * EPOCHS, "stopped"))
    writer.write(str(tmp_path), attempt("s2", "odd", [9.0] * EPOCHS, epochs="many"))
    writer.write(str(tmp_path), attempt("s3", "none", [9.0] * EPOCHS, epochs=0))
    table = load([str(tmp_path)], history=True, columns=list(forecasts.COLUMNS)).table
    found = forecast(table, "nmi", "new", "new-x")
    assert (found.since, found.epoch, found.trials, found.groups) == (6, EPOCHS, 22, 11)
    assert found.last == new.values[-1]
    assert found.sentence.startswith(f"nmi {found.value:.3f} is expected in epoch 20, 90 % interval {found.low:.3f} to")
    half = forecast(table, "nmi", "new", "new-x", epoch=10)
    assert half.high - half.low < found.high - found.low
    assert "no epoch of the trial has a acc yet" in forecast(table, "acc", "new", "new-x").sentence.replace("an ", "a ")
