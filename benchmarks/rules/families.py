"""The architectures that are drawn; both sides of a pair call the same function with the same generator."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.rules.convolutional import bottlenecks, convnext, inverted, plain, siamese, unet
from benchmarks.rules.language import VOCABULARY, decoder, encoder
from benchmarks.rules.sides import Side
from benchmarks.rules.transformers import mixer, swin, vit


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes:
        build: Given a side and the generator that both sides share.
        shape: Of one input.
        tokens: Inputs are integers below this; 0 for numbers.
    """

    build: Callable[[Side, random.Random], Any]
    shape: tuple[int, ...] = (3, 16, 16)
    tokens: int = 0


FAMILIES = {
    **{
        made.__name__: Family(made)
        for made in (plain, bottlenecks, inverted, convnext, vit, swin, unet, siamese, mixer)
    },
    **{made.__name__: Family(made, (8,), VOCABULARY) for made in (decoder, encoder)},
}
