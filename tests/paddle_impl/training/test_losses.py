"""Losses: timm's and DeiT's, with their gradients, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import torch
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from paddle_impl.training.losses import (
    RecipeLoss,
    base_loss,
    hard_distillation,
    smoothed_cross_entropy,
    soft_distillation,
    soft_target_cross_entropy,
)
from recipe.config import Config, Distillation, Loss
from recipe.errors import TrainingError
from reference_torch.training.losses import RecipeLoss as Reference

Array = npt.NDArray[Any]
BATCH, CLASSES = 5, 7


def _draw(seed: int, scale: float = 3.0) -> Array:
    return np.random.default_rng(seed).standard_normal((BATCH, CLASSES)) * scale


def _soft() -> Array:
    return np.random.default_rng(9).dirichlet(np.ones(CLASSES), BATCH)


LABELS = np.array([0, 6, 3, 3, 1])


def _assert_same(ours: Callable[..., Any], theirs: Callable[..., Any], *logits: Array) -> None:
    """Holds value and gradients of a loss against torch's autograd."""
    own = [paddle.to_tensor(array, stop_gradient=False) for array in logits]
    other = [torch.tensor(array, requires_grad=True) for array in logits]
    actual, expected = ours(*own), theirs(*other)
    assert actual.shape == []
    actual.backward()
    expected.backward()
    assert float(actual) == pytest.approx(float(expected.detach()), rel=1e-13)
    for array, reference in zip(own, other, strict=True):
        np.testing.assert_allclose(array.grad.numpy(), reference.grad.numpy(), rtol=1e-11, atol=1e-15)
        assert np.abs(array.grad.numpy()).max() > 0


