"""A checkpoint and a table of rules between two models: which side it is, and the plan to the other side."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from porting.architectures.base import TensorSpec
from porting.checkpoint import Checkpoint
from porting.checkpoint.dtypes import holds_floats
from porting.checkpoint.file.copying import Packer
from porting.checkpoint.other_forms import other_form
from porting.checkpoint.selection import parted
from porting.checkpoint.tensor import LazyTensor, Shape
from porting.errors import CheckpointError, PlanError, RulesError, UnknownNameError, UnprovenError
from porting.names import counts_batches, fold
from porting.plan import Plan, mismatches
from porting.saved_rules import ROLES, Role, SavedSide, SavedTable


class RulesPort(NamedTuple):
    """The planned port of a checkpoint by a table.

    Attributes:
        table: The table.
        source: The side that the checkpoint is.
        plan: The plan of the other side's tensors.
        tensors: The tensors of the checkpoint, and those that the table can add: constants with known values, and
            further names of tensors that are there.
        added: Names of those that were added.
        checkpoint: The checkpoint as it was read, without a prefix that all its names share.
    """

    table: SavedTable
    source: Role
    plan: Plan
    tensors: Mapping[str, LazyTensor]
    added: tuple[str, ...]
    checkpoint: Checkpoint

    @property
    def target(self) -> Role:
        """The side whose names the result has."""
        return other_side(self.source)

    @property
    def framework(self) -> str:
        """Framework of the other side."""
        return self.table.side(self.target).framework

    @property
    def dropped(self) -> dict[str, str]:
        """Names of the tensors of the checkpoint that the other side does not have, with the reason."""
        return {name: reason for name, reason in self.plan.dropped.items() if name in self.checkpoint.tensors}


def plan_by_rules(table: SavedTable, checkpoint: Checkpoint, *, side: str | None = None) -> RulesPort:
    """Find out which side of a table a checkpoint is, and plan its port to the other side.

    Tensors that the other side does not need may be missing, and so may what the table can add.

    Args:
        table: The table.
        checkpoint: An open checkpoint.
        side: `"reference"` or `"candidate"`; found from names and shapes by default.

    Raises:
        CheckpointError: The tensors fit neither side, or both; the details hold every mismatch with the nearer side.
        RulesError: The rules do not map the sides onto each other.
        UnknownNameError: There is no such side.
    """
    if side is not None and side not in ROLES:
        raise UnknownNameError(f"unknown side {side!r}: with rules, --from takes {' or '.join(ROLES)}")
    plans = {role: _plan(table, role) for role in ROLES if side in (None, role)}
    problems: dict[Role, list[str]] = {}
    for reading in checkpoint.readings():
        mismatched = {role: _problems(table.side(role), plan, reading.tensors) for role, plan in plans.items()}
        fitting = [role for role, lines in mismatched.items() if not lines]
        if len(fitting) == 1:
            return _port(table, fitting[0], plans[fitting[0]], reading)
        if fitting:
            raise _ambiguous(table, checkpoint)
        problems = problems or mismatched
    checkpoint.check()  # damage is the better explanation of missing tensors
    raise _refusal(table, checkpoint, problems)


def require_proven(table: SavedTable) -> None:
    """Refuse rules with which the two models give different outputs.

    Raises:
        UnprovenError: They do. Rules that were not tried pass.
    """
    if table.proven is False:
        raise UnprovenError(
            table.name,
            "nothing was written: every tensor has its counterpart, but with these rules the models give different "
            f"outputs in {table.precision}. `pit-align bisect --pair FILE` says where they differ; --unproven writes "
            "all the same",
        )


def require_tied(port: RulesPort) -> None:
    """Refuse a checkpoint that holds different values under names that are one tensor of its side.

    One of them would be written, and the others lost.

    Raises:
        CheckpointError: It does; the details name them.
    """
    tensors, lines = port.checkpoint.tensors, list[str]()
    for names in port.table.side(port.source).ties.values():
        first, *others = [name for name in names if name in tensors] or [""]
        lines += [f"{first} and {name}" for name in others if not _same(tensors[first], tensors[name])]
    if lines:
        whose = f"{port.table.title(port.source)} of {port.table.name}"
        summary = f"holds different values under names that are one tensor on {whose}: all but one would be lost"
        raise CheckpointError(port.checkpoint.path, summary, [*lines, "derive rules of a model that does not tie them"])


def _same(one: LazyTensor, other: LazyTensor) -> bool:
    """Whether two tensors hold the same bytes, compared block by block."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    return all(map(operator.eq, Packer().blocks(one.load()), Packer().blocks(other.load())))


