"""Batch normalisation with torch's results in evaluation and training, and torch's running statistics."""

from __future__ import annotations

from math import sqrt

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


class BatchNorm2D(nn.BatchNorm2D):
    """`paddle.nn.BatchNorm2D` that keeps torch's running statistics.

    Paddle's own differs in two ways. Its running variance takes up the batch's biased variance (on the CPU), torch's
    the unbiased one: over 196 values a channel that is half a percent. And its kernel holds momentum and epsilon in
    float32, so that in float64 no statistic agrees to better than 1e-9, nor an output of a small variance.

    Args:
        channels: Channels of the map.
        momentum: Share of the old statistic that is kept at each batch: one minus torch's momentum.
        epsilon: Added to the variance.
    """

    def __init__(self, channels: int, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__(channels, momentum=momentum, epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, channels, height, width)`.

        Raises:
            ValueError: In training, a channel has one value only, which has no variance.
        """
        rounded = float(np.float32(self._epsilon))
        if not self.training:
            variance = self._variance + (self._epsilon - rounded)
            return F.batch_norm(x, self._mean, variance, self.weight, self.bias, epsilon=rounded)
        self._update_statistics(x)
        if x.dtype == paddle.float64:
            # The kernel holds epsilon in float32; scaling x makes up for the difference.
            x = x * sqrt(rounded / self._epsilon)
        scratch = paddle.zeros_like(self._mean), paddle.ones_like(self._variance)
        return F.batch_norm(x, *scratch, self.weight, self.bias, training=True, epsilon=rounded)

    @paddle.no_grad()
    def _update_statistics(self, x: Tensor) -> None:
        batch, channels, height, width = x.shape
        count = batch * height * width
        if count < 2:
            raise ValueError(
                f"a training batch of shape {tuple(x.shape)} has one value a channel, which has no variance: "
                "take more or larger images"
            )
        # Summed in float64, as torch does: Paddle's own sum over so many float32 values is off by 1e-6.
        wide = x.astype("float64")
        mean = wide.mean((0, 2, 3))
        variance = (wide - mean.reshape((channels, 1, 1))).square().sum((0, 2, 3)) / (count - 1)
        for running, new in ((self._mean, mean), (self._variance, variance)):
            updated = running.astype("float64") * self._momentum + new * (1 - self._momentum)
            running.set_value(updated.astype(running.dtype))
