"""Racing over seeds: it seldom finds a difference where there is none, finds one that is there, and ends."""

import numpy as np
import pytest

from jobs.analysis.race import RaceRule, looks, race
from jobs.analysis.ties import _critical, _Layout, _ratios
from tests.rates import highest

SEEDS = range(12)


def study(rng, means, first, noise=0.02, shared=0.02):
    """A study's whole future: what each configuration would give with each seed."""
    blocks = shared * rng.standard_normal(len(SEEDS))
    draws = np.asarray(means)[:, None] + blocks + noise * rng.standard_normal((len(means), len(SEEDS)))
    future = {f"c{i:02}": dict(enumerate(row)) for i, row in enumerate(draws.tolist())}
    return future, {key: {seed: row[seed] for seed in range(first)} for key, row in future.items()}


def run(future, known, rule):
    """Runs what is lacking, round by round."""
    trials = 0
    while (state := race(known, SEEDS, rule)).lacking:
        for key, seed in state.lacking:
            assert seed not in known[key]
            known[key][seed] = future[key][seed]
            trials += 1
    return state, trials


def rule(first, **changes):
    return RaceRule(**{"looks": looks(first, 12), "top": 5, "margin": 0.0, "maximise": True} | changes)


def wrong_verdicts(rng, configurations, first, errors, races):
    """The share of many races, run all at once and with no difference to find, in which some look sees one."""
    looked = rule(first)
    draws = rng.standard_normal((races, configurations, len(SEEDS)))
    draws += rng.standard_normal((races, 1, len(SEEDS)))
    wrong = np.zeros(races, bool)
    for count, error in zip(looked.looks, errors, strict=True):
        values = draws[:, :, :count]
        if count > 1:
            layout = _Layout([dict.fromkeys(range(count), 0.0)] * values.shape[1])
            centres, errors = layout.summary(values.reshape(races, -1))
            best = values.mean(2).argmax(1)
            wrong |= _ratios(centres, errors, best).max(axis=1) > _critical(layout, error)
        order = np.argsort(-values.mean(2), axis=1)[:, : looked.top]
        draws = np.take_along_axis(draws, order[:, :, None], axis=1)
    return wrong.mean()


@pytest.mark.parametrize(("configurations", "first"), [(2, 3), (4, 1), (24, 3), (24, 1)])
def test_without_any_difference_not_one_contender_is_called_worse_in_95_of_100_races(configurations, first, repeats):
    rng, races = np.random.default_rng(configurations * first), repeats(4000)
    wrong = wrong_verdicts(rng, configurations, first, rule(first).errors, races)
    assert 0.005 <= wrong <= highest(0.05, races, ordinary=0.055)


def test_the_errors_of_all_looks_add_up_to_5_percent_and_the_last_gets_the_most():
    for first in (1, 2, 3, 5):
        errors = rule(first).errors
        assert sum(errors) == pytest.approx(0.05)
        assert list(errors) == sorted(errors)
        assert errors[-1] > 0.02
        assert (errors[0] == 0) == (first == 1)


def test_looking_at_5_percent_each_time_would_err_more_often(repeats):
    assert wrong_verdicts(np.random.default_rng(0), 2, 3, [0.05] * 4, repeats(4000)) > 0.08


def test_one_race_is_one_of_the_many():
    rng, looked = np.random.default_rng(3), rule(3)
    future, known = study(rng, [0.8, 0.79, 0.78, 0.77], 3)
    state, _ = run(future, known, looked)
    going = sorted(future)
    for (count, standings), error in zip(state.rounds, looked.errors, strict=False):
        cells = {key: {seed: future[key][seed] for seed in range(count)} for key in going}
        going.sort(key=lambda key: -np.mean(list(cells[key].values())))
        layout = _Layout([cells[key] for key in going])
        means, errors = layout.summary(np.array([[value for key in going for value in cells[key].values()]]))
        worse = _ratios(means, errors, np.zeros(1, int))[0] > _critical(layout, error)
        assert [one.key for one in standings] == going
        assert [one.verdict == "worse" for one in standings] == worse.tolist()
        going = [key for key, is_worse in zip(going, worse, strict=True) if not is_worse]


