"""Random weights that behave like trained ones: every tensor matters and outputs are of order one.

Zeros and tiny initialisations hide mistakes (a bias of zero hides a lost bias, an untouched LayerNorm hides a swapped
pair), so tests, the demo and `pit-align` without `--weights` use these.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from porting.architectures.base import Architecture, TensorSpec
from porting.checkpoint.tensor import Array


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, Array]:
    """Draw weights in the canonical layout, the same for the same model and seed on every machine.

    Matrices and convolutions are normal with variance 1/fan-in, embeddings normal with a standard deviation of 0.5,
    biases and running means 0.1; scales of norms and running variances are spread around one. All are float32 except
    for the counters, which are int64 and hold 1000 batches.

    Args:
        architecture: The model to draw for.
        seed: Any integer of 0 or more.
    """
    generator = np.random.default_rng(seed)
    return {name: _draw(name, spec, generator) for name, spec in architecture.tensors.items()}


def _draw(name: str, spec: TensorSpec, generator: np.random.Generator) -> Array:
    if spec.kind == "int":
        return np.full(spec.shape, 1000, np.int64)
    if name.endswith("running_var"):
        return generator.uniform(0.5, 1.5, spec.shape).astype(np.float32)
    values = generator.standard_normal(spec.shape, dtype=np.float32)
    shift, scale = _moments(name, spec)
    values *= np.float32(scale)
    values += np.float32(shift)
    return values


def _moments(name: str, spec: TensorSpec) -> tuple[float, float]:
    if name.endswith(("bias", "running_mean")):
        return 0.0, 0.1
    if len(spec.shape) == 1:
        return 1.0, 0.2
    if name.endswith("weight"):
        return 0.0, 1 / sqrt(prod(spec.shape[1:]))
    return 0.0, 0.5
