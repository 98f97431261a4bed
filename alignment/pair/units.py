"""What modules mean, whatever the framework calls them: their kind, and each of their tensors in one common form.

The common form is PyTorch's: a Linear's weight is `(out, in)`, a BatchNorm has `running_mean`. How a tensor gets there
is decided by the class of the module that holds it, never by its shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from alignment.pair.model_description import ModelDescription, ModuleInfo
from porting.checkpoint.tensor import Shape
from porting.operations import Op, Transpose

BARE = "parameter"
"""The kind of a tensor whose module is none that is known: it is taken as it is."""
COUNTER = "num_batches_tracked"
_STATISTICS = ("running_mean", "running_var", COUNTER)
"""Parts that no optimiser updates, though Paddle lists some among the parameters."""

_KINDS: Mapping[str, str] = {
    r"(Lazy)?Linear|Dense": "Linear",
    r"(Lazy)?Conv[123]d": "Conv",
    r"(Lazy)?Conv([123]d)?Transpose([123]d)?": "ConvTranspose",
    r"(Lazy|Sync)?BatchNorm([123]d)?|_BatchNorm\w*": "BatchNorm",
    r"(Lazy)?InstanceNorm([123]d)?": "InstanceNorm",
    r"LayerNorm": "LayerNorm",
    r"GroupNorm": "GroupNorm",
    r"RMSNorm": "RMSNorm",
    r"Embedding": "Embedding",
    r"PReLU": "PReLU",
}
"""Name of a framework's class to the kind of module, in lower case but for the case of dimensions."""
_NORMS = ("BatchNorm", "InstanceNorm", "LayerNorm", "GroupNorm", "RMSNorm")
_PARTS: Mapping[str, tuple[str, ...]] = {
    "Linear": ("weight", "bias"),
    "Conv": ("weight", "bias"),
    "ConvTranspose": ("weight", "bias"),
    "Embedding": ("weight",),
    "PReLU": ("weight",),
    **dict.fromkeys(_NORMS, ("weight", "bias")),
    "BatchNorm": ("weight", "bias", *_STATISTICS),
    "InstanceNorm": ("weight", "bias", *_STATISTICS),
}
NAMES: Mapping[str, Mapping[str, str]] = {
    "torch": {},
    "paddle": {"_mean": "running_mean", "_variance": "running_var", "scale": "weight", "_weight": "weight"},
    "mindspore": {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
        "embedding_table": "weight",
    },
}
"""Framework to its own names of the parts, where they are not PyTorch's."""
_OPS: Mapping[tuple[str, str, str], Op] = {("paddle", "Linear", "weight"): Transpose()}
"""Framework, kind and part to what takes the common form to the framework's."""
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """One tensor of a unit.

    Attributes:
        name: In the state dict.
        shape: In the common form.
        op: From the common form to the framework's; None where they are the same.
        buffer: Whether no optimiser updates it.
    """

    name: str
    shape: Shape
    op: Op | None = None
    buffer: bool = False


@dataclass(frozen=True)
class Unit:
    """A module with the tensors that it holds itself, or one tensor whose module is of no known kind.

    Attributes:
        path: Of the module; of a bare tensor, its name.
        kind: `Linear`, `Conv`, ... or `BARE`.
        parts: Common name of each part to the tensor; a bare tensor's is empty.
        call: When the module is first called; None where that is not known.
        given: Digest of what it is first called with; empty where that is not known.
        gave: Digest of what it gives then.
        module: Path of the module that holds its tensors.
        after: Paths of modules of the same form, of whose output the module's input is made.
    """

    path: str
    kind: str
    parts: Mapping[str, Part]
    call: int | None = None
    given: str = ""
    gave: str = ""
    module: str = ""
    after: frozenset[str] = frozenset()

    @cached_property
    def signature(self) -> tuple[str, tuple[tuple[str, Shape], ...]]:
        """What two units must share to hold the same: kind, parts and shapes; counters take no part in a function."""
        shapes = sorted((part, tensor.shape) for part, tensor in self.parts.items() if part != COUNTER)
        return self.kind, tuple(shapes)

    def canonical(self, part: str) -> str:
        """The name of a part in the common form."""
        return f"{self.path}.{part}".strip(".") if part else self.path


def kind_of(module: ModuleInfo) -> str:
    """The kind of a module by the framework's classes that it derives from; empty for none that is known."""
    for base in module.bases:
        name = re.sub(r"([123])D", r"\1d", base)
        for pattern, kind in _KINDS.items():
            if re.fullmatch(pattern, name):
                return kind
    return ""


def units_of(model: ModelDescription) -> tuple[Unit, ...]:
    """The units of a model, in the order of its modules; of tensors with several names each name is a part."""
    after = _after(model.modules)
    return tuple(unit for module in model.modules for unit in _units(model, module, after.get(module.path, _NOTHING)))


def _after(modules: Sequence[ModuleInfo]) -> dict[str, frozenset[str]]:
    """Path to all paths of which the input of a module is made, near ones and far ones."""
    after: dict[str, frozenset[str]] = {}
    for module in sorted(modules, key=lambda info: -1 if info.call is None else info.call):
        after[module.path] = frozenset(module.after).union(*(after.get(path, _NOTHING) for path in module.after))
    return after


def _units(model: ModelDescription, module: ModuleInfo, after: frozenset[str]) -> Iterator[Unit]:
    kind = kind_of(module)
    parts: dict[str, Part] = {}
    for name in module.tensors:
        info = model.tensors[name]
        own = name.rpartition(".")[2]
        part = NAMES[model.framework].get(own, own) if kind else own
        if part in _PARTS.get(kind, ()):
            op = _OPS.get((model.framework, kind, part))
            shape = op.inverse.shapes(info.shape)[0] if op and op.inverse else info.shape
            parts[part] = Part(name, shape, op, info.buffer or part in _STATISTICS)
        else:
            bare = {"": Part(name, info.shape, None, info.buffer)}
            yield Unit(name, BARE, bare, module.call, module=module.path, after=after)
    if parts:
        yield Unit(module.path, kind, parts, module.call, module.given, module.gave, module.path, after)
