"""The program behind `pit-train --framework mindspore`: a request on standard input, carried out by MindCV's parts."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from typing import Any

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import nn

from mindspore_impl.training.parallel import World, join, leave
from mindspore_impl.training.run import Run, evaluate_model, logits_of
from mindspore_impl.training.starting import Builder, create_model, start
from recipe import carrying_out
from recipe.augmentation.loader import EvalLoader
from recipe.augmentation.transforms import EvalTransform
from recipe.carrying_out import Evaluation
from recipe.config import Config
from recipe.errors import ConfigError
from recipe.samples import find

_BATCH = 32
"""Images of a batch in a prediction."""
_DEVICES = {"auto": ("Ascend", "CPU"), "cpu": ("CPU",), "gpu": ("GPU",)}


class Opened:
    """A model with its weights, in evaluation mode; see `recipe.carrying_out.Opened`.

    Args:
        config: The configuration, which names the weights.
        builder: Makes the model; by default MindCV's.
    """

    def __init__(self, config: Config, builder: Builder = create_model) -> None:
        begun = start(config, builder)
        self.notes, self.fresh = begun.notes, begun.fresh
        self._config, self._model = config, begun.model.set_train(False)
        self.prepare: EvalTransform = EvalTransform.of(config)

    def evaluate(self) -> Evaluation:
        """Evaluate on the validation images, in float32."""
        return evaluate_model(self._model, EvalLoader(self._config, find(self._config.data, "validation")))

    def shares(self, images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Probabilities `(batch, classes)` of images `(batch, 3, size, size)`."""
        logits = logits_of(self._model, images, max(_BATCH, len(images)))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: npt.NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
        return shares


class MindSpore:
    """MindSpore and MindCV; see `recipe.carrying_out.Framework`."""

    latest, best = "latest.ckpt", "best.ckpt"

    def __init__(self) -> None:
        self.world = World()

    def run(self, config: Config) -> Run:
        """Prepare a run."""
        set_up(config)
        self.world = join()
        return Run(config, world=self.world)

    def open(self, config: Config) -> Opened:
        """Return the model that the configuration's weights hold."""
        set_up(config)
        return Opened(config)


def set_up(config: Config) -> None:
    """Set the device and the mode of the process.

    Raises:
        ConfigError: There is no such device.
    """
    graph = config.mindspore.mode == "graph"
    mindspore.set_context(mode=mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)
    mindspore.set_context(save_graphs_path=tempfile.gettempdir())  # where MindSpore leaves what failed to compile
    names = _DEVICES[config.run.device]
    device = next((name for name in names if mindspore.hal.is_available(name)), None)
    if device is None:
        raise ConfigError(f"run.device is {config.run.device}, which this MindSpore has not: take auto or cpu")
    mindspore.set_device(device)


def end(code: int, world: World) -> None:
    """End the process with an exit code.

    MindSpore complains of every layer that is left at the interpreter's end, so that one process alone leaves without
    it. One of several has to go that way: there MindSpore signs off from msrun's scheduler, which otherwise takes the
    process for dead half a minute later, and fails the run.
    """
    leave(world)
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    if world.share is None:
        os._exit(code)
    nn.Cell.__del__ = lambda cell: None  # what complains
    sys.exit(code)


if __name__ == "__main__":
    framework = MindSpore()
    code = carrying_out.run_as_program(framework)
    end(code, framework.world)
