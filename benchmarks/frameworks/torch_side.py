"""Runs a case in torch, and draws the weights that the others are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn, optim
from torch.nn import functional as F

from benchmarks.frameworks.case import LAYER, OPTIMIZER, Case, Outcome, failed, generator

_STEPS = 5


def run(case: Case, dtype: str, training: bool) -> Outcome:
    """Return what torch computes, in `float64` or `float32`, with the layer in training or evaluation mode."""
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        if case.kind == OPTIMIZER:
            return _optimized(case)
        return _computed(case, dtype, training)
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError, IndexError) as error:
        return failed(error)
    finally:
        torch.set_default_dtype(torch.float32)


def _scope(case: Case, dtype: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "optim": optim}
    for name, array in case.arrays().items():
        tensor = torch.tensor(array)
        scope[name] = tensor.to(getattr(torch, dtype)) if array.dtype.kind == "f" else tensor
        scope[name].requires_grad_(name in case.differentiable())
    return scope


def _computed(case: Case, dtype: str, training: bool) -> Outcome:
    scope = _scope(case, dtype)
    inputs = [scope[name] for name in case.arrays()]
    made = eval(case.torch, scope)  # noqa: S307 (the texts are those of the tables of this package)
    weights: dict[str, npt.NDArray[Any]] = {}
    module = made if case.kind == LAYER else nn.Module()
    if case.kind == LAYER:
        module.train(training)
        weights = _drawn(case, module)
        made = module(*inputs)
    outputs = flat(made)[: case.outputs]
    _pull(outputs, generator(case.key, "cotangent"))
    quantities = {numbered("output", number): _array(output) for number, output in enumerate(outputs)}
    for name in case.differentiable():
        gradient = scope[name].grad
        quantities[f"gradient of {name}"] = np.zeros(scope[name].shape) if gradient is None else _array(gradient)
    return Outcome(
        quantities,
        weights,
        {name: _array(value.grad) for name, value in module.named_parameters() if value.grad is not None},
        {name: _array(value) for name, value in module.named_buffers() if value.is_floating_point()},
    )


def _drawn(case: Case, module: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """Give a module weights that depend on the case and their names only, and return them as float64."""
    drawn: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            values = 0.5 * generator(case.key, name).normal(size=tuple(tensor.shape))
            values = np.abs(values) + 0.5 if name.endswith("running_var") else values
            drawn[name] = values.astype(np.float32).astype(np.float64)
            tensor.data.copy_(torch.tensor(drawn[name]))
    return drawn


def _pull(outputs: list[torch.Tensor], source: np.random.Generator) -> None:
    """Take the gradients of the sum of the outputs, each element with a factor of its own."""
    total = None
    for output in outputs:
        factors = torch.tensor(source.normal(size=tuple(output.shape)).astype(np.float32).astype(np.float64))
        if output.is_floating_point() and output.requires_grad:
            term = (output * factors.to(output.dtype)).sum()
            total = term if total is None else total + term
    if total is not None:
        total.backward()


def _optimized(case: Case) -> Outcome:
    start = torch.tensor(case.arrays()["x"]).to(torch.get_default_dtype())
    parameter = nn.Parameter(start)
    optimizer = eval(case.torch, {"optim": optim, "p": [parameter]})  # noqa: S307 (as above)
    for step in range(_STEPS):
        parameter.grad = torch.tensor(generator(case.key, step).normal(size=start.shape)).to(start.dtype)
        optimizer.step()
    return Outcome({"weights after 5 steps": _array(parameter)}, {}, {}, {})


def flat(value: Any) -> list[torch.Tensor]:
    """Return the tensors of nested tuples and lists, in order."""
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in flat(part)]
    return [value] if isinstance(value, torch.Tensor) else []


def numbered(name: str, number: int) -> str:
    """Return the name of an output: the first one has no number."""
    return name if number == 0 else f"{name} {number + 1}"


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    return np.array(tensor.detach().numpy())
