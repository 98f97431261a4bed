"""Rates of dropouts and drop paths of any class, measured by calling them in training mode.

A class of somebody else's may keep its rate under any name, drop whole batches, samples or elements, scale what it
keeps or not, and draw from any generator. What it does to ones shows all of that.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from alignment.arrays import Array
from alignment.backends.checks import is_random

_SHAPES = ((64, 4, 3), (64, 4), (64, 4, 3, 2))
"""Shapes of ones that a module is called with, samples first; the first that it takes."""
_CALLS = 256
"""Calls after which a module that has dropped nothing is taken to drop nothing."""
_ENOUGH = 4096
"""Draws after which no more are made where the rate has to be counted."""
CHANNELS = "channels"
"""Way of dropping of a dropout that keeps or drops whole channels."""
_DEVIATIONS = 5.0
"""Standard deviations of a counted share within which a rate that the module holds is taken to be its own."""

_EXACT = 1e-5
"""Difference of two rates that float32 leaves."""


class Drawn(NamedTuple):
    """What a module drops.

    Attributes:
        kind: `drop_path` where whole samples or batches are dropped, `dropout` for elements or channels.
        rate: Share of what is dropped, above zero.
    """

    kind: str
    rate: float


def drawn(
    model: Any, call: Callable[[Any, Array], Array], known: Callable[[Any], bool] = lambda module: False
) -> dict[str, Drawn]:
    """Return what the modules of a model drop in training mode, by path; those that drop nothing are left out.

    Only modules without parameters and without parts are called, whose class's name or attributes speak of a rate.
    Their mode, and the global and their own NumPy generators, are given back.

    Args:
        model: A module of torch or a layer of Paddle.
        call: Takes a module and an array of ones, and returns what the module gives.
        known: Takes a module and returns True for one whose rate is known already; it is left out.
    """
    found = {}
    for path, module in modules_of(model):
        if not known(module) and _may_draw(module):
            with _in_training(module):
                result = measured(partial(call, module), _held(module))
            if result is not None:
                found[path] = result
    return found


def ways(model: Any, call: Callable[[Any, Array], Array], package: str, wide: Collection[Any] = ()) -> frozenset[str]:
    """What dropouts and drop paths of a user's own classes do otherwise than a framework's, by rate.

    Args:
        model: A module of torch or a layer of Paddle.
        call: As for `drawn`.
        package: Package of the framework, whose own classes are left out.
        wide: Modules that the model gives channels of several elements.

    Returns:
        `<rate>_unscaled` for one that does not divide what it keeps by one minus the rate; `<rate>_whole_batch` for one
        that keeps or drops all samples together; `<rate>_channels` for one of `wide` that keeps or drops whole channels
        of a sample.
    """
    own: dict[tuple[type, tuple[float, ...]], Any] = {}
    for _, module in modules_of(model):
        kind = type(module)
        of_user = kind.__module__.partition(".")[0] != package and is_random(kind.__name__)
        if of_user and _may_draw(module) and _held(module):
            own.setdefault((kind, _held(module)), module)
    named: set[str] = set()
    for module in own.values():
        with _in_training(module):
            ways_of_module = [*_ways(partial(call, module))]
        of_channels = any(module is other for other in wide)
        named |= {f"{_held(module)[0]:.6g}_{way}" for way in ways_of_module if way != CHANNELS or of_channels}
    return frozenset(named)


def _ways(call: Callable[[Array], Array]) -> Iterator[str]:
    """What one does otherwise: nothing is said of one that drops nothing in as many calls as are made."""
    shape = next((shape for shape in _SHAPES if _takes(call, shape)), None)
    if shape is None:
        return
    dropped, kept, apart = False, 0.0, False
    for _ in range(_CALLS):
        values = np.asarray(call(np.ones(shape, np.float32)), np.float64).reshape(shape[0], -1)
        gone = values == 0
        dropped |= bool(gone.any())
        apart |= bool(gone.any()) and not bool(gone.all())
        kept = max(kept, float(values.max()))
        if dropped and (apart or kept):
            break
    if dropped and kept and abs(kept - 1) < _EXACT:
        yield "unscaled"
    if dropped and not apart:
        yield "whole_batch"
    if dropped and apart and kept and len(shape) > 2:
        gone = gone.reshape(shape[0], shape[1], -1)
        whole = bool((gone == gone[:, :, :1]).all())
        if whole and not bool((gone == gone[:, :1]).all()):
            yield CHANNELS


def modules_of(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and module of a model of torch, Paddle or MindSpore and of all its parts."""
    if hasattr(model, "named_modules"):
        yield from model.named_modules()
    else:
        yield from model.cells_and_names() if _is_cell(model) else model.named_sublayers(include_self=True)


