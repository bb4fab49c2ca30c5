"""Random rotation, scale, shift and pixel noise, for small images of upright objects."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from core.config.schema import Fraction, NonNegativeFloat
from core.errors import UserError
from core.training.method import Batch
from core.training.method import Views as Base


class Views(Base):
    """One random affine map per image, bilinear, zeros outside; then Gaussian noise."""

    informed = True

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        rotation: NonNegativeFloat = 15.0,
        scale: Fraction = 0.15,
        shift: Fraction = 0.05,
        noise: NonNegativeFloat = 0.2,
    ) -> None:
        """The largest random changes.

        Args:
            sample_shape: (channels, height, width).
            rotation: largest angle, in degrees.
            scale: largest change of the size, as a share of it.
            shift: largest shift, as a share of the image's side.
            noise: standard deviation of Gaussian noise, in the samples' units.

        Raises:
            UserError: the samples are not images.
        """
        if len(sample_shape) != 3:
            raise UserError(f"views 'affine' need images of shape (channels, height, width), not {sample_shape}")
        self.rotation = math.radians(rotation)
        self.scale = scale
        self.shift = 2 * shift
        self.noise = noise

    def __call__(self, batch: Batch) -> Tensor:
        """A random view of each image, shape (n, channels, height, width)."""
        samples, generator = batch.samples, batch.views
        grid = functional.affine_grid(self._maps(samples, generator), list(samples.shape), align_corners=False)
        moved = functional.grid_sample(samples, grid, align_corners=False)
        noise = torch.empty_like(moved).normal_(generator=generator)
        return moved.add_(noise, alpha=self.noise)

    def _maps(self, samples: Tensor, generator: torch.Generator) -> Tensor:
        """Shape (n, 2, 3), in the coordinates of `affine_grid`: -1 and 1 are the edges."""
        draw = torch.empty(4, len(samples), device=samples.device).uniform_(-1, 1, generator=generator)
        angle, size = draw[0] * self.rotation, 1 + draw[1] * self.scale
        cos, sin = angle.cos() * size, angle.sin() * size
        rows = [cos, -sin, draw[2] * self.shift, sin, cos, draw[3] * self.shift]
        return torch.stack(rows, dim=1).view(-1, 2, 3)
