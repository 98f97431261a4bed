"""A run in MindSpore: data, updates, evaluation and state, driven by the same configuration as in Paddle and torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import Tensor, nn, ops

from mindspore_impl.training.parallel import World
from mindspore_impl.training.recipe import Recipe, drop_path_factors, drop_path_rates
from mindspore_impl.training.starting import Builder, create_model, load_arrays, parameters
from porting.checkpoint import LazyTensor
from porting.training_state.scaler import read_mindspore_scaler
from recipe.accuracy import TOP, sums_of
from recipe.augmentation.loader import EvalLoader, TrainLoader
from recipe.carrying_out import Evaluation, Step
from recipe.config import Config
from recipe.draws import Randomness, Seeded
from recipe.errors import DataError, TrainingError
from recipe.samples import find

_STATE = ("global_step", "beta1_power", "beta2_power")
_MOMENTS = ("adam_m.", "adam_v.")


class Run:
    """A run of a configuration.

    Args:
        config: The whole configuration.
        tape: Source of the draws of data, augmentation and drop paths; None takes the seed's streams.
        world: The processes that share a global batch; one by default.
        builder: Makes the model; by default MindCV's.

    Attributes:
        recipe: Model, optimizer, schedule, loss and average.
        training: The training images.
        validation: The images to evaluate on.

    Raises:
        DataError: Images are not as announced.
        TrainingError: A checkpoint holds another model.
    """

    def __init__(
        self,
        config: Config,
        tape: Randomness | None = None,
        world: World | None = None,
        builder: Builder = create_model,
    ) -> None:
        self.config, self._tape = config, tape or Seeded(config.run.seed)
        self._world = world = world or World()
        self.training = TrainLoader(config, find(config.data, "train"), self._tape, world.size, world.rank)
        self.validation = EvalLoader(config, find(config.data, "validation"))
        self.recipe = Recipe(config, self.training.updates, world, builder)

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
        return self.recipe.average is not None

    @property
    def leads(self) -> bool:
        """True for the process that writes the files of the run."""
        return self._world.rank == 0

    def epoch(self, epoch: int) -> Iterator[Step]:
        """Train an epoch.

        Yields:
            Each update after it is done.
        """
        began = time.perf_counter()
        for update, micro_batches in enumerate(self.training.epoch(epoch)):
            done = self.recipe.update(micro_batches, self._factors(epoch, update, len(micro_batches)))
            now = time.perf_counter()
            images = sum(len(images) for images, _ in micro_batches) * self._world.size
            loss, rate = done.loss, self.recipe.schedule.rate(epoch, update)
            yield Step(epoch, update, loss, rate, done.gradient_norm, images, now - began)
            began = now

    def evaluate(self, weights: str = "model") -> Evaluation:
        """Top-1, top-5 and loss over the validation images.

        Args:
            weights: `model` or `ema`.
        """
        average = self.recipe.average if weights == "ema" else None
        return evaluate_model(self.recipe.model if average is None else average, self.validation)

    def save(self, epoch: int, path: Path) -> None:
        """Write weights, average, moments, epochs and loss scale, by MindCV's and MindSpore's names, to a `.ckpt`."""
        recipe = self.recipe
        state = {parameter.name: parameter for parameter in recipe.optimizer.get_parameters()}
        kept = {name: value for name, value in state.items() if name in _STATE or name.startswith(_MOMENTS)}
        everything = {**parameters(recipe.model), **_all(recipe.average), **kept}
        everything["epoch_num"] = Tensor([epoch + 1], mindspore.int32)  # MindSpore's name of the epochs that are done
        everything["loss_scale"] = Tensor([recipe.scale.value], mindspore.float32)
        if recipe.scale.dynamic:
            everything["current_iterator_step"] = Tensor([recipe.scale.good], mindspore.int32)
        listed = [{"name": name, "data": value} for name, value in everything.items()]
        mindspore.save_checkpoint(listed, str(path), crc_check=True)
        path.chmod(0o644)  # MindSpore leaves its files read-only

    def restore(self, path: Path) -> int:
        """Take the state of a file, and return its epoch; raises whatever is wrong with it."""
        saved = mindspore.load_checkpoint(str(path), crc_check=True)
        own = {parameter.name: parameter for parameter in self.recipe.optimizer.get_parameters()}
        own |= {**parameters(self.recipe.model), **_all(self.recipe.average)}
        arrays = {name: value.asnumpy() for name, value in saved.items()}
        wanted = {name for name in own if name != "learning_rate"}
        if missing := sorted(wanted - arrays.keys()):
            raise TrainingError(f"it lacks {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
        load_arrays(own, {name: arrays[name] for name in wanted})
        scaler, _ = read_mindspore_scaler({name: LazyTensor.of(array) for name, array in arrays.items()})
        if scaler is not None and self.recipe.scale.dynamic and not scaler.fixed:
            self.recipe.scale.value, self.recipe.scale.good = scaler.scale, scaler.passed
        return _epoch(arrays)

    def _factors(self, epoch: int, update: int, micro_batches: int) -> Callable[[int, int], Any]:
        """Factors of the drop paths by the number of the micro-batch and its images."""
        model, first = self.recipe.model, self._world.rank * micro_batches
        if not self.config.model.name.startswith("pit"):
            return lambda micro, batch: np.ones((1, batch, 1, 1), np.float32)
        rates = drop_path_rates(model, self.config.model.drop_path_rate)

        def factors(micro: int, batch: int) -> Any:
            place = ("model", epoch, update, first + micro)
            return drop_path_factors(model, rates, self._tape, place)(batch)

        return factors


def evaluate_model(model: nn.Cell, images: EvalLoader) -> Evaluation:
    """Return top-1, top-5 and loss of a model over images; the model's mode is kept.

    Raises:
        DataError: No image can be read, or a label is not one of the model's classes.
        TrainingError: A logit is not finite.
    """
    training, sums, classes = model.training, np.zeros(4), 0
    model.set_train(False)
    for batch, labels, _ in images:
        logits = logits_of(model, batch, images.size)
        sums += sums_of(logits, labels)
        classes = logits.shape[1]
    model.set_train(training)
    count, top1, top5, loss = sums.tolist()
    if not count:
        raise DataError(f"of {images.count} images to evaluate on, none can be read; check data.validation")
    if not np.isfinite(loss):
        raise TrainingError(f"the model's logits are not finite on {int(count)} images: its loss there is {loss}")
    return Evaluation(int(count), top1 / count, top5 / count, min(TOP, classes), loss / count)


def logits_of(model: nn.Cell, images: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float64]:
    """Logits of a model in evaluation mode, float64, `(batch, classes)`.

    A last batch that is smaller than `size` is filled up, since a graph is compiled for each shape.
    """
    filled = np.concatenate([images, np.zeros((size - len(images), *images.shape[1:]), np.float32)])
    logits = ops.cast(model(Tensor(filled)), mindspore.float32).asnumpy()
    return np.asarray(logits[: len(images)], np.float64)


def _epoch(arrays: Mapping[str, Any]) -> int:
    """Number of the last epoch that is done, from 0; raises where a file does not tell it."""
    if "epoch_num" in arrays:
        return int(arrays["epoch_num"].reshape(-1)[0]) - 1
    if "epoch" not in arrays:
        raise TrainingError("it does not tell how many epochs are done (epoch_num)")
    return int(arrays["epoch"].reshape(-1)[0])  # files of earlier versions


def _all(model: nn.Cell | None) -> dict[str, Any]:
    return {} if model is None else parameters(model)
