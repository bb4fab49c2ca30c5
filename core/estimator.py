"""Contrastive clustering as a scikit-learn estimator, with the configuration and the training of a trial.

Importing the module imports scikit-learn, whose base classes it needs, but not torch, which `fit` and `predict` need.
"""
# ruff: noqa: N803 - scikit-learn calls the samples X

from __future__ import annotations

import hashlib
import math
import numbers
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from core.config import plugins
from core.config.schema import Mistakes, Place, PositiveInt, convert
from core.config.trial import Evaluation, TrialConfig, as_used, plug_in_files, read_whole, refuse_unused
from core.data.dataset import Dataset, check_spread, check_values
from core.data.modalities import Modality, filled, rows_of, scaling_of
from core.data.scaling import Scaling, offset_and_divisor
from core.data.stored import Stored, is_large, is_sparse
from core.errors import UserError
from core.training.n_clusters import count_clusters, refuse_untabular

if TYPE_CHECKING:
    from core.evaluation.outputs import Outputs
    from core.training.trained import Trained

# The places of the estimator's parameters in the configuration of a trial; other keys are options of their section.
PARAMETERS: dict[Place, str] = {
    ("encoder", "name"): "encoder",
    ("method", "name"): "method",
    ("optimiser", "learning_rate"): "learning_rate",
    ("views", "name"): "views",
}


