"""Known mistakes, made in the reference on purpose to see whether a candidate has made them.

Most known mistakes of a training run amount to another setting of its recipe. These do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn
from torch.optim import Optimizer

from alignment.backends.trainers.torch import TorchTrainer
from reference_torch.compat import prepare_timm
from reference_torch.training import data
from reference_torch.training.random import InjectableDropPath

prepare_timm()

import timm.data.auto_augment as timm_augment
import timm.data.mixup as timm_mixup

_PIXELS = 100.0
_OTHER_DECAY = "other decay "


@contextmanager
def with_mistake(trainer: Any, mistake: str) -> Iterator[bool]:
    """Make a trainer of the reference train with a mistake while the context is open.

    Args:
        trainer: The trainer of the reference.
        mistake: A name in `_MISTAKES`, or `other decay <name of a parameter>`.

    Yields:
        Whether the mistake is known and this trainer can make it.
    """
    make = _MISTAKES.get(mistake)
    if parameter := mistake.partition(_OTHER_DECAY)[2]:
        make = partial(_other_decay, trainer, parameter)
    if make is None or not isinstance(trainer, TorchTrainer):
        yield False
        return
    data._made.clear()  # transforms that were made before are without the mistake
    try:
        with make():
            yield True
    finally:
        data._made.clear()


@contextmanager
def _black_fill() -> Iterator[None]:
    original = timm_augment.AugmentOp.__init__

    def mistaken(self: Any, name: str, *arguments: Any, **settings: Any) -> None:
        original(self, name, *arguments, **settings)
        self.kwargs["fillcolor"] = (0, 0, 0)

    with patch.object(timm_augment.AugmentOp, "__init__", mistaken):
        yield


@contextmanager
def _moves_by_pixels() -> Iterator[None]:
    """A level of 10 moves by 100 pixels."""
    moves = {"TranslateXRel": timm_augment.translate_x_abs, "TranslateYRel": timm_augment.translate_y_abs}
    levels = dict.fromkeys(moves, lambda level, _: (timm_augment._randomly_negate(level / 10.0 * _PIXELS),))
    with patch.dict(timm_augment.NAME_TO_OP, moves), patch.dict(timm_augment.LEVEL_TO_ARG, levels):
        yield


@contextmanager
def _share_uncorrected() -> Iterator[None]:
    original = timm_mixup.Mixup.__init__

    def mistaken(self: Any, *arguments: Any, **settings: Any) -> None:
        original(self, *arguments, **settings)
        self.correct_lam = False

    with patch.object(timm_mixup.Mixup, "__init__", mistaken):
        yield


@contextmanager
def _drop_path_unscaled() -> Iterator[None]:
    original = InjectableDropPath.mask

    def mistaken(self: InjectableDropPath, x: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
        return original(self, x, shape, rate) * (1 - rate)

    with patch.object(InjectableDropPath, "mask", mistaken):
        yield


@contextmanager
def _other_decay(trainer: TorchTrainer, name: str) -> Iterator[None]:
    """Put one parameter into the other group of the optimiser."""
    original = trainer._assemble

    def mistaken(model: nn.Module) -> Any:
        recipe = original(model)
        _move(recipe.optimizer, dict(model.named_parameters())[name])
        return recipe

    with patch.object(trainer, "_assemble", mistaken):
        yield


def _move(optimizer: Optimizer, parameter: Tensor) -> None:
    groups: list[dict[str, Any]] = optimizer.param_groups
    source = next(group for group in groups if any(member is parameter for member in group["params"]))
    target = next(group for group in groups if bool(group["weight_decay"]) != bool(source["weight_decay"]))
    source["params"] = [member for member in source["params"] if member is not parameter]
    target["params"].append(parameter)


_MISTAKES: Mapping[str, Callable[[], Any]] = {
    "black fill": _black_fill,
    "moves by pixels": _moves_by_pixels,
    "share uncorrected": _share_uncorrected,
    "drop path unscaled": _drop_path_unscaled,
}
