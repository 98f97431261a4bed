"""Runs a case in Paddle, with the weights of the reference."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # paddle warns about ccache when it is imported
    import paddle
    from paddle import nn, optimizer
    from paddle.nn import functional as F

from benchmarks.frameworks.case import LAYER, OPTIMIZER, Case, Outcome, failed, generator

_STEPS = 5
_RENAMED = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight", "scale": "weight"}
_BUFFERS = ("_mean", "_variance")
_ERRORS = (
    KeyError,
    RuntimeError,
    ValueError,
    TypeError,
    NotImplementedError,
    AttributeError,
    AssertionError,
    IndexError,
)


def run(case: Case, dtype: str, training: bool, weights: Mapping[str, npt.NDArray[Any]]) -> Outcome:
    """Return what Paddle computes, with the layer's weights set to those of torch, under torch's names or its own."""
    paddle.set_default_dtype(dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # every BatchNorm in training warns that it tracks statistics
            return _optimized(case) if case.kind == OPTIMIZER else _computed(case, dtype, training, weights)
    except _ERRORS as error:
        return failed(error)
    finally:
        paddle.set_default_dtype("float32")


def _scope(case: Case, dtype: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"paddle": paddle, "nn": nn, "F": F}
    for name, array in case.arrays().items():
        scope[name] = paddle.to_tensor(array, dtype=dtype if array.dtype.kind == "f" else None)
        scope[name].stop_gradient = name not in case.differentiable()
    return scope


def _computed(case: Case, dtype: str, training: bool, weights: Mapping[str, npt.NDArray[Any]]) -> Outcome:
    scope = _scope(case, dtype)
    inputs = [scope[name] for name in case.arrays()]
    made = eval(case.paddle, scope)  # noqa: S307 (the texts are those of the tables of this package)
    layer = made if case.kind == LAYER else nn.Layer()
    if case.kind == LAYER:
        layer.train() if training else layer.eval()
        _load(layer, weights, dtype)
        made = layer(*inputs)
    outputs = _flat(made)[: case.outputs]
    _pull(outputs, generator(case.key, "cotangent"))
    quantities = {"output" if not n else f"output {n + 1}": _array(output) for n, output in enumerate(outputs)}
    for name in case.differentiable():
        gradient = scope[name].grad
        quantities[f"gradient of {name}"] = np.zeros(scope[name].shape) if gradient is None else _array(gradient)
    return Outcome(
        quantities,
        weights,
        {name: _array(value.grad) for name, value in layer.named_parameters() if value.grad is not None},
        {
            name: _array(value)
            for name, value in layer.state_dict().items()
            if name in _BUFFERS and "running_mean" in weights
        },
        transposed=_linear(layer),
    )


def _load(layer: Any, weights: Mapping[str, npt.NDArray[Any]], dtype: str) -> None:
    linear, buffers = _linear(layer), "running_mean" in weights
    own = dict(layer.named_parameters()) | layer.state_dict(include_sublayers=False)
    own = {name: tensor for name, tensor in own.items() if buffers or name not in _BUFFERS}
    for name, tensor in own.items():
        array = counterpart(name, linear, weights).reshape(tensor.shape)
        tensor.set_value(paddle.to_tensor(array, dtype=dtype))


def matched(outcome: Outcome, reference: Outcome) -> list[tuple[str, Any, Any]]:
    """Return the pairs of quantities to compare: a name, Paddle's value, torch's value in Paddle's layout."""
    pairs = [(name, value, reference.quantities.get(name)) for name, value in outcome.quantities.items()]
    for name, value in outcome.gradients.items():
        pairs.append(
            (
                f"gradient of {name}",
                value,
                counterpart(name, outcome.transposed, reference.gradients).reshape(value.shape),
            )
        )
    for name, value in outcome.buffers.items():
        pairs.append((_RENAMED.get(name, name), value, counterpart(name, outcome.transposed, reference.buffers)))
    return pairs


def _linear(layer: Any) -> frozenset[str]:
    """Names of the weights that Paddle keeps as (in, out) where torch has (out, in)."""
    return frozenset(
        f"{path}.weight".lstrip(".")
        for path, part in layer.named_sublayers(include_self=True)
        if isinstance(part, nn.Linear)
    )


def counterpart(name: str, linear: frozenset[str], theirs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return torch's array for a parameter of Paddle, in Paddle's layout.

    Raises:
        KeyError: torch's side has no such array.
    """
    path, _, leaf = name.rpartition(".")
    path = path.replace("cross_attn", "multihead_attn")
    found = f"{path}.{_RENAMED.get(leaf, leaf)}".lstrip(".")
    array = theirs[found] if found in theirs else _share_of(path, leaf, theirs)
    return array.T if name in linear else array


def _share_of(path: str, leaf: str, theirs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the part of a fused projection of torch's attention that is q, k or v."""
    parent, _, part = path.rpartition(".")
    fused = theirs[f"{parent}.in_proj_{leaf}".lstrip(".")]
    return np.split(fused, 3)["qkv".index(part[0])]


def _pull(outputs: list[Any], source: np.random.Generator) -> None:
    total = None
    for output in outputs:
        factors = source.normal(size=tuple(output.shape)).astype(np.float32).astype(np.float64)
        if paddle.is_floating_point(output) and not output.stop_gradient:
            term = (output * paddle.to_tensor(factors, dtype=output.dtype)).sum()
            total = term if total is None else total + term
    if total is not None:
        total.backward()


def _optimized(case: Case) -> Outcome:
    start = case.arrays()["x"]
    parameter = paddle.create_parameter(list(start.shape), paddle.get_default_dtype())
    parameter.set_value(paddle.to_tensor(start, dtype=paddle.get_default_dtype()))
    made = eval(case.paddle, {"optim": optimizer, "paddle": paddle, "p": [parameter]})  # noqa: S307 (as above)
    for step in range(_STEPS):
        factors = paddle.to_tensor(generator(case.key, step).normal(size=start.shape), dtype=parameter.dtype)
        (parameter * factors).sum().backward()
        made.step()
        made.clear_grad()
    return Outcome({"weights after 5 steps": _array(parameter)}, {}, {}, {})


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in _flat(part)]
    return [value] if isinstance(value, paddle.Tensor) else []


def _array(tensor: Any) -> npt.NDArray[Any]:
    return np.array(tensor.detach().numpy())
