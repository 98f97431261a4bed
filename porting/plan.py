"""The mapping of one set of tensors onto another, planned from names and shapes before a byte moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from porting.architectures.base import TensorSpec
from porting.checkpoint.dtypes import is_float
from porting.checkpoint.tensor import Array, LazyTensor, Pieces, Shape
from porting.errors import PlanError
from porting.names import fold, nearest
from porting.operations import Concat, Fill, Op, ShapeMismatchError, Transpose, ValueMismatchError
from porting.patterns import Pattern, Patterns
from porting.rules import Rule

Group: TypeAlias = "tuple[int, tuple[tuple[str, int | str], ...]]"


class Source(NamedTuple):
    """The source tensor of this name, unchanged."""

    name: str


class Applied(NamedTuple):
    """One of the tensors that an operation returns."""

    op: Op
    args: tuple[Expression, ...]
    output: int = 0


class Filled(NamedTuple):
    """A tensor of one value that the source does not have."""

    value: int
    spec: TensorSpec

    def make(self, dtype: np.dtype[Any]) -> Array:
        """The tensor."""
        return np.full(self.spec.shape, self.value, dtype)


class Initialised(NamedTuple):
    """A newly initialised tensor: weights normal, cut off at two standard deviations; biases zero.

    Attributes:
        spec: Shape and kind of the tensor.
        std: Standard deviation; 0 for zeros.
        seed: Seed of the random numbers.
    """

    spec: TensorSpec
    std: float
    seed: int

    def make(self, dtype: np.dtype[Any]) -> Array:
        """The tensor."""
        generator = np.random.default_rng(self.seed)
        values = generator.standard_normal(self.spec.shape)
        while (beyond := np.abs(values) > 2).any():
            values[beyond] = generator.standard_normal(np.count_nonzero(beyond))
        return (values * self.std).astype(dtype)

    def __str__(self) -> str:
        return f"initialise, normal with standard deviation {self.std}, seed {self.seed}" if self.std else "set to zero"


Expression: TypeAlias = "Source | Applied | Filled | Initialised"


@dataclass(frozen=True)
class Plan:
    """The plan of a conversion: what every target is made of.

    Attributes:
        outputs: Target name to the expression over source names that fills it.
        specs: Target name to shape and kind.
        dropped: Source name to the reason why no target has it.
    """

    outputs: Mapping[str, Expression]
    specs: Mapping[str, TensorSpec]
    dropped: Mapping[str, str] = field(default_factory=dict)

    def then(self, after: Plan) -> Plan:
        """Return this plan followed by one over its targets as a single plan, without operations that cancel out."""
        outputs = {name: _substitute(expression, self.outputs) for name, expression in after.outputs.items()}
        lost = {source: reason for middle, reason in after.dropped.items() for source in _sources(self.outputs[middle])}
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
                    _evaluate(argument, lambda source: tensors[source].load(), np.dtype(np.float32))
                    for argument in expression.args
                )
                if (remark := expression.op.remark(*arguments)) is not None:
                    remarks[name] = remark
        return remarks

    def sources_of(self, target: str) -> tuple[str, ...]:
        """Return the sources of a target."""
        return tuple(_sources(self.outputs[target]))

    def operations_of(self, target: str) -> tuple[str, ...]:
        """Return the operations on the way to a target in words, first to last."""
        return tuple(_operations(self.outputs[target]))

    @property
    def changes(self) -> dict[str, str]:
        """Targets with other values than their sources, with what changed them."""
        return {
            name: " then ".join(what) for name, expression in self.outputs.items() if (what := _changes(expression))
        }

    @property
    def filled(self) -> tuple[str, ...]:
        """Targets without a source, filled with one value."""
        return tuple(name for name, expression in self.outputs.items() if isinstance(expression, Filled))

    @property
    def transposed(self) -> tuple[str, ...]:
        """Targets that are transposed on the way."""
        return tuple(name for name, expression in self.outputs.items() if _uses(expression, Transpose))

    def _lazy(self, name: str, expression: Expression, tensors: Mapping[str, LazyTensor]) -> LazyTensor:
        spec = self.specs[name]
        dtypes = {tensors[source].dtype for source in _sources(expression)}
        if len(dtypes) > 1:
            listed = ", ".join(f"{source} is {tensors[source].dtype}" for source in _sources(expression))
            raise PlanError(f"{name}: its parts have different dtypes: {listed}; convert the source to one dtype first")
        dtype = dtypes.pop() if dtypes else np.dtype(np.int64) if spec.kind == "int" else _usual_float(tensors)

        def evaluate(what: Expression) -> Array:
            try:
                return _evaluate(what, lambda source: tensors[source].load(), dtype)
            except ValueMismatchError as error:
                raise PlanError(f"{name} {error}: {', '.join(_sources(expression))}") from None

        in_pieces = _in_pieces(expression)
        if in_pieces is None:
            return LazyTensor(spec.shape, dtype, lambda: evaluate(expression))
        parts, axis = in_pieces
        return LazyTensor(
            spec.shape, dtype, lambda: evaluate(expression), lambda: Pieces(tuple(map(evaluate, parts)), axis)
        )


def plan(
    rules: Iterable[Rule], sources: Mapping[str, TensorSpec], wanted: Mapping[str, TensorSpec] | None = None
) -> Plan:
    """Return the plan of these rules: every source is used once, every target is filled once.

    Args:
        rules: The mapping.
        sources: Source name to shape and kind.
        wanted: Target name to shape and kind; None takes whatever the rules give.

    Raises:
        PlanError: The details have one line for every source without a rule or with two, every incomplete group, and
            every target that is filled twice, not filled, not wanted or of a wrong shape.
    """
    planner = _Planner(tuple(rules), sources)
    result = planner.run(wanted or {})
    problems = [*planner.problems]
    if wanted is not None:
        problems += mismatches(wanted, {name: spec.shape for name, spec in result.specs.items()})
    if problems:
        count = f"{len(problems)} mismatch{'es' if len(problems) > 1 else ''}"
        raise PlanError(f"the tensors do not map onto each other ({count})", problems)
    return result


def mismatches(expected: Mapping[str, TensorSpec], shapes: Mapping[str, Shape]) -> list[str]:
    """Return every difference between expected tensors and actual shapes, one line for each, indices folded."""
    missing = [name for name in expected if name not in shapes]
    extra = [name for name in shapes if name not in expected]
    wrong: dict[tuple[Shape, Shape], list[str]] = {}
    for name, shape in shapes.items():
        if name in expected and shape != expected[name].shape:
            wrong.setdefault((shape, expected[name].shape), []).append(name)
    folded_missing = fold(missing)
    lines = [f"missing: {name}" for name in folded_missing]
    for name in fold(extra):
        close = nearest(name, folded_missing)
        lines.append(f"unexpected: {name}" + (f" (did you mean {close[0]}?)" if close else ""))
    for (shape, wanted), names in wrong.items():
        lines += [f"wrong shape: {name} is {shape}, expected {wanted}" for name in fold(names)]
    return lines


class _Planner:
    """Applies the rules to the sources and collects every problem."""

    def __init__(self, rules: tuple[Rule, ...], sources: Mapping[str, TensorSpec]) -> None:
        self.rules = rules
        self.sources = sources
        self.problems: list[str] = []
        self.outputs: dict[str, Expression] = {}
        self.specs: dict[str, TensorSpec] = {}
        self.dropped: dict[str, str] = {}

    def run(self, wanted: Mapping[str, TensorSpec]) -> Plan:
        for (index, bound), members in self._groups().items():
            self._place(self.rules[index], dict(bound), members)
        for name, spec in wanted.items():
            if name not in self.outputs:
                self._fill(name, spec)
        return Plan(self.outputs, self.specs, self.dropped)

    def _groups(self) -> dict[Group, dict[int, str]]:
        """Sources that belong to one application of one rule: their index among its sources to their name."""
        groups: dict[Group, dict[int, str]] = {}
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
        try:
            shapes = rule.op.shapes(*(spec.shape for spec in specs)) if rule.op else (specs[0].shape,)
        except ShapeMismatchError as error:
            self.problems.append(f"wrong shape: {', '.join(names)}: {error}")
            return
        if not rule.targets:
            self.dropped[names[0]] = getattr(rule.op, "reason", "")
        for output, (pattern, shape) in enumerate(zip(rule.targets, shapes, strict=True)):
            arguments = tuple(Source(name) for name in names)
            expression = Applied(rule.op, arguments, output) if rule.op else arguments[0]
            self._emit(pattern, bindings, expression, TensorSpec(shape, specs[0].kind))

    def _emit(self, pattern: Pattern, bindings: dict[str, int | str], expression: Expression, spec: TensorSpec) -> None:
        name = pattern.format(bindings)
        if name in self.outputs:
            self.problems.append(f"filled twice: {name}")
        self.outputs[name] = expression
        self.specs[name] = spec

    def _fill(self, name: str, spec: TensorSpec) -> None:
        for rule in self.rules:
            if isinstance(rule.op, Fill) and rule.targets[0].match(name) is not None:
                self.outputs[name] = Filled(rule.op.value, spec)
                self.specs[name] = spec
                return


def _usual_float(tensors: Mapping[str, LazyTensor]) -> np.dtype[Any]:
    """The floating dtype of most of the tensors."""
    counts = Counter(tensor.dtype for tensor in tensors.values() if is_float(tensor.dtype))
    return counts.most_common(1)[0][0] if counts else np.dtype(np.float32)


def _sources(expression: Expression) -> list[str]:
    if isinstance(expression, Source):
        return [expression.name]
    return (
        [name for argument in expression.args for name in _sources(argument)] if isinstance(expression, Applied) else []
    )


def _operations(expression: Expression) -> list[str]:
    match expression:
        case Source():
            return []
        case Applied(op, args):
            return [*dict.fromkeys(what for argument in args for what in _operations(argument)), str(op)]
        case Filled(value):
            return [f"fill with {value}"]
    return [str(expression)]


def _changes(expression: Expression) -> list[str]:
    """The operations of an expression that have no inverse, innermost first."""
    if isinstance(expression, Initialised):
        return [str(expression)]
    if not isinstance(expression, Applied):
        return []
    own = [str(expression.op)] if expression.op.inverse is None else []
    return [*(what for argument in expression.args for what in _changes(argument)), *own]


def _uses(expression: Expression, kind: type[Op]) -> bool:
    return isinstance(expression, Applied) and (
        isinstance(expression.op, kind) or any(_uses(argument, kind) for argument in expression.args)
    )


def _substitute(expression: Expression, inner: Mapping[str, Expression]) -> Expression:
    if isinstance(expression, Source):
        return inner[expression.name]
    if not isinstance(expression, Applied):
        return expression
    return _simplified(
        Applied(expression.op, tuple(_substitute(argument, inner) for argument in expression.args), expression.output)
    )


def _simplified(expression: Applied) -> Expression:
    """The expression, or its inner argument where an operation and its inverse cancel out."""
    first = expression.args[0] if expression.args else None
    if not isinstance(first, Applied) or first.op.inverse != expression.op:
        return expression
    undone = all(
        isinstance(argument, Applied)
        and argument.op == first.op
        and argument.args == first.args
        and argument.output == place
        for place, argument in enumerate(expression.args)
    )
    whole = len(expression.args) == first.op.outputs
    return first.args[expression.output] if undone and whole else expression


def _in_pieces(expression: Expression) -> tuple[tuple[Expression, ...], int] | None:
    """The parts that a tensor is joined from last, and the axis; None for a tensor that is not joined last."""
    match expression:
        case Applied(Concat(axis=axis), args):
            return args, axis
        case Applied(Transpose() as op, (arg,)) if (inner := _in_pieces(arg)) is not None:
            return tuple(Applied(op, (piece,)) for piece in inner[0]), 1 - inner[1]
    return None


def _evaluate(expression: Expression, load: Callable[[str], Array], dtype: np.dtype[Any]) -> Array:
    if isinstance(expression, Source):
        return load(expression.name)
    if not isinstance(expression, Applied):
        return expression.make(dtype)
    return expression.op.apply(*(_evaluate(argument, load, dtype) for argument in expression.args))[expression.output]
