"""Layouts as data: a table of rules takes the canonical layout to another one, and its inverse takes it back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TypeAlias

from porting.frozen import Frozen
from porting.operations import Build, Drop, Fill, Keep, Op, Transpose, chained
from porting.patterns import Pattern, PatternError

Names: TypeAlias = "str | tuple[str, ...]"


@dataclass(eq=False, repr=False)
class Rule(Frozen):
    """A rule: which tensors become which, and how.

    Args:
        sources: Patterns of the tensors that go in, in the operation's order.
        targets: Patterns of the tensors that come out.
        op: The operation between them; None passes one tensor as it is.

    Raises:
        PatternError: The operation takes or gives another number of tensors, or a placeholder on one side is missing
            on the other, so that the rule could not be inverted.
    """

    sources: tuple[Pattern, ...]
    targets: tuple[Pattern, ...]
    op: Op | None = None

    def __post_init__(self) -> None:
        counts = (self.op.inputs, self.op.outputs) if self.op else (1, 1)
        if counts != (len(self.sources), len(self.targets)):
            raise PatternError(f"rule {self}: the operation takes {counts[0]} and gives {counts[1]} tensors")
        if self.op and self.op.inverse is None:
            raise PatternError(f"rule {self}: the operation has no inverse")
        bound = [{slot.name for slot in pattern.slots} for pattern in (*self.sources, *self.targets)]
        if any(names != bound[0] for names in bound):
            raise PatternError(
                f"rule {self}: every pattern must hold the same placeholders, else it cannot be inverted"
            )

    def __str__(self) -> str:
        sides = (" + ".join(map(str, side)) or "nothing" for side in (self.sources, self.targets))
        return " -> ".join(sides) + (f" ({self.op})" if self.op else "")

    @property
    def inverse(self) -> Rule:
        """Rule from the targets to the sources."""
        return Rule(self.targets, self.sources, self.op.inverse if self.op else None)


def rule(sources: Names, targets: Names, op: Op | Sequence[Op] | None = None) -> Rule:
    """Build a rule from patterns written as strings; `{part:weight|bias}` in one of them is `{part}` in the others.

    Args:
        sources: What goes in.
        targets: What comes out.
        op: The operation, or several one after the other.

    Raises:
        PatternError: As for `Rule`.
        ValueError: Operations do not go together.
    """
    sides = [
        tuple(Pattern(text) for text in ((side,) if isinstance(side, str) else side)) for side in (sources, targets)
    ]
    words = {slot.name: slot.words for side in sides for pattern in side for slot in pattern.slots if slot.words}
    bound = [tuple(pattern.bind(words) for pattern in side) for side in sides]
    return Rule(bound[0], bound[1], op if op is None or isinstance(op, Op) else chained(op))


def same(*names: str) -> tuple[Rule, ...]:
    """Return rules for tensors that the layout keeps under their canonical names."""
    return tuple(rule(name, name) for name in names)


def linear(source: str, target: str) -> tuple[Rule, Rule]:
    """Return the rules of a Linear whose weight is stored transposed: (out, in) becomes (in, out); the bias stays."""
    return rule(f"{source}.weight", f"{target}.weight", Transpose()), rule(f"{source}.bias", f"{target}.bias")


def affine(source: str, target: str) -> tuple[Rule, ...]:
    """Return the rule for weight and bias under another prefix, with unchanged values."""
    return (rule(f"{source}.{{part:weight|bias}}", f"{target}.{{part}}"),)


def scaled(source: str, target: str) -> Iterator[Rule]:
    """Yield the rules for a norm's weight and bias under MindSpore's names, gamma and beta."""
    yield rule(f"{source}.weight", f"{target}.gamma")
    yield rule(f"{source}.bias", f"{target}.beta")


def fill(target: str, reason: str, value: float = 0) -> Rule:
    """Return the rule for a tensor of one value that only the target has; on the way back it is dropped."""
    return rule((), target, Fill(reason, value))


def drop(source: str, reason: str, fill: float = 0) -> Rule:
    """Return the rule for a tensor that the layout does not keep; on the way back it is filled."""
    return rule(source, (), Drop(reason, fill))


def keep(source: str, reason: str) -> Rule:
    """Return the rule for a constant of the source that is not taken over; on the way back it is `built`."""
    return rule(source, (), Keep(reason))


def built(target: str, reason: str) -> Rule:
    """Return the rule for a constant that the target builds itself; on the way back it is kept."""
    return rule((), target, Build(reason))


@dataclass(eq=False, repr=False)
class Table(Frozen):
    """A layout: the rules from the canonical one.

    Attributes:
        layout: Name of the layout on the command line.
        rules: Rules from the canonical names to those of the layout.
        published_by: Projects whose files have the layout.
        framework: The framework whose models have these names: `"torch"`, `"paddle"` or `"mindspore"`.
        without: Pattern of names of models that nobody publishes in the layout to the reason, for the error message.
        mistake: Why no file should have these names; empty for a correct layout.
    """

    layout: str
    rules: tuple[Rule, ...]
    published_by: str = ""
    framework: str = "torch"
    without: Mapping[str, str] = field(default_factory=dict)
    mistake: str = ""

    @cached_property
    def inverse(self) -> tuple[Rule, ...]:
        """Rules from the layout to the canonical one."""
        return invert(self.rules)

    def refusal(self, model: str) -> str | None:
        """Return why a model of this name cannot be in the layout; None when it can."""
        return next((reason for pattern, reason in self.without.items() if fnmatchcase(model, pattern)), None)


def table(
    layout: str,
    *rules: Rule | Iterable[Rule],
    published_by: str = "",
    framework: str = "torch",
    without: Mapping[str, str] | None = None,
    mistake: str = "",
) -> Table:
    """Build a table from rules and groups of rules."""
    flat = (rule for group in rules for rule in ((group,) if isinstance(group, Rule) else group))
    return Table(layout, tuple(flat), published_by, framework, without or {}, mistake)


def invert(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules of the way back."""
    return tuple(rule.inverse for rule in rules)
