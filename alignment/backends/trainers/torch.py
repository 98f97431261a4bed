"""The reference's training code behind `Trainer`: timm's parts, put together by `reference_torch.training`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn

from alignment.arrays import Array
from alignment.backends.measured_rates import drawn
from alignment.backends.trainers.base import Listing, Updated, build
from alignment.errors import AlignmentError
from alignment.pair import Side
from recipe.config import Config
from recipe.draws import Seeded
from recipe.samples import find
from recipe.workers import Item
from reference_torch.compat import prepare_timm

prepare_timm()

from timm.layers import DropPath
from timm.utils import ModelEmaV2
from torchvision.datasets import ImageFolder

from reference_torch.training.data import (
    Augmented,
    Mixing,
    TrainLoader,
    eval_transform,
    sampler_order,
)
from reference_torch.training.losses import RecipeLoss
from reference_torch.training.random import inject
from reference_torch.training.recipe import EpochSchedule, Recipe, clip_gradients, create_optimizer
from reference_torch.training.starting import load_teacher

_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}


class TorchTrainer:
    """See `alignment.backends.trainers.base.Trainer`.

    Args:
        side: How the model is built.
        config: The configuration; its rate is that of the global batch (`optimizer.base_batch` is 0).

    Raises:
        AlignmentError: The model cannot be built with the configuration's rates.
    """

    def __init__(self, side: Side, config: Config) -> None:
        self.side, self.config = side, config
        self._tape = Seeded(config.run.seed)
        self._rank, self._world = 0, 1
        self._dtype = torch.float64 if config.run.precision == "float64" else torch.float32
        self._loss = RecipeLoss(config, load_teacher(config))
        self._recipe = self._assemble(self._built())

    def _built(self) -> nn.Module:
        model: nn.Module = build(self.side, self.config)
        return model.to(self._dtype).train()

    def _assemble(self, model: nn.Module) -> Recipe:
        config = self.config
        optimizer = create_optimizer(model, config.optimizer, config.optimizer.learning_rate)
        average = ModelEmaV2(model, decay=config.ema.decay) if config.ema.decay else None
        return Recipe(config, model, optimizer, EpochSchedule(config.schedule, optimizer), self._loss, average)

    @torch.no_grad()
    def start(self, weights: Mapping[str, Array]) -> None:
        """Begin anew from a state dict."""
        own = self._recipe.model.state_dict()
        for name, array in weights.items():
            own[name].copy_(torch.from_numpy(np.array(array)))
        self._recipe = self._assemble(self._recipe.model)

    def join(self, rank: int, world: int) -> None:
        """Train from now on as one of the ranks of `torch.distributed`'s process group."""
        self._rank, self._world = rank, world

    def _share(self) -> None:
        """Puts the mean over all ranks in place of each gradient, as `DistributedDataParallel` does."""
        for parameter in self._recipe.model.parameters() if self._world > 1 else ():
            if parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= self._world

    def _mean(self, value: float) -> float:
        tensor = torch.tensor(value, dtype=torch.float64)
        if self._world > 1:
            dist.all_reduce(tensor)
        return float(tensor) / self._world

    def weights(self) -> dict[str, Array]:
        """The state dict as it is now."""
        return _arrays(self._recipe.model)

    def average(self) -> dict[str, Array]:
        """The state dict of the moving average."""
        return {} if self._recipe.ema is None else _arrays(self._recipe.ema.module)

    def moments(self) -> dict[str, dict[str, Array]]:
        """`first` and `second` moment of every parameter."""
        state, own = self._recipe.optimizer.state, dict(self._recipe.model.named_parameters())
        return {
            kind: {
                name: _array(state.get(parameter, {}).get(key, torch.zeros_like(parameter)))
                for name, parameter in own.items()
            }
            for kind, key in _MOMENTS.items()
        }

    def rates(self) -> Array:
        """The rate of every epoch, which timm's scheduler leaves alone within one."""
        schedule, rates = self._assemble(self._recipe.model).schedule, []
        for epoch in range(schedule.epochs):
            rates.append([schedule.rate] * 2)
            schedule.finish_epoch(epoch)
        return np.asarray(rates, np.float64)

    def drop_rates(self) -> dict[str, float]:
        """Rate of every dropout and drop path above zero; of classes that are not known it is measured."""
        rates = {}
        for path, layer in self._recipe.model.named_modules():
            if isinstance(layer, DropPath):
                rates[f"drop_path/{path}"] = float(layer.drop_prob or 0)
            elif isinstance(layer, nn.Dropout):
                rates[f"dropout/{path}"] = float(layer.p)
        with torch.random.fork_rng(devices=[]):
            others = drawn(self._recipe.model, self._called, lambda layer: isinstance(layer, (DropPath, nn.Dropout)))
        rates |= {f"{one.kind}/{path}": one.rate for path, one in others.items()}
        return {path: rate for path, rate in rates.items() if rate}

    @torch.no_grad()
    def _called(self, layer: Any, ones: Array) -> Array:
        return _array(layer(torch.from_numpy(ones).to(self._dtype)))

    def apply(self, gradients: Mapping[str, Array], rate: float) -> None:
        """One step of the optimiser with these gradients."""
        recipe = self._recipe
        for name, parameter in recipe.model.named_parameters():
            parameter.grad = torch.from_numpy(np.array(gradients[name])).to(self._dtype)
        for group in recipe.optimizer.param_groups:
            group["lr"] = rate
        clip_gradients(recipe.model, self.config.optimizer)
        recipe.optimizer.step()

    def train(self, updates: int, world: int = 1) -> list[Updated]:
        """Train until so many updates are done."""
        if world != self._world:
            from alignment.backends.trainers.launch_ranks import train_in_ranks

            done, weights, average = train_in_ranks(self.side, self.config, self.weights(), updates, world)
            self._recipe.model.load_state_dict(_tensors(weights))
            if self._recipe.ema is not None:
                self._recipe.ema.module.load_state_dict(_tensors(average))
            return done
        return self._train(updates)

    def _train(self, updates: int) -> list[Updated]:
        recipe, done = self._recipe, []
        samples = find(self.config.data, "train")
        loader = TrainLoader(self.config, samples, self._tape, self._world, self._rank)
        recipe.model.train()
        for epoch in range(recipe.schedule.epochs):
            for update, micro_batches in enumerate(loader.epoch(epoch)):
                done.append(self._update(epoch, update, micro_batches))
                if len(done) == updates:
                    return done
            recipe.schedule.finish_epoch(epoch)
        raise AlignmentError(f"{updates} updates are asked for, and the configuration ends after {len(done)}")

    def _update(self, epoch: int, update: int, micro_batches: Sequence[tuple[Any, Any]]) -> Updated:
        recipe, rate = self._recipe, self._recipe.schedule.rate

        def randomise(micro: int) -> None:
            inject(recipe.model, self._tape, "model", epoch, update, self._rank * len(micro_batches) + micro)

        pairs = [(images.to(self._dtype), _targets(targets, self._dtype)) for images, targets in micro_batches]
        updated = recipe.update(pairs, before=randomise, share=self._share)
        loss = self._mean(float(torch.stack(updated.losses).double().mean()))
        return Updated(loss, rate, float(updated.gradient_norm))

    def listing(self, form: str) -> Listing:
        """The validation images, by torchvision's reader of folders or from the lines of a list."""
        root = Path(self.config.data.path)
        if form == "folder":
            folder = find_folder(root)
            try:
                samples = ImageFolder(str(folder)).samples
            except FileNotFoundError as error:
                reason = "there is no such folder" if not folder.is_dir() else str(error).partition(";")[0]
                raise AlignmentError(
                    f"{folder}: holds no validation images ({reason}); expected a folder for each class (--data)"
                ) from None
        else:
            lines = (root / "val_list.txt").read_text(encoding="utf-8").split("\n")
            pairs = (line.rsplit(" ", 1) for line in lines if line)
            samples = [(str(root / name), int(label)) for name, label in pairs]
        names = tuple(Path(name).relative_to(root).as_posix() for name, _ in samples)
        return Listing(names, np.array([label for _, label in samples], np.int64))

    def validation(self) -> Iterator[tuple[Array, Array]]:
        """Batches of the validation images, by timm's evaluation transform."""
        root, size = Path(self.config.data.path), self.config.data.batch_size
        listing, transform = self.listing(form_of(root)), eval_transform(self.config)
        for begin in range(0, len(listing.names), size):
            images = [transform(_decoded(root / name)).numpy() for name in listing.names[begin : begin + size]]
            yield np.stack(images), listing.labels[begin : begin + size]

    def order(self, epoch: int) -> Array:
        """Which image is at each position, by timm's sampler."""
        count = len(find(self.config.data, "train"))
        return sampler_order(count, self.config.augmentation.repeats, self._tape, epoch)

    def augmented(self, epoch: int, positions: Sequence[int]) -> Iterator[Array]:
        """The training images at these positions, augmented by timm."""
        samples, order = find(self.config.data, "train"), self.order(epoch)
        prepare = Augmented(self.config, self._tape)
        for at in positions:
            yield prepare(Item(samples.names[order[at]], ("sample", epoch, at)))

    def mixed(self, images: Array, labels: Array, update: int) -> tuple[Array, Array]:
        """A batch mixed by timm."""
        mixing = Mixing.of(self.config)
        if mixing is None:
            return images, labels
        mixed, targets = mixing(images, labels, self._tape.stream("mixing", 0, update, 0))
        return mixed.numpy(), targets.numpy()

    def initial(self, seed: int) -> dict[str, Array]:
        """The state dict of a freshly built model."""
        torch.manual_seed(seed)
        return _arrays(build(self.side, self.config))

    @torch.no_grad()
    def probabilities(self, images: Sequence[Path], weights: Path) -> Array:
        """Softmax of the model in evaluation mode, of images that timm prepares."""
        model = self._built().eval()
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        transform = eval_transform(self.config)
        batch = torch.stack([transform(_decoded(path)) for path in images]).to(self._dtype)
        return _array(torch.softmax(model(batch).double(), dim=1))


create = TorchTrainer


def form_of(root: Path) -> str:
    """How the validation images are named: by a list where there is one."""
    return "list" if (root / "val_list.txt").is_file() else "folder"


def find_folder(root: Path) -> Path:
    """The folder of the validation images."""
    return root / ("val" if (root / "val").is_dir() else "validation")


def _decoded(path: Path) -> Any:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise AlignmentError(f"{path}: cannot be read as an image: {error}") from error


def _targets(targets: Tensor, dtype: torch.dtype) -> Tensor:
    return targets.to(dtype) if targets.is_floating_point() else targets


def _arrays(model: nn.Module) -> dict[str, Array]:
    return {name: _array(tensor) for name, tensor in model.state_dict().items()}


def _tensors(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().copy()
