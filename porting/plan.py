"""The mapping of one set of tensors onto another, planned from names and shapes before a byte moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from porting.architectures.base import TensorSpec
from porting.checkpoint.dtypes import is_float
from porting.checkpoint.tensor import Array, LazyTensor, Shape
from porting.errors import PlanError
from porting.expressions import (
    Applied,
    Constant,
    Expression,
    Filled,
    Initialised,
    Source,
    applied,
    changes_in,
    constants_in,
    evaluate,
    operations_in,
    part_in,
    pieces_of,
    sources_in,
    spelled,
    substituted,
    uses,
)
from porting.frozen import Frozen
from porting.names import fold, nearest
from porting.operations import (
    Build,
    Fill,
    Op,
    ShapeMismatchError,
    Transpose,
    UntrustedOperationError,
    ValueMismatchError,
)
from porting.operations.chains import way
from porting.operations.grammar import texts
from porting.operations.own import shapes_given, try_own
from porting.patterns import Patterns
from porting.rules import Rule

__all__ = [
    "Applied",
    "Constant",
    "Expression",
    "Filled",
    "Group",
    "Initialised",
    "Plan",
    "Source",
    "mismatches",
    "plan",
]

_MOST_COMPARED = 1000
"""Pairs of an unexpected and a missing name that are compared for the nearest; each pair takes about half a ms."""

Application: TypeAlias = "tuple[int, tuple[tuple[str, int | str], ...]]"
"""Number of a rule, and the values of its placeholders."""


class Group(NamedTuple):
    """One application of one rule.

    Attributes:
        sources: Names of the tensors that it takes.
        targets: Names of the tensors that it gives.
        op: The operation; None passes one tensor as it is.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    op: Op | None