def other_side(role: Role) -> Role:
    """Return the other side of a table."""
    return "candidate" if role == "reference" else "reference"


def _plan(table: SavedTable, source: Role) -> Plan:
    try:
        return table.plan(source)
    except PlanError as error:
        raise RulesError(table.name, f"from {table.title(source)} on, {error.summary}", error.details) from None


def _port(table: SavedTable, source: Role, plan: Plan, checkpoint: Checkpoint) -> RulesPort:
    added = _added(table.side(source), checkpoint.tensors)
    return RulesPort(table, source, plan, {**checkpoint.tensors, **added}, tuple(added), checkpoint)


def _added(side: SavedSide, tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """The tensors that a side has, a checkpoint has not, and that are known: further names, and constants."""
    added: dict[str, LazyTensor] = {}
    for names in side.ties.values():
        known = next((tensors[name] for name in names if name in tensors), None)
        if known is not None:
            added.update({name: known for name in names if name not in tensors})
    constants = side.constants.items()
    added.update({name: LazyTensor.of(value) for name, value in constants if name not in tensors})
    return added


def _problems(side: SavedSide, plan: Plan, tensors: Mapping[str, LazyTensor]) -> list[str]:
    """Every difference between the tensors of a checkpoint and those that the plan needs, one line for each."""
    shapes: dict[str, Shape] = {name: tensor.shape for name, tensor in {**tensors, **_added(side, tensors)}.items()}
    needed = {name: spec for name, spec in side.specs.items() if name in shapes or name not in plan.dropped}
    return [*mismatches(needed, shapes), *_wrong_dtypes(needed, tensors)]


def _wrong_dtypes(specs: Mapping[str, TensorSpec], tensors: Mapping[str, LazyTensor]) -> list[str]:
    wrong: dict[tuple[str, str], list[str]] = {}
    for name, tensor in tensors.items():
        counts = holds_floats(tensor.dtype) and counts_batches(name)  # of a checkpoint all of whose tensors were halved
        if name in specs and (specs[name].kind == "float") != holds_floats(tensor.dtype) and not counts:
            expected = "a floating dtype" if specs[name].kind == "float" else "integers"
            wrong.setdefault((tensor.dtype.name, expected), []).append(name)
    return [
        f"wrong dtype: {name} is {kind}, expected {what}"
        for (kind, what), names in wrong.items()
        for name in fold(names)
    ]


def _ambiguous(table: SavedTable, checkpoint: Checkpoint) -> CheckpointError:
    sides = f"{table.title('reference')} and {table.title('candidate')}"
    return CheckpointError(
        checkpoint.path,
        f"names and shapes fit {sides} of {table.name}; say which it is: --from reference or --from candidate",
    )


def _refusal(table: SavedTable, checkpoint: Checkpoint, problems: Mapping[Role, list[str]]) -> CheckpointError:
    role = min(problems, key=lambda role: len(problems[role]))
    known = table.side(role).tensors
    shared = sum(name in known for name in checkpoint.tensors)
    form = other_form(name for name in checkpoint.tensors if name not in known)
    lines = [*problems[role], *([form] if form else []), *_under_prefixes(table, checkpoint, problems)]
    if not shared:
        names = fold(checkpoint.tensors)
        seen = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        sides = " nor ".join(table.title(role) for role in problems)
        word = "neither" if len(problems) > 1 else "not"
        return CheckpointError(checkpoint.path, f"is {word} {sides} of {table.name} (found {seen})", lines)
    count = f"{len(problems[role])} mismatch{'es' if len(problems[role]) > 1 else ''}"
    return CheckpointError(checkpoint.path, f"looks like {table.title(role)} of {table.name}, with {count}", lines)


def _under_prefixes(table: SavedTable, checkpoint: Checkpoint, roles: Iterable[Role]) -> list[str]:
    """Return a line for each side that a part of the tensors is, with the option that reads it alone."""
    return [
        f"the {len(part)} under {prefix} are {table.title(role)}: --prefix {prefix} reads them alone"
        for prefix, part in parted(checkpoint.tensors)
        for role in roles
        if not _problems(table.side(role), _plan(table, role), part)
    ]
