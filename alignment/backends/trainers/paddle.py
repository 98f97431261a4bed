"""The port's training code behind `Trainer`: the engine, loaders and parts that `pit-train` runs with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import paddle
from paddle import Tensor, nn

from alignment.arrays import Array
from alignment.backends.measured_rates import drawn
from alignment.backends.trainers.base import Updated, build
from alignment.backends.trainers.recipe_images import RecipeImages
from alignment.errors import AlignmentError
from alignment.pair import Side
from paddle_impl.layers import Dropout, DropPath
from paddle_impl.training.ema import Ema
from paddle_impl.training.engine import Engine, Follower, Timetable, Update
from paddle_impl.training.injection import canonical
from paddle_impl.training.losses import RecipeLoss
from paddle_impl.training.optimizer import AdamW
from paddle_impl.training.parallel import World
from paddle_impl.training.parts import Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.predicting import Predictor
from paddle_impl.training.starting import load_teacher
from paddle_impl.training.state import Progress
from recipe.augmentation.loader import TrainLoader
from recipe.classes import ClassName
from recipe.config import Config
from recipe.schedule import CosineSchedule

_MOMENTS = {"first": "moment1", "second": "moment2"}
_LATE = 10**6


class PaddleTrainer(RecipeImages):
    """See `alignment.backends.trainers.base.Trainer`.

    Args:
        side: How the model is built.
        config: The configuration; its rate is that of the global batch (`optimizer.base_batch` is 0).

    Raises:
        AlignmentError: The model cannot be built with the configuration's rates.
    """

    def __init__(self, side: Side, config: Config) -> None:
        super().__init__(config)
        self.side = side
        self._processes = World()
        self._precision = Precision.of(config.run.precision, paddle.get_device().partition(":")[0])
        self._loss = RecipeLoss(config, load_teacher(config))
        self.parts = self._assemble(self._built())

    def _built(self) -> nn.Layer:
        model: nn.Layer = build(self.side, self.config)
        model.to(dtype=self.config.run.precision)
        model.train()
        return model

    def _assemble(self, model: nn.Layer) -> Parts:
        config = self.config
        schedule = CosineSchedule(config.schedule, config.optimizer.learning_rate)
        return Parts(
            model=model,
            loss=self._loss,
            optimizer=AdamW(model, config.optimizer, schedule.rate(0, 0)),
            schedule=schedule,
            average=Ema(model, config.ema.decay) if config.ema.decay else None,
            training=cast(Any, None),
            validation=None,
        )

    def join(self, processes: World) -> None:
        """Train from now on as one of these ranks."""
        self._processes = processes

    def start(self, weights: Mapping[str, Array]) -> None:
        """Begin anew from a state dict."""
        own = self.parts.model.state_dict()
        for name, array in weights.items():
            own[name].set_value(np.asarray(array, own[name].numpy().dtype))
        self.parts = self._assemble(self.parts.model)

    def weights(self) -> dict[str, Array]:
        """The state dict as it is now."""
        return _arrays(self.parts.model)

    def average(self) -> dict[str, Array]:
        """The state dict of the moving average."""
        return {} if self.parts.average is None else _arrays(self.parts.average.model)

    def moments(self) -> dict[str, dict[str, Array]]:
        """`first` and `second` moment of every parameter."""
        state = self.parts.optimizer.named_state()
        own = dict(self.parts.model.named_parameters())
        return {
            kind: {
                name: _array(state.get(f"{key}/{name}", paddle.zeros_like(parameter)))
                for name, parameter in own.items()
            }
            for kind, key in _MOMENTS.items()
        }

    def rates(self) -> Array:
        """The rate at the first and at a late update of every epoch."""
        schedule = self.parts.schedule
        epochs = self.config.schedule.epochs + self.config.schedule.cooldown_epochs
        return np.asarray([[schedule.rate(epoch, update) for update in (0, _LATE)] for epoch in range(epochs)])

    def drop_rates(self) -> dict[str, float]:
        """Rate of every dropout and drop path above zero; of classes that are not known it is measured."""
        rates = {}
        for path, layer in self.parts.model.named_sublayers():
            if isinstance(layer, DropPath):
                rates[f"drop_path/{canonical(path)}"] = float(layer.drop_prob)
            elif isinstance(layer, (Dropout, nn.Dropout)):
                rates[f"dropout/{canonical(path)}"] = float(layer.p)
        state, known = paddle.get_rng_state(), (DropPath, Dropout, nn.Dropout)
        others = drawn(self.parts.model, self._called, lambda layer: isinstance(layer, known))
        paddle.set_rng_state(state)
        rates |= {f"{one.kind}/{canonical(path)}": one.rate for path, one in others.items()}
        return {path: rate for path, rate in rates.items() if rate}

    @paddle.no_grad()
    def _called(self, layer: Any, ones: Array) -> Array:
        dtype = next((parameter.dtype for parameter in self.parts.model.parameters()), "float32")
        return _array(layer(paddle.to_tensor(ones, dtype=dtype)))

    def apply(self, gradients: Mapping[str, Array], rate: float) -> None:
        """One step of the optimiser with these gradients."""
        optimizer = self.parts.optimizer
        for name, parameter in self.parts.model.named_parameters():
            parameter.grad = paddle.to_tensor(gradients[name], dtype=parameter.dtype)
        optimizer.set_lr(rate)
        optimizer.step()
        optimizer.clear_grad()

    def train(self, updates: int, world: int = 1) -> list[Updated]:
        """Let the engine train until so many updates are done."""
        if world != self._processes.size:
            from alignment.backends.trainers.launch_ranks import train_in_ranks

            done, weights, average = train_in_ranks(self.side, self.config, self.weights(), updates, world)
            _set(self.parts.model, weights)
            if self.parts.average is not None:
                _set(self.parts.average.model, average)
            return done
        return self._train(updates)

    def _train(self, updates: int) -> list[Updated]:
        stop = _StopAfter(self.parts.optimizer, self.parts.model, updates)
        parts = replace(self.parts, loss=self._loss, optimizer=cast(Any, stop), training=self._loader())
        epochs = self.config.schedule.epochs + self.config.schedule.cooldown_epochs
        engine = Engine(
            parts,
            Timetable(epochs, validate_every=0),
            cast(Any, _NoStore()),
            stop,
            cast(Any, stop),
            seed=self.config.run.seed,
            world=self._processes,
            precision=self._precision,
            tape=self._tape,
        )
        engine.run(Progress())
        if len(stop.done) < updates:
            raise AlignmentError(f"{updates} updates are asked for, and the configuration ends after {len(stop.done)}")
        return stop.done

    def _loader(self) -> TrainLoader:
        return TrainLoader(self.config, self._samples(), self._tape, self._processes.size, self._processes.rank)

    def initial(self, seed: int) -> dict[str, Array]:
        """The state dict of a freshly built model."""
        paddle.seed(seed)
        return _arrays(build(self.side, self.config))

    def probabilities(self, images: Sequence[Path], weights: Path) -> Array:
        """What `pit-train predict` says of image files."""
        count = self.config.model.num_classes
        predict = Predictor(self.config, weights, [ClassName(at, str(at), str(at)) for at in range(count)])
        shares = np.full((len(images), count), np.nan)
        for row, prediction in enumerate(predict(images, top=count)):
            for name, share in prediction.classes:
                shares[row, name.index] = share
        return shares


create = PaddleTrainer


class _NoStore:
    """A store of checkpoints that keeps none."""

    def save(self, tensors: Any, also: Any = ()) -> None:
        """Write nothing, since no checkpoint is kept."""


class _StopAfter(Follower):
    """Records every update of the engine and ends the training after some; stands in for its optimizer.

    Args:
        optimizer: The optimizer that does the steps.
        model: The model whose gradients are measured before each step.
        updates: Number of updates after which the training ends.
    """

    def __init__(self, optimizer: Any, model: nn.Layer, updates: int) -> None:
        self._optimizer, self._model, self._updates = optimizer, model, updates
        self._rate = self._norm = float("nan")
        self.done: list[Updated] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    @property
    def requested(self) -> str | None:
        """A reason to stop if the update that runs is the last one; the engine reads it within every update."""
        return "enough" if len(self.done) + 1 >= self._updates else None

    def step(self) -> None:
        """Record the norm of the gradients and the rate, then step."""
        gradients = [parameter.grad for parameter in self._model.parameters() if parameter.grad is not None]
        squares = paddle.stack([gradient.astype("float64").square().sum() for gradient in gradients])
        self._norm, self._rate = float(squares.sum().sqrt()), float(self._optimizer.get_lr())
        self._optimizer.step()

    def updated(self, update: Update) -> None:
        """Record the loss, the rate and the norm of an update."""
        self.done.append(Updated(float(update.loss), self._rate, self._norm))


def _set(model: nn.Layer, arrays: Mapping[str, Array]) -> None:
    for name, tensor in model.state_dict().items():
        tensor.set_value(arrays[name])


def _arrays(model: nn.Layer) -> dict[str, Array]:
    return {name: _array(tensor) for name, tensor in model.state_dict().items()}


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy().copy()
