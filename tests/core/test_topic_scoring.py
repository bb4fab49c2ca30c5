"""Scores of topics."""

from __future__ import annotations

import math

import numpy as np

from core.evaluation.topics import npmi, presence
from tests.core.topical import topical


def test_npmi_against_a_loop() -> None:
    data = topical(80)
    assert data.corpus is not None
    words = np.array([[0, 1, 2, 3], [0, 20, 40, 59]])
    found = npmi(presence(data.corpus), words)
    there = data.corpus.counts.toarray() > 0
    for row, value in zip(words, found, strict=True):
        pairs: list[float] = []
        for i in range(4):
            for j in range(i):
                joint = (there[:, row[i]] & there[:, row[j]]).mean()
                single = there[:, row[i]].mean() * there[:, row[j]].mean()
                pairs.append(math.log(joint / single) / -math.log(joint) if joint else -1.0)
        assert math.isclose(value, sum(pairs) / len(pairs), abs_tol=1e-6)
    assert found[0] > found[1]