class ContrastiveClustering(ClusterMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Contrastive clustering of the rows of X, by any method, encoder and views that studies can name.

    With an integer `random_state` the same X gives the same bits on one machine. For networks as small as the default
    one thread is fastest (`torch.set_num_threads(1)`); the estimator does not change the number of threads.

    Args:
        n_clusters: number of clusters; `auto` estimates it from X (see `core.evaluation.cluster_count`).
        method: name of a method that learns no topics, or path of your own file. Unpickling needs this file.
        method_options: options of the method by name; None for its defaults, here and below.
        encoder: name or path of the encoder; `auto` chooses by whether samples are images.
        encoder_options: options of the encoder, such as `{"widths": (512, 512, 256)}`.
        views: name or path of the family of views; `auto` chooses by whether samples are images.
        views_options: options of the views.
        epochs: how often training passes over all samples; there are `epochs * ceil(n_samples / batch_size)` steps.
        batch_size: samples per step, at most.
        learning_rate: learning rate of the optimiser.
        optimiser_options: its other options, such as `{"schedule": "cosine", "warmup": 0.1}`.
        scale: `standard` gives each feature (of images: each channel) mean 0 and variance 1, `unit` maps the smallest
            and the largest number of all to 0 and 1, `none` changes nothing; `auto` is `unit` for images and
            `standard` for vectors. The scale found in `fit` is applied to later samples.
        image_shape: (channels, height, width) of each row of X; None: the rows are vectors.
        random_state: an integer is the trial's seed; None draws one from numpy's global generator.
        device: the device of the tensors, as torch names it; it may be changed after `fit`.
        verbose: 1 prints a line for each epoch: its number and the mean loss (nats).

    Attributes:
        labels_: cluster of each sample of `fit`, shape (n_samples,); equal to `predict` of the same X.
        assignments_: arrays of shape (n_samples,) by name, as `conclus assign` writes them: `id` (the row number),
            `cluster` (`labels_`), its `probability` (NaN without a cluster head), the `second`-best cluster (-1 if
            there is one only), and the `distance` to the centre of the cluster.
        history_: a mapping per epoch: `epoch`, mean losses (nats), and in the last epoch label-free health signals.
        n_clusters_: the number of clusters, given or estimated.
        n_iter_: the number of epochs that were run.
        offset_: the value subtracted from each feature, shape (n_features,).
        scale_: the divisor of each feature after that, shape (n_features,).
        n_features_in_: number of features seen in `fit`.
        feature_names_in_: the names of the features, if X had names that are strings.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> images = load_digits().data
        >>> model = ContrastiveClustering(10, image_shape=(1, 8, 8), random_state=0).fit(images)  # doctest: +SKIP
        >>> model.labels_.shape, model.transform(images).shape, model.predict_proba(images).shape  # doctest: +SKIP
        ((1797,), (1797, 256), (1797, 10))
    """

    def __init__(
        self,
        n_clusters: int | Literal["auto"] = 8,
        *,
        method: str = "conclus",
        method_options: Mapping[str, Any] | None = None,
        encoder: str = "auto",
        encoder_options: Mapping[str, Any] | None = None,
        views: str = "auto",
        views_options: Mapping[str, Any] | None = None,
        epochs: int = 60,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        optimiser_options: Mapping[str, Any] | None = None,
        scale: str = "auto",
        image_shape: tuple[int, int, int] | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.method_options = method_options
        self.encoder = encoder
        self.encoder_options = encoder_options
        self.views = views
        self.views_options = views_options
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimiser_options = optimiser_options
        self.scale = scale
        self.image_shape = image_shape
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> ContrastiveClustering:
        """Trains on X, shape (n_samples, n_features), an array or a sparse matrix; y is ignored.

        X may also be a dict of several views of the same samples, as `{"text": …, "audio": …}`: arrays of shape
        (n_samples, features), or (n_samples, steps, features) for sequences, which are averaged. A sample may lack a
        view: then all its numbers there are NaN. The other methods of the estimator then take such a dict, too.

        A large X of bytes or halves, or a large sparse one, is held as it is, and its rows become floats when a step
        needs them.

        Returns:
            The estimator itself.

        Raises:
            ValueError: parameters or X are wrong, or do not fit together.
            DivergedError: training produced values that are not finite.

        Warns:
            ConvergenceWarning: some clusters are empty.
        """
        del y
        vars(self).pop("_trained", None)  # if this fit fails, an earlier model must not be used with new scales
        config, scale, image_shape = self._read_parameters()
        table = self._checked(X, reset=True)
        self._sample_shape = _sample_shape(image_shape, table.shape[1])
        if is_sparse(table) and image_shape is not None:
            raise ValueError("image_shape: X is a sparse matrix, and images are dense: give an array")
        with _value_errors():
            self.offset_, self.scale_ = (
                scaling_of(X, "X", scale) if self._modalities else _scaling(table, scale, self._sample_shape)
            )
        data = _dataset(self._scaled(table), self._modalities)
        with _value_errors():
            self.n_clusters_ = count_clusters(config, data)
            self._trained = self._train(replace(config, n_clusters=self.n_clusters_), data)
            outputs = self._trained.outputs(data.samples, self.device)
        self.n_iter_ = config.epochs
        self._has_head = outputs.probabilities is not None
        self._n_features_out = outputs.features.shape[1]
        self.labels_ = self._trained.labels(outputs)
        self.assignments_ = self._trained.assignments(outputs, self.labels_)
        if empty := self.n_clusters_ - len(np.unique(self.labels_)):
            warnings.warn(f"{empty} of {self.n_clusters_} clusters are empty", ConvergenceWarning, stacklevel=2)
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:
        """The cluster of each sample of X (n, n_features), shape (n,).

        It is the most probable cluster, or, for a method without a cluster head, the one with the nearest centroid.

        Raises:
            ValueError: X is wrong.
            NotFittedError: `fit` was not called.
        """
        outputs = self._outputs(X)
        return self._trained.labels(outputs)

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The encoder's features of X (n, n_features), shape (n, dim); errors as of `predict`."""
        return self._outputs(X).features.numpy()

    @available_if(lambda self: getattr(self, "_has_head", True))
    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Cluster probabilities of X (n, n_features), shape (n, n_clusters_); errors as of `predict`.

        A fitted estimator has this method only if its clustering method has a cluster head.
        """
        probabilities: Any = self._outputs(X).probabilities
        return probabilities.numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """How good the clusters of X (n, n_features) are, without labels, in 0..1: larger is better; y is ignored.

        It is the mean of up to four criteria, each in 0..1, on at most 2,000 samples: the silhouette s in the input, as
        (s + 1) / 2; the share of pairs of nearest neighbours in the same cluster; and, of a method with a cluster head,
        the agreement (NMI) with k-means of the features, and the mutual information of samples and clusters, which is
        1 where all assignments are sure and the clusters equally large. scikit-learn's searches use it as it stands.

        It compares models of the same data, `scale` and `n_clusters`, all with a head or all without one. It does not
        choose `n_clusters`, as few clusters often score more: `auto` does.

        Raises:
            ValueError: X is wrong, or has one sample only.
            NotFittedError: `fit` was not called.
        """
        del y
        check_is_fitted(self)
        samples = self._scaled(self._checked(X, reset=False))
        if len(samples) < 2:
            raise ValueError("X: a score needs two samples or more")
        with _value_errors():
            return self._trained.score(samples, self._trained.outputs(samples, self.device))

    def __sklearn_tags__(self) -> Any:
        tags: Any = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_trained")

    def _outputs(self, X: Any) -> Outputs:
        check_is_fitted(self)
        samples = self._scaled(self._checked(X, reset=False))
        with _value_errors():
            return self._trained.outputs(samples, self.device)

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """X as an array or CSR (n, n_features) of finite numbers; `reset` is true in `fit`.

        Several views stand side by side, with NaN where a sample lacks one.
        """
        if isinstance(X, Mapping):
            return self._side_by_side(X, reset=reset)
        if reset:
            self._modalities: tuple[Modality, ...] = ()
        elif self._modalities:
            names = ", ".join(one.name for one in self._modalities)
            raise ValueError(f"X: the model was trained on the views {names}: give a dict of them")
        types = [np.float64, np.float32, np.float16, np.uint8]
        table: Any = validate_data(self, X, reset=reset, accept_sparse="csr", dtype=types, ensure_min_samples=1 + reset)
        if is_sparse(table) and not is_large(table):
            table = table.toarray()
        with _value_errors():
            check_values(table, "X")
            if reset:
                check_spread(table, "X")
        return table

    def _side_by_side(self, X: Mapping[str, Any], *, reset: bool) -> NDArray[np.float32]:
        """Several views as rows (n, n_features)."""
        known = None if reset else {one.name: one.shape for one in self._modalities}
        with _value_errors():
            made = rows_of(X, "X", known)
            if reset:
                check_spread(filled(made.samples), "X")
        if reset:
            if self.image_shape is not None:
                raise ValueError("image_shape: X is a dict of views, which are vectors: leave it out")
            vars(self).pop("feature_names_in_", None)
            self._modalities, self.n_features_in_ = made.modalities, made.samples.shape[1]
        return made.samples

    def _scaled(self, table: Any) -> NDArray[np.float32] | Stored:
        """A table (n, n_features) scaled and reshaped to (n, *sample_shape); a copy, or the large one as it is."""
        if is_large(table):
            shape = self._sample_shape
            # Of images, one number holds for a whole channel.
            ones = (shape[0], *(1 for _ in shape[1:]))
            each = [one.astype(np.float32).reshape(shape[0], -1)[:, 0] for one in (self.offset_, self.scale_)]
            scaling = Scaling(each[0].reshape(ones), each[1].reshape(ones), np.ones(1, np.float32))
            values = table if is_sparse(table) else table.reshape(len(table), *shape)
            return Stored(values, scaling, scaling.limits(values))
        scaled = (table - self.offset_) / self.scale_
        return np.ascontiguousarray(scaled, dtype=np.float32).reshape(len(table), *self._sample_shape)

    def _train(self, config: TrialConfig, data: Dataset) -> Trained:
        """Runs all epochs and keeps their rows and the last training state."""
        from core.training.device import named
        from core.training.fit import fit
        from core.training.trained import Trained

        self.history_: list[dict[str, float]] = []
        state: Any = None
        device = str(named(self.device))
        for row in fit(config, data, seed=_seed(self.random_state), device=device):
            self.history_.append({"epoch": row.epoch} | row.metrics | row.health)
            state = row.state()
            if self.verbose:
                print(f"epoch {row.epoch} of {config.epochs}: loss {row.metrics['loss']:.4g}")  # noqa: T201
        centroids = state.previous["centroids"].numpy()
        return Trained(config, data.sample_shape, data.n_samples, state.to_bytes(), centroids, data.modalities)

    def _read_parameters(self) -> tuple[TrialConfig, str, tuple[int, ...] | None]:
        """The trial's configuration, the scale, and the shape of images.

        Raises:
            ValueError: parameters are wrong; the message has a line for each mistake.
        """
        mistakes = Mistakes()
        config = read_whole(self._trial(mistakes), (), mistakes)
        scale = convert(self.scale, Literal["auto", "standard", "unit", "none"], ("scale",), mistakes)
        shape = convert(_plain(self.image_shape), tuple[PositiveInt, ...] | None, ("image_shape",), mistakes)
        if not mistakes.found:
            plugins.allow_named(*plug_in_files(config))  # a path in the caller's code counts as named by the user
            refuse_untabular(config.method.name, mistakes)
        if not mistakes.found:
            refuse_unused(config, mistakes)
        if mistakes.found:
            raise ValueError("\n".join(f"{_parameter(one.place)}: {one.text}" for one in mistakes.found))
        return replace(as_used(config), evaluation=Evaluation(every=config.epochs)), scale, shape

    def _trial(self, mistakes: Mistakes) -> dict[str, Any]:
        """The parameters as the mapping that a study file has under `trial`."""
        trial: dict[str, Any] = {name: _plain(getattr(self, name)) for name in ("n_clusters", "batch_size", "epochs")}
        for section in ("encoder", "method", "optimiser", "views"):
            trial[section] = _options(section, getattr(self, f"{section}_options"), mistakes)
        for (section, key), name in PARAMETERS.items():
            trial[section][key] = _plain(getattr(self, name))
        return trial


def _plain(value: Any) -> Any:
    """Python's number or list for one of numpy: parameters may come from `np.arange`."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _parameter(place: Place) -> str:
    """The estimator's name for a place in a trial."""
    return PARAMETERS.get(place, place[0] if len(place) == 1 else f"{place[0]}_options.{place[1]}")


def _options(section: str, options: Any, mistakes: Mistakes) -> dict[str, Any]:
    """The options of a section; an option that is a parameter of its own is a mistake."""
    if not isinstance(options, Mapping | None):
        mistakes.add((f"{section}_options",), f"{options!r} is wrong: a mapping of names to values is needed")
        return {}
    for key in options or {}:
        if (section, key) in PARAMETERS:
            mistakes.add((f"{section}_options.{key}",), f"use the parameter {PARAMETERS[section, key]!r} for it")
    return {str(key): _plain(value) for key, value in (options or {}).items()}


def _sample_shape(image_shape: tuple[int, ...] | None, n_features: int) -> tuple[int, ...]:
    if image_shape is None:
        return (n_features,)
    if len(image_shape) != 3 or math.prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape: {image_shape} is wrong: (channels, height, width) is needed, "
            f"whose product is the {n_features} features of X"
        )
    return image_shape


