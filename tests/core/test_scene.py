# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""Hyperspectral scenes: pixels, patches and components, the truth that fits, and the scores of labelled pixels."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from sklearn.decomposition import PCA

from core.data import prepared
from core.data.describe import noted
from core.data.stored import Stored
from core.datasets import scene
from core.errors import UserError
from tests.core import scenes
from tests.core.test_fit import config, rows

CUBE, TRUTH = scenes.scene()
SHAPE = (scenes.HEIGHT, scenes.WIDTH)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def farm(tmp_path):
    np.save(tmp_path / "farm.npy", CUBE)
    np.save(tmp_path / "gt.npy", TRUTH)
    return {"path": str(tmp_path / "farm.npy"), "truth": "gt.npy"}


def windows(pixels, side):
    """All patches of (height, width, bands), as (height * width, bands, side, side)."""
    half = side // 2
    padded = np.pad(pixels, ((half, half), (half, half), (0, 0)), mode="reflect")
    found = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    return found.reshape(-1, *found.shape[2:])


def unit(array):
    array = array.astype(float)
    return (array - array.min()) / (array.max() - array.min())


@pytest.mark.parametrize(("side", "few"), [(3, scene.FEW), (3, 1000), (7, 1000)])
def test_a_patch_is_the_square_around_its_pixel_mirrored_at_the_edges(farm, monkeypatch, side, few):
    monkeypatch.setattr(scene, "FEW", few)
    data = scene.load(**farm, patch=side, scale="none")
    assert isinstance(data.samples, Stored) == (few == 1000)
    expected, rows = windows(CUBE, side), np.array([1619, 0, 700, 44, 0])
    np.testing.assert_array_equal(data.samples[:], expected)
    np.testing.assert_array_equal(data.samples[rows], expected[rows])
    np.testing.assert_array_equal(data.take(rows).samples[1:3], expected[[0, 700]])


def test_a_truth_that_lies_beside_the_cube_is_named(tmp_path):
    np.save(tmp_path / "Farm_corrected.npy", CUBE)
    np.save(tmp_path / "Farm_gt.npy", TRUTH)
    np.save(tmp_path / "other_gt.npy", TRUTH)
    path = str(tmp_path / "Farm_corrected.npy")
    told = "no labels are read, but Farm_gt.npy lies beside it: `truth: Farm_gt.npy` scores by it"
    assert scene.load(path=path).notes[-1] == told
    assert told not in scene.load(path=path, truth="none").notes
    assert told not in scene.load(path=path, truth="Farm_gt.npy").notes


def test_what_is_read_of_patches_is_shown_with_what_they_take(farm, command):
    code, out, err = command("data", farm["path"], "--set", "name=scene", "--set", "truth=gt.npy", "--set", "patch=11")
    assert code == 0, err
    assert "numbers     float32, 0 to 1" in out + err
    assert "memory      0.648 MB in the memory of each trial; 78.4 MB as float32\n" in out + err


def test_patches_of_many_pixels_are_not_held_and_that_is_told(farm):
    data = scene.load(**farm, patch=11)
    assert isinstance(data.samples, Stored)
    assert data.samples.values.pixels.nbytes == CUBE.size * 4
    assert "a patch of 11 × 11 pixels is cut when it is read: 1 MB are held, not 78 MB" in data.notes
    assert data.samples.limits == (0, 1)


def test_a_scene_narrower_than_its_patches_is_mirrored_again_and_again(tmp_path):
    small = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.save(tmp_path / "small.npy", small)
    data = scene.load(path=str(tmp_path / "small.npy"), patch=9, scale="none")
    np.testing.assert_allclose(data.samples[:], windows(small, 9), atol=1e-6)


def test_labelled_pixels_alone_keep_their_numbers_and_see_their_neighbours(farm, monkeypatch):
    known = np.flatnonzero(TRUTH)
    for side, few in ((1, 1000), (3, scene.FEW), (3, 1000)):
        monkeypatch.setattr(scene, "FEW", few)
        data = scene.load(**farm, patch=side, pixels="labelled", scale="none")
        assert data.ids is not None
        assert data.labels is not None
        assert data.ids.tolist() == known.tolist()
        assert (data.labels + 1).tolist() == TRUTH.reshape(-1)[known].tolist()
        assert data.n_samples == len(data.samples) == len(known)
        expected = CUBE.reshape(-1, 100, 1, 1) if side == 1 else windows(CUBE, side)
        np.testing.assert_array_equal(data.samples[:].reshape(len(known), -1), expected[known].reshape(len(known), -1))
        assert f"{len(known)} of 1,620 pixels are trained on, those with a class" in data.notes


