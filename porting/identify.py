"""The model and layout of a set of tensors, found from their names and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from porting import architectures, tables
from porting.architectures.base import Architecture
from porting.checkpoint.other_forms import other_form
from porting.checkpoint.selection import parted
from porting.checkpoint.tensor import Shape
from porting.converters import LAYOUTS, MISTAKES, plan_between, specs_in, table_of
from porting.errors import PlanError
from porting.names import fold, unknown
from porting.operations import ShapeMismatchError
from porting.patterns import Patterns
from porting.plan import Source, mismatches
from porting.rules import Rule, Table


class Identity(NamedTuple):
    """A model and the layout that its tensors are in."""

    architecture: Architecture
    layout: str

    @property
    def family(self) -> str:
        """Family of the model."""
        return self.architecture.family


def identify(shapes: Mapping[str, Shape], *, model: str | None = None, layout: str | None = None) -> Identity:
    """Return the model and layout of these tensors, which must all belong to it.

    Args:
        shapes: Tensor name to shape.
        model: Only this model is considered; all by default.
        layout: Only this layout is considered; all by default.

    Raises:
        PlanError: The tensors are no known model; where they are nearly one, the details hold every mismatch. Or they
            are in a layout that files have by mistake, and `layout` does not name it.
        UnknownNameError: The model or layout is not known.
    """
    _check_names(model, layout)
    for candidate in _exact(shapes, model, layout):
        if not _problems(candidate, shapes):
            return _intended(candidate, layout)
    recognised = tables.recognise(shapes, model=model, layout=layout)
    if recognised:
        return _only(recognised)
    candidates = (identity for identity, _ in _candidates(shapes, model, layout))
    compared = ((candidate, _problems(candidate, shapes)) for candidate in candidates)
    best = min(compared, key=lambda pair: len(pair[1]), default=None)
    if best is None or not _resembles(best[0], shapes):
        near = tables.nearest(shapes, model=model, layout=layout)
        best = (Identity(*near), _problems(Identity(*near), shapes)) if near else best
    raise _refusal(shapes, best, model, layout)


def _check_names(model: str | None, layout: str | None) -> None:
    """Raise UnknownNameError for a name that is not known."""
    if model is not None and model not in architectures.NAMES and model not in tables.models():
        raise unknown("model", model, (*architectures.NAMES, *tables.models()))
    known = dict.fromkeys(table.layout for _, table in _tables()) if layout else ()
    if layout is not None and layout not in known and layout not in tables.layouts():
        raise unknown("layout", layout, dict.fromkeys((*known, *tables.layouts())))


def _only(found: Sequence[tables.Found]) -> Identity:
    """The model and layout of the library that was found; several are refused unless they are the same names.

    Raises:
        PlanError: The tensors are those of several models or layouts that store them in different ways.
    """
    first = Identity(*found[0])
    for other in found[1:]:
        alike = other.architecture == first.architecture
        there = plan_between(first.architecture, first.layout, other.layout) if alike else None
        if there is None or any(piece != Source(name) for name, piece in there.outputs.items()):
            what = " and ".join(f"{one.architecture.name} in layout {one.layout}" for one in found)
            raise PlanError(f"the tensors fit {what}; say which with --model and --from")
    return first


def _exact(shapes: Mapping[str, Shape], model: str | None, layout: str | None) -> Iterator[Identity]:
    """Yield the candidates that a quick check finds without a mismatch."""
    names = list(shapes)
    sample = names[:: max(1, len(names) // _SAMPLE)]
    for identity, canonical in _candidates(shapes, model, layout, sample):
        specs = identity.architecture.tensors
        if all(name in specs and specs[name].shape == shape for name, shape in canonical.items()):
            yield identity


_SAMPLE = 8


def _candidates(
    shapes: Mapping[str, Shape], model: str | None, layout: str | None, names: Iterable[str] = ()
) -> Iterator[tuple[Identity, Mapping[str, Shape]]]:
    """Yield candidates and the canonical shapes of the tensors; only layouts with a place for all of these names."""
    for family, table in _tables():
        if layout not in (None, table.layout):
            continue
        if not all(map(Patterns((None, target) for rule in table.rules for target in rule.targets).find, names)):
            continue
        patterns = Patterns((rule, pattern) for rule in table.inverse for pattern in rule.sources)
        canonical = _canonical_shapes(patterns, shapes)
        architecture = architectures.recognise(family, canonical)
        if model is not None and (architecture is None or architecture.name != model):
            architecture = architectures.build(model) if model in architectures.FAMILIES[family].CONFIGS else None
        if architecture is not None and table.refusal(architecture.name) is None:
            yield Identity(architecture, table.layout), canonical


def _tables() -> Iterator[tuple[str, Table]]:
    """Yield every table with its family, those of mistakes last."""
    for layouts in (LAYOUTS, MISTAKES):
        for family, known in layouts.items():
            for table in known.values():
                yield family, table


def _intended(identity: Identity, layout: str | None) -> Identity:
    """Return the identity, unless its layout is a mistake that `layout` does not name."""
    mistake = table_of(identity.family, identity.layout).mistake
    if mistake and layout != identity.layout:
        raise PlanError(
            f"the tensors are {identity.architecture.name} under {mistake}. "
            f"Give --from {identity.layout} to read the file all the same"
        )
    return identity


def _canonical_shapes(patterns: Patterns[Rule], shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return shapes under canonical names where a rule maps one tensor; that is enough to tell models apart."""
    canonical: dict[str, Shape] = {}
    for name, shape in shapes.items():
        for rule, bindings in patterns.find(name):
            if len(rule.sources) == 1 == len(rule.targets):
                with suppress(ShapeMismatchError):
                    canonical[rule.targets[0].format(bindings)] = rule.op.shapes(shape)[0] if rule.op else shape
    return canonical


