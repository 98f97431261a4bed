"""The randomness of a training run: streams with names, made from a seed or replayed from a record.

A stream belongs to one user: a sample's augmentation, a batch's mixup, one drop path in one pass. Its name is that of
the user, so that what is drawn depends neither on the number of workers and devices nor on where a run was resumed,
and two frameworks that read the same stream get the same numbers.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Key: TypeAlias = "str | int"
Size: TypeAlias = "int | tuple[int, ...] | None"
_WORD = 4


class Draws(Protocol):
    """One stream: the part of `numpy.random.Generator` that recipes draw with."""

    def random(self, size: Size = None) -> Any:
        """Uniform in [0, 1), float64."""

    def uniform(self, low: float, high: float, size: Size = None) -> Any:
        """Uniform in [low, high), float64."""

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Size = None) -> Any:
        """Normal, float64."""

    def beta(self, a: float, b: float, size: Size = None) -> Any:
        """Beta-distributed, float64."""

    def integers(self, low: int, high: int, size: Size = None) -> Any:
        """Integers from `low` to `high - 1`, int64."""

    def choice(self, a: int, size: Size = None, replace: bool = True, p: Any = None) -> Any:
        """Numbers below `a`, int64, with probabilities `p`."""

    def permutation(self, x: int) -> npt.NDArray[np.int64]:
        """The numbers below `x` in random order."""


class Randomness(Protocol):
    """A source of streams; one name always gives the same stream from its start."""

    def stream(self, *key: Key) -> Draws:
        """The stream of this name, from its start."""


class Seeded:
    """Streams made from a seed: every stream is a generator of its own, seeded by a digest of seed and name.

    Args:
        seed: Any integer.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, *key: Key) -> Draws:
        """The stream of this name, from its start."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._entropy(key))))

    def word(self, *key: Key) -> int:
        """A seed of 31 bits for a generator that is not NumPy's, under this name."""
        return self._entropy(key)[0] & 0x7FFFFFFF

    def _entropy(self, key: tuple[Key, ...]) -> list[int]:
        # repr tells 1 from "1" and keeps the parts of a name apart
        digest = hashlib.blake2b(repr((self.seed, *key)).encode(), digest_size=4 * _WORD).digest()
        return [int.from_bytes(digest[at : at + _WORD], "little") for at in range(0, len(digest), _WORD)]


class Scoped:
    """The streams of another source whose names begin with these words."""

    def __init__(self, source: Randomness, *prefix: Key) -> None:
        self._source, self._prefix = source, prefix

    def stream(self, *key: Key) -> Draws:
        """The stream of the prefix and this name."""
        return self._source.stream(*self._prefix, *key)
