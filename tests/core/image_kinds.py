# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Images as people have them, for tests/core/test_formats.py."""

from pathlib import Path

import numpy as np

from tests.core.kinds import Broken, Kind, cut

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = np.array([3, 4, 3, 4, 3, -1])


def _npz(folder: Path):
    np.savez(folder / "birds.npz", images=PIXELS, y=LABELS)


def _npz_is(data):
    span = int(PIXELS.max()) - int(PIXELS.min())
    expected = (PIXELS.transpose(0, 3, 1, 2).astype(np.float32) - PIXELS.min()) / span
    np.testing.assert_allclose(data.samples, expected, atol=1e-6)
    assert data.labels.tolist() == [0, 1, 0, 1, 0, -1]
    assert data.class_names == ("3", "4")


KINDS = (
    Kind(
        title="images and labels in one `.npz` (NumPy)",
        data="{name: file, path: birds.npz}",
        line="birds: 6 samples × 3 channels × 8 height × 8 width (read as height × width × channels), "
        "labels: y, 2 classes (3, 4), 1 unlabelled (-1)",
        make=_npz,
        check=_npz_is,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "birds.npz"), said="birds.npz: it cannot be read"),
            "wrong type": Broken(
                make=lambda folder: np.savez(folder / "birds.npz", images=PIXELS.astype(complex), y=LABELS),
                said="must be real numbers",
            ),
            "ambiguous": Broken(
                make=lambda folder: np.savez(folder / "birds.npz", a=PIXELS, b=PIXELS, y=LABELS),
                said="several arrays could be the samples",
            ),
        },
    ),
)