def test_components_are_those_of_scikit_learn_and_their_variance_is_told(farm):
    data = scene.load(**farm, bands=8, scale="none")
    model = PCA(8, random_state=0)
    expected = model.fit_transform(CUBE.reshape(-1, 100).astype(float))
    signs = np.sign((data.samples[:] * expected).sum(axis=0))
    np.testing.assert_allclose(data.samples[:] * signs, expected, rtol=1e-3, atol=1)
    assert (
        f"8 principal components hold {100 * model.explained_variance_ratio_.sum():.2f} % of the variance" in data.notes
    )
    again = scene.load(**farm, bands=8, scale="none")
    np.testing.assert_array_equal(again.samples[:], data.samples[:])


def test_a_large_scene_is_prepared_once_for_patches_of_any_size(tmp_path):
    cube = np.random.default_rng(0).integers(0, 4000, (170, 160, 80)).astype(np.uint16)
    np.save(tmp_path / "big.npy", cube)
    for side in (5, 7):
        data = scene.load(path=str(tmp_path / "big.npy"), patch=side)
        assert isinstance(data.samples, Stored)
        assert isinstance(data.samples.values.pixels, np.memmap)
        assert data.scene == (170, 160)
        np.testing.assert_allclose(data.samples[:50], windows(unit(cube)[:9], side)[:50], atol=1e-6)
    assert len(prepared.entries(prepared.entries_folder())) == 1


def test_options_that_change_the_samples_change_the_fingerprint(farm):
    several = [{}, {"patch": 3}, {"bands": 5}, {"pixels": "labelled"}, {"scale": "unit"}, {"truth": "none"}]
    found = [scene.fingerprint(**{**farm, **one}) for one in several]
    assert len(set(found)) == len(several)
    assert found == [scene.load(**{**farm, **one}).fingerprint for one in several]
    assert scene.fingerprint(**farm, scale="standard") == found[0]


def test_the_truth_may_lie_in_the_same_file_or_nowhere(tmp_path):
    np.savez(tmp_path / "one.npz", cube=CUBE, map=TRUTH, wavelengths=np.ones((1, 100)), bad=np.ones((3, 3)))
    data = scene.load(path=str(tmp_path / "one.npz"))
    assert (data.label_name, data.n_classes) == ("map", 5)
    assert scene.load(path=str(tmp_path / "one.npz"), truth="none").labels is None
    np.save(tmp_path / "alone.npy", CUBE)
    assert scene.load(path=str(tmp_path / "alone.npy")).labels is None


def test_a_folder_holds_a_cube_and_its_truth(farm, tmp_path):
    (tmp_path / "notes.txt").write_text("of May")
    data = scene.load(path=str(tmp_path), truth="gt.npy")
    assert (data.name, data.n_classes) == ("farm", 5)
    assert data.fingerprint == scene.fingerprint(**farm)


@pytest.mark.parametrize(
    ("layout", "turned"), [("hwc", (0, 1, 2)), ("whc", (1, 0, 2)), ("chw", (2, 0, 1)), ("cwh", (2, 1, 0))]
)
def test_axes_in_another_order_are_asked_about_and_can_be_named(tmp_path, layout, turned):
    np.savez(tmp_path / "a.npz", cube=CUBE.transpose(turned))
    np.save(tmp_path / "gt.npy", TRUTH)
    options = {"path": str(tmp_path / "a.npz"), "truth": "gt.npy", "scale": "none"}
    data = scene.load(**options, layout=layout)
    np.testing.assert_array_equal(data.samples[:], CUBE.reshape(-1, 100))
    assert data.scene == SHAPE
    if layout != "hwc":
        with pytest.raises(UserError, match=rf"as `layout: hwc`: write `layout: {layout}`"):
            scene.load(**options)


def with_truth(array):
    return lambda folder: np.save(folder / "gt.npy", array)


