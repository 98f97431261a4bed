"""The losses of the DeiT recipe: cross entropy with soft targets or smoothed labels, and distillation."""

from __future__ import annotations

from typing import TypeAlias

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from recipe.config import Config
from recipe.errors import TrainingError

Outputs: TypeAlias = "Tensor | tuple[Tensor, Tensor]"


def soft_target_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy against shares of classes, averaged over the batch.

    Args:
        logits: `(batch, classes)`.
        targets: `(batch, classes)`, floating.
    """
    return -(targets.astype(_wide(logits).dtype) * F.log_softmax(_wide(logits), axis=-1)).sum(axis=-1).mean()


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy against smoothed labels, averaged over the batch.

    Args:
        logits: `(batch, classes)`.
        labels: `(batch,)`, int64.
        smoothing: Share of each label that is spread over all classes; 0 gives the plain cross entropy.
    """
    log_shares = F.log_softmax(_wide(logits), axis=-1)
    of_label = -paddle.take_along_axis(log_shares, labels.reshape((-1, 1)), axis=-1).squeeze(-1)
    return ((1 - smoothing) * of_label - smoothing * log_shares.mean(axis=-1)).mean()


def base_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """The loss against the targets of the data, without distillation.

    Args:
        logits: `(batch, classes)`.
        targets: Shares of classes `(batch, classes)`, which mixing has smoothed already, or labels `(batch,)`, which
            are smoothed here.
        smoothing: Label smoothing.
    """
    if targets.ndim == 2:
        return soft_target_cross_entropy(logits, targets)
    return smoothed_cross_entropy(logits, targets, smoothing)


def hard_distillation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy against the classes of the teacher's highest logits.

    Args:
        logits: Logits of the distillation head, `(batch, classes)`.
        teacher: The teacher's logits, `(batch, classes)`.
    """
    return smoothed_cross_entropy(logits, teacher.argmax(axis=1), 0.0)


def soft_distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened shares, as DeiT scales it.

    The sum over batch and classes, times the square of the temperature, is divided by the number of logits (not of
    images).

    Args:
        logits: Logits of the distillation head, `(batch, classes)`.
        teacher: The teacher's logits, `(batch, classes)`.
        temperature: Divides both sides' logits.
    """
    own = F.log_softmax(_wide(logits) / temperature, axis=1)
    goal = F.log_softmax(_wide(teacher) / temperature, axis=1)
    return (goal.exp() * (goal - own)).sum() * (temperature**2 / logits.size)


class RecipeLoss:
    """The loss of a configuration.

    Without distillation, a distilled model is trained through the mean of its heads, which it returns in evaluation
    too; DeiT fine-tunes distilled models that way.

    Args:
        config: Its `loss` and `distillation` matter here.
        teacher: Teacher in evaluation mode; needed for distillation.

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
            outputs: Logits `(batch, classes)`, or the pair of them from both heads.
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
    """Logits in at least float32: sums over classes are not safe in half precision."""
    return logits.astype("float32") if logits.dtype in (paddle.float16, paddle.bfloat16) else logits