@dataclass(eq=False, repr=False)
class Plan(Frozen):
    """The plan of a conversion: what every target is made of.

    Attributes:
        outputs: Target name to the expression over source names that fills it.
        specs: Target name to shape and kind.
        dropped: Source name to the reason why no target has it.
        groups: The rules that it was made of, one entry for each time that one was applied; a plan that was put
            together from others has none.
    """

    outputs: Mapping[str, Expression]
    specs: Mapping[str, TensorSpec]
    dropped: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[Group, ...] = field(default=(), compare=False)

    def then(self, after: Plan) -> Plan:
        """Return this plan followed by one over its targets as a single plan, without operations that cancel out."""
        outputs = {name: substituted(expression, self.outputs) for name, expression in after.outputs.items()}
        lost = {
            source: reason for middle, reason in after.dropped.items() for source in sources_in(self.outputs[middle])
        }
        return Plan(outputs, after.specs, {**self.dropped, **lost})

    def apply(self, tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
        """Return the targets over these sources. Nothing is read until a target's `load` is called.

        Args:
            tensors: The sources, with the names and shapes that the plan was made for.

        Raises:
            PlanError: The parts of one target have different dtypes.
        """
        return {name: self._lazy(name, expression, tensors) for name, expression in self.outputs.items()}

    def remarks(self, tensors: Mapping[str, LazyTensor]) -> dict[str, str]:
        """Return remarks of the operations on the values of these sources, by target; few sources have to be read."""
        remarks = {}
        for name, expression in self.outputs.items():
            if isinstance(expression, Applied) and type(expression.op).remark is not Op.remark:
                arguments = (
                    evaluate(argument, lambda source: tensors[source].load(), np.dtype(np.float32))
                    for argument in expression.args
                )
                if (remark := expression.op.remark(*arguments)) is not None:
                    remarks[name] = remark
        return remarks

    def sources_of(self, target: str) -> tuple[str, ...]:
        """Return the sources of a target."""
        return tuple(sources_in(self.outputs[target]))

    def operations_of(self, target: str) -> tuple[str, ...]:
        """Return the operations on the way to a target in words, first to last."""
        return tuple(self._texts.get(target) or operations_in(self.outputs[target]))

    def part_of(self, target: str) -> tuple[int, int] | None:
        """Return which part of its source a target is, from 1, and of how many; None where the source is not cut."""
        return part_in(self.outputs[target])

    @property
    def left_out(self) -> dict[str, str]:
        """Names of the dropped sources to the operation in words: `drop: a counter`."""
        words = {source: texts(group.op) for group in self.groups if not group.targets for source in group.sources}
        return {name: (words.get(name) or [f"drop: {reason}"])[0] for name, reason in self.dropped.items()}

    @cached_property
    def _texts(self) -> Mapping[str, list[str]]:
        """Target to the operations of its rule."""
        return {target: texts(group.op) for group in self.groups for target in group.targets}

    @property
    def identity(self) -> str:
        """A text that is the same only for plans that make the same values of the same sources."""
        return "\n".join(f"{name!r} = {spelled(expression)}" for name, expression in self.outputs.items())

    @property
    def changes(self) -> dict[str, str]:
        """Targets with other values than their sources, with what changed them."""
        return {
            name: " then ".join(what) for name, expression in self.outputs.items() if (what := changes_in(expression))
        }

    @property
    def filled(self) -> tuple[str, ...]:
        """Targets without a source: filled with one value, or with that of a known constant."""
        return tuple(name for name, expression in self.outputs.items() if isinstance(expression, Filled | Constant))

    @property
    def transposed(self) -> tuple[str, ...]:
        """Targets that are transposed on the way."""
        return tuple(name for name, expression in self.outputs.items() if uses(expression, Transpose))

    def _lazy(self, name: str, expression: Expression, tensors: Mapping[str, LazyTensor]) -> LazyTensor:
        spec = self.specs[name]
        dtypes = {tensors[source].dtype for source in sources_in(expression)}
        if len(dtypes) > 1:
            listed = ", ".join(f"{source} is {tensors[source].dtype}" for source in sources_in(expression))
            raise PlanError(f"{name}: its parts have different dtypes: {listed}; convert the source to one dtype first")
        if isinstance(expression, Constant):
            return LazyTensor.of(expression.values)
        dtypes |= {constant.values.dtype for constant in constants_in(expression)} if not dtypes else set()
        dtype = dtypes.pop() if dtypes else np.dtype(np.int64) if spec.kind == "int" else _usual_float(tensors)

        def value(what: Expression) -> Array:
            try:
                return evaluate(what, lambda source: tensors[source].load(), dtype)
            except (UntrustedOperationError, ValueMismatchError) as error:
                raise PlanError(f"{name} {error}: {', '.join(sources_in(expression))}") from None

        pieces = pieces_of(expression, tensors, value)
        if pieces is None or isinstance(expression, Source):
            return LazyTensor(spec.shape, dtype, lambda: value(expression), pieces)
        return LazyTensor(spec.shape, dtype, lambda: np.concatenate(*pieces()), pieces)


def plan(
    rules: Iterable[Rule],
    sources: Mapping[str, TensorSpec],
    wanted: Mapping[str, TensorSpec] | None = None,
    constants: Mapping[str, Array] | None = None,
) -> Plan:
    """Return the plan of these rules: every source is used once, every target is filled once.

    Args:
        rules: The mapping.
        sources: Source name to shape and kind.
        wanted: Target name to shape and kind; None takes whatever the rules give.
        constants: Target name to the values of a constant that the target builds itself (`Build`).

    Raises:
        PlanError: The details have one line for every source without a rule or with two, every incomplete group, every
            operation of the user's own that is not exact, every constant without known values, and every target that is
            filled twice, not filled, not wanted or of a wrong shape.
    """
    planner = _Planner(tuple(rules), sources, constants or {})
    result = planner.run(wanted or {})
    problems = [*planner.problems]
    if wanted is not None:
        problems += mismatches(wanted, {name: spec.shape for name, spec in result.specs.items()}, planner.ways)
    if problems:
        count = f"{len(problems)} mismatch{'es' if len(problems) > 1 else ''}"
        raise PlanError(f"the tensors do not map onto each other ({count})", problems)
    return result


def mismatches(
    expected: Mapping[str, TensorSpec], shapes: Mapping[str, Shape], ways: Mapping[str, str] | None = None
) -> list[str]:
    """Return every difference between expected tensors and actual shapes, one line for each, indices folded.

    Unexpected names come with the nearest missing one: of many that are missing, only the first unexpected ones do.

    Args:
        expected: Name to shape and kind.
        shapes: Name to actual shape.
        ways: Name to the shapes and operations that led to its shape, where there were operations.
    """
    missing = [name for name in expected if name not in shapes]
    extra = [name for name in shapes if name not in expected]
    wrong: dict[tuple[Shape, Shape, str], list[str]] = {}
    for name, shape in shapes.items():
        if name in expected and shape != expected[name].shape:
            wrong.setdefault((shape, expected[name].shape, (ways or {}).get(name, "")), []).append(name)
    folded_missing = fold(missing)
    lines = [f"missing: {name}" for name in folded_missing]
    for number, name in enumerate(fold(extra), 1):
        close = nearest(name, folded_missing) if number * len(folded_missing) <= _MOST_COMPARED else []
        lines.append(f"unexpected: {name}" + (f" (did you mean {close[0]}?)" if close else ""))
    for (shape, wanted, steps), names in wrong.items():
        made = f", made by {steps}" if steps else ""
        lines += [f"wrong shape: {name} is {shape}, expected {wanted}{made}" for name in fold(names)]
    return lines


class _Planner:
    """Applies the rules to the sources and collects every problem."""

    def __init__(
        self, rules: tuple[Rule, ...], sources: Mapping[str, TensorSpec], constants: Mapping[str, Array]
    ) -> None:
        self.rules = rules
        self.sources = sources
        self.constants = constants
        self.problems: list[str] = []
        self.outputs: dict[str, Expression] = {}
        self.specs: dict[str, TensorSpec] = {}
        self.dropped: dict[str, str] = {}
        self.ways: dict[str, str] = {}
        self.groups: list[Group] = []
        self._tried: set[tuple[str, tuple[Shape, ...]]] = set()

    def run(self, wanted: Mapping[str, TensorSpec]) -> Plan:
        for (index, bound), members in self._groups().items():
            self._place(self.rules[index], dict(bound), members)
        for name, spec in wanted.items():
            if name not in self.outputs:
                self._fill(name, spec)
        return Plan(self.outputs, self.specs, self.dropped, tuple(self.groups))

    def _groups(self) -> dict[Application, dict[int, str]]:
        """Sources that belong to one application of one rule: their index among its sources to their name."""
        groups: dict[Application, dict[int, str]] = {}
        unused: list[str] = []
        ambiguous: list[str] = []
        patterns = Patterns(
            ((index, place), pattern)
            for index, rule in enumerate(self.rules)
            for place, pattern in enumerate(rule.sources)
        )
        for name in self.sources:
            matches = patterns.find(name)
            if len(matches) == 1:
                (index, place), bindings = matches[0]
                groups.setdefault((index, tuple(sorted(bindings.items()))), {})[place] = name
            else:
                (ambiguous if matches else unused).append(name)
        self.problems += [f"unexpected: {name}: no rule takes it" for name in fold(unused)]
        self.problems += [f"two rules take {name}" for name in fold(ambiguous)]
        return groups

    def _place(self, rule: Rule, bindings: dict[str, int | str], members: dict[int, str]) -> None:
        names = [pattern.format(bindings) for pattern in rule.sources]
        missing = [name for place, name in enumerate(names) if place not in members]
        if missing:
            self.problems += [f"missing: {name}, to go with {next(iter(members.values()))}" for name in missing]
            return
        specs = [self.sources[name] for name in names]
        before = tuple(spec.shape for spec in specs)
        try:
            shapes = shapes_given(rule.op, before) if rule.op else before
            self._try(rule.op, before)
        except ShapeMismatchError as error:
            self.problems.append(f"wrong shape: {', '.join(names)}: {error}")
            return
        except UntrustedOperationError as error:
            self.problems.append(f"not exact: {', '.join(names)}: {error}")
            return
        targets = tuple(pattern.format(bindings) for pattern in rule.targets)
        self.groups.append(Group(tuple(names), targets, rule.op))
        if not targets:
            self.dropped[names[0]] = getattr(rule.op, "reason", "")
            return
        expressions = applied(rule.op, tuple(map(Source, names)))
        for name, expression, shape in zip(targets, expressions, shapes, strict=True):
            if rule.op:
                self.ways[name] = way(rule.op, before)
            self._emit(name, expression, TensorSpec(shape, specs[0].kind))

    def _try(self, op: Op | None, shapes: tuple[Shape, ...]) -> None:
        """Try the operations of the user's own, each once for the same shapes."""
        key = str(op), shapes
        if op is not None and key not in self._tried:
            try_own(op, shapes)
            self._tried.add(key)

    def _emit(self, name: str, expression: Expression, spec: TensorSpec) -> None:
        if name in self.outputs:
            self.problems.append(f"filled twice: {name}")
        self.outputs[name] = expression
        self.specs[name] = spec

    def _fill(self, name: str, spec: TensorSpec) -> None:
        for rule in self.rules:
            if isinstance(rule.op, Fill | Build) and rule.targets[0].match(name) is not None:
                self.groups.append(Group((), (name,), rule.op))
                self._emit(name, self._without_source(name, spec, rule.op), spec)
                return

    def _without_source(self, name: str, spec: TensorSpec, op: Fill | Build) -> Expression:
        if isinstance(op, Fill):
            return Filled(op.value, spec)
        values = self.constants.get(name)
        if values is None:
            self.problems.append(f"no value: {name} is a constant that is not ported ({op.reason}), and none is known")
            return Filled(0, spec)
        if values.shape != spec.shape:
            self.problems.append(f"wrong shape: the constant {name} is {values.shape}, expected {spec.shape}")
        return Constant(values)


def _usual_float(tensors: Mapping[str, LazyTensor]) -> np.dtype[Any]:
    """The floating dtype of most of the tensors."""
    counts = Counter(tensor.dtype for tensor in tensors.values() if is_float(tensor.dtype))
    return counts.most_common(1)[0][0] if counts else np.dtype(np.float32)
