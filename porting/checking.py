"""Checks of tables of rules: every tensor is taken once and filled once, there and back."""

from __future__ import annotations

import contextlib
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from os import PathLike
from pathlib import Path
from typing import Any

from porting.architectures import NAMES, Architecture, build
from porting.converters import LAYOUTS, MISTAKES
from porting.errors import PlanError, PortingError
from porting.patterns import Pattern
from porting.plan import plan
from porting.rules import Rule

_INDICES = (0, 1, 2, 11)
"""Values of a placeholder when two patterns are compared, beside every index that the table names."""


class NoRulesError(PortingError):
    """A file declares no rules, so that there is nothing to check. Exits with 5."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of the check of one table.

    Attributes:
        name: File and name of the table in it; or family and layout.
        rules: Number of rules.
        models: The models whose tensors it was checked against; without one only the patterns were checked.
        problems: What is wrong; empty for a sound table.
    """

    name: str
    rules: int
    models: tuple[str, ...]
    problems: tuple[str, ...]


def check_file(path: str | PathLike[str]) -> list[Checked]:
    """Run a Python file and check everything with rules in it (a table, tuple, pair) against every architecture in it.

    Raises:
        PortingError: The file cannot be run; the message has the line, also of a rule that cannot be inverted.
        NoRulesError: The file declares no rules.
    """
    namespace = _run(Path(path))
    models = [value for value in namespace.values() if isinstance(value, Architecture)]
    tables = {name: rules for name, value in namespace.items() if (rules := _rules_of(value))}
    if not tables:
        raise NoRulesError(
            f"{path}: declares no rules; expected at its top level a porting.rules.table, a tuple of rules, or a pair "
            "that has rules"
        )
    return [_check(f"{path}:{name}", rules, models) for name, rules in tables.items()]


def check_shipped() -> Iterator[Checked]:
    """Check the tables of the toolkit against all models."""
    models = [build(name) for name in NAMES]
    for tables in (LAYOUTS, MISTAKES):
        for family, layouts in tables.items():
            for layout, table in layouts.items():
                known = [model for model in models if model.family == family and table.refusal(model.name) is None]
                yield _check(f"{family}/{layout}", table.rules, known)


def check_rules(rules: Sequence[Rule], models: Iterable[Architecture] = ()) -> list[str]:
    """Return everything that is wrong with rules from the canonical layout, one line for each problem.

    Args:
        rules: The table.
        models: Its models; every tensor of theirs must be taken once and filled again on the way back.
    """
    problems = [
        *_overlaps(rules, "take", lambda rule: rule.sources),
        *_overlaps(rules, "give", lambda rule: rule.targets),
    ]
    for model in models:
        problems += _coverage(rules, model)
    return problems


def _check(name: str, rules: Sequence[Rule], models: Sequence[Architecture]) -> Checked:
    return Checked(name, len(rules), tuple(model.name for model in models), tuple(check_rules(rules, models)))


def _rules_of(value: object) -> tuple[Rule, ...]:
    """The rules of a table, of a tuple, or of anything with `rules`; names among them stand for other rules."""
    rules = getattr(value, "rules", value)
    if not isinstance(rules, tuple | list) or not all(isinstance(rule, Rule | str) for rule in rules):
        return ()
    return tuple(rule for rule in rules if isinstance(rule, Rule))


def _coverage(rules: Sequence[Rule], model: Architecture) -> Iterator[str]:
    try:
        there = plan(rules, model.tensors)
        plan([rule.inverse for rule in rules], there.specs, model.tensors)
    except PlanError as error:
        yield from (f"{model.name}: {line}" for line in error.details or (error.summary,))


def _overlaps(rules: Sequence[Rule], does: str, side: Callable[[Rule], Sequence[Pattern]]) -> Iterator[str]:
    """Yield a line for every pair of rules that match the same name."""
    patterns = [(rule, pattern) for rule in rules for pattern in side(rule)]
    named = {int(index) for _, pattern in patterns for index in re.findall(r"\b\d{1,9}\b", pattern.text)}
    indices = sorted({*_INDICES, *named})
    for (first, pattern), (second, other) in combinations(patterns, 2):
        name = next((name for name in _samples(other, indices) if pattern.match(name) is not None), None)
        if name is not None:
            yield f"two rules {does} {name}: {first}; {second}"


def _samples(pattern: Pattern, indices: Sequence[int]) -> Iterator[str]:
    """Yield names that match the pattern."""
    slots = {slot.name: slot.words for slot in pattern.slots}
    values: list[Sequence[int | str]] = [words or indices for words in slots.values()]
    for chosen in product(*values):
        yield pattern.format(dict(zip(slots, chosen, strict=True)))


def _run(path: Path) -> Mapping[str, Any]:
    """Run a file, which can import modules beside it, and return what it declares."""
    if path.is_dir():
        raise PortingError(f"{path}: is a folder, expected a Python file; name the files in it")
    if not path.exists():
        raise PortingError(f"{path}: there is no such file; check the path")
    folder = str(path.absolute().parent)
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the result
            return runpy.run_path(str(path))
    except (Exception, SystemExit) as error:  # the file may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"{path}:{lines[-1]}" if lines else str(path)
        raise PortingError(f"{where}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
