"""A sample takes the cluster of the nearest samples that are kept, however many there are; they are found once."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from core.training import candidate
from core.training.candidate import MOST, Candidate

K = 7


def filled(kept: int, numbers: int = 6) -> tuple[Candidate, np.ndarray]:
    """A candidate of random samples and clusters, whose axes are the numbers; and other samples."""
    rng = np.random.default_rng(0)
    made = Candidate(kept, (numbers,), K)
    made.axes.copy_(torch.eye(numbers))
    made.places.copy_(torch.from_numpy(rng.normal(size=(kept, numbers)).astype(np.float32)))
    made.clusters.copy_(torch.from_numpy(rng.integers(K, size=kept)))
    return made, rng.normal(size=(300, numbers)).astype(np.float32)


def slowly(made: Candidate, samples: np.ndarray) -> np.ndarray:
    distances, rows = cKDTree(made.places.double().numpy()).query(samples.astype(np.float64), 5)
    clusters, found = made.clusters.numpy(), np.empty((len(samples), K))
    for i in range(len(samples)):
        votes = np.zeros(K)
        for distance, row in zip(distances[i], rows[i], strict=True):
            votes[clusters[row]] += 1 / max(distance**2, 1e-9)
        votes /= votes.sum()
        found[i] = (1 - votes.max()) / (K - 1)
        found[i, votes.argmax()] = votes.max()
    return found


@pytest.mark.parametrize("kept", [8, 50, MOST])
def test_the_nearest_vote(kept):
    made, samples = filled(kept)
    found = made(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(found, slowly(made, samples), atol=2e-4)


@pytest.mark.parametrize("kept", [50, MOST])
def test_the_nearest_of_all_samples_are_found_once_and_vote_for_the_clusters_of_the_day(kept, monkeypatch):
    made, samples = filled(kept)
    rows = torch.from_numpy(samples)
    compared = []
    smallest = candidate._smallest
    monkeypatch.setattr(candidate, "_smallest", lambda *given: compared.append(len(given[0])) or smallest(*given))
    assert torch.equal(made.of_all(rows), made(rows))
    compared.clear()
    before = made.of_all(rows)
    made.clusters.copy_((made.clusters + 1) % K)  # as when they are found again with the features
    after = made.of_all(rows)
    assert compared == []
    assert torch.equal(after.argmax(dim=1), (before.argmax(dim=1) + 1) % K)
    assert torch.equal(after, made(rows))
