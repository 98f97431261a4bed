"""The rows of a file of rules: one for each tensor, as `pit-port plan --json` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from porting.checkpoint.tensor import Shape
from porting.names import did_you_mean
from porting.operations import Build, Drop, Fill, Keep, Op, ShapeMismatchError
from porting.operations.chains import way
from porting.operations.grammar import Loader, parse_all, texts
from porting.operations.own import shapes_given
from porting.patterns import PatternError
from porting.plan import Plan
from porting.rules import Rule, rule


@dataclass(frozen=True)
class Row:
    """What becomes of one tensor.

    Attributes:
        target: Name of the tensor that is made; None where a source is left out.
        sources: Names of the tensors that it is made of.
        operations: The operations of its rule in words, first to last.
        shape: Shape of the target.
        evidence: What the rule was derived from; empty for one that was given.
        output: Which of the tensors that the operations give it is; None: rows with the same sources and operations
            are in order.
    """

    target: str | None
    sources: tuple[str, ...]
    operations: tuple[str, ...]
    shape: tuple[int, ...] | None = None
    evidence: str = ""
    output: int | None = None


def rows_of(plan: Plan, evidence: Mapping[str, str]) -> list[Row]:
    """Return the rows of a plan that was made of rules.

    Args:
        plan: The plan.
        evidence: Name of a target, or of a source that is left out, to what its rule was derived from.
    """
    rows = {}
    for group in plan.groups:
        operations = tuple(texts(group.op))
        for output, name in enumerate(group.targets):
            several = output if len(group.targets) > 1 else None
            shape = plan.specs[name].shape
            rows[name] = Row(name, group.sources, operations, shape, evidence.get(name, ""), several)
    left_out = [
        Row(None, group.sources, tuple(texts(group.op)), None, evidence.get(group.sources[0], ""))
        for group in plan.groups
        if not group.targets
    ]
    return [*(rows[name] for name in plan.outputs if name in rows), *left_out]


@dataclass(frozen=True)
class Application:
    """Rows that are one application of one rule.

    Attributes:
        places: Numbers of the rows.
        rule: The rule, its names without placeholders.
    """

    places: tuple[int, ...]
    rule: Rule

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(pattern.text for pattern in self.rule.sources)

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(pattern.text for pattern in self.rule.targets)

    @property
    def where(self) -> str:
        """The rows, for messages."""
        return f"rules[{self.places[0]}]"


def applications_of(rows: Sequence[Row], own: Loader | None = None) -> tuple[list[Application], list[str]]:
    """Return the rules that rows stand for, and a line for every row that stands for none.

    Args:
        rows: The rows.
        own: Builds operations of the user's own; None refuses them.
    """
    together: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
    problems: list[str] = []
    first: dict[tuple[str | None, tuple[str, ...], tuple[str, ...]], int] = {}
    for place, row in enumerate(rows):
        seen = first.setdefault((row.target, row.sources, row.operations), place)
        if seen != place:
            problems.append(f"rules[{place}]: is rules[{seen}] once more")
        else:
            together.setdefault((row.sources or (f"\0{row.target}",), row.operations), []).append(place)
    applications: list[Application] = []
    for places in together.values():
        application = _application(rows, places, own)
        if isinstance(application, Application):
            applications.append(application)
        else:
            problems.append(application)
    return applications, problems


def _application(rows: Sequence[Row], places: Sequence[int], own: Loader | None) -> Application | str:
    """The application of rows with the same sources and operations; what is wrong where they stand for none."""
    if not (rows[places[0]].sources or rows[places[0]].target):
        return f"rules[{places[0]}]: neither a target nor a source"
    try:
        return Application(tuple(places), _rule(rows, places, own))
    except ValueError as error:
        return f"rules[{places[0]}]: a rule is written wrongly: {error}"


def _rule(rows: Sequence[Row], places: Sequence[int], own: Loader | None) -> Rule:
    """The rule of rows with the same sources and operations."""
    first = rows[places[0]]
    targets = [rows[place] for place in places if rows[place].target is not None]
    if any("{" in name or "}" in name for name in (*first.sources, *(row.target or "" for row in targets))):
        raise PatternError("a name with braces; saved rules name every tensor")
    outputs = [row.output for row in targets]
    if any(output is not None for output in outputs):
        if sorted(-1 if output is None else output for output in outputs) != list(range(len(outputs))):
            raise ValueError(f"its outputs are numbered {outputs}, not 0 to {len(outputs) - 1}")
        targets.sort(key=lambda row: row.output or 0)
    return rule(first.sources, tuple(row.target or "" for row in targets), parse_all(first.operations, own))


def problems_of(
    applications: Sequence[Application], sources: Mapping[str, Shape], targets: Mapping[str, Shape]
) -> Iterator[str]:
    """Yield a line with its row for every rule that does not fit, and one for every tensor that no row has.

    Args:
        applications: The rules.
        sources: Names and shapes on the side that they start from.
        targets: Names and shapes on the other side.
    """
    taken: dict[str, str] = {}
    targets_given: dict[str, str] = {}
    for one in applications:
        yield from _wrong_names(one, "sources", one.sources, sources, taken)
        yield from _wrong_names(one, "target", one.targets, targets, targets_given)
        if all(name in sources for name in one.sources) and all(name in targets for name in one.targets):
            yield from _wrong_shapes(one, [sources[name] for name in one.sources], targets)
    yield from (f"no row takes {name}" for name in sources if name not in taken)
    yield from (f"no row gives {name}" for name in targets if name not in targets_given)


def wrong_shapes_of(rows: Sequence[Row], targets: Mapping[str, Shape]) -> Iterator[str]:
    """Yield a line for every row that says another shape of its target than the target has."""
    for place, row in enumerate(rows):
        shape = targets.get(row.target or "")
        if shape is not None and row.shape is not None and row.shape != shape:
            yield f"rules[{place}].shape: {row.shape}, and {row.target} has {shape}"


def _wrong_names(
    one: Application, field: str, names: Sequence[str], known: Mapping[str, Shape], seen: dict[str, str]
) -> Iterator[str]:
    what = "takes" if field == "sources" else "gives"
    for name in names:
        if name not in known:
            yield f"{one.where}.{field}: there is no tensor {name!r}{did_you_mean(name, known)}"
        elif name in seen:
            yield f"{one.where}: {what} {name}, as {seen[name]} does"
        seen[name] = one.where


def _wrong_shapes(one: Application, before: list[Shape], targets: Mapping[str, Shape]) -> Iterator[str]:
    op: Op | None = one.rule.op
    if isinstance(op, Drop | Keep | Fill | Build):
        return
    try:
        after = shapes_given(op, tuple(before)) if op else tuple(before)
    except ShapeMismatchError as error:
        yield f"{one.where}: {', '.join(one.sources)}: {error}"
        return
    for name, shape in zip(one.targets, after, strict=True):
        if shape != targets[name]:
            steps = f", made by {way(op, tuple(before))}" if op else ""
            yield f"{one.where}: {name} is {shape}, expected {targets[name]}{steps}"
