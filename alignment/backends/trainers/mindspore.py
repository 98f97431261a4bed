"""MindCV's models behind `Trainer`: the recipe, the loop and the programs of `pit-train --framework mindspore`.

Rates, weights and moments are float32 there, whatever precision is asked for: MindSpore has no float64 convolution.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn

from alignment.arrays import Array
from alignment.backends.trainers.base import Updated, build
from alignment.backends.trainers.launch_ranks import train_in_ranks
from alignment.backends.trainers.recipe_images import RecipeImages
from alignment.errors import AlignmentError
from alignment.pair import Side, targets
from mindspore_impl.mindcv import PoolingTransformer
from mindspore_impl.training.cells import norm_of
from mindspore_impl.training.parallel import World
from mindspore_impl.training.program import Opened, set_up
from mindspore_impl.training.recipe import Recipe, drop_path_rates
from mindspore_impl.training.run import Run
from mindspore_impl.training.starting import load_arrays, parameters
from recipe.config import Config
from recipe.images import read_image
from recipe.limits import check_for

_MOMENTS = {"first": "adam_m", "second": "adam_v"}
_UPDATES = 2
"""Updates of an epoch where no images are read: a first one and a last one."""
_DROPS = ("drop_rate", "attn_drop_rate")
_MENDED = ("exact_gelu", "reference_init")
"""Settings of MindCV's builder that are on unless the configuration turns them off."""
_DROPOUTS = {"mlp.drop": ("mlp.drop1", "mlp.drop2")}
"""MindCV's dropouts that are called at two places, where the reference has two layers."""