def _refusal(
    shapes: Mapping[str, Shape], nearest: tuple[Identity, list[str]] | None, model: str | None, layout: str | None
) -> PlanError:
    wanted = " in ".join(filter(None, (model, f"layout {layout}" if layout else "")))
    if wanted:
        exact = [*_exact(shapes, None, None), *(Identity(*one) for one in tables.recognise(shapes))]
        actual = next((one for one in exact if not _problems(one, shapes)), None)
        if actual is not None:
            return PlanError(f"the tensors are {actual.architecture.name} in layout {actual.layout}, not {wanted}")
    if nearest is None or not _resembles(nearest[0], shapes):
        names = fold(shapes)
        seen = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        return PlanError(
            f"the tensors are not {wanted or 'a known model'} (found {len(shapes)}: {seen or 'none'})",
            [
                *filter(None, [other_form(shapes)]),
                *_under_prefixes(shapes, model, layout),
                "`pit-port list` shows those that are known; "
                "one of your own takes --pair my_pair.py, which declares both models",
            ],
        )
    identity, problems = nearest
    count = f"{len(problems)} mismatch{'es' if len(problems) > 1 else ''}"
    known = specs_in(identity.architecture, identity.layout)
    problems = [*problems, *filter(None, [other_form(name for name in shapes if name not in known)])]
    return PlanError(f"looks like {identity.architecture.name} in layout {identity.layout}, with {count}", problems)


def _under_prefixes(shapes: Mapping[str, Shape], model: str | None, layout: str | None) -> list[str]:
    """Return a line for each known model that a part of the tensors is, with the option that reads it alone."""
    lines = []
    for prefix, part in parted(shapes):
        exact = [*_exact(part, model, layout), *(Identity(*one) for one in tables.recognise(part, model=model))]
        known = next((one for one in exact if not _problems(one, part)), None)
        if known is not None and layout in (None, known.layout):
            what = f"{known.architecture.name} in layout {known.layout}"
            lines.append(f"the {len(part)} under {prefix} are {what}: --prefix {prefix} reads them alone")
    return lines[:_MAX_LINES]


_MAX_LINES = 4


def _problems(identity: Identity, shapes: Mapping[str, Shape]) -> list[str]:
    return mismatches(specs_in(identity.architecture, identity.layout), shapes)


def _resembles(identity: Identity, shapes: Mapping[str, Shape]) -> bool:
    """Return True if half of the expected tensors are there, so that a list of the others helps."""
    expected = specs_in(identity.architecture, identity.layout)
    return 2 * sum(name in shapes for name in expected) >= len(expected)
