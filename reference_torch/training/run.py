"""The whole run in torch: data, updates and evaluation, driven by the same configuration as `pit-train`.

It keeps no checkpoints: it exists for comparison, not for training over weeks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from timm.utils import accuracy
from torch import Tensor, nn

from recipe.carrying_out import Evaluation, Step
from recipe.config import Config
from recipe.draws import Randomness, Seeded
from recipe.errors import ConfigError
from recipe.samples import find
from reference_torch.training.data import EvalLoader, TrainLoader
from reference_torch.training.random import inject
from reference_torch.training.recipe import Recipe, prepare

_HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_TOP = 5


class Run:
    """A run of a configuration.

    Args:
        config: The whole configuration.
        device: `cpu` or `cuda`.
        tape: Source of the draws of data, augmentation and the model's layers; None takes the seed's streams for the
            data, and torch's own generator, seeded for each micro-batch, for the layers.

    Attributes:
        recipe: Model, optimizer, schedule, loss and average.
        training: The training images.
        validation: The images to evaluate on.
        scaler: Scales the loss in float16; None otherwise.

    Raises:
        ConfigError: The precision needs another device.
        DataError: Images are not as announced.
        TrainingError: A checkpoint holds another model.
    """

    def __init__(self, config: Config, device: str = "cpu", tape: Randomness | None = None) -> None:
        mixed = "float32" if device == "cpu" else "float16"
        half = _HALF.get(mixed if config.run.precision == "mixed" else config.run.precision)
        if half is not None and device == "cpu":
            raise ConfigError(f"run.precision={config.run.precision} is mixed precision, which is for GPUs")
        self.config, self.device = config, device
        self._tape, self._seeded = tape, Seeded(config.run.seed)
        self.recipe: Recipe = prepare(config, device=device)
        self.training = TrainLoader(config, find(config.data, "train"), tape or self._seeded)
        self.validation = EvalLoader(config, find(config.data, "validation"))
        self.scaler = torch.amp.GradScaler(device) if half is torch.float16 else None
        self._half = half

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read from the weights and what was changed, one line each."""
        return self.recipe.notes

    @property
    def epochs(self) -> int:
        """Epochs of the run, cooldown included."""
        return self.recipe.schedule.epochs

    @property
    def updates(self) -> int:
        """Updates of an epoch."""
        return self.training.updates

    @property
    def averaged(self) -> bool:
        """True if there is a moving average of the weights."""
        return self.recipe.ema is not None

    def epoch(self, epoch: int) -> Iterator[Step]:
        """Train an epoch, then set the rate of the next.

        Yields:
            Each update after it is done.
        """
        recipe = self.recipe
        recipe.model.train()
        began = time.perf_counter()
        for update, micro_batches in enumerate(self.training.epoch(epoch)):
            pairs = [(self._floating(images), self._targets(targets)) for images, targets in micro_batches]
            recipe.schedule.begin_update(epoch, update, self.training.updates)
            rate = recipe.schedule.rate
            done = recipe.update(
                pairs, before=self._randomiser(epoch, update), context=self._context, scaler=self.scaler
            )
            loss = float(torch.stack(done.losses).double().mean())
            now = time.perf_counter()
            images = sum(len(batch) for batch, _ in pairs)
            yield Step(epoch, update, loss, rate, float(done.gradient_norm), images, now - began)
            began = now
        recipe.schedule.finish_epoch(epoch)

    def evaluate(self, weights: str = "model") -> Evaluation:
        """Top-1, top-5 and loss over the validation images.

        Args:
            weights: `model` or `ema`.
        """
        model: nn.Module = self.recipe.model
        if weights == "ema" and self.recipe.ema is not None:
            model = self.recipe.ema.module
        return evaluate_model(model, self.validation, self.config, self.device, self._context)

    def _floating(self, images: Any) -> Tensor:
        return _floating(images, self.config, self.device)

    def _targets(self, targets: Any) -> Tensor:
        tensor = torch.as_tensor(targets)
        return self._floating(tensor) if tensor.is_floating_point() else tensor.to(self.device)

    def _context(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._half is None else torch.autocast(self.device, self._half)

    def _randomiser(self, epoch: int, update: int) -> Callable[[int], None]:
        """A function that seeds the layers' draws for a micro-batch of this update."""

        def randomise(micro: int) -> None:
            place = ("model", epoch, update, micro)
            if self._tape is None:
                torch.manual_seed(self._seeded.word(*place))
            else:
                inject(self.recipe.model, self._tape, *place)

        return randomise


@torch.no_grad()
def evaluate_model(
    model: nn.Module,
    validation: EvalLoader,
    config: Config,
    device: str = "cpu",
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Evaluation:
    """Return top-1, top-5 and loss of a model over images.

    Args:
        model: The model, on the device; its mode is kept.
        validation: The images.
        config: Its class count and precision matter here.
        device: `cpu` or `cuda`.
        context: Context of the forward pass.
    """
    sums, k = np.zeros(4), min(_TOP, config.model.num_classes)
    with _evaluating(model):
        for images, labels, _ in validation:
            with context():
                logits = model(_floating(images, config, device)).double()
            target = torch.as_tensor(labels, device=device)
            # timm's percentages are float32, the counts behind them exact
            hits = [round(float(share) * len(labels) / 100) for share in accuracy(logits, target, topk=(1, k))]
            loss = float(nn.functional.cross_entropy(logits, target, reduction="sum"))
            sums += np.array([len(labels), *hits, loss])
    count = sums[0]
    return Evaluation(int(count), sums[1] / count, sums[2] / count, k, sums[3] / count)


def _floating(images: Any, config: Config, device: str) -> Tensor:
    dtype = torch.float64 if config.run.precision == "float64" else torch.float32
    return torch.as_tensor(images).to(device, dtype, non_blocking=True)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
