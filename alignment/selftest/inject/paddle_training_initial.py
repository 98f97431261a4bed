"""Mistakes put into the values that the port's training starts from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.selftest.inject.paddle_tools import wrap


def _normal(generator: np.random.Generator, array: Array, deviation: float, cut: float = np.inf) -> Array:
    drawn: Array = generator.normal(0, 1, array.shape)
    while (outside := np.abs(drawn) > cut).any():
        drawn[outside] = generator.normal(0, 1, int(outside.sum()))
    return drawn * deviation


def _xavier(generator: np.random.Generator, array: Array) -> Array:
    bound = (6 / sum(array.shape)) ** 0.5
    return generator.uniform(-bound, bound, array.shape)


def _orthogonal(generator: np.random.Generator, array: Array) -> Array:
    q, r = np.linalg.qr(generator.standard_normal(array.shape))
    orthogonal: Array = q * np.sign(np.diag(r))
    return orthogonal


INITIAL: Mapping[str, Callable[[np.random.Generator, Array], Array]] = {
    "zeros": lambda _, array: np.zeros_like(array),
    "ones": lambda _, array: np.ones_like(array),
    "wider": lambda _, array: array * np.float32(1.1),
    "slightly wider": lambda _, array: array * np.float32(1.03),
    "half as wide": lambda _, array: array * np.float32(0.5),
    "kaiming": lambda _, array: array * np.float32(sqrt(6)),
    "normal": lambda generator, array: _normal(generator, array, float(array.std())),
    "wide": lambda generator, array: _normal(generator, array, 0.2),
    "truncated": lambda generator, array: _normal(generator, array, 0.02, 2.0),
    "heavy tailed": lambda generator, array: generator.laplace(0, float(array.std()) / sqrt(2), array.shape),
    "fan out": lambda generator, array: generator.normal(0, sqrt(2 / (array.shape[0] * array[0, 0].size)), array.shape),
    "xavier": _xavier,
    "orthogonal": _orthogonal,
}
"""Functions of a generator and the correct initial values to the wrong ones, by kind."""


def change_initial(trainer: Any, change: str, names: str) -> None:
    """Start the tensors whose canonical names match otherwise; PiT's own names are the canonical ones."""
    pattern = re.compile(re.sub(r"(?<!\[)\*", ".*", names.replace(".", r"\.")))

    def make(correct: Callable[[int], dict[str, Array]]) -> Callable[[int], dict[str, Array]]:
        def initial(seed: int) -> dict[str, Array]:
            state, generator = correct(seed), np.random.default_rng((seed, 6))
            for name, array in state.items():
                if pattern.fullmatch(name):
                    state[name] = INITIAL[change](generator, array).astype(array.dtype)
            return state

        return initial

    wrap(trainer, "initial", make)


def blocks_alike(state: dict[str, Array]) -> dict[str, Array]:
    """Start every block of a stage as a copy of its first, as with `copy.deepcopy` of one layer."""
    for name in state:
        stage, within, rest = name.partition(".blocks.")
        if within:
            state[name] = state[f"{stage}.blocks.0.{rest.partition('.')[2]}"].copy()
    return state
