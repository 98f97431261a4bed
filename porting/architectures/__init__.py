"""Models as data: canonical tensor names and shapes, computed without a framework."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, cast

from porting.architectures.base import Architecture, PerFamily, Shape, TensorSpec
from porting.errors import ImpossibleModelError
from porting.names import unknown

__all__ = ["FAMILIES", "NAMES", "Architecture", "Shape", "TensorSpec", "build", "recognise"]


class Family(Protocol):
    """Content of the module of a family."""

    @property
    def CONFIGS(self) -> Mapping[str, Any]:  # noqa: N802 - a module's constant
        """Hyper-parameters of every published model, a named tuple with `image_size` and `num_classes` each."""

    def architecture(self, name: str, config: Any) -> Architecture:
        """Return the model with these hyper-parameters."""

    def recognise(self, shapes: Mapping[str, Shape]) -> Architecture | None:
        """Return the published model that has these canonical shapes, or None."""


FAMILIES: Mapping[str, Family] = PerFamily(__name__, lambda module: cast("Family", module))
"""Family to its module, imported when it is first asked for."""
NAMES: tuple[str, ...]
"""Names of all published models; computed at first use, since that imports the modules of all families."""


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
    """Build a published model by its name, at any image size and class count.

    Args:
        name: One of `NAMES`.
        image_size: Pixels, square or (height, width); the published size by default.
        num_classes: Columns of the head, 0 for none; the published count by default.

    Raises:
        UnknownNameError: No model has this name; the nearest ones are named.
        ImpossibleModelError: The image is smaller than a patch or no multiple of it (DeiT), or the class count is
            negative.
    """
    for family in FAMILIES.values():
        if name in family.CONFIGS:
            config = family.CONFIGS[name]
            if image_size is not None:
                sides = (image_size, image_size) if isinstance(image_size, int) else image_size
                config = config._replace(image_size=sides)
            if num_classes is not None:
                config = config._replace(num_classes=num_classes)
            if config.num_classes < 0:
                raise ImpossibleModelError(f"{name}: the class count is {num_classes}, expected 0 (no head) or more")
            return family.architecture(name, config)
    raise unknown("model", name, _names())


def recognise(family: str, shapes: Mapping[str, Shape]) -> Architecture | None:
    """Return the model of a family that has these canonical shapes, or None."""
    return FAMILIES[family].recognise(shapes)
