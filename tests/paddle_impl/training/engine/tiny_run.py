"""A run small enough to be killed twenty times: its parts, and a program that carries it out.

Run as `python tiny_run.py '{"run": {"output": "out"}}'`, alone or under `paddle.distributed.launch`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from paddle_impl.training.ema import Ema
from paddle_impl.training.losses import RecipeLoss
from paddle_impl.training.optimizer import AdamW
from paddle_impl.training.parallel import World
from paddle_impl.training.parts import Array, MicroBatch, Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.run import train
from recipe.config import Config
from recipe.draws import Randomness
from recipe.schedule import CosineSchedule

SIZE, CLASSES, IMAGES = 8, 3, 70
SETTINGS: dict[str, dict[str, Any]] = {
    "model": {"name": "tiny", "image_size": SIZE, "num_classes": CLASSES},
    "data": {"batch_size": 4, "workers": 0, "validation": "101"},
    "optimizer": {"learning_rate": 1e-2, "base_batch": 0},
    "schedule": {"epochs": 3, "warmup_epochs": 1, "cooldown_epochs": 0},
    "ema": {"decay": 0.9},
    "run": {"output": "run", "log_every": 4, "save_updates": 2, "save_every": 2, "accumulation": 2},
}


class Net(nn.Layer):
    """Draws from the framework's generator in training."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * SIZE * SIZE, 16)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(batch, 3, 8, 8)`, returns `(batch, classes)`."""
        return self.head(self.drop(nn.functional.gelu(self.hidden(x.flatten(1)))))


def step(parts: Parts) -> None:
    """Make an update of the weights and the average, always the same one."""
    paddle.seed(0)
    parts.optimizer.set_lr(1e-2)
    parts.model(paddle.ones([2, 3, SIZE, SIZE])).square().sum().backward()
    parts.optimizer.step()
    parts.optimizer.clear_grad()
    assert parts.average is not None
    parts.average.update()


def tensors(parts: Parts) -> dict[str, bytes]:
    """Return the bytes of weights, average and moments by name."""
    assert parts.average is not None
    states = {
        "model": parts.model.state_dict(),
        "ema": parts.average.model.state_dict(),
        "optimizer": parts.optimizer.named_state(),
    }
    return {
        f"{kind}/{name}": tensor.numpy().tobytes() for kind, state in states.items() for name, tensor in state.items()
    }


class Images:
    """Noise around a class's own brightness, in the order and with the draws of the recipe."""

    def __init__(self, config: Config, world: World, randomness: Randomness) -> None:
        self.batch, self.accumulation = config.data.batch_size, config.run.accumulation
        self.world, self.randomness = world, randomness
        self.count = int(config.data.train or IMAGES)
        self.updates = self.count // (self.batch * self.accumulation * world.size)

    def epoch(self, epoch: int, start_update: int = 0) -> Iterator[tuple[MicroBatch, ...]]:
        """The updates from one on."""
        order = self.randomness.stream("order", epoch).permutation(self.count)
        for update in range(start_update, self.updates):
            first = (update * self.world.size + self.world.rank) * self.accumulation
            yield tuple(self._micro_batch(epoch, order, first + k) for k in range(self.accumulation))

    def _micro_batch(self, epoch: int, order: Array, number: int) -> MicroBatch:
        positions = range(number * self.batch, (number + 1) * self.batch)
        images = [
            self.randomness.stream("sample", epoch, at).normal(order[at] % CLASSES, 1, (3, SIZE, SIZE))
            for at in positions
        ]
        return np.stack(images).astype(np.float32), np.asarray([order[at] % CLASSES for at in positions], np.int64)


class Validation:
    """Images of which each rank has every so many."""

    def __init__(self, world: World, randomness: Randomness, count: int) -> None:
        self.numbers = np.arange(count)[world.rank :: world.size]
        self.randomness, self.count = randomness, len(self.numbers)

    def __iter__(self) -> Iterator[tuple[Array, Array, Array]]:
        for start in range(0, len(self.numbers), 128):
            numbers = self.numbers[start : start + 128]
            images = [
                self.randomness.stream("validation", int(at)).normal(at % CLASSES, 3, (3, SIZE, SIZE)) for at in numbers
            ]
            yield np.stack(images).astype(np.float32), numbers % CLASSES, numbers


def assemble(config: Config, world: World, precision: Precision, randomness: Randomness) -> Parts:
    """The parts of the tiny run."""
    model = Net()
    model.to(dtype=precision.parameters)
    return Parts(
        model=model,
        loss=RecipeLoss(config),
        optimizer=AdamW(model, config.optimizer, 0.0),
        schedule=CosineSchedule(config.schedule, config.optimizer.learning_rate),
        average=Ema(model, config.ema.decay) if config.ema.decay else None,
        training=Images(config, world, randomness),
        validation=Validation(world, randomness, int(config.data.validation or 0)),
        fingerprint="noise",
    )


def config_of(**changes: dict[str, Any]) -> Config:
    """The run's configuration, with settings changed by section."""
    config = Config()
    for section in {*SETTINGS, *changes}:
        settings = SETTINGS.get(section, {}) | changes.get(section, {})
        config = replace(config, **{section: replace(getattr(config, section), **settings)})
    return config


def main(text: str) -> int:
    """Trains, resuming what is there."""
    return train(config_of(**json.loads(text)), resume="auto", assemble=assemble).exit_code


if __name__ == "__main__":
    paddle.set_device("cpu")
    sys.exit(main(sys.argv[1]))
