"""A `Training` of torch: a module, an optimizer of `torch.optim`, and a scheduler of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from alignment.arrays import Array
from alignment.backends.torch import TorchBackend
from alignment.backends.trainers.plain import OptimizerSettings, Plain
from alignment.errors import AlignmentError
from alignment.pair.inputs import perturb

_KINDS = {"AdamW": "AdamW", "Adam": "Adam", "SGD": "SGD", "RMSprop": "RMSProp", "Lamb": "Lamb"}
_SETTINGS = {
    "rate": "lr",
    "decay": "weight_decay",
    "epsilon": "eps",
    "momentum": "momentum",
    "dampening": "dampening",
    "nesterov": "nesterov",
    "alpha": "alpha",
    "centered": "centered",
}
"""Setting to its name in a group of torch's optimizers."""


class TorchPlain(Plain, TorchBackend):
    """See `alignment.backends.trainers.plain.PlainTrainer`."""

    optimizer_type, scheduler_types, word = torch.optim.Optimizer, (LRScheduler, ReduceLROnPlateau), "torch.optim"

    def _check_parameters(self, place: str) -> None:
        training = self._training
        if isinstance(training.optimizer, torch.optim.LBFGS):
            raise AlignmentError(
                f"{place}: LBFGS takes a closure, which no check point gives it; use another optimizer"
            )
        owner = getattr(training.scheduler, "optimizer", training.optimizer)
        if owner is not training.optimizer:
            raise AlignmentError(
                f"{place}: the scheduler was made for another optimizer; make it for the one that is returned"
            )
        super()._check_parameters(place)

    def _differentiable(self) -> dict[str, Any]:
        return {name: parameter for name, parameter in self._parameters() if parameter.requires_grad}

    def _held(self) -> list[Any]:
        return [parameter for group in self._training.optimizer.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def _given(self, module: Any, ones: Array) -> Array:
        dtype = next((parameter.dtype for _, parameter in self._parameters()), torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(next(self._calls))
            result: Array = module(torch.from_numpy(ones).to(dtype)).numpy()
        return result

    def _seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def settings(self) -> OptimizerSettings:
        """What the groups of the optimizer say."""
        optimizer = self._training.optimizer
        names = {id(parameter): name for name, parameter in self._parameters()}
        values: dict[str, dict[str, float]] = {}
        for group in optimizer.param_groups:
            own = {setting: group[key] for setting, key in _SETTINGS.items() if group.get(key) is not None}
            own |= dict(zip(("beta1", "beta2"), group.get("betas", ()), strict=False))
            for parameter in group["params"]:
                for setting, value in own.items():
                    values.setdefault(setting, {})[names[id(parameter)]] = float(value)
        kind, package = type(optimizer).__name__, type(optimizer).__module__
        known = package.startswith(("torch.optim", "timm.optim"))
        return OptimizerSettings(_KINDS.get(kind, "") if known else "", values)

    def scale(self, factor: float) -> None:
        """Multiply the rates of all groups."""
        for group in self._training.optimizer.param_groups:
            group["lr"] = float(group["lr"]) * factor

    def advance(self, metric: float) -> None:
        """Step the scheduler, if there is one."""
        scheduler = self._training.scheduler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer has not stepped yet, where only rates are looked at
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(metric)
            elif scheduler is not None:
                scheduler.step()

    def apply(self, gradients: Mapping[str, Array]) -> None:
        """One step of the optimizer with these gradients."""
        for name, parameter in self._trained().items():
            parameter.grad = self._tensor(gradients[name]).to(parameter.dtype)
        self._training.optimizer.step()

    def _move(self, generator: np.random.Generator) -> None:
        for group in self._training.optimizer.param_groups:
            for key in ("betas", "alpha", "momentum"):
                if group.get(key):
                    moved = perturb(np.atleast_1d(np.asarray(group[key], np.float32)), generator)
                    group[key] = tuple(map(float, moved)) if key == "betas" else float(moved[0])


create = TorchPlain