def with_two_contenders(races):
    """Races of which the first is best, the second near it and all others far: how each ends, and all its values."""
    rng = np.random.default_rng(1)
    for _ in range(races):
        future, known = study(rng, [0.9, 0.87, *[0.7] * 10], 3)
        yield run(future, known, rule(3))[0], known


def test_the_better_of_two_contenders_is_found_in_10_of_12_races(repeats):
    races = repeats(12)
    found = [state.end == "separated" and state.contenders == ("c00",) for state, _ in with_two_contenders(races)]
    assert sum(found) / races >= 10 / 12


def test_fresh_seeds_go_to_the_contenders_alone():
    for _, known in with_two_contenders(12):
        assert all(len(known[f"c{i:02}"]) == 3 for i in range(2, 12))


def test_a_smaller_value_is_better_where_it_is():
    future, known = study(np.random.default_rng(1), [0.9, 0.5, 0.9], 3)
    state, _ = run(future, known, rule(3, maximise=False))
    assert (state.end, state.contenders) == ("separated", ("c01",))


def test_what_lies_within_the_margin_is_as_good_and_ends_the_race():
    future, known = study(np.random.default_rng(2), [0.8] * 3, 3, noise=0.001)
    state, trials = run(future, known, rule(3, margin=0.1))
    assert (state.end, trials) == ("as good", 0)
    assert [one.verdict for one in state.rounds[0][1]] == ["best", "as good", "as good"]


def test_means_within_the_margin_are_not_as_good_while_their_difference_may_be_larger():
    known = {"a": {0: 0.80, 1: 0.90, 2: 0.85}, "b": {0: 0.90, 1: 0.80, 2: 0.849}}
    state = race(known, SEEDS, rule(3, margin=0.01))
    assert [one.verdict for one in state.rounds[0][1]] == ["best", "open"]
    assert state.rounds[0][1][1].gap < 0.01


def test_what_cannot_be_told_ends_undecided_with_all_its_seeds():
    future, known = study(np.random.default_rng(2), [0.8] * 3, 3)
    state, trials = run(future, known, rule(3))
    assert (state.end, trials) == ("undecided", 3 * 9)
    assert [count for count, _ in state.rounds] == [3, 5, 8, 12]


def test_no_more_than_top_race_and_it_is_said_how_many_are_left_out():
    _, known = study(np.random.default_rng(4), [0.8] * 9, 3)
    state = race(known, SEEDS, rule(3, top=2))
    assert (len(state.contenders), state.left_out) == (2, 7)
    assert state.lacking == tuple((key, seed) for seed in (3, 4) for key in state.contenders)


def test_of_one_seed_nothing_is_told_and_the_first_by_it_race():
    _, known = study(np.random.default_rng(4), [0.8, 0.9, 0.1, 0.85], 1, noise=0.001)
    state = race(known, SEEDS, rule(1, top=2))
    assert state.contenders == ("c01", "c03")
    assert not state.end


def test_a_race_that_was_cut_short_goes_on_where_it_was():
    future, known = study(np.random.default_rng(5), [0.8, 0.8], 3)
    before = race(known, SEEDS, rule(3))
    key, seed = before.lacking[0]
    known[key][seed] = future[key][seed]
    after = race(known, SEEDS, rule(3))
    assert after.lacking == before.lacking[1:]
    assert after.rounds == before.rounds


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1, 12, (1, 3, 5, 8, 12)),
        (3, 12, (3, 5, 8, 12)),
        (5, 12, (5, 8, 12)),
        (3, 4, (3, 4)),
        (10, 40, (10, 15, 23, 35, 40)),
    ],
)
def test_looks_are_planned_from_the_seeds_there_are_to_the_most_there_may_be(first, last, expected):
    assert looks(first, last) == expected
