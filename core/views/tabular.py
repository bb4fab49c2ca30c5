"""Corruption by other samples' values, mix-up, noise and dropout, for vectors whose features mean something each.

References: Bahri et al., "SCARF" (ICLR 2022), algorithm 1, which corrupts 0.6 of the features of one of two views,
where here both are corrupted; Zhang et al., "mixup" (ICLR 2018), here of inputs alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.config.schema import Fraction, NonNegativeFloat
from core.errors import UserError
from core.training.method import Batch
from core.training.method import Views as Base

# How often an ordinary view's changes are made.
_WEAK, _STRONG = 0.5, 2.0


class Views(Base):
    """Ordinary views are as the options say; weak ones are changed half as often, strong ones twice as often."""

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
        """Shares are of features, drawn one by one; done twice, a share p becomes 1 - (1 - p)².

        Args:
            sample_shape: (features,).
            corruption: share that takes the value of another random sample, another one for each feature.
            mixup: largest share of another random sample that is mixed in, uniform from 0.
            noise: standard deviation of Gaussian noise, in the samples' units.
            dropout: share set to zero, which is the mean where features are standardised.

        Raises:
            UserError: the samples are not vectors.
        """
        if len(sample_shape) != 1:
            raise UserError(
                f"views 'tabular' need vectors of shape (features,), not {sample_shape}: use the views 'image'"
            )
        self.corruption, self.mixup, self.noise, self.dropout = corruption, mixup, noise, dropout

    def prepare(self, samples: Tensor) -> None:
        """Keeps the samples (n_samples, features): other samples' values are drawn from them."""
        self.samples = samples

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
    """What share is changed at least once when `share` is changed several times."""
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
