"""The cases, one line each, by kind of layer."""

from __future__ import annotations

from benchmarks.frameworks.case import Case
from benchmarks.frameworks.tables import (
    activations,
    attention,
    convolutions,
    losses,
    normalisation,
    optimizers,
    pooling,
    recurrent,
    shapes,
    tensors,
)

TABLES: dict[str, tuple[Case, ...]] = {
    "Convolution and linear": convolutions.CASES,
    "Pooling": pooling.CASES,
    "Normalisation": normalisation.CASES,
    "Activation": activations.CASES,
    "Padding, resizing and rearranging": shapes.CASES,
    "Embedding, attention and dropout": attention.CASES,
    "Recurrent": recurrent.CASES,
    "Losses and distances": losses.CASES,
    "Functions of tensors": tensors.CASES,
    "Optimizers": optimizers.CASES,
}
