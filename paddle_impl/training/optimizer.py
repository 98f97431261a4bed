"""AdamW as torch computes it, with timm's decay groups and clipping, and its state under the names of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import paddle
from paddle import Tensor, nn
from paddle.base import framework

from recipe.config import Optimizer
from recipe.errors import TrainingError

Gradients: TypeAlias = "list[tuple[Tensor, Tensor]]"
_STATE = ("moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc")


@dataclass(frozen=True)
class Groups:
    """The trainable parameters of a model, by their names in the state dict.

    Attributes:
        decay: Names of the parameters that decay.
        exempt: Names of the parameters that do not.
    """

    decay: tuple[str, ...]
    exempt: tuple[str, ...]


def decay_groups(model: nn.Layer, *, decay_all: bool = False) -> Groups:
    """Return which parameters decay, by the rule of timm's `param_groups_weight_decay`.

    Vectors and scalars (biases, scales of norms) are exempt, as is what the model itself names in `no_weight_decay`
    (tokens and position embeddings). The names are those of the state dict: Paddle's own, such as `linear_50.b_0`, do
    not tell what a parameter is for, so that a filter for `bias` on them exempts nothing.

    Args:
        model: Any model; `no_weight_decay` may be missing.
        decay_all: True exempts nothing.
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


class ClipByGlobalNorm(nn.ClipGradByGlobalNorm):
    """Scales all gradients down together where their common norm exceeds a limit, as torch's `clip_grad_norm_`.

    Paddle's own divides by the norm where torch divides by the norm and 1e-6.

    Args:
        limit: Largest norm that is left as it is.

    Attributes:
        norm: Norm of the last gradients before they were scaled, shape `()`; None before the first.
    """

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self.limit = limit
        self.norm: Tensor | None = None

    @paddle.no_grad()
    def __call__(self, params_grads: Gradients) -> Gradients:
        """Takes and returns pairs of parameter and gradient."""
        if not params_grads:
            return params_grads
        norms = paddle.stack([gradient.square().sum().sqrt() for _, gradient in params_grads])
        self.norm = norms.square().sum().sqrt()
        share = (self.limit / (self.norm + 1e-6)).clip(max=1.0)
        return [(parameter, gradient * share) for parameter, gradient in params_grads]


class AdamW(paddle.optimizer.AdamW):
    """`paddle.optimizer.AdamW` over a model, with torch's decay of exactly the parameters that should decay.

    Paddle's kernel holds the decay in float32, also for float64 parameters, so that the decay is done here, before the
    kernel's step, as torch does it: `p *= 1 - rate * decay`.

    Args:
        model: Its trainable parameters are updated where they have a gradient.
        config: Decay, moments, clipping.
        rate: The first learning rate; `set_lr` changes it.
    """

    def __init__(self, model: nn.Layer, config: Optimizer, rate: float) -> None:
        self.groups = decay_groups(model, decay_all=config.decay_all)
        self._named = {name: tensor for name, tensor in model.named_parameters() if not tensor.stop_gradient}
        self._decaying = [self._named[name] for name in self.groups.decay] if config.weight_decay else []
        self._decay, self._betas, self._eps = config.weight_decay, config.betas, config.epsilon
        super().__init__(
            learning_rate=rate,
            beta1=config.betas[0],
            beta2=config.betas[1],
            epsilon=config.epsilon,
            parameters=list(self._named.values()),
            weight_decay=0.0,
            grad_clip=None if config.clip is None else ClipByGlobalNorm(config.clip),
        )

    @paddle.no_grad()
    def step(self) -> None:
        """Decay, clip and update the parameters that have a gradient."""
        factor = 1 - self.get_lr() * self._decay
        for parameter in self._decaying:
            if parameter.grad is not None:
                parameter.scale_(factor)
        super().step()

    def named_state(self) -> dict[str, Tensor]:
        """The moments and powers by `kind/name of the parameter`; empty before the first step.

        Paddle's own `state_dict` names them after the order in which this process created layers, so that another
        process may not find them again.
        """
        return {
            f"{kind}/{name}": self._accumulators[kind][parameter.name]
            for kind in _STATE
            for name, parameter in self._named.items()
            if parameter.name in self._accumulators.get(kind, {})
        }

    def described_groups(self) -> list[dict[str, Any]]:
        """The weights that do not decay and those that do, each with its settings, as other programs have groups."""
        settings = {"lr": self.get_lr(), "betas": list(self._betas), "eps": self._eps}
        parts = ((self.groups.exempt, 0.0), (self.groups.decay, self._decay))
        return [{"names": [*names], "weight_decay": decay, **settings} for names, decay in parts if names]

    def set_named_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `named_state` returned.

        Args:
            state: Tensors or NumPy arrays under the names of `named_state`, of the shapes of this model.

        Raises:
            TrainingError: A name or a shape is not this model's.
        """
        if state:
            self._create_accumulators(framework.default_main_program().global_block(), list(self._named.values()))
        own = self.named_state()
        problems = [f"{key}: no such parameter" for key in state if key not in own]
        problems += [
            f"{key}: has shape {tuple(value.shape)}, expected {tuple(own[key].shape)}"
            for key, value in state.items()
            if key in own and tuple(value.shape) != tuple(own[key].shape)
        ]
        if problems:
            raise TrainingError("the optimizer's state is not of this model", problems)
        for key, value in state.items():
            own[key].set_value(value)
