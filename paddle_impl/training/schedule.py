"""The learning rate over the epochs: timm's cosine with warm-up, as the DeiT recipe drives it."""

from __future__ import annotations

from math import cos, pi

from recipe.config import Schedule


class CosineSchedule:
    """A pure function of the epoch, so that there is nothing to save and nothing to go wrong on resuming.

    The warm-up is part of the epochs: the cosine counts from the first epoch, not from the end of the warm-up. The rate
    is constant within an epoch.

    Args:
        config: Epochs and rates.
        peak: The rate that the warm-up ends at, of the global batch (`recipe.rates.peak_rate`).
    """

    def __init__(self, config: Schedule, peak: float) -> None:
        self.config = config
        self.peak = peak

    @property
    def epochs(self) -> int:
        """Epochs of the run, the cooldown included."""
        return self.config.epochs + self.config.cooldown_epochs

    def rate(self, epoch: int, update: int = 0) -> float:
        """The rate of an update.

        Args:
            epoch: From 0.
            update: Within the epoch, from 0; the rate does not depend on it.
        """
        if epoch == 0:
            return self.config.warmup_rate if self.config.warmup_epochs else self.peak
        return self._at(epoch - 1 if self.config.deit_quirk else epoch)

    def _at(self, t: int) -> float:
        config = self.config
        if t < config.warmup_epochs:
            return config.warmup_rate + t * ((self.peak - config.warmup_rate) / config.warmup_epochs)
        if t >= config.epochs:
            return config.minimum_rate
        return config.minimum_rate + 0.5 * (self.peak - config.minimum_rate) * (1 + cos(pi * t / config.epochs))
