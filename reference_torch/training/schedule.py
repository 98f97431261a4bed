"""timm's cosine scheduler, stepped as in the DeiT recipe."""

from __future__ import annotations

from timm.scheduler import CosineLRScheduler
from torch.optim import Optimizer

from recipe.config import Schedule


class EpochSchedule:
    """Sets the rate of an optimizer, epoch by epoch.

    DeiT steps the scheduler after an epoch with that epoch's number; timm expects the number of the next epoch.

    Args:
        config: Epochs and rates.
        optimizer: The rate of its groups is that at the end of the warm-up.
    """

    def __init__(self, config: Schedule, optimizer: Optimizer) -> None:
        self.config = config
        self.optimizer = optimizer
        self.scheduler = CosineLRScheduler(
            optimizer,
            t_initial=config.epochs,
            lr_min=config.minimum_rate,
            warmup_t=config.warmup_epochs,
            warmup_lr_init=config.warmup_rate,
        )

    @property
    def epochs(self) -> int:
        """Epochs of the run, cooldown included."""
        return self.config.epochs + self.config.cooldown_epochs

    @property
    def rate(self) -> float:
        """The current rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def finish_epoch(self, epoch: int) -> None:
        """Set the rate of the epoch after this one, counted from 0, which has ended."""
        self.scheduler.step(epoch if self.config.deit_quirk else epoch + 1)
