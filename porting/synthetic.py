"""Random weights that behave like trained ones: every tensor matters and outputs are of order one.

Zeros and tiny initialisations hide mistakes (a bias of zero hides a lost bias, an untouched LayerNorm hides a swapped
pair), so tests, the demo and `pit-align` without `--weights` draw theirs here.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from porting.architectures.base import Architecture, TensorSpec


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Float32 weights in the canonical layout, the same for the same model and seed on every machine.

    Matrices and convolutions are normal with variance 1/fan-in, embeddings normal with a standard deviation of 0.5,
    biases 0.1, and the scales of norms are spread around one.

    Args:
        architecture: The model to draw for.
        seed: Any integer of 0 or more.
    """
    return dict(_draw(architecture, np.random.default_rng(seed)))


def _draw(architecture: Architecture, generator: np.random.Generator) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for name, spec in architecture.tensors.items():
        values = generator.standard_normal(spec.shape, dtype=np.float32)
        shift, scale = _moments(name, spec)
        values *= np.float32(scale)
        values += np.float32(shift)
        yield name, values


def _moments(name: str, spec: TensorSpec) -> tuple[float, float]:
    if name.endswith("bias"):
        return 0.0, 0.1
    if len(spec.shape) == 1:
        return 1.0, 0.2
    if name.endswith("weight"):
        return 0.0, 1 / sqrt(prod(spec.shape[1:]))
    return 0.0, 0.5
