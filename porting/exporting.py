"""Names that a package offers and that live in other modules, imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exporting(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package that offers these names.

    Type-checkers do not see through this: the package imports the same names under `TYPE_CHECKING`, too. No module of
    the package may have one of the names, since importing it would put the module in the name's place.

    Args:
        package: The package's name.
        places: Name to the module that has it, `module`, or `module:attribute` where it has another name there.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = places[name].partition(":")
        value = getattr(import_module(module), attribute or name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *places})

    return get, names
