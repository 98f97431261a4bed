"""A `Training` of Paddle: a layer, an optimizer of `paddle.optimizer`, and a scheduler of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import paddle
from paddle.optimizer import lr
from paddle.regularizer import L2Decay

from alignment.arrays import Array
from alignment.backends.paddle import PaddleBackend
from alignment.backends.trainers.plain import OptimizerSettings, Plain
from alignment.errors import AlignmentError
from alignment.pair import Training

_KINDS = {"AdamW": "AdamW", "Adam": "Adam", "SGD": "SGD", "Momentum": "SGD", "RMSProp": "RMSProp", "Lamb": "Lamb"}
_SETTINGS = {
    "beta1": "beta1",
    "beta2": "beta2",
    "epsilon": "epsilon",
    "momentum": "momentum",
    "nesterov": "use_nesterov",
    "alpha": "rho",
    "centered": "centered",
}
"""Setting to its name in a group of Paddle's optimizers, and with an underscore in the optimizer itself."""


class PaddlePlain(Plain, PaddleBackend):
    """See `alignment.backends.trainers.plain.PlainTrainer`."""

    optimizer_type, scheduler_types, word = paddle.optimizer.Optimizer, (lr.LRScheduler,), "paddle.optimizer"

    @property
    def _scheduler(self) -> Any:
        rate = self._training.optimizer._learning_rate
        return rate if isinstance(rate, lr.LRScheduler) else None

    def _settle(self, training: Training) -> None:
        """An optimizer keeps the dtype of its parameters for the rate, from before they were converted."""
        if self._held():
            training.optimizer._dtype = self._held()[0].dtype

    def _check_parameters(self, place: str) -> None:
        training = self._training
        if training.scheduler is not None and training.scheduler is not self._scheduler:
            raise AlignmentError(
                f"{place}: the optimizer does not take its rate from the scheduler; make it with "
                "learning_rate=scheduler"
            )
        if isinstance(training.optimizer, paddle.optimizer.LBFGS):
            raise AlignmentError(
                f"{place}: LBFGS takes a closure, which no check point gives it; use another optimizer"
            )
        super()._check_parameters(place)

    def _differentiable(self) -> dict[str, Any]:
        return {name: parameter for name, parameter in self._parameters() if not parameter.stop_gradient}

    def _groups(self) -> list[dict[str, Any]]:
        groups = self._training.optimizer._param_groups
        return groups if groups and isinstance(groups[0], dict) else [{"params": groups}]

    def _held(self) -> list[Any]:
        return [parameter for group in self._groups() for parameter in group["params"]]

    @paddle.no_grad()
    def _given(self, module: Any, ones: Array) -> Array:
        dtype = next((parameter.dtype for _, parameter in self._parameters()), "float32")
        state = paddle.get_rng_state()
        paddle.seed(next(self._calls))
        result: Array = module(paddle.to_tensor(ones, dtype=dtype)).numpy()
        paddle.set_rng_state(state)
        return result

    def _seed(self, seed: int) -> None:
        paddle.seed(seed)

    def settings(self) -> OptimizerSettings:
        """What the optimizer, its groups and the parameters say."""
        optimizer = self._training.optimizer
        names = {id(parameter): name for name, parameter in self._parameters()}
        values: dict[str, dict[str, float]] = {}
        for group in self._groups():
            known = {name: group.get(key, getattr(optimizer, f"_{key}", None)) for name, key in _SETTINGS.items()}
            for parameter in group["params"]:
                own = {"rate": self._rate(parameter), "decay": self._decay(parameter, group), **known}
                for setting, value in own.items():
                    if isinstance(value, int | float):
                        values.setdefault(setting, {})[names[id(parameter)]] = float(value)
        kind, package = type(optimizer).__name__, type(optimizer).__module__
        return OptimizerSettings(_KINDS.get(kind, "") if package.startswith("paddle.optimizer") else "", values)

    def _rate(self, parameter: Any) -> float:
        ratio = (getattr(parameter, "optimize_attr", None) or {}).get("learning_rate", 1.0)
        return float(self._training.optimizer.get_lr()) * float(ratio)

    def _decay(self, parameter: Any, group: Mapping[str, Any]) -> float:
        """The decay of a parameter, as far as the optimizer says it."""
        optimizer = self._training.optimizer
        exempt = getattr(optimizer, "_exclude_from_weight_decay_fn", None)
        if exempt is not None:
            return 0.0 if exempt(parameter) else float(optimizer._lamb_weight_decay)
        applies = getattr(optimizer, "_apply_decay_param_fun", None)
        if applies is not None and not applies(parameter.name):
            return 0.0
        own = getattr(parameter, "regularizer", None)
        for decay in (
            own,
            group.get("regularization_coeff"),
            group.get("weight_decay"),
            group.get("lamb_weight_decay", getattr(optimizer, "_lamb_weight_decay", None)),
            getattr(optimizer, "_regularization_coeff", None),
            getattr(optimizer, "_weight_decay", None),
            getattr(optimizer, "regularization", None),
        ):
            if isinstance(decay, L2Decay):
                return float(decay._coeff)
            if isinstance(decay, int | float):
                return float(decay)
        return 0.0

    def scale(self, factor: float) -> None:
        """Multiply the rate that all others are shares of."""
        optimizer = self._training.optimizer
        if self._scheduler is not None:
            self._scheduler.last_lr *= factor
        else:
            optimizer.set_lr(optimizer.get_lr() * factor)

    def advance(self, metric: float) -> None:
        """Step the scheduler, if there is one."""
        if isinstance(self._scheduler, lr.ReduceOnPlateau):
            self._scheduler.step(metric)
        elif self._scheduler is not None:
            self._scheduler.step()

    def apply(self, gradients: Mapping[str, Array]) -> None:
        """One step of the optimizer with these gradients."""
        for name, parameter in self._trained().items():
            parameter.grad = paddle.to_tensor(gradients[name], dtype=parameter.dtype)
        self._training.optimizer.step()
        self._training.optimizer.clear_grad()


create = PaddlePlain
