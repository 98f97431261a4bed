"""A library of tables: models that people port often, as data; see `docs/porting.md`.

A family is a file `<family>.json` here: the shapes of its models' tensors, and the rules from the first layout to each
other one. `python -m benchmarks.rules.tables` makes and proves them. Nothing is read before it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from porting.architectures.base import Architecture, TensorSpec
from porting.checkpoint.tensor import Shape
from porting.frozen import Frozen
from porting.operations.grammar import parse_all
from porting.patterns import Patterns
from porting.plan import plan
from porting.rules import Rule, Table, rule

FOLDER = Path(__file__).parent
CANONICAL = "canonical"
ANY_SIZE = (0, 0)
"""Image size of a model that takes images of any size."""
_COUNTER = "num_batches_tracked"
_BUFFERS = ("running_mean", "running_var", _COUNTER)
_BETWEEN = " + "
_SET = re.compile(r"\{([\d.,]+)\}")


@dataclass(eq=False, repr=False)
class Model(Frozen):
    """One model of a family.

    Attributes:
        head: Module whose rows are the classes.
        classes: Rows of it in the files that are published.
        tensors: Folded name in the first layout to the shape of these tensors. A length of 0 stands for the number of
            classes; a pair is the length for the first name, and what it grows by from name to name.
        layouts: Layout to the digest of the names in it, see `digest`.
    """

    head: str
    classes: int
    tensors: Mapping[str, Sequence[int | Sequence[int]]]
    layouts: Mapping[str, str]


class Family(NamedTuple):
    """The models that share their rules.

    Attributes:
        name: Name of the family.
        tables: Layout to table, from the first layout on, which is also called `canonical`.
        models: Name to model.
    """

    name: str
    tables: Mapping[str, Table]
    models: Mapping[str, Model]


class Found(NamedTuple):
    """A model of the library and the layout of its tensors."""

    architecture: Architecture
    layout: str


@cache
def names() -> tuple[str, ...]:
    """Names of the families."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@cache
def family(name: str) -> Family:
    """Read a family.

    Raises:
        KeyError: There is none of this name.
    """
    return family_of(_content(name))


@cache
def _content(name: str) -> Any:
    if name not in names():
        raise KeyError(name)
    import json

    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def family_of(value: Mapping[str, Any]) -> Family:
    """Return the family that a file's content describes."""
    tables = {layout: _table(layout, content) for layout, content in value["layouts"].items()}
    first = next(iter(tables.values()))
    canonical = Table(CANONICAL, first.rules, first.published_by, first.framework)
    models = {
        name: Model(
            model["head"],
            model["classes"],
            model["tensors"],
            model["layouts"],
        )
        for name, model in value["models"].items()
    }
    return Family(value["family"], {CANONICAL: canonical, **tables}, models)


def models() -> dict[str, str]:
    """Name of every model of the library to its family."""
    return {model: name for name in names() for model in _content(name)["models"]}


def layouts() -> tuple[str, ...]:
    """Names of all layouts of the library."""
    return tuple(dict.fromkeys(layout for name in names() for layout in _content(name)["layouts"]))


def build(model: str, num_classes: int | None = None) -> Architecture:
    """Return a model of the library; its names are those of the first layout.

    Args:
        model: One of `models()`.
        num_classes: Rows of the head; the published number by default.
    """
    known = family(models()[model])
    return architecture(known, model, known.models[model].classes if num_classes is None else num_classes)


def architecture(known: Family, model: str, classes: int) -> Architecture:
    """Return a model of a family with a number of classes."""
    tensors = _unfolded(known.models[model], classes)
    buffers = frozenset(name for name in tensors if name.rpartition(".")[2] in _BUFFERS)
    return Architecture(known.name, model, ANY_SIZE, classes, tensors, buffers)


def _unfolded(model: Model, classes: int) -> dict[str, TensorSpec]:
    tensors = {}
    for folded, shape in model.tensors.items():
        for place, name in enumerate(unfold(folded)):
            kind = "int" if name.rpartition(".")[2] == _COUNTER else "float"
            tensors[name] = TensorSpec(tuple(_length(one, place, classes) for one in shape), kind)
    return tensors


def _length(length: int | Sequence[int], place: int, classes: int) -> int:
    return (length or classes) if isinstance(length, int) else length[0] + length[1] * place


def recognise(shapes: Mapping[str, Shape], *, model: str | None = None, layout: str | None = None) -> list[Found]:
    """Return every model and layout of the library that has these names and shapes, and no others.

    Args:
        shapes: Tensor name to shape.
        model: Only this model.
        layout: Only this layout.
    """
    return list(_recognised(shapes, model, layout))


