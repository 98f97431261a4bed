"""timm's losses, and DeiT's distillation (arXiv 2012.12877, section 4)."""

from __future__ import annotations

from typing import TypeAlias

import torch
import torch.nn.functional as F
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor, nn

from recipe.config import Config
from recipe.errors import TrainingError

Outputs: TypeAlias = "Tensor | tuple[Tensor, Tensor]"


def base_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """The loss against the targets of the data, without distillation.

    Args:
        logits: `(batch, classes)`.
        targets: Shares of classes `(batch, classes)`, which mixing has smoothed already, or labels `(batch,)`, which
            are smoothed here.
        smoothing: Label smoothing.
    """
    if targets.ndim == 2:
        return SoftTargetCrossEntropy()(logits, targets)
    return LabelSmoothingCrossEntropy(smoothing)(logits, targets)


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

    def __init__(self, config: Config, teacher: nn.Module | None = None) -> None:
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
        if not isinstance(outputs, tuple) or self.teacher is None:
            raise TrainingError("distillation needs the logits of both heads: a distilled model in training mode")
        with torch.no_grad():
            teacher = self.teacher(images)
        alpha = self.distillation.alpha
        return base_loss(outputs[0], targets, self.smoothing) * (1 - alpha) + self._distil(outputs[1], teacher) * alpha

    def _distil(self, logits: Tensor, teacher: Tensor) -> Tensor:
        if self.distillation.kind == "hard":
            return F.cross_entropy(logits, teacher.argmax(dim=1))
        temperature = self.distillation.temperature
        own, goal = F.log_softmax(logits / temperature, dim=1), F.log_softmax(teacher / temperature, dim=1)
        return F.kl_div(own, goal, reduction="sum", log_target=True) * temperature**2 / logits.numel()
