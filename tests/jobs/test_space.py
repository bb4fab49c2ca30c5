"""Ranges, samples, and the order in which any prefix is a fair experiment."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.study import space
from jobs.study.space import Integer, LogUniform, Uniform, Values

sizes = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@given(sizes, st.booleans())
def test_any_prefix_uses_each_value_of_each_axis_equally_often(axes, mixed):
    order = space.balanced_order(axes, mixed=mixed)
    assert len(set(order)) == len(order) == math.prod(axes)
    counts = [Counter(dict.fromkeys(range(size), 0)) for size in axes]
    for one in order:
        for axis, value in enumerate(one):
            counts[axis][value] += 1
        assert all(max(axis.values()) - min(axis.values()) <= 1 for axis in counts)


def test_pairs_of_values_are_spread_too():
    """After half of a 4 x 4 x 3 design each value of the first axis has met two of the second, each with all seeds."""
    order = space.balanced_order([4, 4, 3])
    pairs = Counter(one[:2] for one in order[:24])
    assert set(pairs.values()) == {3}
    assert {sum(one == first for one, _ in pairs) for first in range(4)} == {2}


@given(st.floats(0, 1, exclude_max=True))
def test_values_stay_inside_their_range(u):
    assert 2 <= Uniform(2, 5).at(u) <= 5
    assert 1e-4 <= LogUniform(1e-4, 1e-1).at(u) <= 1e-1
    assert Integer(3, 7).at(u) in Integer(3, 7).finite
    assert Values(("a", "b")).at(u) in {"a", "b"}


def test_the_first_samples_stay_when_more_are_asked_for():
    ranges = {"a": Uniform(0, 1), "b": LogUniform(1, 100), "c": Values((1, 2, 3))}
    assert space.sample(ranges, 40, seed=3)[:10] == space.sample(ranges, 10, seed=3)
    assert space.sample(ranges, 10, seed=4) != space.sample(ranges, 10, seed=3)


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_samples_cover_each_range_more_evenly_than_independent_draws(dimensions, repeats):
    def unevenness(points):
        """The largest distance of a quarter's count from a quarter of 32 points, over all ranges."""
        counts = [Counter(int(one[i] * 4) for one in points) for i in range(dimensions)]
        return max(abs(one[quarter] - 8) for one in counts for quarter in range(4))

    ranges = {str(i): Uniform(0, 1) for i in range(dimensions)}
    samples = repeats(100)
    drawn = np.random.default_rng(0).uniform(size=(samples, 32, dimensions))
    ours = [unevenness([[*one.values()] for one in space.sample(ranges, 32, seed)]) for seed in range(samples)]
    assert np.mean(ours) < 0.7 * np.mean([unevenness(points) for points in drawn])


def test_logarithmic_means_evenly_in_the_logarithm():
    logs = [math.log10(one["x"]) for one in space.sample({"x": LogUniform(1e-4, 1)}, 200, 0)]
    assert abs(sum(logs) / 200 - (-2)) < 0.05


def test_a_small_space_gives_each_cell_once_and_no_more():
    cells = space.sample({"a": Values((1, 2)), "b": Integer(0, 2)}, 50, 0)
    assert len(cells) == 6
    assert len({tuple(one.values()) for one in cells}) == 6


def test_grid_is_every_combination():
    cells = [*space.grid({"a": Values((1, 2)), "b": Values(("x", "y"))})]
    assert cells == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    assert [*space.grid({})] == [{}]
