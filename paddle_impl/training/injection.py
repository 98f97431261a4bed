"""Makes the dropout and drop path layers of a model draw from named streams."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from paddle import nn

from paddle_impl.layers import Dropout, DropPath
from recipe.draws import Key, Randomness

_BLOCK = re.compile(r"^encoder\.layers\.")
_CELL = re.compile(r"^stages\.(\d+)\.blocks\.(\d+)\.")
_HEAD = re.compile(r"^head\.1$")


def inject(model: nn.Layer, randomness: Randomness | None, *prefix: Key) -> None:
    """Give every dropout and drop path of a model streams to draw from, or Paddle's generator again.

    A layer's n-th call from now on draws from the stream `(*prefix, path, n)`, with its path in the reference: `random`
    of the mask's shape; an entry is kept where it is below 1 - rate.

    Args:
        model: A model of `paddle_impl`.
        randomness: Source of the streams; None leaves the draws to Paddle.
        prefix: First words of the streams' names.
    """
    for path, layer in model.named_sublayers():
        if isinstance(layer, (Dropout, DropPath)):
            layer.draw = None if randomness is None else _Calls(randomness, (*prefix, canonical(path)))


def canonical(path: str) -> str:
    """The path of a layer in the reference, where DeiT and RegNet are timm's."""
    path = _CELL.sub(lambda match: f"s{int(match[1]) + 1}.b{int(match[2]) + 1}.", path)
    return _HEAD.sub("head.drop", _BLOCK.sub("blocks.", path))


class _Calls:
    """Draws from another stream at each call."""

    def __init__(self, randomness: Randomness, name: tuple[Key, ...]) -> None:
        self._randomness, self._name, self._calls = randomness, name, 0

    def __call__(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        draws: Any = self._randomness.stream(*self._name, self._calls)
        self._calls += 1
        return np.asarray(draws.random(shape))
