"""What `pit-port plan` prints: what becomes what, and the table of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from porting.terminal.common import model_text
from porting.terminal.plan_table import table_text, wrapped
from porting.visible import visible

if TYPE_CHECKING:
    from porting.by_rules import RulesPort
    from porting.conversion import Port


def plan_text(port: Port, *, folded: bool, width: int) -> str:
    """Return a port's plan as a table; `folded` and `width` as for `table_text`."""
    before = f"{model_text(port.identity.architecture)}, layout {port.identity.layout}"
    after = f"{model_text(port.architecture)}, layout {port.layout}"
    return f"{_headed(before, after, width)}\n{table_text(port.plan, folded=folded, width=width)}"


def rules_text(port: RulesPort, *, folded: bool, width: int) -> str:
    """Return a port by rules of the user's as a table; `folded` and `width` as for `table_text`."""
    table = port.table
    head = _headed(f"{table.title(port.source)} of {visible(table.name)}", table.title(port.target), width)
    told = "\n".join(wrapped(visible(line), width) for line in (table.proof, table.crosswise) if line)
    return f"{head}\n{told}\n{table_text(port.plan, folded=folded, width=width)}"


def _headed(before: str, after: str, width: int) -> str:
    """Return what becomes what, in two lines where one is too long."""
    line = f"{before} -> {after}"
    return line if len(line) <= width else f"{before}\n-> {after}"
