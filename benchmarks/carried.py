"""Carries a training run from torch to Paddle and back, and measures how far it is from one that never left.

Both runs begin with the same updates in torch, in float64, on the same images. `pit-port convert --with-optimizer`
carries one of them to Paddle; it is carried back at once, or after half of the further updates were made in Paddle.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import paddle
import torch

from paddle_impl import pit as paddle_pit
from paddle_impl.training.ema import Ema
from paddle_impl.training.foreign_state import restore_foreign
from paddle_impl.training.optimizer import AdamW
from paddle_impl.training.parts import Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.state import Progress, capture
from porting import convert
from porting.checkpoint.formats.nested import write_nested
from recipe.config import Optimizer
from reference_torch import pit as torch_pit  # before timm, so that it imports beside any torchvision
from reference_torch.training.recipe import create_optimizer

MODEL, SIZE, CLASSES, BATCH = "pit_micro", 32, 10, 4
RATE, DECAY, RECIPE = 1e-3, 0.9, Optimizer(weight_decay=0.05)
Array = npt.NDArray[Any]


@dataclass
class TorchRun:
    """A run in torch: model, timm's AdamW and a moving average."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: torch.nn.Module

    @classmethod
    def begun(cls) -> TorchRun:
        """Return a run that begins."""
        torch.manual_seed(0)
        model, average = (torch_pit.create(MODEL, image_size=SIZE, num_classes=CLASSES).double() for _ in range(2))
        average.load_state_dict(model.state_dict())
        return cls(model.train(), create_optimizer(model, RECIPE, RATE), average)

    @classmethod
    def read(cls, path: Path) -> TorchRun:
        """Return a run from a checkpoint, as DeiT's program takes it up."""
        run, saved = cls.begun(), torch.load(path, weights_only=True)
        run.model.load_state_dict(saved["model"])
        run.average.load_state_dict(saved["model_ema"])
        run.optimizer.load_state_dict(saved["optimizer"])
        return run

    def save(self, path: Path) -> None:
        """Write a checkpoint with DeiT's keys."""
        state = {"model": self.model.state_dict(), "model_ema": self.average.state_dict(), "epoch": 0}
        torch.save({**state, "optimizer": self.optimizer.state_dict(), "lr_scheduler": {}}, path)

    def update(self, number: int) -> None:
        """Make one update."""
        images, labels = batch(number)
        logits = self.model(torch.from_numpy(images))
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
                mean.mul_(DECAY).add_(value * (1 - DECAY))

    def tensors(self) -> Iterator[tuple[str, Array]]:
        """Yield weights, average and moments."""
        for kind, model in (("weights", self.model), ("average", self.average)):
            yield from ((kind, tensor.numpy()) for tensor in model.state_dict().values())
        for state in self.optimizer.state_dict()["state"].values():
            yield from (("moments", state[kind].numpy()) for kind in ("exp_avg", "exp_avg_sq"))


def batch(number: int) -> tuple[Array, Array]:
    """Return images `(batch, 3, height, width)` in float64 and their labels, the same for the same number."""
    draws = np.random.default_rng(number)
    return draws.standard_normal((BATCH, 3, SIZE, SIZE)), draws.integers(0, CLASSES, BATCH)


def in_paddle(source: Path, target: Path, numbers: range) -> None:
    """Take up a checkpoint of torch in Paddle, make updates, and write a checkpoint of `pit-train`."""
    model = paddle_pit.create(MODEL, image_size=SIZE, num_classes=CLASSES).to(dtype="float64")
    model.train()
    optimizer, average = AdamW(model, RECIPE, RATE), Ema(model, DECAY)
    parts: Any = _Parts(model, optimizer, average)
    restore_foreign(source, parts, Precision(), None)
    for number in numbers:
        images, labels = batch(number)
        logits = model(paddle.to_tensor(images))
        paddle.nn.functional.cross_entropy(logits, paddle.to_tensor(labels)).backward()
        optimizer.step()
        optimizer.clear_grad()
        average.update()
    whole: Parts = parts
    write_nested(target, capture(whole, Precision(), Progress(epoch=1, rate=RATE), {}))


@dataclass
class _Parts:
    """What of `Parts` a state has."""

    model: paddle.nn.Layer
    optimizer: AdamW
    average: Ema


def measure(updates: int, before: int = 3) -> dict[str, dict[str, float]]:
    """Return the largest differences after so many updates, by way and kind of tensor, relative to the largest value.

    Args:
        updates: Updates after the run was carried.
        before: Updates in torch before.
    """
    stayed = TorchRun.begun()
    for number in range(before):
        stayed.update(number)
    with tempfile.TemporaryDirectory() as folder:
        start, there, back = (Path(folder) / name for name in ("start.pth", "there.pdparams", "back.pth"))
        stayed.save(start)
        convert(start, there, with_optimizer=True)
        convert(there, back, with_optimizer=True)
        at_once = TorchRun.read(back)
        in_paddle(start, there, range(before, before + updates // 2))
        convert(there, back, with_optimizer=True, overwrite=True)
        later = TorchRun.read(back)
    _continue(later.update, range(before + updates // 2, before + updates))
    for run in (stayed, at_once):
        _continue(run.update, range(before, before + updates))
    return {
        "there and back at once": _differences(stayed, at_once),
        f"{updates // 2} of {updates} updates in Paddle": _differences(stayed, later),
    }


def _continue(update: Callable[[int], None], numbers: range) -> None:
    for number in numbers:
        update(number)


def _differences(one: TorchRun, two: TorchRun) -> dict[str, float]:
    largest: dict[str, float] = {}
    for (kind, stayed), (_, carried) in zip(one.tensors(), two.tensors(), strict=True):
        error = float(np.abs(stayed - carried).max() / max(float(np.abs(stayed).max()), 1e-300))
        largest[kind] = max(largest.get(kind, 0.0), error)
    return largest


@click.command()
@click.option("--updates", default=20, show_default=True, type=click.IntRange(min=2), help="Updates after carrying.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(updates: int, as_json: bool) -> None:
    """Carry a run of pit_micro in float64 to Paddle and back, and print how far it is from one that never left."""
    result = measure(updates)
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"{MODEL}, {updates} updates after carrying, float64: largest difference over the largest value")
    for way, kinds in result.items():
        click.echo(f"  {way:<32}" + "  ".join(f"{kind} {error:.1e}" for kind, error in kinds.items()))


if __name__ == "__main__":
    main()
