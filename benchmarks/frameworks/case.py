"""What one comparison is: a text for each framework, and the inputs that both are given."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NAMES = "xyzw"
"""Names of the inputs in the texts, in order."""

LAYER = "layer"
FUNCTION = "function"
OPTIMIZER = "optimizer"

_SPELLING: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\bConvTranspose([123])d\(", r"Conv\1DTranspose("),
    (r"\b([A-Z]\w*[123])d\(", r"\1D("),
    (r"\beps=", "epsilon="),
    (r"\bdim=", "axis="),
    (r"\bbias=False", "bias_attr=False"),
    (r"padding='(same|valid)'", lambda found: f"padding='{found[1].upper()}'"),
    (r"return_indices=True", "return_mask=True"),
    (r"\btorch\.", "paddle."),
)


def generator(*words: object) -> np.random.Generator:
    """Return a generator that depends on the words only, so that every process draws the same arrays."""
    return np.random.default_rng(zlib.crc32(" ".join(map(str, words)).encode()))


@dataclass(frozen=True)
class Input:
    """An input: its shape, how it is drawn, and whether its gradient is compared."""

    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], npt.NDArray[Any]]
    gradient: bool = True
    scale: str = ""

    @property
    def label(self) -> str:
        """The shape as text: `2 x 3 x 7`."""
        return self.scale + (" x ".join(map(str, self.shape)) or "scalar")


@dataclass(frozen=True)
class Case:
    """A layer, function or optimizer of torch, and the text of what should be the same elsewhere.

    Attributes:
        kind: LAYER (the text makes a layer), FUNCTION (the text is a value in `x`, `y`, `z`, `w`), or OPTIMIZER.
        torch: Text for torch. `nn`, `F` and the framework's own name can be used in it.
        paddle: Text for Paddle; torch's in Paddle's spelling where it is empty.
        inputs: What is given to it.
        note: What is different, in words, where it is more than precision.
        outputs: How many of the outputs are compared, from the first one; all where it is None.
        alone: True if the case may end its process.
    """

    kind: str
    torch: str
    paddle: str
    inputs: tuple[Input, ...]
    note: str = ""
    outputs: int | None = None
    alone: bool = False

    @property
    def key(self) -> str:
        """Torch's text and the shapes, on which the arrays drawn depend."""
        return f"{self.torch} on {', '.join(given.label for given in self.inputs)}"

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the inputs by name: float64 whose values are float32's, or int64."""
        drawn = {}
        for name, given in zip(NAMES, self.inputs, strict=False):
            array = given.draw(generator(self.key, name), given.shape)
            drawn[name] = array.astype(np.float32).astype(np.float64) if array.dtype.kind == "f" else array
        return drawn

    def differentiable(self) -> list[str]:
        """Return the names of the inputs whose gradients are compared."""
        return [name for name, given in zip(NAMES, self.inputs, strict=False) if given.gradient]


def layer(torch: str, paddle: str, *inputs: Input, note: str = "", outputs: int | None = None) -> Case:
    """Return the case of a layer of `nn`."""
    return Case(LAYER, f"nn.{torch}", f"nn.{paddle or spelled(torch)}", inputs, note, outputs)


def function(torch: str, paddle: str, *inputs: Input, note: str = "", alone: bool = False) -> Case:
    """Return the case of an expression in the inputs."""
    return Case(FUNCTION, torch, paddle or spelled(torch), inputs, note, alone=alone)


def spelled(torch: str) -> str:
    """Return a text for torch in Paddle's spelling: `Conv2d` is `Conv2D`, `eps` is `epsilon`, `dim` is `axis`."""
    for pattern, replacement in _SPELLING:
        torch = re.sub(pattern, replacement, torch)
    return torch


def optimizer(torch: str, paddle: str, note: str = "") -> Case:
    """Return the case of an optimizer that takes five steps; `p` is its list of parameters in the text."""
    return Case(OPTIMIZER, f"optim.{torch}", f"optim.{paddle}", (constant(4, 3),), note)


def real(*shape: int) -> Input:
    """Return a normally distributed input."""
    return Input(shape, lambda source, size: source.normal(size=size))


def small(*shape: int) -> Input:
    """Return values of a thousandth's size, beside which the eps of a norm counts; `label` says so."""
    return Input(shape, lambda source, size: 0.001 * source.normal(size=size), scale="small ")


def constant(*shape: int) -> Input:
    """Return the same, without a gradient."""
    return Input(shape, lambda source, size: source.normal(size=size), gradient=False)


def share(*shape: int) -> Input:
    """Return an input between 0.05 and 0.95."""
    return Input(shape, lambda source, size: source.uniform(0.05, 0.95, size))


def target(*shape: int) -> Input:
    """Return the same, without a gradient."""
    return Input(shape, lambda source, size: source.uniform(0.05, 0.95, size), gradient=False)


def distribution(*shape: int) -> Input:
    """Return probabilities that sum to one along the last axis, without a gradient."""
    return Input(shape, lambda source, size: source.dirichlet(np.ones(size[-1]), size[:-1]), gradient=False)


def ones(*shape: int) -> Input:
    """Return ones, without a gradient."""
    return Input(shape, lambda source, size: np.ones(size), gradient=False)


def ids(limit: int, *shape: int) -> Input:
    """Return whole numbers below `limit`; the first ones are 0, 1 and the last."""

    def draw(source: np.random.Generator, size: tuple[int, ...]) -> npt.NDArray[Any]:
        drawn = source.integers(0, limit, size)
        special = np.array([0, 1, limit - 1])[: drawn.size]
        drawn.flat[: special.size] = special
        return drawn

    return Input(shape, draw, gradient=False)


def signs(*shape: int) -> Input:
    """Return -1.0 and 1.0, without a gradient."""
    return Input(shape, lambda source, size: source.choice([-1.0, 1.0], size), gradient=False)


def corners(*extra: float) -> Input:
    """Return the values at which piecewise functions bend, and large ones; without what dominates a norm."""
    values = np.array([-20, -6, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 6, 20, *extra], np.float64)
    return Input(values.shape, lambda _source, _size: values.copy())


def numbers(values: Sequence[Any], gradient: bool = False) -> Input:
    """Return these values: a list of any depth."""
    array = np.array(values)
    return Input(array.shape, lambda _source, _size: array.copy(), gradient)


@dataclass(frozen=True)
class Outcome:
    """What a framework made of a case.

    Attributes:
        quantities: `output`, `output 2`, `gradient of x`.
        weights: The layer's parameters and buffers before the run.
        gradients: The gradients of the parameters.
        buffers: The buffers after the run.
        error: What it raised instead, in one line.
        transposed: Names of the parameters that are kept as (in, out) where torch has (out, in).
    """

    quantities: Mapping[str, npt.NDArray[Any]]
    weights: Mapping[str, npt.NDArray[Any]]
    gradients: Mapping[str, npt.NDArray[Any]]
    buffers: Mapping[str, npt.NDArray[Any]]
    error: str = ""
    transposed: frozenset[str] = frozenset()


def failed(error: BaseException) -> Outcome:
    """Return the outcome of a case that raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
    telling = next((line for line in lines if "Error:" in line), lines[0] if lines else "")
    return Outcome({}, {}, {}, {}, f"{type(error).__name__}: {telling}"[:200])
