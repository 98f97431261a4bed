"""Equal models whose logits hold infinities, fills of a mask, or are far apart are not called different."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("paddle")

import paddle
import torch

from alignment.judging.untaken import left_out, notes, reason
from tests.alignment.in_process import Recorded, recorded

FILLS = [float("-inf"), -3.4028234663852886e38, 1e30]


def _model(package: Any, base: type, fill: float | None, scale: float) -> Any:
    class Net(base):
        def __init__(self) -> None:
            super().__init__()
            self.head = package.nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            logits = self.head(x) * scale
            if fill is None:
                return logits
            masked = (package.arange(5) >= 3).expand(logits.shape)
            return package.where(masked, package.full_like(logits, fill), logits)

    return Net()


def _recorded(step: str, fill: float | None, scale: float = 1.0) -> Recorded:
    models = _model(torch, torch.nn.Module, fill, scale), _model(paddle, paddle.nn.Layer, fill, scale)
    return recorded(step, *models, (6,), frameworks=("torch", "paddle"))


@pytest.mark.parametrize(("fill", "scale"), [*((fill, 1.0) for fill in FILLS), (None, 1e30)])
def test_losses_of_extreme_logits_are_left_out_and_gradients_are_finite(fill: float | None, scale: float) -> None:
    losses = _recorded("loss", fill, scale)
    assert losses.reference.keys() == losses.candidate.keys() == {"loss/untaken"}
    assert left_out("loss/untaken", *losses)
    (note,) = notes(*losses)
    assert note.startswith("losses are left out, and gradients are those of a weighted sum of the logits: logits are")
    both = _recorded("bp", fill, scale)
    assert not both.differing
    assert all(np.isfinite(array).all() for array in both.reference.values())
    if fill is not None:
        assert both.reference["bp/gradient/head.weight"].any()


def test_losses_of_ordinary_logits_are_taken() -> None:
    both = _recorded("loss", None)
    assert not left_out("loss/untaken", *both)
    assert not [*notes(*both)]
    assert not both.differing
    assert len(both.reference) == 3


def test_loss_that_one_side_only_takes_is_named() -> None:
    taken = {"loss/untaken": np.frombuffer(b"logits are not finite", np.uint8)}
    assert reason("loss/untaken", taken, {}) == "no loss is taken in the reference only: logits are not finite"
    assert reason("loss/soft_target", taken, {}) == ""
