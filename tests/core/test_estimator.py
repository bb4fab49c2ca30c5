"""The estimator: scikit-learn's own checks, the same results as `fit` of core, and what its parameters promise."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import conclus
from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.data.scaling import scaled
from core.estimator import ContrastiveClustering
from core.evaluation.kmeans import unit_rows
from core.training.fit import fit
from core.training.method import DivergedError
from tests.core.topical import learns_topics, uses

# Many of these models are barely trained.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"encoder_options": {"widths": (64, 32)}, "epochs": 10, "batch_size": 16, "learning_rate": 3e-3}
# scikit-learn asks for clusters a little better than half right: few epochs will do.
QUICK = SMALL | {"epochs": 4, "learning_rate": 0.01}
# scikit-learn's checks that are not met, each with its reason.
# scikit-learn 1.9 asks whoever has `predict_proba` for the tags of a classifier, which a clustering has not.
_CLASSIFIER = "AttributeError: 'NoneType' object has no attribute 'multi_class', in the check itself"
EXPECTED_FAILURES = {"check_estimator_sparse_array": _CLASSIFIER, "check_estimator_sparse_matrix": _CLASSIFIER}

WITHOUT_HEAD = """
from core.evaluation.outputs import Outputs
from core.methods.cc import Method as Base

class Method(Base):
    def outputs(self, samples):
        return Outputs(super().outputs(samples).features, None)
"""

OWN = """
class Method(Base):
    pass
