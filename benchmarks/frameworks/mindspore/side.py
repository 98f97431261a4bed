"""Runs a case in MindSpore, with the weights of the reference, under torch's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import nn, ops
from mindspore.experimental import optim

from benchmarks.frameworks.case import OPTIMIZER, Case, Outcome, failed, generator

_STEPS = 5
_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "embedding_table": "weight",
    "w": "weight",
}
"""MindSpore's name of a parameter to torch's, where they differ."""
_STATISTICS = ("running_mean", "running_var")


def run(case: Case, text: str, dtype: str, training: bool, weights: Mapping[str, npt.NDArray[Any]]) -> Outcome:
    """Return what MindSpore computes.

    Args:
        case: The case.
        text: MindSpore's text of it: one that begins with `nn.` makes a layer, any other is an expression.
        dtype: `float64` or `float32`.
        training: Whether the layer is in training mode.
        weights: Torch's, by name.
    """
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE, pynative_synchronize=True)  # errors where they happen
    try:
        if case.kind == OPTIMIZER:
            return _optimized(case, text, dtype)
        return _computed(case, text, dtype, training, weights)
    except Exception as error:  # whatever the framework raises is what there is to tell
        return failed(error)


def _scope(case: Case, dtype: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"nn": nn, "ops": ops}
    for name, array in case.arrays().items():
        kind = dtype if array.dtype.kind == "f" else "bool_" if array.dtype.kind == "b" else "int32"
        scope[name] = mindspore.Tensor(array, getattr(mindspore, kind))
    return scope


def _computed(case: Case, text: str, dtype: str, training: bool, weights: Mapping[str, npt.NDArray[Any]]) -> Outcome:
    scope = _scope(case, dtype)
    names = list(case.arrays())
    parameters: dict[str, Any] = {}
    if text.startswith("nn."):
        cell = eval(text, dict(scope))  # noqa: S307 (the texts are those of this package)
        parameters = _loaded(cell, weights, dtype)
        cell.set_train(training)

        def forward(*inputs: Any) -> Any:
            return cell(*inputs)
    else:
        code = compile(text, text, "eval")

        def forward(*inputs: Any) -> Any:
            return eval(code, {**scope, **dict(zip(names, inputs, strict=True))})  # noqa: S307 (as above)

    inputs = [scope[name] for name in names]
    trained = {name: value for name, value in parameters.items() if name not in _STATISTICS}
    statistics = {name: value.copy() for name, value in parameters.items() if name in _STATISTICS}
    outputs = _flat(forward(*inputs))[: case.outputs]
    quantities = {"output" if not n else f"output {n + 1}": _array(output) for n, output in enumerate(outputs)}
    buffers = {name: _array(parameters[name]) for name in statistics}
    places = [place for place, name in enumerate(names) if name in case.differentiable()]
    gradients: dict[str, npt.NDArray[Any]] = {}
    if (places or trained) and any(output.dtype in (mindspore.float32, mindspore.float64) for output in outputs):
        for name, value in statistics.items():
            parameters[name].set_data(value)
        of_inputs, of_parameters = _gradients(case, forward, inputs, places, list(trained.values()))
        quantities |= {f"gradient of {names[place]}": _array(g) for place, g in zip(places, of_inputs, strict=True)}
        gradients = {name: _array(g) for name, g in zip(trained, of_parameters, strict=True)}
    return Outcome(quantities, weights, gradients, buffers)


def _gradients(
    case: Case, forward: Any, inputs: Sequence[Any], places: Sequence[int], parameters: Sequence[Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """The gradients of the sum of the outputs, each element with a factor of its own."""

    def total(*given: Any) -> Any:
        source, result = generator(case.key, "cotangent"), 0
        for output in _flat(forward(*given))[: case.outputs]:
            factors = source.normal(size=tuple(output.shape)).astype(np.float32)
            if output.dtype in (mindspore.float32, mindspore.float64):
                result = result + (output * mindspore.Tensor(factors, output.dtype)).sum()
        return result

    weights = mindspore.ParameterTuple(parameters) if parameters else None
    positions = tuple(places) if places else None
    made = mindspore.grad(total, positions, weights)(*inputs)
    of_inputs = made[0] if positions and weights else made if positions else ()
    of_parameters = made[1] if positions and weights else made if weights else ()
    return of_inputs if isinstance(of_inputs, tuple) else (of_inputs,), of_parameters


def _loaded(cell: Any, weights: Mapping[str, npt.NDArray[Any]], dtype: str) -> dict[str, Any]:
    """Give a cell torch's weights, and return its parameters under torch's names.

    Raises:
        KeyError: Torch's layer has no such weight.
    """
    parameters: dict[str, Any] = {}
    for path, parameter in cell.parameters_and_names():
        leaf = path.rpartition(".")[2]
        name = next((known for known in (path, leaf, _NAMES.get(leaf, leaf)) if known in weights), "")
        parameter.set_dtype(getattr(mindspore, dtype))
        if not name and leaf in _NAMES:
            continue  # a norm without weights keeps ones and zeros
        if not name:
            raise KeyError(f"torch has no weight for {path}")
        parameter.set_data(mindspore.Tensor(weights[name].reshape(parameter.shape), getattr(mindspore, dtype)))
        parameters[name] = parameter
    return parameters


def _optimized(case: Case, text: str, dtype: str) -> Outcome:
    start = case.arrays()["x"]
    parameter = mindspore.Parameter(mindspore.Tensor(start, getattr(mindspore, dtype)), name="p")
    made = eval(text, {"optim": optim, "nn": nn, "p": [parameter]})  # noqa: S307 (as above)
    for step in range(_STEPS):
        gradient = generator(case.key, step).normal(size=start.shape)
        made((mindspore.Tensor(gradient, getattr(mindspore, dtype)),))
    return Outcome({"weights after 5 steps": _array(parameter)}, {}, {}, {})


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in _flat(part)]
    return [value] if isinstance(value, mindspore.Tensor) else []


def _array(tensor: Any) -> npt.NDArray[Any]:
    return np.array(tensor.asnumpy())
