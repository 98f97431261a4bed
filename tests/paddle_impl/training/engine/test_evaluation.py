from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from paddle import Tensor, nn
from timm.utils import accuracy

from paddle_impl.training.evaluation import Evaluation, evaluate_model
from paddle_impl.training.parallel import World
from recipe.errors import DataError, TrainingError


class _Given(nn.Layer):
    """Takes its logits for images, so that tests choose them."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns what it is given."""
        assert not self.training
        return x


class _Batches:
    def __init__(self, logits: Any, labels: Any, size: int = 7) -> None:
        self.logits, self.labels = np.asarray(logits, np.float32), np.asarray(labels, np.int64)
        self.size, self.count = size, len(self.labels)

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        for at in range(0, len(self.labels), self.size):
            part = slice(at, at + self.size)
            yield self.logits[part], self.labels[part], np.arange(len(self.labels))[part]


def _evaluated(logits: Any, labels: Any) -> Evaluation:
    result = evaluate_model(_Given(), _Batches(logits, labels))
    assert result is not None
    return result


def test_accuracy_and_loss_are_those_of_timm_and_torch() -> None:
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(103, 11)).astype(np.float32), draw.integers(0, 11, 103)
    result = _evaluated(logits, labels)
    top1, top5 = accuracy(torch.from_numpy(logits), torch.from_numpy(labels), topk=(1, 5))
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels))
    assert (result.images, result.k) == (103, 5)
    assert result.top1 == pytest.approx(float(top1) / 100, abs=1e-6)
    assert result.top5 == pytest.approx(float(top5) / 100, abs=1e-6)
    assert result.loss == pytest.approx(float(loss), abs=1e-12)


def test_every_image_counts_once_at_any_batch_size() -> None:
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(1003, 3)), draw.integers(0, 3, 1003)
    result = {size: evaluate_model(_Given(), _Batches(logits, labels, size)) for size in (1, 64, 1003)}
    assert all(outcome is not None and outcome.images == 1003 for outcome in result.values())
    assert len({outcome.top1 for outcome in result.values() if outcome is not None}) == 1


def test_top_5_of_fewer_than_five_classes_is_all_classes() -> None:
    result = _evaluated(np.eye(3), [0, 1, 1])
    assert (result.k, result.top1, result.top5) == (3, 2 / 3, 1.0)


def test_first_of_equal_logits_counts_as_the_higher() -> None:
    assert _evaluated(np.zeros((10, 10)), range(10)).top1 == 0.1
    assert _evaluated(np.zeros((10, 10)), range(10)).top5 == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error(value: float) -> None:
    with pytest.raises(TrainingError, match="logits are not finite on 2 images"):
        _evaluated([[value, 0.0], [0.0, 1.0]], [0, 1])


def test_no_images_are_an_error() -> None:
    with pytest.raises(DataError, match="of 0 images to evaluate on, none can be read"):
        evaluate_model(_Given(), _Batches(np.zeros((0, 3)), []))


@pytest.mark.parametrize("label", [-1, 3])
def test_label_beyond_the_classes_of_the_model_is_an_error(label: int) -> None:
    with pytest.raises(DataError, match=r"labels go from .* the model has 3 classes"):
        _evaluated(np.zeros((2, 3)), [0, label])


def test_unreadable_images_are_counted_apart() -> None:
    batches = _Batches(np.eye(3), range(3))
    batches.count = 5
    result = evaluate_model(_Given(), batches)
    assert result is not None
    assert (result.images, result.unreadable, result.top1) == (3, 2, 1.0)


@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_loss_of_large_logits_is_exact(shift: float) -> None:
    result = _evaluated(np.array([[shift, shift + 1.0]]), [0])
    assert result.loss == pytest.approx(np.log1p(np.e), abs=1e-9)


def test_rank_without_images_takes_the_class_count_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "total", lambda self, values: np.add(values, (2, 1, 2, 0.5, 2, 0)))
    monkeypatch.setattr(World, "gather", lambda self, value: [value, 3])
    result = evaluate_model(_Given(), _Batches(np.zeros((0, 3)), []), World(0, 2))
    assert result is not None
    assert (result.images, result.k, result.top1, result.loss, result.unreadable) == (2, 3, 0.5, 0.25, 0)


def test_evaluation_returns_the_model_to_its_mode() -> None:
    model = _Given()
    model.train()
    evaluate_model(model, _Batches(np.eye(3), range(3)))
    assert model.training
    model.eval()
    evaluate_model(model, _Batches(np.eye(3), range(3)))
    assert not model.training


def test_evaluation_that_is_stopped_has_no_result() -> None:
    seen: list[int] = []
    batches = _Batches(np.eye(3), range(3), 1)
    assert evaluate_model(_Given(), batches, seen=seen.append, stopped=lambda: len(seen) == 2) is None
    assert seen == [1, 1]


def test_world_of_one_process_does_not_communicate() -> None:
    """Paddle's own barrier raises outside of a group of processes, which a published port dies of."""
    World().barrier()
    assert World().gather("one") == ["one"]
    tensor = paddle.ones([2])
    World().share([tensor])
    assert World().total([1.0, 2.0]).tolist() == [1.0, 2.0]
