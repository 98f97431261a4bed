"""The learning rate for a global batch."""

from __future__ import annotations

from recipe.config import Config


def global_batch(config: Config, world: int = 1) -> int:
    """Return the images in an update, over all devices and micro-batches."""
    return world * config.run.accumulation * config.data.batch_size


def peak_rate(config: Config, world: int = 1) -> float:
    """Return the rate at the end of the warm-up: in proportion to the global batch, unless `base_batch` is 0.

    Args:
        config: The whole configuration.
        world: Number of devices.
    """
    rate, base = config.optimizer.learning_rate, config.optimizer.base_batch
    return rate * global_batch(config, world) / base if base else rate
