"""Exponential moving average of a model, by the formula of timm's `ModelEmaV2`."""

from __future__ import annotations

from copy import deepcopy

import paddle
from paddle import nn


class Ema:
    """Moving average of every tensor of a model's state dict, running statistics included.

    It starts from the model's weights at this moment, so that weights have to be loaded before.

    Args:
        model: Model to average.
        decay: Share that the average keeps at each update.

    Attributes:
        model: The average, as a model in evaluation mode without gradients.
    """

    def __init__(self, model: nn.Layer, decay: float) -> None:
        self.decay = decay
        self._source = model
        self.model = deepcopy(model)
        self.model.eval()
        for parameter in self.model.parameters():
            parameter.stop_gradient = True
            parameter.clear_gradient(False)

    @paddle.no_grad()
    def update(self) -> None:
        """Move towards the model's weights; call it once an update, not once a micro-batch."""
        for average, value in zip(self.model.state_dict().values(), self._source.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.scale_(self.decay)
                average.add_(value * (1 - self.decay))
            else:
                average.set_value(value)
