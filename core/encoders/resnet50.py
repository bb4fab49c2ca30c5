"""ResNet-50 with 2048 features, 23.5 million parameters: the stem follows the size of the images.

Reference: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1.
"""

from __future__ import annotations

from typing import Literal

from core.encoders._residual import ResNet


class Encoder(ResNet):
    """Sixteen residual blocks of three convolutions, then the mean over pixels."""

    def __init__(
        self, sample_shape: tuple[int, ...], *, stem: Literal["auto", "small", "medium", "large"] = "auto"
    ) -> None:
        """The layers.

        Args:
            sample_shape: (channels, height, width).
            stem: `small` begins with a convolution of 3 x 3 pixels and keeps the sides; `medium` pools after it, which
                halves them; `large` begins with 7 x 7 and pooling, which divides the sides by 4. `auto` is small below
                64 pixels, medium below 160, and large.

        Raises:
            UserError: the samples are not images of at least 8 x 8 (`medium`: 16 x 16, `large`: 32 x 32) pixels.
        """
        super().__init__("resnet50", sample_shape, stem, (3, 4, 6, 3), bottleneck=True)
