"""What a user's modules keep globally from one run to the next, such as tables in the precision of a first call."""

from __future__ import annotations

import functools
import gc
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from alignment.user_code import is_installed

_NOT_SEARCHED = frozenset(
    {
        *sys.stdlib_module_names,
        "torch",
        "paddle",
        "mindspore",
        "numpy",
        "alignment",
        "porting",
        "recipe",
        "click",
        "rich",
    }
)

_TABLES = (dict, OrderedDict, defaultdict)
"""What holds tables; a class derived from one may build what it gives anew, or count, and is left alone."""


class GlobalState:
    """The global names of the user's own modules, and what their global dictionaries hold, as they are now."""

    def __init__(self) -> None:
        self._names = {name: dict(vars(module)) for name, module in _own_modules()}
        self._tables = [
            (value, dict(value))
            for names in self._names.values()
            for name, value in names.items()
            if type(value) in _TABLES and not name.startswith("__")
        ]

    def restore(self) -> None:
        """Undo what runs have changed since, and empty the caches of functions."""
        for name, module in _own_modules():
            for key, value in self._names.get(name, {}).items():
                if vars(module).get(key) is not value:
                    setattr(module, key, value)
        for table, before in self._tables:
            if table.keys() != before.keys() or any(table[key] is not value for key, value in before.items()):
                table.clear()
                table.update(before)
        for cached in _cached_functions():
            cached.cache_clear()


def _own_modules() -> Iterator[tuple[str, ModuleType]]:
    """Modules of files that are no part of an installed package."""
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] not in _NOT_SEARCHED and file and not is_installed(Path(file)):
            yield name, module


def _cached_functions() -> Iterator[Any]:
    """Functions with a cache, of the user's and of installed packages that are no framework."""
    for found in gc.get_objects():
        if type(found) is functools._lru_cache_wrapper:
            name = str(getattr(found, "__module__", ""))
            if name.partition(".")[0] not in _NOT_SEARCHED:
                yield found
