"""The learning rate over the epochs: a cosine with warm-up, as timm, PaddleViT or MindCV mean it."""

from __future__ import annotations

from math import cos, pi

from recipe.config import Schedule, schedule_time


class CosineSchedule:
    """Cosine with warm-up as a function of the epoch, so that it has no state to save.

    The warm-up is part of the epochs: the cosine counts from the first epoch, unless `decay_epochs` says how long it
    takes after the warm-up. The rate is constant within an epoch, unless the schedule is `per_update`.

    Args:
        config: Epochs and rates, for the global batch (`recipe.config.scaled_schedule`).
        peak: Rate at the end of the warm-up, for the global batch (`recipe.config.peak_rate`).
        updates: Updates of an epoch.
    """

    def __init__(self, config: Schedule, peak: float, updates: int = 1) -> None:
        self.config = config
        self.peak = peak
        self.updates = updates

    @property
    def epochs(self) -> int:
        """Epochs of the run, cooldown included."""
        return self.config.epochs + self.config.cooldown_epochs

    def rate(self, epoch: int, update: int = 0) -> float:
        """The rate of an update, both counted from 0."""
        config, t = self.config, schedule_time(self.config, epoch, update, self.updates)
        if t < config.warmup_epochs:
            return config.warmup_rate + t * ((self.peak - config.warmup_rate) / config.warmup_epochs)
        begin, length = config.cosine
        if t - begin >= length:
            return config.minimum_rate
        return config.minimum_rate + 0.5 * (self.peak - config.minimum_rate) * (1 + cos(pi * (t - begin) / length))
