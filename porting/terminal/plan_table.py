"""A plan as a table for people: which tensor becomes which, in columns where these fit, and as JSON for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from porting.names import by_number, fold, fold_members, without_indices
from porting.plan import Plan
from porting.visible import visible

_TITLES = ("target", "source", "tensors", "operations")
_COUNT = len(_TITLES[2])
_TAKEN_FROM = "  <- "
_MANY, _FEW = 6, 2
"""Numbers of lines for tensors that are left out for one reason: all up to `_MANY`, else the first few."""


class _Row(NamedTuple):
    """Tensors that are made alike.

    Attributes:
        target: Name in the target, indices perhaps folded; `-` for what is dropped.
        sources: Names in the source; empty for what the source does not have.
        operations: What happens on the way, in words.
        tensors: Number of tensors.
    """

    target: str
    sources: Sequence[str]
    operations: str
    tensors: int


def table_json(plan: Plan) -> list[dict[str, Any]]:
    """Return a plan for programs: every target with its sources, operations, part and shape, then what is dropped."""
    return [
        {
            "target": name,
            "sources": list(plan.sources_of(name)),
            "operations": list(plan.operations_of(name)),
            "part": plan.part_of(name),
            "shape": list(plan.specs[name].shape),
        }
        for name in plan.outputs
    ] + [
        {"target": None, "sources": [name], "operations": [what], "part": None, "shape": None}
        for name, what in plan.left_out.items()
    ]


def table_text(plan: Plan, *, folded: bool, width: int) -> str:
    """Return a plan as a table.

    Args:
        plan: The plan.
        folded: Let tensors that differ only in their indices share a row.
        width: Number of columns of the terminal. A table that needs more has several lines for a row.
    """
    rows = [
        _Row(visible(row.target) or "-", [visible(name) for name in row.sources], visible(row.operations), row.tensors)
        for row in (_folded(plan) if folded else _unfolded(plan))
    ]
    lines = list(_in_columns(rows))
    return "\n".join(lines if max(map(len, lines)) <= width else _one_below_another(rows, width))


def wrapped(text: str, width: int) -> str:
    """Return lines of text in as many columns as the terminal has; what goes on is indented."""
    lines = (_wrapped(line, width, "", "  ") for line in text.splitlines())
    return "\n".join(part for parts in lines for part in parts)


def _wrapped(text: str, width: int, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )


def _in_columns(rows: Sequence[_Row]) -> Iterator[str]:
    """Yield a line for each row."""
    cells = [(row.target, " + ".join(row.sources) or "-", f"{row.tensors:>{_COUNT}}", row.operations) for row in rows]
    widths = [max(map(len, column)) for column in zip(_TITLES, *cells, strict=True)][:3]
    for row in (_TITLES, *cells):
        yield "  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3])).rstrip()


def _one_below_another(rows: Sequence[_Row], width: int) -> Iterator[str]:
    """Yield the lines of each row: in one line what fits, or else each source and the operations below the target."""
    left = width - _COUNT - 2
    yield f"{'target <- source: operations':<{left}}  {_TITLES[2]}"
    for row in rows:
        sources = " + ".join(row.sources) or "-"
        together = f"{row.target} <- {sources}{f': {row.operations}' if row.operations else ''}"
        if len(together) <= left:
            yield f"{together:<{left}}  {row.tensors:>{_COUNT}}"
            continue
        yield f"{row.target:<{left}}  {row.tensors:>{_COUNT}}"
        yield from _below(row, width)


def _below(row: _Row, width: int) -> Iterator[str]:
    """Yield the sources, each in its line, and the operations, beside the last source where they fit there."""
    indent = " " * len(_TAKEN_FROM)
    starts = [_TAKEN_FROM, *[f"{indent[:-2]}+ "] * len(row.sources)]
    *lines, last = [f"{start}{name}" for start, name in zip(starts, row.sources or "-", strict=False)]
    yield from lines
    if not row.operations or len(last) + len(row.operations) + 2 <= width:
        yield f"{last}: {row.operations}" if row.operations else last
        return
    yield last
    yield from _wrapped(f": {row.operations}", width, indent[:-2], indent)


def _folded(plan: Plan) -> Iterator[_Row]:
    """Yield a row for all tensors of which only the indices differ."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in plan.outputs:
        alike = (_operations(plan, name), *(without_indices(source) for source in plan.sources_of(name)))
        groups.setdefault(alike, []).append(name)
    for names in groups.values():
        for folded, members in fold_members(names).items():
            ordered = sorted(members, key=by_number)
            sources = fold(dict.fromkeys(source for name in ordered for source in plan.sources_of(name)), in_order=True)
            yield _Row(folded, sources, _operations(plan, members[0]), len(members))
    left_out = plan.left_out
    for what in dict.fromkeys(left_out.values()):
        rows = list(fold_members(name for name, why in left_out.items() if why == what).items())
        shown = rows if len(rows) <= _MANY else rows[:_FEW]
        for folded, members in shown:
            yield _Row("", [folded], what, len(members))
        rest = sum(len(members) for _, members in rows[len(shown) :])
        if rest:
            yield _Row("", ["and others; -v names them"], what, rest)


def _unfolded(plan: Plan) -> Iterator[_Row]:
    for name in plan.outputs:
        yield _Row(name, plan.sources_of(name), _operations(plan, name), 1)
    for name, what in plan.left_out.items():
        yield _Row("", [name], what, 1)


def _operations(plan: Plan, target: str) -> str:
    """Return what happens to a target's sources, and which part of what is cut the target is."""
    part = plan.part_of(target)
    return ", ".join(plan.operations_of(target)) + (f", part {part[0]} of {part[1]}" if part else "")
