"""One table a published layout, per family, each from the family's canonical layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from porting import tables
from porting.architectures.base import Architecture, PerFamily, TensorSpec
from porting.errors import PlanError, UnknownNameError
from porting.names import unknown
from porting.plan import Plan, Source, plan
from porting.rules import Table

__all__ = [
    "CANONICAL",
    "LAYOUTS",
    "MISTAKES",
    "inward",
    "layout_names",
    "layouts_of",
    "outward",
    "plan_between",
    "specs_in",
    "table_of",
]

CANONICAL = "canonical"


def _tables(kind: str) -> Mapping[str, Mapping[str, Table]]:
    """The tables that each family's module holds as a constant of this name, by layout."""
    return PerFamily(__name__, lambda module: {table.layout: table for table in getattr(module, kind)})


class _Layouts(Mapping[str, Mapping[str, Table]]):
    """The tables of the families that have a module, and, where one is asked for by name, of those of the library."""

    def __init__(self) -> None:
        self._own = _tables("TABLES")

    def __getitem__(self, family: str) -> Mapping[str, Table]:
        return self._own[family] if family in self._own else tables.family(family).tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


LAYOUTS: Mapping[str, Mapping[str, Table]] = _Layouts()
"""Family to layout name to table; a family's module or file is read when it is first asked for."""
MISTAKES: Mapping[str, Mapping[str, Table]] = _tables("MISTAKES")
"""Likewise, those that files have by mistake: they are read when they are asked for by name, and never written."""


def layout_names() -> tuple[str, ...]:
    """Every layout of every family, each once."""
    return tuple(dict.fromkeys(layout for known in LAYOUTS.values() for layout in known))


def layouts_of(architecture: Architecture) -> tuple[str, ...]:
    """The layouts that a model can be written in."""
    known = LAYOUTS[architecture.family].values()
    return tuple(table.layout for table in known if table.refusal(architecture.name) is None)


def table_of(family: str, layout: str) -> Table:
    """The table from a family's canonical layout to this one, mistakes included.

    Raises:
        UnknownNameError: The family has no such layout; the nearest is named.
    """
    mistakes = MISTAKES.get(family, {})
    if layout in mistakes:
        return mistakes[layout]
    known = LAYOUTS[family]
    if layout in known:
        return known[layout]
    if layout in (*layout_names(), *tables.layouts()):
        raise UnknownNameError(f"layout {layout} has no models of the family {family}; known: {', '.join(known)}")
    raise unknown(f"layout of {family}", layout, known)


def specs_in(architecture: Architecture, layout: str) -> Mapping[str, TensorSpec]:
    """Names, shapes and kinds of a model's tensors in a layout.

    Raises:
        UnknownNameError: The family has no such layout.
        PlanError: Nobody publishes the model in it.
    """
    return _planned(architecture, layout).specs


def plan_between(architecture: Architecture, source: str, target: str) -> Plan:
    """The plan from one layout of a model to another, through the canonical one; errors as those of both ways."""
    return inward(architecture, source).then(outward(architecture, target))


def inward(architecture: Architecture, layout: str) -> Plan:
    """The plan from a layout of a model to the canonical one.

    Raises:
        UnknownNameError: The family has no such layout.
        PlanError: Nobody publishes the model in it.
    """
    there = _planned(architecture, layout)
    if layout == CANONICAL:
        return there
    return plan(table_of(architecture.family, layout).inverse, there.specs, architecture.tensors)


def outward(architecture: Architecture, layout: str) -> Plan:
    """The plan from the canonical layout of a model to another.

    Raises:
        UnknownNameError: The family has no such layout, or it is one that files have by mistake.
        PlanError: Nobody publishes the model in it.
    """
    mistake = table_of(architecture.family, layout).mistake
    if mistake:
        raise UnknownNameError(f"layout {layout} is only read, since it has {mistake}")
    return _planned(architecture, layout)


@lru_cache(maxsize=8)
def _planned(architecture: Architecture, layout: str) -> Plan:
    """The plan from the canonical layout; a port asks for the same one several times."""
    table = table_of(architecture.family, layout)
    refusal = table.refusal(architecture.name)
    if refusal is not None:
        known = ", ".join(layouts_of(architecture))
        raise PlanError(f"{architecture.name} has no layout {layout}: {refusal}; choose another (--to {known})")
    if layout == CANONICAL:  # what its rules come to, too
        return Plan({name: Source(name) for name in architecture.tensors}, architecture.tensors)
    return plan(table.rules, architecture.tensors)