def test_soft_targets_give_timms_loss() -> None:
    _assert_same(
        lambda logits: soft_target_cross_entropy(logits, paddle.to_tensor(_soft())),
        lambda logits: SoftTargetCrossEntropy()(logits, torch.from_numpy(_soft())),
        _draw(1),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothed_labels_give_timms_loss(smoothing: float) -> None:
    _assert_same(
        lambda logits: smoothed_cross_entropy(logits, paddle.to_tensor(LABELS), smoothing),
        lambda logits: LabelSmoothingCrossEntropy(smoothing)(logits, torch.from_numpy(LABELS)),
        _draw(2),
    )


def test_no_smoothing_gives_the_plain_cross_entropy() -> None:
    _assert_same(
        lambda logits: smoothed_cross_entropy(logits, paddle.to_tensor(LABELS), 0.0),
        lambda logits: torch.nn.functional.cross_entropy(logits, torch.from_numpy(LABELS)),
        _draw(3),
    )


def test_label_smoothing_applies_without_mixing_too() -> None:
    logits, labels = paddle.to_tensor(_draw(4)), paddle.to_tensor(LABELS)
    image = paddle.zeros([BATCH, 3, 2, 2])
    smoothed, plain = (RecipeLoss(Config(loss=Loss(smoothing)))(logits, image, labels) for smoothing in (0.1, 0.0))
    assert float(smoothed) != float(plain)
    reference = LabelSmoothingCrossEntropy(0.1)(torch.from_numpy(_draw(4)), torch.from_numpy(LABELS))
    assert float(smoothed) == pytest.approx(float(reference), rel=1e-13)


def test_mixed_targets_are_not_smoothed_again() -> None:
    logits, targets = paddle.to_tensor(_draw(4)), paddle.to_tensor(_soft())
    assert float(base_loss(logits, targets, 0.1)) == float(base_loss(logits, targets, 0.0))


def test_smoothing_labels_is_smoothing_their_one_hot_targets() -> None:
    targets = np.full((BATCH, CLASSES), 0.1 / CLASSES)
    targets[np.arange(BATCH), LABELS] += 0.9
    by_targets = soft_target_cross_entropy(paddle.to_tensor(_draw(5)), paddle.to_tensor(targets))
    by_labels = smoothed_cross_entropy(paddle.to_tensor(_draw(5)), paddle.to_tensor(LABELS), 0.1)
    assert float(by_targets) == pytest.approx(float(by_labels), rel=1e-13)


def test_float32_targets_keep_float64_logits() -> None:
    targets = _soft().astype(np.float32)
    actual = soft_target_cross_entropy(paddle.to_tensor(_draw(6)), paddle.to_tensor(targets))
    expected = SoftTargetCrossEntropy()(torch.from_numpy(_draw(6)), torch.from_numpy(targets))
    assert float(actual) == pytest.approx(float(expected), rel=1e-14)


def test_half_precision_is_summed_in_float32() -> None:
    logits = paddle.to_tensor(_draw(6)).astype("bfloat16")
    assert soft_target_cross_entropy(logits, paddle.to_tensor(_soft())).dtype == paddle.float32


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_distillation_is_deits_and_not_zero(temperature: float) -> None:
    teacher = _draw(8)

    def deits(logits: Any) -> Any:
        """The sum over all logits of shares times log ratios, times tau squared, over their number."""
        own = (logits / temperature).softmax(1)
        goal = (torch.from_numpy(teacher) / temperature).softmax(1)
        return (goal * (goal / own).log()).sum() * temperature**2 / (BATCH * CLASSES)

    _assert_same(lambda logits: soft_distillation(logits, paddle.to_tensor(teacher), temperature), deits, _draw(7))


def test_hard_distillation_is_deits() -> None:
    teacher = _draw(8)
    _assert_same(
        lambda logits: hard_distillation(logits, paddle.to_tensor(teacher)),
        lambda logits: torch.nn.functional.cross_entropy(logits, torch.from_numpy(teacher).argmax(1)),
        _draw(7),
    )


@pytest.mark.parametrize("kind", ["none", "hard", "soft"])
@pytest.mark.parametrize("mixed", [True, False])
def test_both_sides_have_the_same_loss(kind: str, mixed: bool) -> None:
    config = Config(loss=Loss(0.1), distillation=Distillation(kind, alpha=0.3, temperature=2.0))
    images, targets = np.zeros((BATCH, 3, 2, 2)), _soft() if mixed else LABELS
    ours = RecipeLoss(config, lambda _: paddle.to_tensor(_draw(8)))
    theirs = Reference(config, lambda _: torch.from_numpy(_draw(8)))
    _assert_same(
        lambda *heads: ours(heads, paddle.to_tensor(images), paddle.to_tensor(targets)),
        lambda *heads: theirs(heads, torch.from_numpy(images), torch.from_numpy(targets)),
        _draw(1),
        _draw(2),
    )


def test_the_teacher_gets_no_gradient() -> None:
    teacher = paddle.nn.Linear(12, CLASSES)
    config = Config(distillation=Distillation("soft"))
    loss = RecipeLoss(config, paddle.nn.Sequential(paddle.nn.Flatten(), teacher))
    heads = tuple(paddle.to_tensor(_draw(seed), dtype="float32", stop_gradient=False) for seed in (1, 2))
    loss(heads, paddle.ones([BATCH, 3, 2, 2]), paddle.to_tensor(LABELS)).backward()
    assert teacher.weight.grad is None
    assert heads[1].grad is not None


def test_alpha_of_one_takes_the_teachers_loss_only() -> None:
    config = Config(distillation=Distillation("hard", alpha=1.0))
    loss = RecipeLoss(config, lambda _: paddle.to_tensor(_draw(8)))
    heads = paddle.to_tensor(_draw(1)), paddle.to_tensor(_draw(2))
    actual = loss(heads, paddle.zeros([BATCH, 3, 2, 2]), paddle.to_tensor(LABELS))
    assert float(actual) == float(hard_distillation(heads[1], paddle.to_tensor(_draw(8))))


def test_distilled_model_without_teacher_is_trained_on_the_mean_of_its_heads() -> None:
    heads = paddle.to_tensor(_draw(1)), paddle.to_tensor(_draw(2))
    images, labels = paddle.zeros([BATCH, 3, 2, 2]), paddle.to_tensor(LABELS)
    loss = RecipeLoss(Config())
    assert float(loss(heads, images, labels)) == float(loss((heads[0] + heads[1]) / 2, images, labels))


def test_distillation_without_teacher_or_second_head_is_refused() -> None:
    config = Config(distillation=Distillation("hard"))
    with pytest.raises(TrainingError, match="needs a teacher"):
        RecipeLoss(config)
    loss = RecipeLoss(replace(config), lambda _: paddle.to_tensor(_draw(8)))
    with pytest.raises(TrainingError, match="both heads"):
        loss(paddle.to_tensor(_draw(1)), paddle.zeros([BATCH, 3, 2, 2]), paddle.to_tensor(LABELS))
