"""The program behind `pit-train --framework torch`: a request on standard input, carried out with timm's parts."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recipe import carrying_out
from recipe.carrying_out import Evaluation
from recipe.config import Config
from recipe.programs import Request
from recipe.samples import find
from reference_torch.training.data import EvalLoader, eval_transform
from reference_torch.training.run import Run, evaluate_model
from reference_torch.training.starting import start


class StateRun(Run):
    """A run that writes its state, and goes on from one: a file with DeiT's keys."""

    leads = True

    def save(self, epoch: int, path: Path) -> None:
        """Write `model`, `model_ema`, `optimizer`, `scaler`, `epoch` and `config` after an epoch."""
        recipe = self.recipe
        average = {} if recipe.ema is None else {"model_ema": recipe.ema.module.state_dict()}
        state = {"model": recipe.model.state_dict(), **average, "optimizer": recipe.optimizer.state_dict()}
        scaler = {} if self.scaler is None else {"scaler": self.scaler.state_dict()}
        torch.save({**state, **scaler, "epoch": epoch, "config": asdict(self.config)}, path)

    def restore(self, path: Path) -> int:
        """Take the state of a file, and return its epoch; raises whatever torch finds wrong with it."""
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.recipe.model.load_state_dict(saved["model"])
        if self.recipe.ema is not None:
            self.recipe.ema.module.load_state_dict(saved["model_ema"])
        self.recipe.optimizer.load_state_dict(saved["optimizer"])
        if self.scaler is not None and "scaler" in saved:  # files of earlier versions lack it
            self.scaler.load_state_dict(saved["scaler"])
        epoch = int(saved["epoch"])
        self.recipe.schedule.finish_epoch(epoch)
        return epoch


class Opened:
    """A model with its weights, in evaluation mode; see `recipe.carrying_out.Opened`."""

    def __init__(self, config: Config) -> None:
        begun = start(config)
        self.notes, self.fresh = begun.notes, begun.fresh
        self._config, self._device = config, _device(config)
        self._model = begun.model.to(self._device).eval()
        self._transform = eval_transform(config)

    def evaluate(self) -> Evaluation:
        """Evaluate on the validation images."""
        images = EvalLoader(self._config, find(self._config.data, "validation"))
        return evaluate_model(self._model, images, self._config, self._device)

    def prepare(self, image: Any) -> npt.NDArray[np.float32]:
        """Bring an RGB image to the model's size."""
        pixels: npt.NDArray[np.float32] = self._transform(image).numpy()
        return pixels

    @torch.no_grad()
    def shares(self, images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Probabilities `(batch, classes)` of images `(batch, 3, size, size)`."""
        logits = self._model(torch.from_numpy(images).to(self._device, next(self._model.parameters()).dtype))
        probabilities: npt.NDArray[Any] = logits.double().softmax(dim=1).cpu().numpy()
        return probabilities


class Torch:
    """torch and timm; see `recipe.carrying_out.Framework`."""

    latest, best = "latest.pth", "best.pth"

    def run(self, config: Config) -> StateRun:
        """Prepare a run."""
        return StateRun(config, _device(config))

    def open(self, config: Config) -> Opened:
        """Return the model that the configuration's weights hold."""
        return Opened(config)


def main(request: Request) -> None:
    """Carry out a request; raises as `recipe.carrying_out.carry_out` does."""
    carrying_out.carry_out(request, Torch())


def _device(config: Config) -> str:
    gpu = config.run.device == "gpu" or (config.run.device == "auto" and torch.cuda.is_available())
    return "cuda" if gpu else "cpu"


if __name__ == "__main__":
    sys.exit(carrying_out.run_as_program(Torch()))
