"""Mistakes that the reference can be asked to make, to see whether a candidate has made them.

Most known mistakes of a training run amount to another setting of its recipe. These do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
def slipping(trainer: Any, slip: str) -> Iterator[bool]:
    """Lets a trainer make a mistake while the context is open.

    Args:
        trainer: The reference's.
        slip: The mistake.

    Yields:
        Whether this trainer can make it.
    """
    name = slip.partition(_OTHER_DECAY)[2]
    make = _SLIPS.get(slip)
    if not isinstance(trainer, TorchTrainer) or (make is None and not name):
        yield False
        return
    data._made.clear()  # transforms that were made before do not slip
    try:
        if make is None:
            with _other_decay(trainer, name):
                yield True
        else:
            with make():
                yield True
    finally:
        data._made.clear()


@contextmanager
def _black_fill() -> Iterator[None]:
    right = timm_augment.AugmentOp.__init__

    def wrong(self: Any, name: str, *given: Any, **settings: Any) -> None:
        right(self, name, *given, **settings)
        self.kwargs["fillcolor"] = (0, 0, 0)

    with patch.object(timm_augment.AugmentOp, "__init__", wrong):
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
    right = timm_mixup.Mixup.__init__

    def wrong(self: Any, *given: Any, **settings: Any) -> None:
        right(self, *given, **settings)
        self.correct_lam = False

    with patch.object(timm_mixup.Mixup, "__init__", wrong):
        yield


@contextmanager
def _drop_path_unscaled() -> Iterator[None]:
    right = InjectableDropPath.mask

    def wrong(self: InjectableDropPath, x: Tensor, shape: tuple[int, ...], rate: float) -> Tensor:
        return right(self, x, shape, rate) * (1 - rate)

    with patch.object(InjectableDropPath, "mask", wrong):
        yield


@contextmanager
def _other_decay(trainer: TorchTrainer, name: str) -> Iterator[None]:
    """One parameter is in the other group."""
    right = trainer._assemble

    def wrong(model: nn.Module) -> Any:
        recipe = right(model)
        _move(recipe.optimizer, dict(model.named_parameters())[name])
        return recipe

    with patch.object(trainer, "_assemble", wrong):
        yield


def _move(optimizer: Optimizer, parameter: Tensor) -> None:
    groups: list[dict[str, Any]] = optimizer.param_groups
    mine = next(group for group in groups if any(each is parameter for each in group["params"]))
    other = next(group for group in groups if bool(group["weight_decay"]) != bool(mine["weight_decay"]))
    mine["params"] = [each for each in mine["params"] if each is not parameter]
    other["params"].append(parameter)


_SLIPS: Mapping[str, Callable[[], Any]] = {
    "black fill": _black_fill,
    "moves by pixels": _moves_by_pixels,
    "share uncorrected": _share_uncorrected,
    "drop path unscaled": _drop_path_unscaled,
}