class MindSporeTrainer(RecipeImages):
    """See `alignment.backends.trainers.base.Trainer`.

    Args:
        side: How the model is built.
        config: The configuration; its rate is that of the global batch (`optimizer.base_batch` is 0).

    Raises:
        AlignmentError: The model cannot be built with the configuration's rates, or is not one of MindCV's.
        ConfigError: MindCV cannot carry the configuration out.
    """

    def __init__(self, side: Side, config: Config) -> None:
        config = replace(config, run=replace(config.run, precision="float32"))
        check_for("mindspore", "train", config, {})
        set_up(config)
        super().__init__(config)
        self.side = side
        self._world = World()
        self.recipe = self._fresh()

    def join(self, world: World) -> None:
        """Train from now on as one of several processes."""
        self._world = world

    def _built(self, config: Config) -> nn.Cell:
        """The side's model, freshly initialised, in training mode."""
        ours = {name: False for name in _MENDED if not getattr(config.mindspore, name)}
        side = replace(self.side, options={**self.side.options, **ours})
        pit = config.model.name.startswith("pit")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MindCV's own classes use what MindSpore has newer names for
            model: nn.Cell = build(side, config) if pit else targets.resolve(side.build)(**side.options)
        if pit and not isinstance(model, PoolingTransformer):
            raise AlignmentError(
                f"{side.build} makes a {type(model).__name__}, and {self.side.training} trains MindCV's "
                "PoolingTransformer; name a trainer of your own as Side.training"
            )
        return model.set_train()

    def _fresh(self) -> Recipe:
        return Recipe(self.config, _UPDATES, builder=self._built)

    def start(self, weights: Mapping[str, Array]) -> None:
        """Begin anew from a state dict."""
        self.recipe = self._fresh()
        _load(self.recipe, weights)

    def weights(self) -> dict[str, Array]:
        """The state dict as it is now."""
        return _arrays(self.recipe.model)

    def average(self) -> dict[str, Array]:
        """The state dict of the moving average."""
        average = self.recipe.average
        return {} if average is None else {name.removeprefix("ema."): own for name, own in _arrays(average).items()}

    def moments(self) -> dict[str, dict[str, Array]]:
        """`first` and `second` moment of every parameter."""
        state = {parameter.name: parameter for parameter in self.recipe.optimizer.get_parameters()}
        names = [parameter.name for parameter in self.recipe.model.trainable_params()]
        return {kind: {name: _array(state[f"{prefix}.{name}"]) for name in names} for kind, prefix in _MOMENTS.items()}

    def rates(self) -> Array:
        """The rate that the optimizer takes at the first and at the last update of every epoch, float32."""
        recipe = self._fresh()
        steps = [epoch * _UPDATES + update for epoch in range(recipe.schedule.epochs) for update in (0, _UPDATES - 1)]
        return np.array([_rate_at(recipe, step) for step in steps], np.float32).reshape(-1, 2)

    def drop_rates(self) -> dict[str, float]:
        """Rate of every dropout, and of every drop path as training draws it, above zero."""
        model = self.recipe.model
        rates: dict[str, float] = {}
        for path, cell in model.cells_and_names():
            if isinstance(cell, nn.Dropout) and not path.endswith("drop_path.dropout"):
                end = ".".join(path.rsplit(".", 2)[-2:])
                places = _DROPOUTS.get(end, (end,))
                rates |= {f"dropout/{path.removesuffix(end)}{place}": float(cell.p) for place in places}
        if isinstance(model, PoolingTransformer):
            rates |= _drop_paths(model, self.config.model.drop_path_rate)
        return {path: rate for path, rate in rates.items() if rate}

    def apply(self, gradients: Mapping[str, Array], rate: float) -> None:
        """One step of the optimizer with these gradients; the average stays as it is."""
        table: Parameter = self.recipe.optimizer.learning_rate.learning_rate
        table.set_data(Tensor(np.full(table.shape, rate, np.float32)))
        names = [parameter.name for parameter in self.recipe.model.trainable_params()]
        given = tuple(Tensor(np.asarray(gradients[name], np.float32)) for name in names)
        self.recipe.step(given, float(norm_of(given).asnumpy()), 1.0)

    def train(self, updates: int, world: int = 1) -> list[Updated]:
        """Let a run of `pit-train` train from the weights as they are, with a fresh optimizer, until so many are done.

        Raises:
            AlignmentError: Dropouts are on, which draw from MindSpore's generator, or a process failed.
        """
        for name in _DROPS:
            if getattr(self.config.model, name):
                raise AlignmentError(
                    f"model.{name} is {getattr(self.config.model, name)}: MindSpore's dropouts draw from its own "
                    f"generator, so that no other framework drops the same; --set model.{name}=0, or leave train out"
                )
        if world != self._world.size:
            done, weights, average = train_in_ranks(self.side, self.config, self.weights(), updates, world)
            load_arrays(parameters(self.recipe.model), weights)
            if self.recipe.average is not None:
                load_arrays(parameters(self.recipe.average), {f"ema.{name}": own for name, own in average.items()})
            return done
        return self._train(updates)

    def _train(self, updates: int) -> list[Updated]:
        run = Run(self.config, self._tape, self._world, self._built)
        _load(run.recipe, self.weights())
        self.recipe = run.recipe
        done: list[Updated] = []
        for step in (step for epoch in range(run.epochs) for step in run.epoch(epoch)):
            rate = _rate_at(run.recipe, len(done))
            done.append(Updated(step.loss, rate, step.gradient_norm))
            if len(done) == updates:
                return done
        raise AlignmentError(f"{updates} updates are asked for, and the configuration ends after {len(done)}")

    def initial(self, seed: int) -> dict[str, Array]:
        """The state dict of a freshly built model."""
        mindspore.set_seed(seed)
        np.random.seed(seed)  # MindCV draws from it
        return _arrays(self._built(self.config))

    def probabilities(self, images: Sequence[Path], weights: Path) -> Array:
        """What `pit-train predict --framework mindspore` says of image files."""
        config = replace(self.config, model=replace(self.config.model, weights=str(weights)))
        opened = Opened(config, self._built)
        return opened.shares(np.stack([opened.prepare(read_image(path)) for path in images]))


create = MindSporeTrainer


def _load(recipe: Recipe, weights: Mapping[str, Array]) -> None:
    """Give the model, and the average if there is one, the values of a state dict."""
    load_arrays(parameters(recipe.model), weights)
    if recipe.average is not None:
        load_arrays(parameters(recipe.average), {f"ema.{name}": array for name, array in weights.items()})


def _rate_at(recipe: Recipe, step: int) -> float:
    """The rate of a step as the optimizer reads it; the number of its steps stays as it is."""
    rate = recipe.optimizer.learning_rate(Tensor([step], mindspore.int32))
    return float(_array(rate).reshape(()))


def _drop_paths(model: PoolingTransformer, highest: float) -> dict[str, float]:
    """The rate of every drop path as training draws it, by its path in the reference."""
    paths = [
        f"drop_path/transformers.{stage}.blocks.{block}.drop_path"
        for stage, transformer in enumerate(model.transformers)
        for block in range(len(transformer.blocks))
    ]
    drawn = zip(paths, drop_path_rates(model, highest), strict=True)
    return {f"{path}{place}": rate for path, rate in drawn for place in (1, 2)}


def _arrays(model: nn.Cell) -> dict[str, Array]:
    return {name: _array(parameter) for name, parameter in parameters(model).items()}


def _array(tensor: Any) -> Array:
    return np.array(tensor.asnumpy())
