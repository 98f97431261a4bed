"""The learning rate over the epochs: timm's cosine with warm-up, as the DeiT recipe uses it."""

from __future__ import annotations

from math import cos, pi

from recipe.config import Schedule


class CosineSchedule:
    """Cosine with warm-up as a function of the epoch, so that it has no state to save.

    The warm-up is part of the epochs: the cosine counts from the first epoch, not from the end of the warm-up. The rate
    is constant within an epoch.

    Args:
        config: Epochs and rates.
        peak: Rate at the end of the warm-up, for the global batch (`recipe.config.peak_rate`).
    """

    def __init__(self, config: Schedule, peak: float) -> None:
        self.config = config
        self.peak = peak

    @property
    def epochs(self) -> int:
        """Epochs of the run, cooldown included."""
        return self.config.epochs + self.config.cooldown_epochs

    def rate(self, epoch: int, update: int = 0) -> float:
        """The rate of an epoch, from 0, at any of its updates."""
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