def _is_cell(model: Any) -> bool:
    return hasattr(model, "cells_and_names")


def measured(call: Callable[[Array], Array], held: tuple[float, ...] = ()) -> Drawn | None:
    """Return what a function drops of ones; None for one that drops nothing.

    The rate is exact where what is kept is scaled. Otherwise it is the one of `held` that the counted share fits, or
    that share in hundredths.

    Args:
        call: Takes an array of ones, samples along its first axis, and returns one of the same shape.
        held: Numbers that may be the rate.
    """
    shape = next((shape for shape in _SHAPES if _takes(call, shape)), None)
    if shape is None:
        return None
    drops = draws = 0
    scale, whole_samples = 1.0, True
    for number in range(_CALLS):
        values = np.asarray(call(np.ones(shape, np.float32)), np.float64).reshape(shape[0], -1)
        dropped = values == 0
        whole_samples = whole_samples and bool((dropped == dropped[:, :1]).all())
        if (~dropped).any():
            scale = float(values[~dropped].max())
        whole_batches = bool(dropped.all() or not dropped.any())
        drops += int(dropped.any()) if whole_batches else int(dropped.sum())
        draws += 1 if whole_batches else dropped.size
        if (drops and scale > 1) or draws >= _ENOUGH or (number == 1 and not held and scale == 1 and not drops):
            break
    if not drops:
        scaled = scale > 1 and any(abs(rate - (1 - 1 / scale)) < _EXACT for rate in held)  # a small rate, by its scale
        return Drawn("drop_path", _rate(0.0, draws, scale, held)) if scaled else None
    return Drawn("drop_path" if whole_samples else "dropout", _rate(drops / draws, draws, scale, held))


def _rate(share: float, draws: int, scale: float, held: tuple[float, ...]) -> float:
    if scale > 1:
        exact = round(1 - 1 / scale, 6)
        return min(held, key=lambda rate: abs(rate - exact)) if any(abs(r - exact) < _EXACT for r in held) else exact
    deviation = (share * (1 - share) / draws) ** 0.5
    near = [rate for rate in (*held, *(1 - rate for rate in held)) if abs(rate - share) <= _DEVIATIONS * deviation]
    return min(near, key=lambda rate: abs(rate - share)) if near else round(share, 2)


def _takes(call: Callable[[Array], Array], shape: tuple[int, ...]) -> bool:
    try:
        result = call(np.ones(shape, np.float32))
    except Exception:  # whatever a framework raises of a shape that does not fit
        return False
    return isinstance(result, np.ndarray) and result.shape == shape


def _may_draw(module: Any) -> bool:
    """True for a module without parameters and parts that may hold a rate."""
    parts = getattr(module, "_modules", None) or getattr(module, "_sub_layers", None)
    owned = [value for value in getattr(module, "_parameters", {}).values() if value is not None]
    return not parts and not owned and (is_random(type(module).__name__) or bool(_held(module)))


def _held(module: Any) -> tuple[float, ...]:
    """The numbers between zero and one that a module holds."""
    values = (value for value in vars(module).values() if isinstance(value, float))
    return tuple(dict.fromkeys(value for value in values if 0 < value < 1))


def _set_training(module: Any, training: bool) -> None:
    if _is_cell(module):
        module.set_train(training)
    else:
        module.train() if training else module.eval()


@contextmanager
def _in_training(module: Any) -> Iterator[None]:
    """The module in training mode; its mode, and the states of generators in Python, are given back."""
    training, python, numpy = module.training, random.getstate(), np.random.get_state()
    own = [value for value in vars(module).values() if isinstance(value, np.random.Generator)]
    states = [generator.bit_generator.state for generator in own]
    _set_training(module, True)
    try:
        yield
    finally:
        if not training:
            _set_training(module, False)
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in zip(own, states, strict=True):
            generator.bit_generator.state = state
