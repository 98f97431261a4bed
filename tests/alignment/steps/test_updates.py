"""Losses after updates agree between frameworks to rounding, also of models with numbers that have no axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("paddle")

import paddle
import torch

from tests.alignment.in_process import recorded


class TorchNet(torch.nn.Module):
    """A Linear, and a number that its output is multiplied by."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Linear(6, 8)
        self.strength = torch.nn.Parameter(torch.tensor(0.7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of shape `(batch, 8, 1)`."""
        return (torch.tanh(self.mix(x)) * self.strength).unsqueeze(-1)


class PaddleNet(paddle.nn.Layer):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = paddle.nn.Linear(6, 8)
        self.strength = self.create_parameter([], default_initializer=paddle.nn.initializer.Constant(0.7))

    def forward(self, x: Any) -> Any:
        """Of shape `(batch, 8, 1)`."""
        return (paddle.tanh(self.mix(x)) * self.strength).unsqueeze(-1)


def test_losses_after_updates_agree_to_rounding_though_paddle_holds_the_decay_in_float32() -> None:
    both = recorded("bp", TorchNet(), PaddleNet(), (6,), frameworks=("torch", "paddle"))
    assert both.reference["bp/gradient/strength"].shape == both.candidate["bp/gradient/strength"].shape == ()
    for update in range(3):
        losses = (float(side[f"bp/loss_{update}"]) for side in both)
        assert float(np.ptp([*losses])) < 2e-15
