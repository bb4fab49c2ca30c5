"""The number of clusters when nobody knows it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from core.data.scaling import Scaling
from core.data.stored import Stored
from core.evaluation import cluster_count
from core.evaluation.cluster_count import estimate_n_clusters


def blobs(sizes: list[int], dim: int = 32, spread: float = 0.05) -> np.ndarray:
    """Groups of these sizes around random directions, in random order."""
    rng = np.random.default_rng(len(sizes))
    centres = rng.normal(size=(len(sizes), dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rows = centres.repeat(sizes, axis=0) + spread * rng.normal(size=(sum(sizes), dim))
    return rng.permutation(rows).astype(np.float32)


@pytest.mark.parametrize("sizes", [[60] * 2, [150, 60, 30], [20] * 7, [200, *[20] * 14], [12] * 50])
def test_groups_that_are_apart_are_counted_whatever_their_sizes(sizes):
    found = estimate_n_clusters(blobs(sizes))
    assert found.count == len(sizes)
    assert found.low <= found.count <= found.high
    assert found.reason.startswith("as groups are clearly apart (silhouette 0.")


@pytest.mark.parametrize("k", [6, 12])
def test_groups_that_are_apart_only_in_many_dimensions_are_counted_without_the_silhouette(k):
    found = estimate_n_clusters(blobs([480 // k] * k, dim=200, spread=0.15))
    assert found.reason.startswith("the median of modularity ")
    assert found.count == k


def test_one_blob_has_no_number_that_the_criteria_agree_on():
    found = estimate_n_clusters(np.random.default_rng(0).normal(size=(400, 10)).astype(np.float32))
    assert found.count >= 2
    assert found.high >= 2 * found.low


def test_rows_that_are_repeated_are_one_group_each():
    found = estimate_n_clusters(np.eye(5, dtype=np.float32).repeat(40, axis=0))
    assert found.count == 5
    assert found.described().endswith("as groups are clearly apart (silhouette 1.00)")


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 25])
@pytest.mark.parametrize("kind", ["random", "equal", "zero"])
def test_a_handful_of_samples_has_some_number(n, kind):
    rows = {"random": np.random.default_rng(0).normal(size=(n, 3)), "equal": np.ones((n, 3)), "zero": np.zeros((n, 3))}
    found = estimate_n_clusters(rows[kind].astype(np.float32))
    assert min(n, 2) <= found.count <= n
    assert found.low <= found.count <= found.high <= n


def test_it_is_the_same_again_and_whatever_the_shape_or_the_form():
    rows = load_digits().data[:300].astype(np.float32)
    first = estimate_n_clusters(rows)
    assert estimate_n_clusters(rows) == first
    assert estimate_n_clusters(rows.reshape(-1, 1, 8, 8)) == first
    one = np.ones(1, np.float32)
    stored = Stored(rows.astype(np.uint8), Scaling(np.zeros(1, np.float32), one, one), (0.0, 16.0))
    assert estimate_n_clusters(stored) == first
    # The length of a row does not matter; powers of two are exact.
    lengths = 2.0 ** np.random.default_rng(0).integers(-1, 2, size=(len(rows), 1))
    assert estimate_n_clusters((lengths * rows).astype(np.float32)) == first


def test_only_some_of_many_samples_are_looked_at(monkeypatch):
    monkeypatch.setattr(cluster_count, "SAMPLE", 200)
    rows = blobs([200] * 4)
    looked_at = np.random.default_rng(0).permutation(800)[:200]
    rows[np.setdiff1d(np.arange(800), looked_at)] = np.nan
    assert estimate_n_clusters(rows).count == 4


def test_digits_are_about_ten_and_the_criteria_are_told():
    found = estimate_n_clusters(load_digits().data[:400].astype(np.float32))
    assert 7 <= found.count <= 15
    assert sorted(found.criteria) == ["evidence", "modularity", "silhouette", "stability"]
    used = sorted(found.criteria[name] for name in ("evidence", "modularity", "stability"))
    assert found.count == used[1]
    assert found.low <= used[0] <= used[2] <= found.high
    span = f"{found.count} (between {found.low} and {found.high}), the median of modularity "
    assert found.described().startswith(span)


def test_what_halves_share_is_above_chance_and_of_their_entropy():
    rng = np.random.default_rng(0)
    own = rng.integers(6, size=500)
    other = np.where(rng.random(500) < 0.3, rng.integers(6, size=500), own)
    ami, entropy = (
        adjusted_mutual_info_score(own, other),
        (mutual_info_score(own, own), mutual_info_score(other, other)),
    )
    # ami = (mutual information - chance) / (mean entropy - chance), solved for chance.
    mutual, mean = mutual_info_score(own, other), sum(entropy) / 2
    chance = (mutual - ami * mean) / (1 - ami)
    assert cluster_count._shared(own, other) == pytest.approx((mutual - chance) * ami)
    assert cluster_count._shared(own, np.zeros(500, np.int64)) == 0


def test_the_evidence_of_equal_parts_without_an_edge_between_them_is_two_logarithms():
    labels = np.arange(400) % 4
    assert cluster_count._evidence(1.0, 0.25, labels) == pytest.approx((3 - 1) * np.log(4))
    assert cluster_count._evidence(0.25, 0.25, labels) == pytest.approx(-np.log(4))
