"""The losses of the DeiT recipe: cross entropy with soft targets or smoothed labels, and distillation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from recipe.config import Config
from recipe.errors import TrainingError

Outputs: TypeAlias = "Tensor | tuple[Tensor, Tensor]"
LossFunction: TypeAlias = Callable[[Outputs, Tensor, Tensor], Tensor]
"""Takes what the model returned, the images and the targets; returns the mean over the batch, shape `()`."""


def soft_target_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy against shares of classes, averaged over the batch.

    Args:
        logits: `(batch, classes)`.
        targets: `(batch, classes)`, floating.
    """
    return -(targets.astype(_wide(logits).dtype) * F.log_softmax(_wide(logits), axis=-1)).sum(axis=-1).mean()


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy against labels that share a part of themselves among all classes, averaged over the batch.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`, int64.
        smoothing: The part; 0 gives the plain cross entropy.
    """
    log_shares = F.log_softmax(_wide(logits), axis=-1)
    of_label = -paddle.take_along_axis(log_shares, labels.reshape((-1, 1)), axis=-1).squeeze(-1)
    return ((1 - smoothing) * of_label - smoothing * log_shares.mean(axis=-1)).mean()


def base_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """The loss against the data.

    Args:
        logits: `(batch, classes)`.
        targets: Shares of classes `(batch, classes)`, which mixing has smoothed already, or labels `(batch,)`, which
            are smoothed here.
        smoothing: Of labels.
    """
    if targets.ndim == 2:
        return soft_target_cross_entropy(logits, targets)
    return smoothed_cross_entropy(logits, targets, smoothing)


def hard_distillation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy against the classes that the teacher decides for.

    Args:
        logits: Of the distillation head, `(batch, classes)`.
        teacher: The teacher's logits, `(batch, classes)`.
    """
    return smoothed_cross_entropy(logits, teacher.argmax(axis=1), 0.0)


def soft_distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened shares, as DeiT scales it.

    That is the sum over batch and classes, times the square of the temperature, over the number of logits (and not of
    images).

    Args:
        logits: Of the distillation head, `(batch, classes)`.
        teacher: The teacher's logits, `(batch, classes)`.
        temperature: Divides both sides' logits.
    """
    own = F.log_softmax(_wide(logits) / temperature, axis=1)
    goal = F.log_softmax(_wide(teacher) / temperature, axis=1)
    return (goal.exp() * (goal - own)).sum() * (temperature**2 / logits.size)


class RecipeLoss:
    """The loss of a configuration.

    Without distillation, a distilled model is trained through the mean of its heads, which is what it answers in
    evaluation, and how DeiT fine-tunes one.

    Args:
        config: Smoothing and distillation.
        teacher: The teacher in evaluation mode; needed for distillation.

    Raises:
        TrainingError: Distillation is configured, and there is no teacher.
    """

    def __init__(self, config: Config, teacher: nn.Layer | None = None) -> None:
        if config.distillation.kind != "none" and teacher is None:
            raise TrainingError(f"{config.distillation.kind} distillation needs a teacher; see starting.load_teacher")
        self.smoothing = config.loss.smoothing
        self.distillation = config.distillation
        self.teacher = teacher

    def __call__(self, outputs: Outputs, images: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch, shape `()`.

        Args:
            outputs: Logits `(batch, classes)`, or those of both heads.
            images: `(batch, channels, height, width)`, for the teacher.
            targets: Labels `(batch,)` or shares of classes `(batch, classes)`.

        Raises:
            TrainingError: Distillation is configured, and the model returned one head only.
        """
        if self.distillation.kind == "none":
            logits = (outputs[0] + outputs[1]) / 2 if isinstance(outputs, tuple) else outputs
            return base_loss(logits, targets, self.smoothing)
        if not isinstance(outputs, tuple):
            raise TrainingError("distillation needs the logits of both heads: a distilled model in training mode")
        alpha = self.distillation.alpha
        return base_loss(outputs[0], targets, self.smoothing) * (1 - alpha) + self._distil(outputs[1], images) * alpha

    def _distil(self, logits: Tensor, images: Tensor) -> Tensor:
        if self.teacher is None:
            raise TrainingError("distillation needs a teacher")
        with paddle.no_grad():
            teacher = self.teacher(images)
        if self.distillation.kind == "hard":
            return hard_distillation(logits, teacher)
        return soft_distillation(logits, teacher, self.distillation.temperature)


def _wide(logits: Tensor) -> Tensor:
    """Half precision as float32, in which sums over classes are safe."""
    return logits.astype("float32") if logits.dtype in (paddle.float16, paddle.bfloat16) else logits
