"""The families of models, and what a package has for each: a module of the family's name, imported when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import TypeVar

FAMILIES = ("pit", "deit", "regnet")
Value = TypeVar("Value")


class PerFamily(Mapping[str, Value]):
    """Family to what a package has for it; a port of one family does not wait for the others.

    Args:
        package: The package with a module a family.
        content: What is wanted of a module.
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
