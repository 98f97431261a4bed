"""A `Training` of MindSpore: a cell, an optimizer of `nn` or `experimental.optim`, and a scheduler of the latter.

Rates and weights are float32 there. The optimizers of `nn` take their rate from the number of their steps; those of
`experimental.optim` from a scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.experimental import optim
from mindspore.experimental.optim import lr_scheduler
from mindspore.nn.learning_rate_schedule import LearningRateSchedule

from alignment.arrays import Array, Batch
from alignment.backends.mindspore import MindSporeBackend
from alignment.backends.trainers.base import Updated
from alignment.backends.trainers.plain import OptimizerSettings, Plain, usual
from alignment.errors import AlignmentError
from alignment.pair import Training

_KINDS = {
    "AdamW": "AdamW",
    "AdamWeightDecay": "AdamW",
    "Adam": "Adam",
    "SGD": "SGD",
    "Momentum": "SGD",
    "RMSprop": "RMSProp",
    "RMSProp": "RMSProp",
    "Lamb": "Lamb",
}
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "beta1": ("beta1",),
    "beta2": ("beta2",),
    "epsilon": ("eps", "epsilon"),
    "momentum": ("momentum",),
    "dampening": ("dampening",),
    "nesterov": ("nesterov", "use_nesterov"),
    "alpha": ("alpha",),
    "centered": ("centered",),
}
"""Setting to its names in a group of `experimental.optim`, and as an attribute of the optimizers of `nn`."""


class _Scaled(LearningRateSchedule):
    """A schedule times a factor, which is its parameter `learning_rate`."""

    def __init__(self, schedule: LearningRateSchedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.learning_rate = Parameter(Tensor(1.0, mindspore.float32), name="factor", requires_grad=False)

    def construct(self, global_step: Tensor) -> Tensor:
        """The rate of a step."""
        return self.schedule(global_step) * self.learning_rate


class MindSporePlain(Plain, MindSporeBackend):
    """See `alignment.backends.trainers.plain.PlainTrainer`."""

    optimizer_type = (nn.Optimizer, optim.Optimizer)
    scheduler_types = (lr_scheduler.LRScheduler, lr_scheduler.SequentialLR, lr_scheduler.ReduceLROnPlateau)
    word = "mindspore.nn or mindspore.experimental.optim"

    @property
    def _by_steps(self) -> bool:
        """True for an optimizer of `nn`, whose rate depends on the number of its steps."""
        return isinstance(self._training.optimizer, nn.Optimizer)

    def _settle(self, training: Training) -> None:
        """Let the rate of an optimizer of `nn` be scaled if it is a schedule."""
        if self._by_steps:
            optimizer = training.optimizer
            rates = optimizer.learning_rate
            if isinstance(rates, LearningRateSchedule):
                optimizer.learning_rate = _Scaled(rates)
            elif isinstance(rates, nn.CellList):
                for place, rate in enumerate(rates):
                    if isinstance(rate, LearningRateSchedule):
                        rates[place] = _Scaled(rate)

    def _check_parameters(self, place: str) -> None:
        if self._by_steps and self._training.scheduler is not None:
            raise AlignmentError(
                f"{place}: the schedulers of mindspore.experimental are for its own optimizers; an optimizer of "
                "mindspore.nn takes its rates as learning_rate"
            )
        super()._check_parameters(place)

    def _parameters(self) -> Iterable[tuple[str, Any]]:
        return [(parameter.name, parameter) for parameter in self._model.get_parameters()]

    def _differentiable(self) -> dict[str, Any]:
        return {name: parameter for name, parameter in self._parameters() if parameter.requires_grad}

    def _held(self) -> list[Any]:
        return list(self._training.optimizer.parameters)

    def _gradient(self, tensor: Any) -> Array:
        gradient = self._gradients.get(tensor.name)
        return np.zeros(tensor.shape, np.float32) if gradient is None else self._array(gradient)

    def _wanted(self, target: Array) -> Any:
        """MindSpore's losses take labels in int32 only."""
        return self._tensor(target.astype(np.int32) if np.issubdtype(target.dtype, np.integer) else target)

    def _given(self, module: Any, ones: Array) -> Array:
        mindspore.set_seed(next(self._calls))
        return self._array(module(Tensor(ones)))

    def _seed(self, seed: int) -> None:
        mindspore.set_seed(seed)

    def settings(self) -> OptimizerSettings:
        """What the optimizer and its groups say."""
        optimizer = self._training.optimizer
        values: dict[str, dict[str, float]] = {}
        for parameter, own in self._of_nn() if self._by_steps else self._of_groups():
            for setting, value in own.items():
                values.setdefault(setting, {})[parameter.name] = _number(value)
        kind, package = type(optimizer).__name__, type(optimizer).__module__
        return OptimizerSettings(_KINDS.get(kind, "") if package.startswith("mindspore.") else "", values)

    def _of_groups(self) -> Iterable[tuple[Any, dict[str, Any]]]:
        """Parameters of an optimizer of `experimental.optim`, and the settings of their group."""
        for group in self._training.optimizer.param_groups:
            own = {name: next((group[key] for key in keys if key in group), None) for name, keys in _SETTINGS.items()}
            own |= {"rate": group["lr"], "decay": group.get("weight_decay", 0.0)}
            own |= dict(zip(("beta1", "beta2"), group.get("betas", ()), strict=False))
            known = {name: value for name, value in own.items() if value is not None}
            yield from ((parameter, known) for parameter in group["params"])

    def _of_nn(self) -> Iterable[tuple[Any, dict[str, Any]]]:
        """Parameters of an optimizer of `nn`, and what its attributes say of each."""
        optimizer = self._training.optimizer
        common = {}
        if isinstance(optimizer, nn.RMSProp):
            common["alpha"] = optimizer.decay
        for name, keys in _SETTINGS.items():
            value = next((getattr(optimizer, key) for key in keys if hasattr(optimizer, key)), None)
            if isinstance(value, int | float | Tensor):
                common[name] = value
        count = len(self._held())
        rates, decays = optimizer.get_lr(), optimizer.get_weight_decay()
        rates = rates if isinstance(rates, tuple) else (rates,) * count
        decays = decays if isinstance(decays, tuple) else (decays,) * count
        for parameter, rate, decay in zip(self._held(), rates, decays, strict=True):
            yield parameter, {**common, "rate": rate, "decay": decay}

    def scale(self, factor: float) -> None:
        """Multiply the rates of all parameters."""
        optimizer = self._training.optimizer
        rates = optimizer.learning_rate if self._by_steps else optimizer.lrs
        several = [rates] if isinstance(rates, Parameter) or not isinstance(rates, Iterable) else rates
        held: dict[int, Any] = {id(rate): rate for rate in (getattr(one, "learning_rate", one) for one in several)}
        for rate in held.values():  # the groups of an optimizer of `nn` share theirs
            ops.assign(rate, Tensor(rate.asnumpy() * np.float32(factor)))  # what is compiled holds its place

    def advance(self, metric: float) -> None:
        """Step the scheduler, if there is one, or count a step of an optimizer of `nn`."""
        scheduler = self._training.scheduler
        if self._by_steps:
            step: Parameter = self._training.optimizer.global_step
            ops.assign(step, step + 1)
        elif isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(metric)
        elif scheduler is not None:
            scheduler.step()

    def apply(self, gradients: Mapping[str, Array]) -> None:
        """One step of the optimizer with these gradients."""
        given = tuple(Tensor(gradients[parameter.name], mindspore.float32) for parameter in self._held())
        before = self._training.optimizer.global_step.copy() if self._by_steps else None
        self._training.optimizer(given)
        if before is not None:  # a step of the schedule is `advance`
            ops.assign(self._training.optimizer.global_step, before)

    def update(self, batch: Batch, target: Batch) -> Updated:
        """One update: loss, gradients, the optimizer's step, and then the scheduler's."""
        loss = float(self.loss_of(batch, target))
        gradients = {parameter.name: self._gradient(parameter) for parameter in self._held()}
        norm = float(np.sqrt(sum(float((gradient.astype(np.float64) ** 2).sum()) for gradient in gradients.values())))
        rate = usual(self.rates().values())
        self.apply(gradients)
        self.advance(loss)
        return Updated(loss, rate, norm)


create = MindSporePlain


def _number(value: Any) -> float:
    """A setting; of one in float32 the shortest decimal that it stands for: 0.9, not 0.899999976."""
    if not isinstance(value, Tensor):
        return float(value)
    array = value.asnumpy().reshape(())
    return float(str(array)) if array.dtype == np.float32 else float(array)
