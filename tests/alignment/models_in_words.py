"""Models as `alignment.rules.describe_worker` describes them, a line a module: no framework is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from alignment.pair.model_description import ModelDescription, ModuleInfo, TensorInfo

Shape: TypeAlias = tuple[int, ...]
_STATISTICS = ("running_mean", "running_var", "_mean", "_variance", "moving_mean", "moving_variance")


def layer(
    path: str,
    kind: str,
    given: str = "",
    *,
    gave: str = "",
    call: int | None = -1,
    base: str | None = None,
    **tensors: Shape,
) -> tuple[ModuleInfo, Mapping[str, TensorInfo]]:
    """A module and its tensors; `call` is its place in the list unless it is given."""
    names = {f"{path}.{name}" if path else name: (name, shape) for name, shape in tensors.items()}
    infos = {
        name: TensorInfo(shape, "int64" if own == "num_batches_tracked" else "float32", own in _BUFFERS)
        for name, (own, shape) in names.items()
    }
    bases = (kind if base is None else base, "Module")
    return ModuleInfo(path, kind, bases, tuple(names), call, given, gave), infos


def linear(path: str, out: int, into: int, framework: str = "torch", given: str = "", *, bias: bool = True) -> Layer:
    """A Linear of torch or Paddle, a Dense of MindSpore."""
    weight = (into, out) if framework == "paddle" else (out, into)
    more: dict[str, Any] = {"bias": (out,)} if bias else {}
    return layer(path, "Dense" if framework == "mindspore" else "Linear", given, weight=weight, **more)


def norm(path: str, width: int, framework: str = "torch") -> Layer:
    """A BatchNorm2d, under each framework's names."""
    names: dict[str, tuple[str, ...]] = {
        "torch": ("weight", "bias", "running_mean", "running_var"),
        "paddle": ("weight", "bias", "_mean", "_variance"),
        "mindspore": ("gamma", "beta", "moving_mean", "moving_variance"),
    }
    counter: dict[str, Any] = {"num_batches_tracked": ()} if framework == "torch" else {}
    shapes: dict[str, Any] = dict.fromkeys(names[framework], (width,))
    kind = "BatchNorm2D" if framework == "paddle" else "BatchNorm2d"
    return layer(path, kind, **shapes, **counter)


def model(
    *layers: Layer, framework: str = "torch", tied: Mapping[str, str] | None = None, output: Shape = (3, 10)
) -> ModelDescription:
    """A model whose modules are called in this order; one whose input has no name is given what the last gave."""
    modules = [
        ModuleInfo(
            each.path,
            each.kind,
            each.bases,
            each.tensors,
            place if each.call == -1 else each.call,
            each.given,
            each.gave,
            each.after or (() if each.given or place == 1 or each.call is None else (layers[place - 2][0].path,)),
        )
        for place, (each, _) in enumerate(layers, 1)
    ]
    tensors = {name: info for _, infos in layers for name, info in infos.items()}
    for name, first in (tied or {}).items():
        tensors[name] = TensorInfo(tensors[name].shape, same_as=first)
    return ModelDescription(framework, (ModuleInfo("", "Net", ("Module",), (), 0), *modules), tensors, output)


def rows(rules: Iterable[object]) -> set[str]:
    """Rules as they print."""
    return {str(rule) for rule in rules}


Layer: TypeAlias = tuple[ModuleInfo, Mapping[str, TensorInfo]]
_BUFFERS = (*_STATISTICS, "num_batches_tracked")
