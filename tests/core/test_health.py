"""What a finished trial says of itself."""

import pytest

from core.evaluation.health import warnings

GOOD = {"nmi": 0.8, "kmeans_nmi": 0.8, "input_kmeans_nmi": 0.7}
WELL = {"clusters_empty": 0.0, "marginal_entropy": 0.95}


@pytest.mark.parametrize(
    ("metrics", "health", "expected"),
    [
        ({}, {}, []),
        (GOOD, WELL, []),
        (GOOD, WELL | {"clusters_empty": 2.0}, ["EMPTY_CLUSTERS=2"]),
        (GOOD, WELL | {"marginal_entropy": 0.49}, ["COLLAPSED"]),
        (GOOD | {"nmi": 0.69}, WELL, []),
        (GOOD | {"nmi": 0.67}, WELL, ["BELOW_INPUT: nmi 0.670 against 0.700"]),
        (GOOD | {"nmi": 0.1}, {"clusters_empty": 1.0, "marginal_entropy": 0.1}, ["EMPTY_CLUSTERS=1", "COLLAPSED"]),
    ],
)
def test_codes(metrics, health, expected):
    found = warnings(metrics, health)
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or found[-1].startswith("BELOW_INPUT")
