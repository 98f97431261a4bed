"""Which parameters decay: timm's rule, on the names of the state dict.

Paddle's AdamW asks about a parameter by its `name`, such as `linear_50.b_0`, which says nothing of its role: a filter
that looks for `bias` there exempts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from paddle import nn


@dataclass(frozen=True)
class Groups:
    """The trainable parameters of a model, by their names in the state dict.

    Attributes:
        decay: Those that decay.
        exempt: Those that do not.
    """

    decay: tuple[str, ...]
    exempt: tuple[str, ...]


def decay_groups(model: nn.Layer, *, decay_all: bool = False) -> Groups:
    """Tell apart what decays and what does not, as timm's `param_groups_weight_decay` does.

    Vectors and scalars (biases, scales of norms) are exempt, as is what the model itself names in `no_weight_decay`
    (tokens and position embeddings).

    Args:
        model: Any model; `no_weight_decay` may be missing.
        decay_all: Whether nothing is exempt.
    """
    patterns: set[str] = getattr(model, "no_weight_decay", set)()
    decay: list[str] = []
    exempt: list[str] = []
    for name, parameter in model.named_parameters():
        if parameter.stop_gradient:
            continue
        vector = parameter.ndim <= 1 or name.endswith(".bias")
        named = any(fnmatchcase(name, pattern) for pattern in patterns)
        (decay if decay_all or not (vector or named) else exempt).append(name)
    return Groups(tuple(decay), tuple(exempt))
