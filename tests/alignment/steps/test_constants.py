"""Constants that only one side has as tensors."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from tests.alignment.in_process import recorded


class Scaled(nn.Module):
    """A Linear whose result is multiplied, by a buffer or by a number."""

    def __init__(self, factor: float, *, buffer: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.scale: Any = factor
        if buffer:
            del self.scale
            self.register_buffer("scale", torch.tensor(factor))

    def forward(self, x: Any) -> Any:
        return self.fc(x) * self.scale


@pytest.mark.parametrize("by_reference", [True, False])
def test_factor_that_one_side_has_as_a_buffer_and_the_other_as_a_number_is_the_same_function(
    by_reference: bool,
) -> None:
    sides = (Scaled(2.0, buffer=by_reference), Scaled(2.0, buffer=not by_reference))
    result = recorded("forward", *sides, (4,))
    assert result.reference.keys() == result.candidate.keys()
    assert not result.differing


@pytest.mark.parametrize("by_reference", [True, False])
def test_another_number_than_the_buffer_shows_in_the_outputs(by_reference: bool) -> None:
    sides = (Scaled(2.0, buffer=by_reference), Scaled(2.5, buffer=not by_reference))
    result = recorded("forward", *sides, (4,))
    assert result.reference.keys() == result.candidate.keys()
    assert result.differing == {"forward/logits"}
