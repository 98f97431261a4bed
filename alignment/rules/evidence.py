"""What a reference gave with which weights, in its framework's finest precision: what proposed rules are tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from alignment.arrays import Array, Batch
from alignment.backends.base import Backend, Tap
from alignment.backends.building import in_finest
from alignment.pair import Pair
from alignment.pair.inputs import random_batch
from alignment.pair.model_description import FEWER, ModelDescription
from alignment.pair.units import units_of

_NOISE = 0.1
_MOST_BYTES = 2**31
"""Of larger evidence only what models gave at last is kept."""
_STATE, _TAP, _INPUT, _DTYPE = "state ", "tap ", "input ", "dtype"


@dataclass(frozen=True)
class Evidence:
    """What a reference gave.

    Attributes:
        state: Its tensors, by name.
        taps: What went into each module that has tensors in it and came out of it, and what the model gave, by
            `str(Tap)`; in float32.
        inputs: What it was given.
        dtype: The precision in which it ran.
    """

    state: Mapping[str, Array]
    taps: Mapping[str, Array]
    inputs: Batch
    dtype: str = "float64"

    def write(self, path: Path) -> None:
        """Write it as safetensors."""
        arrays = {f"{_STATE}{name}": array for name, array in self.state.items()}
        arrays |= {f"{_TAP}{name}": array for name, array in self.taps.items()}
        batch = self.inputs if isinstance(self.inputs, Mapping) else {"": self.inputs}
        arrays |= {f"{_INPUT}{name}": array for name, array in batch.items()}
        contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
        save_file(contiguous, path, {_DTYPE: self.dtype})

    @classmethod
    def read(cls, path: Path) -> Evidence:
        """Read what `write` wrote."""
        with safe_open(path, "numpy") as file:
            dtype = file.metadata()[_DTYPE]
        arrays = load_file(path)
        state, taps, inputs = (
            {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            for prefix in (_STATE, _TAP, _INPUT)
        )
        return cls(state, taps, inputs.get("", inputs), dtype)


def in_precision(batch: Batch, dtype: str) -> Batch:
    """A batch with its floating-point numbers in a precision."""
    if isinstance(batch, Mapping):
        return {name: _cast(array, dtype) for name, array in batch.items()}
    return _cast(batch, dtype)


def _cast(array: Array, dtype: str) -> Array:
    return array.astype(dtype) if array.dtype.kind == "f" else array


def randomised(state: Mapping[str, Array]) -> dict[str, Array]:
    """Floating-point tensors moved so that each has an effect: many models begin with zeros, and pass on what they get.

    Weights move by noise that leaves the size of what they give, vectors by a tenth.
    """
    generator = np.random.default_rng(0)
    moved = {}
    for name, array in state.items():
        noise = generator.standard_normal(array.shape)
        if array.dtype.kind not in "biu":
            inputs = prod(array.shape) / max(array.shape) if array.ndim > 1 else 1
            moved[name] = (array + min(_NOISE, 0.5 / max(inputs, 1) ** 0.5) * noise).astype(np.float32)
    return moved


def gather(pair: Pair, backend: Backend, model: ModelDescription) -> Evidence:
    """Run a model on random inputs, and keep what its modules took and gave.

    Args:
        pair: What is aligned.
        backend: The model, its parameters randomised already.
        model: Its description.
    """
    backend.set_state(_statistics(backend, model) | _without_padding(backend.state(), model))
    state = backend.state()
    inputs = random_batch(pair, FEWER, seed=1)
    holders = {""}
    for module in model.modules:
        if module.tensors:
            parts = module.path.split(".")
            holders |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    taps: dict[str, Array] = {}

    def visit(tap: Tap, array: Array) -> None:
        if tap.path in holders and tap.what in ("input", "output"):
            with np.errstate(over="ignore"):  # masks of the smallest float64 become -inf
                taps[str(tap)] = array.astype(np.float32)

    with in_finest(backend), backend.taps().watch(visit):
        backend.forward(in_precision(inputs, backend.finest), None)
    if sum(array.nbytes for array in taps.values()) > _MOST_BYTES:
        taps = {name: array for name, array in taps.items() if name.startswith(":")}
    return Evidence(state, taps, inputs, backend.finest)


def _without_padding(state: Mapping[str, Array], model: ModelDescription) -> dict[str, Array]:
    """Tables with zeros in the row of their `padding_idx`, as frameworks build them; Paddle gives zeros there."""
    tables = {name: state[name].copy() for name in model.padding if name in state}
    for name, table in tables.items():
        table[model.padding[name]] = 0
    return tables


def _statistics(backend: Backend, model: ModelDescription) -> dict[str, Array]:
    """Running statistics that differ from channel to channel, as those of a trained model do."""
    state, generator = backend.state(), np.random.default_rng(2)
    moved = {}
    for unit in units_of(model):
        for part in ("running_mean", "running_var"):
            if part in unit.parts:
                name = unit.parts[part].name
                noise = _NOISE * generator.standard_normal(state[name].shape)
                moved[name] = (
                    np.abs(state[name] + noise).astype(np.float32)
                    if part == "running_var"
                    else (state[name] + noise).astype(np.float32)
                )
    return moved
