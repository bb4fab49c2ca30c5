"""The estimator on several views of each sample: what they tell together, their names, and wrong ones."""

import pickle

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from core.estimator import ContrastiveClustering

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def views():
    """Two views of 90 samples: neither alone tells all three groups apart; a tenth of the samples lack the second."""
    rng = np.random.default_rng(0)
    groups = np.arange(90) % 3
    text, audio = rng.normal(size=(90, 4)), rng.normal(size=(90, 6))
    text[groups == 0] += 8
    audio[groups == 1] -= 8
    audio[::10] = np.nan
    return {"text": text, "audio": audio}, groups


def of_views(**values):
    usual = {"n_clusters": 3, "random_state": 0, "method": "cc", "epochs": 15, "batch_size": 16, "learning_rate": 3e-3}
    return ContrastiveClustering(**usual | values)


def test_several_views_tell_more_than_each_of_them(views):
    given, groups = views
    model = of_views().fit(given)
    both = adjusted_rand_score(groups, model.labels_)
    assert both > 0.7
    assert both > adjusted_rand_score(groups, of_views().fit(given["text"]).labels_) + 0.2
    assert model.n_features_in_ == 10
    assert model.transform(given).shape[0] == len(model.predict_proba(given)) == 90
    assert 0 < model.score(given) < 1


def test_views_are_found_by_name_and_predicted_alone_and_after_pickling(views):
    given, _ = views
    model = of_views(epochs=2).fit(given)
    again = pickle.loads(pickle.dumps(model))
    assert again.predict({name: given[name] for name in ("audio", "text")}).tolist() == model.labels_.tolist()
    assert again.predict({name: one[:3] for name, one in given.items()}).tolist() == model.labels_[:3].tolist()
    sequences = {"text": np.repeat(given["text"][:, None], 3, axis=1), "audio": given["audio"]}
    assert of_views(epochs=2).fit(sequences).labels_.tolist() == model.labels_.tolist(), "a sequence is averaged"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda given: {**given, "text": given["text"][:5]},
            r"^X: its views have different numbers of rows \(text 5, audio 90\)",
        ),
        (lambda _: {}, "^X: the dict is empty"),
        (lambda given: {**given, 3: given["text"]}, "^X: 3 is no name of a view"),
        (lambda given: {**given, "text": given["text"][0]}, r"^X: the view 'text' has the shape \(4,\)"),
        (lambda given: {**given, "text": [["a"]]}, "^X: the view 'text' is no array of numbers"),
        (lambda given: {name: one[1:2] for name, one in given.items()}, "^X: it holds 1 sample"),
    ],
)
def test_wrong_views_are_refused(change, message, views):
    with pytest.raises(ValueError, match=message):
        of_views().fit(change(views[0]))


def test_views_and_arrays_are_not_mixed_up(views):
    given, _ = views
    table = given["text"]
    model = of_views(epochs=1).fit(given)
    with pytest.raises(ValueError, match=r"^X: the model was trained on the views text, audio: give a dict of them"):
        model.predict(given["text"])
    with pytest.raises(ValueError, match=r"^X: it has the views text, the model was trained on the views text, audio"):
        model.predict({"text": given["text"]})
    with pytest.raises(ValueError, match=r"^X: it has the views text, the model was trained on an array"):
        of_views(epochs=1).fit(table).predict({"text": table})
    with pytest.raises(ValueError, match=r"^scale: 'unit' is not for several views"):
        of_views(scale="unit").fit(given)
    with pytest.raises(ValueError, match=r"^image_shape: X is a dict of views"):
        of_views(image_shape=(1, 2, 5)).fit(given)
    assert model.fit(table).predict(table).tolist() == model.labels_.tolist()