def nothing(_):
    pass


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (nothing, {"patch": 4}, "`patch: 4` has no pixel in its middle: give an odd number, such as 5"),
        (nothing, {"bands": 101}, "`bands: 101` is more than the 100 bands of the scene"),
        (nothing, {"truth": "data/gt.npy"}, "write the name of the file alone; it must lie beside"),
        (nothing, {"truth": "lost.npy"}, "no such file or folder can be read"),
        (nothing, {"truth": "none", "pixels": "labelled"}, "`pixels: labelled` needs a ground truth"),
        (nothing, {"variable": "x"}, r"`variable: x` is none of its arrays with 3 axes; it holds farm \(36, 45, 100\)"),
        (nothing, {"truth_variable": "x"}, r"`truth_variable: x` is none of its arrays with 2 axes"),
        (nothing, {"layout": "chw"}, "as `layout: chw`: write `layout: hwc`"),
        (with_truth(TRUTH[:30]), {}, r"of shape \(30, 45\) as `layout: hwc`, nor in another way"),
        (with_truth((TRUTH > 2).astype(int)), {}, "the truth has only the class 1: scores need 2 classes"),
        (with_truth(TRUTH / 2), {}, "the truth has values like 0.5"),
        (with_truth(TRUTH[0]), {}, "none of its arrays has 2 axes, it holds no such arrays of numbers"),
        (with_truth(np.array([[object()]])), {}, r"cannot be read as \.npy"),
        (
            lambda folder: np.save(folder / "farm.npy", np.full((4, 5, 6), np.nan)),
            {"truth": "none"},
            r"missing \(nan\)",
        ),
        (lambda folder: np.save(folder / "farm.npy", np.ones((4, 5, 6))), {"truth": "none"}, "nothing to cluster"),
        (lambda folder: np.save(folder / "other.npy", CUBE), {"path": "."}, "there are: farm.npy, other.npy"),
        (lambda folder: (folder / "a.tif").write_bytes(b"II"), {"path": "a.tif"}, "no file of a scene: known formats"),
        (lambda folder: (folder / "a.mat").write_bytes(bytes(500)), {"path": "a.mat"}, r"cannot be read as \.mat"),
    ],
)
def test_what_cannot_be_a_scene_is_refused_in_one_line(farm, tmp_path, change, options, says):
    change(tmp_path)
    with pytest.raises(UserError, match=says) as error:
        scene.load(**{**farm, **options, "path": str(tmp_path / options.get("path", "farm.npy"))})
    assert "\n" not in str(error.value)


def test_a_truth_without_a_class_is_told(farm, tmp_path):
    np.save(tmp_path / "gt.npy", np.zeros(SHAPE, np.uint8))
    data = scene.load(**farm)
    assert data.labels is None
    assert any("all 1620 samples are unlabelled" in one for one in noted(data))


def test_values_of_other_files_are_no_part_of_a_scene(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["cube"] = CUBE
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["cube"] = h5py.ExternalLink("secret.h5", "cube")
    with pytest.raises(UserError, match="none of its arrays has 3 axes, it holds no such arrays"):
        scene.load(path=str(tmp_path / "a.mat"))
    with h5py.File(tmp_path / "a.mat", "a") as file:
        file.create_dataset("raw", (2, 3, 4), "u1", external=[(str(tmp_path / "secret.h5"), 0, 24)])
    with pytest.raises(UserError, match="the values of /raw lie in other files"):
        scene.load(path=str(tmp_path / "a.mat"))


def test_several_arrays_of_a_mat_file_are_named(tmp_path):
    savemat(tmp_path / "a.mat", {"raw": CUBE, "clean": CUBE // 2, "gt1": TRUTH, "gt2": TRUTH.clip(0, 2)})
    path = str(tmp_path / "a.mat")
    with pytest.raises(UserError, match=r"it holds raw \(36, 45, 100\), clean .*name one, as in `variable: raw`"):
        scene.load(path=path)
    with pytest.raises(UserError, match=r"several of its arrays have 2 axes.*`truth_variable: gt1`"):
        scene.load(path=path, variable="clean")
    data = scene.load(path=path, variable="clean", truth_variable="gt2", scale="none")
    assert data.n_classes == 2
    np.testing.assert_array_equal(data.samples[:], (CUBE // 2).reshape(-1, 100))


def test_patches_that_are_cut_when_read_train_as_those_in_memory_do(farm, monkeypatch):
    monkeypatch.setattr(scene, "FEW", 1000)
    held = scene.load(**farm, patch=5, bands=10)
    assert isinstance(held.samples, Stored)
    trial = config(batch_size=256, epochs=1, evaluation={"every": 1}, views={"name": "affine"})
    assert rows(trial, held, seed=0) == rows(trial, replace(held, samples=held.samples[:]), seed=0)
