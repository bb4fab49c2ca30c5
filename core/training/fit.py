"""The main path: trains one trial and yields one row per epoch."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.config import plugins
from core.config.trial import Optimiser, TrialConfig, check_loss
from core.data.corpus import Corpus
from core.data.modalities import Modality
from core.data.source import Samples, on_device, read_ahead, sparse_rows
from core.errors import UserError
from core.evaluation.monitor import Monitor
from core.evaluation.outputs import Scores
from core.evaluation.scoring import ScoredTrial
from core.seeds import Streams, derive, initialisation
from core.training import precision
from core.training.early_stopping import Patience
from core.training.method import Batch, DivergedError, Encoder, Method, Setting, Views, first_argument
from core.training.n_clusters import count_clusters, found_signals
from core.training.reported import reported
from core.training.several import check_modalities, check_size
from core.training.state import TrainingState, origin_of

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@dataclass(frozen=True)
class EpochRow:
    """The result of one epoch.

    `losses` are means over samples (`loss`, `loss_<part>`; nats), see `train_epoch`. `scores` is None if the epoch was
    not evaluated. `signals` are those of `core.evaluation.monitor` and of the steps; every epoch has some.
    `last` is true for the last epoch of the trial. `train_seconds` and `evaluation_seconds` are of this epoch only.
    `state()` is the state after this epoch; it must be called before the next row is requested. `unended` is the row
    that a trial of more epochs has for the last epoch of this one; None if it was not asked for, or would be the last.
    """

    epoch: int
    losses: dict[str, float]
    scores: Scores | None
    last: bool
    train_seconds: float
    evaluation_seconds: float
    state: Callable[[], TrainingState]
    signals: dict[str, float] = field(default_factory=dict[str, float])
    unended: EpochRow | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Losses, and scores if the epoch was evaluated and the data is labelled."""
        return self.losses | (self.scores.metrics if self.scores else {})

    @property
    def health(self) -> dict[str, float]:
        """The signals, and those of the scores if the epoch was evaluated."""
        return self.signals | (self.scores.health if self.scores else {})


def fit(
    config: TrialConfig,
    data: Dataset,
    *,
    seed: int,
    device: str = "cpu",
    resume: TrainingState | None = None,
    extendable: bool = False,
) -> Iterator[EpochRow]:
    """Trains `config` on `data` from `seed`; the same three give the same rows, bit for bit, on one machine.

    Args:
        config: the trial's configuration.
        data: its data set; labels are used only for scores. If it has parts, only the training part is trained on.
        seed: decides initialisation, order, views and k-means starts.
        device: the device of the tensors, as torch names it.
        resume: a state from an earlier, interrupted `fit` of the same trial, to continue from.
        extendable: also give the row and the state from which a trial of more epochs goes on.

    Yields:
        One row per epoch, from the first, or from the one after `resume`.

    Raises:
        UserError: configuration and data do not fit together, or `resume` is of another method, loss, encoder, data or
            split.
        DivergedError: three steps in a row, or the mean loss of an epoch, were not finite.
    """
    where = torch.device(device)
    check_loss(config)
    check_modalities(config, data)
    check_size(config, data)
    origin = origin_of(config, data.fingerprint, seed)
    if resume is not None:
        resume.refuse_other(origin)
    training = data.part("train")
    samples = on_device(training.samples, where)
    clusters = count_clusters(config, training)
    streams = Streams.of(seed, where)
    arrays = {name: torch.from_numpy(array).to(where) for name, array in training.arrays.items()}
    method = build(config, samples, clusters, seed=seed, arrays=arrays, **kinds_of(training))
    if precision.resolve(config, where) == "bf16":
        precision.train_in_bf16(method, where)
    trial = ScoredTrial(data=data, samples=samples, n_clusters=clusters, batch_size=config.batch_size, seed=seed)
    scoring = method.scoring(trial)
    patience = Patience(config.early_stopping, reported(config, data))
    monitor = Monitor(trial)
    epoch, last = resume.restore(method, streams, scoring, patience, monitor) if resume else 0, False
    while not last and epoch < config.epochs:
        epoch += 1
        started = time.perf_counter()
        method.set_learning_rate(learning_rate_factor(config.optimiser, epoch, config.epochs))
        method.begin_epoch(epoch, samples)
        losses = train_epoch(method, samples, config.batch_size, streams)
        outputs = method.end_epoch(epoch, samples)
        if not losses:
            raise DivergedError(f"no step of epoch {epoch} had a finite loss")
        trained = time.perf_counter()
        signals = (
            monitor(method, epoch, outputs)
            | _of_method(method, epoch)
            | found_signals(config, training, epoch)
            | _loss_shares(method, losses, len(samples), config.batch_size)
        )
        last, regular = epoch == config.epochs, epoch % config.evaluation.every == 0
        due, before = last or regular, scoring.state()
        take = partial(
            TrainingState.take,
            epoch,
            method,
            streams,
            scoring=scoring,
            patience=patience,
            monitor=monitor,
            origin=origin,
        )
        unended = None
        if last and extendable:
            # Scored as a trial of more epochs does it, and then as the last epoch.
            scores = scoring(method, due=regular, last=False, outputs=outputs)
            if not patience.spent(epoch, _found(losses, scores), due=regular):
                state = take()
                unended = EpochRow(
                    epoch,
                    losses,
                    scores,
                    last=False,
                    train_seconds=trained - started,
                    evaluation_seconds=0.0,
                    state=lambda state=state: state,
                    signals=signals,
                )
            scoring.load_state(before)
        scores = scoring(method, due=due, last=last, outputs=outputs)
        if patience.spent(epoch, _found(losses, scores), due=due) and not last:
            # Scored again as the last epoch, from the scoring state before the first scoring.
            last = True
            scoring.load_state(before)
            scores = scoring(method, due=True, last=True, outputs=outputs)
        del outputs  # of a million samples they are a gigabyte, which the next ones need
        evaluated = time.perf_counter()
        yield EpochRow(epoch, losses, scores, last, trained - started, evaluated - trained, take, signals, unended)


