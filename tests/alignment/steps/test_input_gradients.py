"""Gradients of inputs beside those of parameters."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from tests.alignment.in_process import recorded


class Generator(nn.Module):
    """Adds what it is given to a start that it learns, a parameter called `input` as in StyleGAN2."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.last = nn.Parameter(torch.randn(6)), nn.Linear(6, 5)

    def forward(self, x: Any) -> Any:
        return self.last(self.input + x)


def test_parameter_that_is_called_input_has_a_gradient_beside_that_of_the_input() -> None:
    run = recorded("bp", Generator(), Generator(), (6,))
    assert {"bp/gradient/input", "bp/gradient/input/0"} <= run.reference.keys()
    assert run.reference["bp/gradient/input"].shape == (6,)
    assert not run.differing