def _scaling(X: Any, scale: str, sample_shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The offset and the divisor of each feature of X (n, n_features), each of shape (n_features,)."""
    if is_large(X):
        values = X if is_sparse(X) else X.reshape(len(X), *sample_shape)
        offset, divisor = Scaling.of(values, scale)[0].offset_and_divisor()
    else:
        offset, divisor = offset_and_divisor(X.reshape(len(X), *sample_shape), scale)
    size = X.shape[1] // len(offset)
    return np.repeat(offset, size), np.repeat(divisor, size)


def _dataset(samples: NDArray[np.float32] | Stored, modalities: tuple[Modality, ...]) -> Dataset:
    """An unlabelled data set; estimates of its number of clusters are cached under its fingerprint."""
    values: Any = samples.values if isinstance(samples, Stored) else samples
    digest = hashlib.sha256()
    for one in (values.data, values.indices, values.indptr) if is_sparse(values) else (values,):
        digest.update(np.ascontiguousarray(one).data)
    return Dataset("X", samples, None, (), digest.hexdigest(), modalities=modalities)


def _seed(random_state: Any) -> int:
    """The trial's seed: the integer itself, or one drawn as scikit-learn does."""
    generator = check_random_state(random_state)
    return int(random_state) if isinstance(random_state, numbers.Integral) else int(generator.randint(2**31))


@contextmanager
def _value_errors() -> Generator[None]:
    """Turns UserError into ValueError, which scikit-learn uses for the user's mistakes."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error).removeprefix("trial.")) from error
