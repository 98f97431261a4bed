"""Models as data: canonical tensor names and shapes, computed without a framework."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, cast

from porting.architectures.base import Architecture, Shape, TensorSpec
from porting.families import PerFamily
from porting.names import unknown

__all__ = ["FAMILIES", "NAMES", "Architecture", "Shape", "TensorSpec", "build", "recognise"]


class Family(Protocol):
    """What the module of a family offers."""

    @property
    def CONFIGS(self) -> Mapping[str, object]:  # noqa: N802 - a module's constant
        """The published models of the family."""

    def build(
        self, name: str, *, image_size: int | tuple[int, int] | None = None, num_classes: int | None = None
    ) -> Architecture:
        """One of them, at any image size and class count."""

    def recognise(self, shapes: Mapping[str, Shape]) -> Architecture | None:
        """The one that has these canonical shapes."""


FAMILIES: Mapping[str, Family] = PerFamily(__name__, lambda module: cast("Family", module))
"""Family to its module, imported when it is first asked for."""
NAMES: tuple[str, ...]
"""Every published model; known once it is asked for, since that takes the modules of all families."""


def __getattr__(name: str) -> Any:
    if name == "NAMES":
        return _names()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _names() -> tuple[str, ...]:
    return tuple(name for family in FAMILIES.values() for name in family.CONFIGS)


def build(
    name: str, *, image_size: int | tuple[int, int] | None = None, num_classes: int | None = None
) -> Architecture:
    """A published model by its name, at any image size and class count.

    Args:
        name: One of `NAMES`.
        image_size: Pixels, square or (height, width); the published size by default.
        num_classes: Columns of the head, 0 for none; the published count by default.

    Raises:
        UnknownNameError: No model has this name; the nearest ones are named.
        ImpossibleModelError: The image is smaller than a patch, or the class count is negative.
    """
    for family in FAMILIES.values():
        if name in family.CONFIGS:
            return family.build(name, image_size=image_size, num_classes=num_classes)
    raise unknown("model", name, _names())


def recognise(family: str, shapes: Mapping[str, Shape]) -> Architecture | None:
    """The model of a family that has these canonical shapes, or None."""
    return FAMILIES[family].recognise(shapes)