"""


def small(**values) -> ContrastiveClustering:
    return ContrastiveClustering(**{"n_clusters": 3, "random_state": 0} | SMALL | values)


def tiny(**values) -> ContrastiveClustering:
    """For tests that do not need it to learn anything."""
    return small(**{"epochs": 2, "encoder_options": {"widths": (8,)}} | values)


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(n_samples=60, n_features=4, centers=3, random_state=1)


@pytest.fixture(scope="module")
def fitted(blobs):
    return small().fit(blobs[0])


@parametrize_with_checks([ContrastiveClustering(**QUICK)], expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_the_front_door_has_it():
    assert conclus.ContrastiveClustering is ContrastiveClustering


def test_it_finds_blobs(fitted, blobs):
    assert adjusted_rand_score(blobs[1], fitted.labels_) > 0.9


def test_shapes_and_types(fitted, blobs):
    features, probabilities = fitted.transform(blobs[0]), fitted.predict_proba(blobs[0])
    assert features.shape == (60, 32)
    assert probabilities.shape == (60, 3)
    assert features.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert fitted.labels_.tolist() == probabilities.argmax(axis=1).tolist()


def test_the_history_has_a_row_per_epoch_and_health_in_the_last(fitted):
    assert fitted.n_iter_ == 10
    assert fitted.n_clusters_ == 3
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 11))
    assert all({"loss", "loss_instance"} <= set(row) for row in fitted.history_)
    assert "clusters_empty" in fitted.history_[-1]


def test_an_integer_gives_the_rows_of_a_trial_with_that_seed(blobs):
    mistakes = Mistakes()
    trial = {
        "encoder": {"name": "mlp", "widths": [8]},
        "method": {"name": "cc", "instance_temperature": 0.2},
        "optimiser": {"learning_rate": 3e-3, "schedule": "cosine"},
        "n_clusters": 3,
        "batch_size": 16,
        "epochs": 2,
    }
    data = Dataset("blobs", scaled(blobs[0], "standard"), None, (), "")
    rows = list(fit(read_trial(trial, (), mistakes), data, seed=7))
    model = tiny(
        method="cc",
        method_options={"instance_temperature": 0.2},
        optimiser_options={"schedule": "cosine"},
        random_state=7,
    ).fit(blobs[0])
    assert not mistakes.found
    for row, kept in zip(rows, model.history_, strict=True):
        assert {name: kept[name] for name in row.losses} == pytest.approx(row.losses, rel=1e-5)
    assert np.bincount(model.labels_, minlength=3).tolist() == rows[-1].scores.cluster_sizes.tolist()


CLUSTERING = [one for one in plugins.names("methods") if plugins.load("methods", one).clusters]


@pytest.mark.parametrize("method", [one for one in CLUSTERING if learns_topics(one)])
def test_a_method_that_learns_topics_is_refused_in_one_sentence_before_x_is_read(method, tmp_path):
    (tmp_path / "mine.py").write_text(f"from {plugins.load('methods', method).__module__} import Method as Base\n{OWN}")
    for name in (method, str(tmp_path / "mine.py")):
        with pytest.raises(
            ValueError, match=f"^method: '{name}' learns topics of documents, which X does not hold"
        ) as caught:
            tiny(method=name, views="neighbours").fit("no samples")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [one for one in CLUSTERING if not learns_topics(one)])
@pytest.mark.parametrize("views", ["auto", "neighbours"])
def test_every_method_predicts_the_same_after_pickling(method, views, blobs):
    if uses(method, "views"):
        model = tiny(method=method, views=views, epochs=4)
    elif views == "auto":
        model = ContrastiveClustering(method=method, n_clusters=3, random_state=0)
    else:
        with pytest.raises(ValueError, match=f"views: the method {method} does not use it: leave it out"):
            ContrastiveClustering(method=method, n_clusters=3, views=views).fit(blobs[0])
        return
    model.fit(blobs[0])
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(blobs[0]).tolist() == model.labels_.tolist()
    assert again.transform(blobs[0]).tobytes() == model.transform(blobs[0]).tobytes()
    assert hasattr(again, "predict_proba") == hasattr(model, "predict_proba")
    if hasattr(model, "predict_proba"):
        assert again.predict_proba(blobs[0]).tobytes() == model.predict_proba(blobs[0]).tobytes()


def test_what_is_pickled_needs_neither_modules_nor_views(monkeypatch, blobs):
    model = tiny(views="neighbours").fit(blobs[0])
    monkeypatch.setattr(plugins.load("views", "neighbours"), "prepare", lambda *_: pytest.fail("looked at samples"))
    again = pickle.loads(pickle.dumps(model))
    assert again._trained.made == {}
    assert again.predict(blobs[0]).tolist() == model.labels_.tolist()


def test_predict_of_the_training_samples_is_labels_in_any_order(fitted, blobs):
    order = np.random.default_rng(0).permutation(60)
    assert fitted.predict(blobs[0]).tolist() == fitted.labels_.tolist()
    assert fitted.predict(blobs[0][order]).tolist() == fitted.labels_[order].tolist()
    assert [fitted.predict(blobs[0][i : i + 1])[0] for i in range(60)] == fitted.labels_.tolist()


def test_threads_may_predict_at_once(fitted, blobs):
    many = np.tile(blobs[0], (50, 1))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fitted.transform, [many] * 16))
    assert all(np.array_equal(one, found[0]) for one in found)
    assert np.array_equal(found[0][:60], fitted.transform(many)[:60])


def test_an_integer_decides_everything_and_generators_advance(blobs):
    one, same = (tiny(random_state=np.int64(3)).fit(blobs[0]) for _ in range(2))
    assert one.history_ == same.history_
    generator = np.random.RandomState(0)
    first, second = (tiny(random_state=generator).fit(blobs[0]) for _ in range(2))
    assert first.history_ != second.history_
    assert tiny(random_state=np.random.RandomState(0)).fit(blobs[0]).history_ == first.history_


def test_global_generators_are_left_alone_unless_asked_for(blobs):
    torch.manual_seed(0)
    before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002 - the global one is meant
    pickle.loads(pickle.dumps(tiny().fit(blobs[0]))).predict(blobs[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == before[1]  # noqa: NPY002
    tiny(random_state=None).fit(blobs[0])
    assert str(np.random.get_state()) != before[1]  # noqa: NPY002


def test_labels_are_never_looked_at(blobs):
    assert tiny().fit(blobs[0], blobs[1]).history_ == tiny().fit(blobs[0]).history_


def test_every_wrong_parameter_has_its_line():
    wrong = tiny(
        n_clusters=0,
        method="cd",
        encoder_options={"width": (8,)},
        views_options=3,
        learning_rate="fast",
        optimiser_options={"learning_rate": 1.0, "warmup": 2},
        scale="standart",
        image_shape=(1, 0, 4),
    )
    with pytest.raises(ValueError, match="n_clusters") as caught:
        wrong.fit(np.eye(4))
    lines = dict(line.split(": ", 1) for line in str(caught.value).splitlines())
    assert lines["n_clusters"].startswith("0 is wrong: a whole number at least 1")
    assert "'cd' is none of the methods" in lines["method"]
    assert "did you mean 'widths'?" in lines["encoder_options.width"]
    assert "a mapping" in lines["views_options"]
    assert "'fast' is wrong" in lines["learning_rate"]
    assert lines["optimiser_options.learning_rate"] == "use the parameter 'learning_rate' for it"
    assert "at most 1" in lines["optimiser_options.warmup"]
    assert "did you mean 'standard'?" in lines["scale"]
    assert "image_shape" in lines


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_clusters": None}, "^n_clusters: X has no labels"),
        ({"n_clusters": 61}, "^n_clusters: 61 clusters are too many for the 60 samples of X"),
        ({"image_shape": (1, 2, 3)}, "whose product is the 4 features"),
        ({"image_shape": (2, 2)}, r"\(channels, height, width\)"),
        ({"views": "affine"}, "need images"),
        ({"device": "gpu"}, "^device: 'gpu' cannot be used here"),
        ({"random_state": "x"}, "cannot be used to seed"),
    ],
)
def test_parameters_that_do_not_fit_the_samples(values, message, blobs):
    with pytest.raises(ValueError, match=message):
        tiny(**values).fit(blobs[0])


def test_samples_that_cannot_be_learnt_from(fitted, blobs):
    with pytest.raises(ValueError, match="all 5 samples are equal"):
        tiny().fit(np.ones((5, 4)))
    large = blobs[0].copy()
    large[1, 2] = 1e200
    for method in (tiny().fit, fitted.predict):
        with pytest.raises(ValueError, match=r"X: row 2 \(counted from 1\), column 3 is 1e\+200"):
            method(large)


def test_a_fit_that_fails_leaves_no_half_fitted_model(blobs):
    model = tiny().fit(blobs[0])
    with pytest.raises(DivergedError):
        model.set_params(learning_rate=1e30).fit(blobs[0] * 2)
    with pytest.raises(NotFittedError):
        model.predict(blobs[0])


def test_the_number_of_clusters_can_be_estimated_anew_for_each_x(blobs):
    two = blobs[0][blobs[1] < 2]
    assert [tiny(n_clusters="auto").fit(samples).n_clusters_ for samples in (blobs[0], two)] == [3, 2]


def test_empty_clusters_are_warned_of(blobs):
    with pytest.warns(ConvergenceWarning, match=r"\d+ of 50 clusters are empty"):
        tiny(method="cc", n_clusters=50, epochs=1).fit(blobs[0])


def test_vectors_are_standardised_and_the_same_is_done_to_later_samples(fitted, blobs):
    np.testing.assert_allclose(fitted.offset_, blobs[0].mean(axis=0))
    np.testing.assert_allclose(fitted.scale_, blobs[0].std(axis=0))
    stretched = blobs[0] * [1, 10, 100, 1000] + 5
    other = small().fit(stretched)
    assert other.labels_.tolist() == fitted.labels_.tolist()
    assert other.predict(stretched[:7]).tolist() == fitted.labels_[:7].tolist()


def test_constant_features_become_zero_and_raw_ones_stay(blobs):
    constant = np.column_stack([blobs[0], np.full(60, 0.1)])
    model = tiny().fit(constant)
    assert not model._scaled(constant)[:, -1].any()
    raw = tiny(scale="none").fit(constant)
    assert np.array_equal(raw._scaled(constant), constant.astype(np.float32))


@pytest.mark.parametrize("scale", ["auto", "unit", "standard", "none"])
def test_images_are_scaled_as_data_sets_are(scale):
    pixels = load_digits().data[:64]
    model = tiny(n_clusters=4, image_shape=(1, 8, 8), scale=scale).fit(pixels)
    expected = scaled(pixels.reshape(-1, 1, 8, 8), scale)
    np.testing.assert_allclose(model._scaled(pixels), expected, atol=1e-6)
    assert model.n_features_in_ == 64
    colour = tiny(n_clusters=4, image_shape=(4, 4, 4), scale=scale).fit(pixels)
    np.testing.assert_allclose(colour._scaled(pixels), scaled(pixels.reshape(-1, 4, 4, 4), scale), atol=1e-5)


def test_a_method_without_a_head_assigns_by_the_nearest_centroid(tmp_path, blobs):
    (tmp_path / "headless.py").write_text(WITHOUT_HEAD)
    model = small(method=str(tmp_path / "headless.py"))
    assert hasattr(model, "predict_proba")  # not known before it is fitted
    model.fit(blobs[0])
    assert not hasattr(model, "predict_proba")
    assert adjusted_rand_score(blobs[1], model.labels_) > 0.9
    assert pickle.loads(pickle.dumps(model)).predict(blobs[0]).tolist() == model.labels_.tolist()
    distances = cdist(unit_rows(model.transform(blobs[0])), model._trained.centroids)
    assert model.labels_.tolist() == distances.argmin(axis=1).tolist()


def test_transform_gives_data_frames_when_asked(blobs):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(blobs[0], columns=list("abcd"))
    model = tiny().set_output(transform="pandas").fit(frame)
    features = model.transform(frame)
    assert model.feature_names_in_.tolist() == list("abcd")
    assert features.columns.tolist() == [f"contrastiveclustering{i}" for i in range(8)]


def silhouette(model, samples, _=None) -> float:
    labels = model.predict(samples)
    if len(np.unique(labels)) == 1:
        return -1.0
    return silhouette_score(model[:-1].transform(samples), labels)


def test_it_works_in_a_pipeline_and_a_search_without_labels(blobs):
    pipeline = make_pipeline(FunctionTransformer(np.tanh), small())
    assert len(pipeline.fit_predict(blobs[0])) == 60
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(), small(epochs=5)),
        {"contrastiveclustering__n_clusters": np.arange(2, 4), "contrastiveclustering__epochs": [5]},
        scoring=silhouette,
        cv=2,
    ).fit(blobs[0])
    assert search.best_params_["contrastiveclustering__n_clusters"] in {2, 3}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_score_is_what_scikit_learn_and_scipy_say_of_the_clusters(blobs):
    new = make_blobs(n_samples=40, n_features=4, centers=3, random_state=2, cluster_std=3)[0]
    model = tiny(method="cc", epochs=1, learning_rate=1e-6).fit(blobs[0])
    samples, labels, chances = (new - model.offset_) / model.scale_, model.predict(new), model.predict_proba(new)
    nearest = np.argsort(cdist(samples, samples) + np.diag(np.full(40, np.inf)), axis=1)[:, :10]
    by_kmeans = cdist(unit_rows(model.transform(new)), model._trained.centroids).argmin(axis=1)
    expected = [
        (silhouette_score(samples, labels) + 1) / 2,
        (labels[nearest] == labels[:, None]).mean(),
        normalized_mutual_info_score(labels, by_kmeans),
        (entropy(chances.mean(axis=0)) - entropy(chances, axis=1).mean()) / np.log(3),
    ]
    assert len({*labels}) == 3
    assert expected[2] < 0.9, "head and k-means differ"
    assert model.score(new) == pytest.approx(np.mean(expected), abs=1e-4)
    assert model.score(new, np.zeros(40)) == model.score(new)


@pytest.mark.parametrize("method", ["cc", "conclus", "kmeans"])
def test_the_score_of_the_training_samples_is_the_label_free_score_of_the_last_epoch(method, blobs):
    model = tiny(method=method).fit(blobs[0]) if method != "kmeans" else ContrastiveClustering(3, method=method)
    assert model.fit(blobs[0]).score(blobs[0]) == pytest.approx(model.history_[-1]["label_free"], abs=1e-6)


def test_one_cluster_scores_less_than_all_and_one_sample_has_no_score(blobs):
    model = tiny().fit(blobs[0])
    assert 0 < model.score(blobs[0][model.labels_ == 0]) < model.score(blobs[0]) - 0.3
    with pytest.raises(ValueError, match="X: a score needs two samples or more"):
        model.score(blobs[0][:1])
    with pytest.raises(NotFittedError):
        tiny().score(blobs[0])


def test_scikit_learns_search_takes_the_better_model_by_its_score(blobs):
    rates = [1e-9, 3e-3]
    search = GridSearchCV(small(method="cc"), {"learning_rate": rates}, cv=2).fit(blobs[0])
    scores = [
        np.mean(
            [
                small(method="cc", learning_rate=rate).fit(blobs[0][train]).score(blobs[0][test])
                for train, test in KFold(2).split(blobs[0])
            ]
        )
        for rate in rates
    ]
    assert search.cv_results_["mean_test_score"].tolist() == scores
    assert scores[1] > scores[0] + 0.1
    assert search.best_params_ == {"learning_rate": 3e-3}
    assert adjusted_rand_score(blobs[1], search.predict(blobs[0])) > 0.9


def test_verbose_prints_a_line_for_each_epoch(blobs, capsys):
    model = tiny(verbose=1).fit(blobs[0])
    lines = [f"epoch {row['epoch']} of 2: loss {row['loss']:.4g}" for row in model.history_]
    assert capsys.readouterr().out.splitlines() == lines
    tiny().fit(blobs[0])
    assert not capsys.readouterr().out


def test_a_clone_is_unfitted_and_has_the_same_parameters(fitted):
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        again.transform(np.eye(4))


@pytest.mark.slow
def test_digits_are_told_apart():
    images, digits = (one[:600] for one in load_digits(return_X_y=True))
    model = ContrastiveClustering(10, image_shape=(1, 8, 8), epochs=20, random_state=0).fit(images)
    assert adjusted_rand_score(digits, model.labels_) > 0.65


FEW = np.random.default_rng(0).normal(size=(20, 4))


@pytest.mark.parametrize(
    ("samples", "k", "found"),
    [
        (FEW[:2], 1, 1),
        (FEW[:2], 2, 2),
        (FEW, 20, 20),
        (np.repeat(FEW[:3], 10, axis=0), 6, 3),  # fewer different samples than clusters
        (np.linspace(0, 1, 30)[:, None] ** 3, 3, 3),
        (np.arange(40)[:, None] % 2, 2, 2),
    ],
)
def test_the_default_takes_few_and_equal_samples(samples, k, found):
    model = ContrastiveClustering(n_clusters=k, epochs=4, random_state=0).fit(samples)
    assert len(np.unique(model.labels_)) == found
    assert model.predict(samples).tolist() == model.labels_.tolist()
