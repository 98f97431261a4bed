"""One table a published layout, per family, each from the family's canonical layout."""

from __future__ import annotations

from collections.abc import Mapping

from porting.architectures.base import Architecture, TensorSpec
from porting.converters import deit, pit, regnet
from porting.names import unknown
from porting.plan import Plan, plan
from porting.rules import Table

__all__ = ["CANONICAL", "LAYOUTS", "inward", "layout_names", "outward", "plan_between", "specs_in", "table_of"]

CANONICAL = "canonical"
LAYOUTS: Mapping[str, Mapping[str, Table]] = {
    family: {table.layout: table for table in tables}
    for family, tables in {"pit": pit.TABLES, "deit": deit.TABLES, "regnet": regnet.TABLES}.items()
}
"""Family to layout name to table."""


def layout_names() -> tuple[str, ...]:
    """Every layout of every family, each once."""
    return tuple(dict.fromkeys(layout for tables in LAYOUTS.values() for layout in tables))


def table_of(family: str, layout: str) -> Table:
    """The table from a family's canonical layout to this one.

    Raises:
        UnknownNameError: The family has no such layout; the nearest is named.
    """
    tables = LAYOUTS[family]
    if layout not in tables:
        raise unknown(f"layout of {family}", layout, tables)
    return tables[layout]


def specs_in(architecture: Architecture, layout: str) -> Mapping[str, TensorSpec]:
    """Names, shapes and kinds of a model's tensors in a layout.

    Raises:
        UnknownNameError: The family has no such layout.
    """
    return outward(architecture, layout).specs


def plan_between(architecture: Architecture, source: str, target: str) -> Plan:
    """The plan from one layout of a model to another, through the canonical one.

    Raises:
        UnknownNameError: The family has no such layout.
    """
    return inward(architecture, source).then(outward(architecture, target))


def inward(architecture: Architecture, layout: str) -> Plan:
    """The plan from a layout of a model to the canonical one.

    Raises:
        UnknownNameError: The family has no such layout.
    """
    return plan(table_of(architecture.family, layout).inverse, specs_in(architecture, layout), architecture.tensors)


def outward(architecture: Architecture, layout: str) -> Plan:
    """The plan from the canonical layout of a model to another.

    Raises:
        UnknownNameError: The family has no such layout.
    """
    return plan(table_of(architecture.family, layout).rules, architecture.tensors)
