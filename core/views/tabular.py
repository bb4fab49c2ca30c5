"""Corruption by other samples' values, mix-up, noise and dropout, for vectors whose features each have a meaning.

References: Bahri et al., "SCARF" (ICLR 2022), algorithm 1, which corrupts 0.6 of the features of one of two views
(here both views are corrupted); Zhang et al., "mixup" (ICLR 2018), here only of the inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.config.schema import Fraction, NonNegativeFloat
from core.data.source import Samples
from core.data.stored import FEW
from core.errors import UserError
from core.training.method import Batch
from core.training.method import Views as Base

# How often weak and strong views apply the changes of an ordinary view.
_WEAK, _STRONG = 0.5, 2.0


class Views(Base):
    """The options are for ordinary views; weak views are changed half as often, strong views twice as often."""

    samples: Tensor

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        corruption: Fraction = 0.3,
        mixup: Fraction = 0.2,
        noise: NonNegativeFloat = 0.1,
        dropout: Fraction = 0.0,
    ) -> None:
        """All shares are of features, each drawn on its own; applied twice, a share p becomes 1 - (1 - p)².

        Args:
            sample_shape: (features,).
            corruption: share that gets the value of another random sample, another one for each feature.
            mixup: largest share of another random sample that is mixed in, uniform from 0.
            noise: standard deviation of Gaussian noise, in the samples' units.
            dropout: share set to zero, which is the mean if features are standardised.

        Raises:
            UserError: the samples are not vectors.
        """
        if len(sample_shape) != 1:
            raise UserError(
                f"views 'tabular' need vectors of shape (features,), not {sample_shape}: use the views 'image'"
            )
        self.corruption, self.mixup, self.noise, self.dropout = corruption, mixup, noise, dropout

    def prepare(self, samples: Samples) -> None:
        """Keeps the samples (n_samples, features), since the values of other samples are drawn from them.

        Of samples in stored form, so many random ones are kept as floats as take 64 MiB.
        """
        if isinstance(samples, Tensor):
            self.samples = samples
            return
        most = max(2, FEW // samples.shape[1])
        self.samples = samples[torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))[:most]]

    def __call__(self, batch: Batch) -> Tensor:
        """An ordinary view of each sample, shape (n, features)."""
        return self._drawn(batch, 1.0)

    def weak(self, batch: Batch) -> Tensor:
        """A view changed half as often, shape (n, features)."""
        return self._drawn(batch, _WEAK)

    def strong(self, batch: Batch) -> Tensor:
        """A view changed twice as often, shape (n, features)."""
        return self._drawn(batch, _STRONG)

    def _drawn(self, batch: Batch, times: float) -> Tensor:
        generator = batch.views
        view = mixed(batch.samples, self.samples, _repeated(self.mixup, times), generator)
        noise = torch.empty_like(view).normal_(generator=generator)
        view = view.add_(noise, alpha=self.noise * times**0.5)
        view = corrupted(view, self.samples, _repeated(self.corruption, times), generator)
        kept = torch.empty_like(view).uniform_(generator=generator) >= _repeated(self.dropout, times)
        return view.mul_(kept)


def _repeated(share: float, times: float) -> float:
    """The share that is changed at least once if a change of `share` is applied several times."""
    return 1 - (1 - share) ** times


def mixed(samples: Tensor, others: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Samples (n, features) moved towards random rows of `others` by shares uniform in 0..`most`; a new tensor."""
    rows = torch.randint(len(others), (len(samples),), generator=generator, device=samples.device)
    shares = most * torch.rand(len(samples), 1, generator=generator, device=samples.device)
    return torch.lerp(samples, others[rows], shares)


def corrupted(samples: Tensor, others: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Samples (n, features) with a random `share` of features from the marginals of `others`; a new tensor."""
    rows = torch.randint(len(others), tuple(samples.shape), generator=generator, device=samples.device)
    replaced = torch.empty_like(samples).uniform_(generator=generator) < share
    return torch.where(replaced, others.gather(0, rows), samples)