def _found(losses: dict[str, float], scores: Scores | None) -> dict[str, float]:
    return losses | (scores.metrics | scores.health if scores else {})


def _of_method(method: Method, epoch: int) -> dict[str, float]:
    return method.step_guard.signals() | method.signals() | method.view_signals(epoch)


def _loss_shares(method: Method, losses: dict[str, float], n: int, batch_size: int) -> dict[str, float]:
    """`loss_share_<part>`: the parts of the loss as shares of their values for constant outputs."""
    chance = method.chance_losses(n // math.ceil(n / batch_size))
    return {
        f"loss_share_{name.removeprefix('loss_')}": losses[name] / value
        for name, value in chance.items()
        if name in losses and value > 0
    }


def train_epoch(method: Method, samples: Samples, batch_size: int, streams: Streams) -> dict[str, float]:
    """Trains on every sample once, in random order; returns mean losses over the samples of steps that were not undone.

    A part of the loss that only some steps have, as UMC's `loss_unsupervised` of samples without a label, is its mean
    over the samples of those steps.

    All batches have nearly the same size: a small last batch, say of five samples, would make a whole step with the
    cluster marginal of five samples (on digits, CC, three seeds: accuracy of the head .83 instead of .90).
    """
    given = sparse_rows(samples) if method.sparse else samples
    order = torch.randperm(len(samples), generator=streams.order).to(samples.device)
    sums: dict[str, Tensor] = {}
    seen: dict[str, int] = {}
    parts = [order] if "epochs" in method.unused else order.tensor_split(math.ceil(len(order) / batch_size))
    for rows, read in zip(parts, read_ahead(given, parts), strict=True):
        losses = method.step(Batch(read, rows, streams.views, streams.method))
        if not torch.isfinite(losses["loss"]):
            continue  # the method has undone this step
        for name, loss in losses.items():
            sums[name] = sums.get(name, torch.zeros((), dtype=torch.float64, device=loss.device)) + loss * len(rows)
            seen[name] = seen.get(name, 0) + len(rows)
    return {name: float(total) / seen[name] for name, total in sums.items()}


def learning_rate_factor(optimiser: Optimiser, epoch: int, epochs: int) -> float:
    """The factor of the learning rate in an epoch (from 1): linear warm-up, then constant or half a cosine."""
    warmup = optimiser.warmup * epochs
    if epoch <= warmup:
        return epoch / (warmup + 1)
    if optimiser.schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (epoch - 1 - warmup) / (epochs - warmup))) / 2


def check_shape(
    config: TrialConfig, sample_shape: tuple[int, ...], modalities: tuple[Modality, ...] = ()
) -> tuple[str, ...]:
    """Checks that encoder and views accept samples of a shape; builds them without memory for weights.

    Returns:
        What the encoder says of the samples.

    Raises:
        UserError: one of them does not accept it, or the encoder has a learning rate and no weights.
    """
    encoder: Any = None
    with torch.device("meta"):
        for kind, chosen in (("views", config.views), ("encoders", config.encoder)):
            built = plugins.load(kind, chosen.name)
            # A plug-in that needs real tensors is checked when the trial starts.
            with contextlib.suppress(NotImplementedError, RuntimeError):
                encoder = built(first_argument(built, sample_shape, modalities), **chosen.options)
    if not isinstance(encoder, Encoder):
        return ()
    if config.optimiser.encoder_learning_rate is not None and not list(encoder.parameters()):
        raise UserError(
            f"trial.optimiser.encoder_learning_rate: the encoder {config.encoder.name} has no weights to train: leave "
            "it out"
        )
    return encoder.notes


def kinds_of(data: Dataset) -> dict[str, Any]:
    """What `build` needs to know of the kinds of a data set's samples."""
    return {"modalities": data.modalities, "corpus": data.corpus, "words": data.feature_names}


def build(
    config: TrialConfig,
    samples: Samples,
    clusters: int,
    *,
    seed: int,
    arrays: Mapping[str, Tensor] | None = None,
    modalities: tuple[Modality, ...] = (),
    corpus: Corpus | None = None,
    words: tuple[str, ...] = (),
) -> Method:
    """The configured method with new weights, in training mode, on the device of the samples and `arrays`."""
    sample_shape = tuple(samples.shape[1:])
    method: Any = plugins.load("methods", config.method.name)
    encoder = plugins.load("encoders", config.encoder.name)
    family = plugins.load("views", config.views.name)
    views: Views = family(first_argument(family, sample_shape, modalities), **config.views.options)
    if "views" not in method.unused:
        # Some search for the neighbours of each sample.
        views.attach(arrays or {})
        views.prepare(samples)
    setting = Setting(
        sample_shape=sample_shape,
        n_samples=len(samples),
        n_clusters=clusters,
        build_encoder=partial(encoder, first_argument(encoder, sample_shape, modalities), **config.encoder.options),
        views=views,
        optimiser=config.optimiser,
        epochs=config.epochs,
        seed=derive(seed, "method"),
        modalities=modalities or (Modality("samples", 0, sample_shape),),
        arrays=arrays or {},
        corpus=corpus,
        words=words,
    )
    with initialisation(seed, samples.device), samples.device:
        return method(setting, **config.method.options).train()
