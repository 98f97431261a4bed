"""A model as data: its name, and the names and shapes of its tensors in the canonical layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import prod
from types import MappingProxyType, ModuleType
from typing import NamedTuple, TypeAlias, TypeVar

from porting.frozen import Frozen

FAMILIES = ("pit", "deit", "regnet")
Shape: TypeAlias = tuple[int, ...]
Value = TypeVar("Value")


class PerFamily(Mapping[str, Value]):
    """Family to what a package has for it: a module of the family's name, imported when it is first asked for.

    Args:
        package: The package with one module for each family.
        content: Gives what is wanted of a module.
    """

    def __init__(self, package: str, content: Callable[[ModuleType], Value]) -> None:
        self._package, self._content = package, content
        self._known: dict[str, Value] = {}

    def __getitem__(self, family: str) -> Value:
        if family not in FAMILIES:
            raise KeyError(family)
        if family not in self._known:
            self._known[family] = self._content(import_module(f"{self._package}.{family}"))
        return self._known[family]

    def __iter__(self) -> Iterator[str]:
        return iter(FAMILIES)

    def __len__(self) -> int:
        return len(FAMILIES)


class TensorSpec(NamedTuple):
    """Shape and kind of one tensor.

    Attributes:
        shape: Shape of the tensor.
        kind: `"float"` for weights and running statistics (any floating dtype), `"int"` for counters.
    """

    shape: Shape
    kind: str = "float"


@dataclass(eq=False, repr=False)
class Architecture(Frozen):
    """One model with a fixed class count and image size.

    Attributes:
        family: Family of the model: `"pit"`.
        name: The model's name, as timm has it without the input size: `"pit_b_distilled"`.
        image_size: Height and width of the input, pixels.
        num_classes: Columns of the head; 0 for a model without one.
        tensors: Canonical name to shape, in the order of the official files.
        buffers: Names of the tensors that are no parameters.
    """

    family: str
    name: str
    image_size: tuple[int, int]
    num_classes: int
    tensors: Mapping[str, TensorSpec]
    buffers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))

    def __hash__(self) -> int:
        return hash((self.family, self.name, self.image_size, self.num_classes))

    @property
    def parameters(self) -> int:
        """Number of trainable values, without buffers."""
        return sum(prod(spec.shape) for name, spec in self.tensors.items() if name not in self.buffers)

    @property
    def counters(self) -> tuple[str, ...]:
        """Names of the integer buffers: no output depends on them, and not every layout keeps them."""
        return tuple(name for name, spec in self.tensors.items() if spec.kind == "int")

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the buffers that training updates and evaluation reads: running means and variances."""
        return tuple(name for name in self.tensors if name in self.buffers and name not in self.counters)

    @property
    def distilled(self) -> bool:
        """True if the model has a distillation head."""
        return self.name.endswith("_distilled")


def affine(name: str, weight: Shape) -> Iterator[tuple[str, Shape]]:
    """Yield names and shapes of a weight and its bias, which has one element for each output channel."""
    yield f"{name}.weight", weight
    yield f"{name}.bias", weight[:1]


def transformer_block(prefix: str, width: int, hidden: int) -> Iterator[tuple[str, Shape]]:
    """Yield names and shapes of a transformer block with a packed qkv, under the names of timm."""
    yield from affine(f"{prefix}.norm1", (width,))
    yield from affine(f"{prefix}.attn.qkv", (3 * width, width))
    yield from affine(f"{prefix}.attn.proj", (width, width))
    yield from affine(f"{prefix}.norm2", (width,))
    yield from affine(f"{prefix}.mlp.fc1", (hidden, width))
    yield from affine(f"{prefix}.mlp.fc2", (width, hidden))
