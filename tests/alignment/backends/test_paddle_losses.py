"""Losses of a Paddle side where logits are far apart: Paddle's own softmax on the CPU stops at exp(-64)."""

import numpy as np
import paddle
import pytest

from alignment.backends.paddle import _LOSSES

LOGITS = np.array([[65.0, -6.0, -72.0], [1.0, 2.0, 3.0]])
LOGARITHMS = LOGITS - LOGITS.max(1, keepdims=True)
LOGARITHMS -= np.log(np.exp(LOGARITHMS).sum(1, keepdims=True))
SOFT, HARD = np.array([[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]]), np.array([2, 0])
SMOOTH = 0.9 * np.eye(3)[HARD] + 0.1 / 3


@pytest.mark.parametrize(
    ("name", "target", "weights"),
    [("soft_target", SOFT, SOFT), ("cross_entropy", HARD, np.eye(3)[HARD]), ("label_smoothing", HARD, SMOOTH)],
)
def test_loss_of_logits_more_than_64_apart_is_exact(name: str, target: np.ndarray, weights: np.ndarray) -> None:
    loss = _LOSSES[name](paddle.to_tensor(LOGITS), paddle.to_tensor(target))
    assert float(loss) == pytest.approx(-(weights * LOGARITHMS).sum(1).mean(), rel=1e-14)
