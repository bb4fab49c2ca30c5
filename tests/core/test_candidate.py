"""The clusters of the input for any sample: those of training rows, of new ones, and of rows that were not drawn."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from core.data.source import SampleSource
from core.data.stored import as_stored
from core.evaluation.shared_neighbours import SharedNeighbours
from core.training import candidate
from core.training.candidate import Candidate


def blobs(n=150, columns=6, k=3):
    rows, labels = make_blobs(n, columns, centers=k, random_state=0)
    return torch.from_numpy((rows / 5).astype(np.float32)), labels


def made(samples, k=3, seed=0) -> Candidate:
    one = Candidate(len(samples), tuple(samples.shape[1:]), k)
    one.find(samples, seed=seed)
    return one


def test_samples_have_the_clusters_that_were_found_for_them():
    rows = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    one = made(rows)
    expected = SharedNeighbours.of(rows.numpy()).clusters(3, seed=0)
    assert one.clusters.tolist() == one(rows).argmax(dim=1).tolist() == expected.tolist()
    assert one.agreement(rows) == SharedNeighbours.of(rows.numpy()).agreement(expected)
    other = np.roll(expected, 1)
    assert one.agreement(rows, other) == SharedNeighbours.of(rows.numpy()).agreement(other) < one.agreement(rows)


def test_probabilities_are_those_of_the_cluster_and_equal_for_the_others():
    rows, labels = blobs(k=4)
    p = made(rows, 4)(rows + 0.05 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(0)))
    assert adjusted_rand_score(labels, p.argmax(dim=1)) == 1
    torch.testing.assert_close(p.sum(dim=1), torch.ones(len(rows)))
    ordered = p.sort(dim=1).values
    assert torch.equal(ordered[:, 0], ordered[:, 2])
    assert bool((ordered[:, 3] > ordered[:, 2]).all())


def test_a_vote_weighs_by_nearness():
    rows = torch.tensor([[0.0], [0.4], [10.0], [10.5], [11.0], [11.5]])
    one = made(rows, 2)
    one.clusters.copy_(torch.tensor([0, 0, 1, 1, 1, 1]))
    # Of the nearest five of 3, two at squared distances 9 and 6.76 and three at 49 and more.
    weights = 1 / (rows.squeeze(1)[:5] - 3).square()
    assert float(one(torch.tensor([[3.0]])).max()) == pytest.approx(float(weights[:2].sum() / weights.sum()), rel=1e-4)


def test_of_many_samples_some_are_drawn_and_the_others_follow(monkeypatch):
    monkeypatch.setattr(candidate, "MOST", 60)
    rows, labels = blobs()
    one, again = made(rows), made(rows)
    assert one.places.shape == (60, 6)
    assert adjusted_rand_score(labels, one(rows).argmax(dim=1)) == 1
    assert one.state_dict()["places"].numpy().tobytes() == again.state_dict()["places"].numpy().tobytes()
    drawn = one._rows(rows)
    assert len(set(drawn.tolist())) == 60
    assert int(drawn.max()) > 100
    assert one.agreement(rows, labels) == SharedNeighbours.of(rows[drawn].numpy()).agreement(labels[drawn.numpy()])


def test_missing_numbers_do_not_spread():
    rows, labels = blobs()
    rows = torch.cat([rows - rows.mean(dim=0), rows - rows.mean(dim=0)], dim=1)
    rows[::5, 6:] = torch.nan
    one = made(rows)
    assert adjusted_rand_score(labels, one(rows).argmax(dim=1)) > 0.9
    assert torch.isfinite(one(torch.full((2, 12), torch.nan))).all()


def test_its_state_makes_another_the_same():
    rows, _ = blobs()
    one, other = made(rows), Candidate(150, (6,), 3)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(rows), other(rows))
    assert one.agreement(rows) == other.agreement(rows)


@pytest.mark.parametrize("kind", ["image", "stored image", "sparse"])
def test_samples_of_more_than_1000_numbers(kind, monkeypatch):
    """They are never dense all at once: at most so many as a pass of the method has."""
    labels = np.arange(600) % 3
    rng = np.random.default_rng(0)
    values = (
        20 * rng.random((600, 1200)) * (rng.random((600, 1200)) < 0.2 + 0.3 * (np.arange(1200) % 3 == labels[:, None]))
    )
    pixels = values.astype(np.uint8).reshape(600, 3, 20, 20)
    samples = torch.from_numpy(pixels / np.float32(255))
    if kind != "image":
        held = sparse.csr_matrix(pixels.reshape(600, -1).astype(np.float32)) if kind == "sparse" else pixels
        samples = SampleSource(as_stored(held, "none"), torch.device("cpu"))
        read = SampleSource.raw
        most = []
        monkeypatch.setattr(
            SampleSource, "raw", lambda self, rows: most.append(len(found := read(self, rows))) or found
        )
    one = made(samples)
    answers = torch.cat([one(part) for part in samples.split(100)]).argmax(dim=1)
    assert adjusted_rand_score(labels, answers) > 0.98
    assert one.agreement(samples) == pytest.approx(one.agreement(samples, answers.numpy()))
    if kind != "image":
        assert max(most) <= 256


@pytest.mark.parametrize(("n", "k"), [(2, 1), (2, 2), (3, 2), (3, 3), (20, 20)])
@pytest.mark.parametrize("columns", [1, 130])
@pytest.mark.parametrize("different", [1, 2, 20])
def test_few_and_equal_samples(n, k, columns, different):
    rows = torch.randn(20, columns, generator=torch.Generator().manual_seed(0))[torch.arange(n) % different]
    one = made(rows, k)
    p = one(rows)
    assert p.shape == (n, k)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(n))
    if different >= n:
        assert len(p.argmax(dim=1).unique()) == k
    assert np.isfinite(one.agreement(rows))


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_probabilities_never_pass_one_by_rounding(k):
    rows, _ = blobs(n=3000, columns=2, k=5)
    p = made(rows, k)(rows)
    assert float(p.min()) >= 0
    assert float(p.max()) <= 1


def test_at_the_end_the_neighbours_in_the_features_have_a_part_in_the_clusters():
    rows, labels = blobs(k=3)
    mixed = rows.clone()
    mixed[:, :] = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    one = made(mixed)
    before = one.clusters.clone()
    one.join(mixed, rows * 10, seed=0)
    units = torch.nn.functional.normalize(rows, dim=1).numpy()
    expected = SharedNeighbours.of(mixed.numpy()).joined(units).clusters(3, seed=0)
    assert adjusted_rand_score(one.clusters, expected) == 1
    assert adjusted_rand_score(labels, one.clusters) > adjusted_rand_score(labels, before)