def _recognised(shapes: Mapping[str, Shape], model: str | None, layout: str | None) -> Iterator[Found]:
    key = digest(shapes)
    for name in names():
        for one, content in _content(name)["models"].items():
            wanted = [where for where, have in content["layouts"].items() if have == key and layout in (None, where)]
            for where in wanted if model in (None, one) else ():
                known = family(name)
                candidate = architecture(known, one, _classes(known, known.models[one], where, shapes))
                if _shapes_in(candidate, known.tables[where]) == dict(shapes):
                    yield Found(candidate, where)


def nearest(shapes: Mapping[str, Shape], *, model: str | None = None, layout: str | None = None) -> Found | None:
    """Return the model and layout of the library that most of these tensors belong to; None where not even half do.

    Args:
        shapes: Tensor name to shape.
        model: Only this model.
        layout: Only this layout.
    """
    best: tuple[int, Found] | None = None
    for name in names():
        if model is not None and model not in _content(name)["models"]:
            continue
        known = family(name)
        for where, table in known.tables.items():
            if where == CANONICAL or layout not in (None, where) or not _has_places(table, shapes):
                continue
            for one in [model] if model else known.models:
                candidate = architecture(known, one, _classes(known, known.models[one], where, shapes))
                expected = _shapes_in(candidate, table)
                alike = sum(expected.get(tensor) == shape for tensor, shape in shapes.items())
                apart = len(expected) + len(shapes) - 2 * alike
                if 2 * alike >= len(expected) and (best is None or apart < best[0]):
                    best = apart, Found(candidate, where)
    return best[1] if best else None


def _has_places(table: Table, shapes: Iterable[str]) -> bool:
    """Whether half of a sample of the names have a place in a layout."""
    sample = list(shapes)
    sample = sample[:: max(1, len(sample) // _SAMPLE)]
    patterns = Patterns((None, target) for one in table.rules for target in one.targets)
    return 2 * sum(bool(patterns.find(name)) for name in sample) >= len(sample)


_SAMPLE = 16


def _classes(known: Family, model: Model, layout: str, shapes: Mapping[str, Shape]) -> int:
    """The number of classes: the length of the head's bias in a layout."""
    bias = f"{model.head}.bias"
    for one in known.tables[layout].rules:
        for pattern in one.sources:
            bindings = pattern.match(bias)
            if bindings is not None and one.targets:
                shape = shapes.get(one.targets[0].format(bindings), ())
                return shape[0] if shape else 0
    return 0


def _shapes_in(candidate: Architecture, table: Table) -> dict[str, Shape]:
    return {name: spec.shape for name, spec in plan(table.rules, candidate.tensors).specs.items()}


def usual_layout(name: str, framework: str) -> str:
    """Return the layout of a family that is a framework's own; the first layout where there is none.

    Args:
        name: The family.
        framework: `"torch"`, `"paddle"`, `"mindspore"`, or empty for none.
    """
    frameworks = {layout: table.framework for layout, table in family(name).tables.items() if layout != CANONICAL}
    return next((layout for layout, own in frameworks.items() if own == framework), next(iter(frameworks)))


def digest(tensors: Iterable[str]) -> str:
    """Return a digest of the names of a model's tensors, in any order."""
    import hashlib  # takes 3 ms, and most commands need no digest

    return hashlib.sha256("\n".join(sorted(tensors)).encode()).hexdigest()[:16]


def unfold(folded: str) -> list[str]:
    """Return the names that a folded one stands for: `a.{0..2,4}.w` for four."""
    pieces = _SET.split(folded)
    sets = [list(_indices(piece)) for piece in pieces[1::2]]
    return ["".join(_merged(pieces[::2], chosen)) for chosen in product(*sets)]


def _merged(fixed: Sequence[str], chosen: Sequence[str]) -> Iterator[str]:
    yield fixed[0]
    for index, piece in zip(chosen, fixed[1:], strict=True):
        yield index
        yield piece


def _indices(text: str) -> Iterator[str]:
    for piece in text.split(","):
        first, _, last = piece.partition("..")
        yield from map(str, range(int(first), int(last or first) + 1))


def _table(layout: str, content: Mapping[str, Any]) -> Table:
    rules = tuple(_rule(*row) for row in content["rules"])
    return Table(layout, rules, content["published_by"], content["framework"])


def joined(names: Iterable[str]) -> str:
    """Return the names of one rule as files hold them: `q.weight + k.weight`."""
    return _BETWEEN.join(names)


def _rule(source: str, target: str | None, operations: str) -> Rule:
    targets = tuple(target.split(_BETWEEN)) if target else ()
    return rule(tuple(source.split(_BETWEEN)), targets, parse_all([operations] if operations else []))
