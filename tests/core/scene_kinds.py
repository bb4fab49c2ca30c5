# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Hyperspectral scenes as people have them, for tests/core/test_formats.py."""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from tests.core.kinds import Broken, Kind, cut
from tests.core.scenes import BANDS, CLASSES, HEIGHT, WIDTH, scene

CUBE, TRUTH = scene()


def _old(folder: Path):
    """As the scenes of the field are handed out: two files of MATLAB's version 5, and sizes of the classes beside."""
    savemat(folder / "Farm.mat", {"farm_corrected": CUBE}, do_compression=True)
    savemat(folder / "Farm_gt.mat", {"farm_gt": TRUTH.astype(float), "sizes": np.ones((1, CLASSES))})


def _is_scene(data):
    assert data.scene == (HEIGHT, WIDTH)
    assert data.ids.tolist() == list(range(HEIGHT * WIDTH))
    assert data.labels.tolist() == (TRUTH.astype(int) - 1).reshape(-1).tolist()
    assert data.class_names == ("1", "2", "3", "4", "5")


def _spectra_are(data):
    _is_scene(data)
    spectra = CUBE.reshape(-1, BANDS).astype(float)
    np.testing.assert_allclose(data.samples, (spectra - spectra.mean(0)) / spectra.std(0), atol=1e-4)


def _new(folder: Path):
    """MATLAB's version 7.3 is HDF5, whose axes are in the opposite order."""
    with h5py.File(folder / "farm.mat", "w", userblock_size=512) as file:
        for name, array in {"cube": CUBE, "gt": TRUTH}.items():
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_(array.dtype.name)
    with (folder / "farm.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def _patches_are(data):
    _is_scene(data)
    assert data.axes == ("height", "width", "bands")
    padded = np.pad(CUBE.astype(float), ((3, 3), (3, 3), (0, 0)), mode="reflect").reshape(-1, BANDS)
    centred = CUBE.reshape(-1, BANDS) - CUBE.reshape(-1, BANDS).mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    first = ((padded - CUBE.reshape(-1, BANDS).mean(0)) @ axes[:, -1]).reshape(HEIGHT + 6, WIDTH + 6)
    for pixel in (0, 44, 45 * 17 + 20, 45 * 36 - 1):
        row, column = divmod(pixel, WIDTH)
        shape = np.corrcoef(
            data.samples[pixel : pixel + 1][0, 0].reshape(-1), first[row : row + 7, column : column + 7].reshape(-1)
        )
        assert abs(shape[0, 1]) > 0.999999
    (told,) = [one for one in data.notes if "principal" in one]
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    assert told == f"10 principal components hold {100 * values[:10].sum() / values.sum():.2f} % of the variance"


def _turned(folder: Path):
    savemat(folder / "Farm_gt.mat", {"farm_gt": TRUTH.T})


def _two(folder: Path):
    with h5py.File(folder / "farm.mat", "a") as file:
        file["noisy"] = file["cube"][()]


KINDS = (
    Kind(
        title="a hyperspectral scene and its ground truth, each a `.mat` file",
        data="{name: scene, path: Farm.mat, truth: Farm_gt.mat}",
        line="Farm: 1,620 samples × 100 features, labels: farm_gt, 5 classes (1 … 5), 776 unlabelled (0)",
        make=_old,
        check=_spectra_are,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "Farm.mat"), said=r"cannot be read as \.mat"),
            "wrong type": Broken(
                make=lambda folder: savemat(folder / "Farm_gt.mat", {"farm_gt": np.where(TRUTH == 2, 0.5, TRUTH)}),
                said="the truth has values like 0.5, but classes are whole numbers",
            ),
            "ambiguous": Broken(
                make=_turned, said=r"does not fit the ground truth of shape \(45, 36\).*write `layout: whc`"
            ),
        },
    ),
    Kind(
        title="a scene in one `.mat` of version 7.3, as patches of components",
        data="{name: scene, path: farm.mat, patch: 7, bands: 10}",
        line="farm: 1,620 samples × 10 channels × 7 height × 7 width (read as height × width × bands), "
        "labels: gt, 5 classes (1 … 5), 776 unlabelled (0)",
        make=_new,
        check=_patches_are,
        broken={
            "cut short": Broken(make=lambda folder: cut(folder / "farm.mat"), said=r"cannot be read as \.mat"),
            "wrong type": Broken(
                make=lambda folder: (folder / "farm.mat").write_text("row,column,band\n1,1,2\n"),
                said=r"cannot be read as \.mat",
            ),
            "ambiguous": Broken(make=_two, said=r"several of its arrays have 3 axes.*name one, as in `variable: cube`"),
        },
    ),
)
