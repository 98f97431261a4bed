"""timm's cosine scheduler, driven as the DeiT recipe drives it."""

from __future__ import annotations

from timm.scheduler import CosineLRScheduler
from torch.optim import Optimizer

from recipe.config import Schedule


class EpochSchedule:
    """Sets the rate of an optimizer, epoch by epoch.

    DeiT steps the scheduler after an epoch, with that epoch's number; timm means it to be stepped with the number of
    the next.

    Args:
        config: Epochs and rates.
        optimizer: Its groups have the rate that the warm-up ends at.
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
        """Epochs of the run, the cooldown included."""
        return self.config.epochs + self.config.cooldown_epochs

    @property
    def rate(self) -> float:
        """The rate in use."""
        return float(self.optimizer.param_groups[0]["lr"])

    def finish_epoch(self, epoch: int) -> None:
        """Set the rate of the next epoch.

        Args:
            epoch: The one that has ended, from 0.
        """
        self.scheduler.step(epoch if self.config.deit_quirk else epoch + 1)
