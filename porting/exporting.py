"""Names of a package that its modules hold, imported when they are used, and modules under earlier names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader


def exporting(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package with these names.

    Type-checkers cannot follow them: the package imports the same names under `TYPE_CHECKING` too. No module of the
    package may have one of the names, since importing it would put the module in the place of the name.

    Args:
        package: Name of the package.
        places: Name to its place, `module`, or `module:attribute` where it has another name there.
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


def renamed(modules: Mapping[str, str]) -> None:
    """Make modules importable under the names that they had before.

    `import old` then gives the module `new` itself.

    Args:
        modules: Earlier name of each module to the name that it has now, both in full.
    """
    # First, since a package under an earlier name has a path, in which others would find its modules a second time.
    sys.meta_path.insert(0, _Renamed(modules))


class _Renamed:
    """Finds a module by an earlier name; no subclass of `importlib.abc`, whose import takes 5 ms."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, cast("Loader", self)) if fullname in self._modules else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(self._modules[module.__name__])
