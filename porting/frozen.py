"""Dataclasses whose fields are set once, without the code that `dataclass(frozen=True)` writes anew for each class."""

from __future__ import annotations

from dataclasses import Field, FrozenInstanceError, fields
from functools import cache
from typing import Any, ClassVar


class Frozen:
    """A value whose fields are set once; it is equal to another of its class with the same fields.

    It does what `dataclass(frozen=True)` does; compiling that for each of forty classes took a tenth of the time in
    which `pit-port convert` is ready to read. A class that derives from it is a `dataclass(eq=False, repr=False)`.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __setattr__(self, name: str, value: object) -> None:
        if name in vars(self) or name not in self.__dataclass_fields__:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return self._compared() == other._compared() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *self._compared()))

    def __repr__(self) -> str:
        printed = [field.name for field in fields(self) if field.repr]
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in printed)})"

    def _compared(self) -> list[Any]:
        cls: Any = type(self)
        return [getattr(self, name) for name in _compared_in(cls)]


@cache
def _compared_in(cls: type[Any]) -> list[str]:
    return [field.name for field in fields(cls) if field.compare]
