"""Comparison of two checkpoint files in any formats and layouts, tensor by tensor in canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from alignment.errors import NothingComparedError
from alignment.judging.measuring import measure
from alignment.running.orientation import Turned, turned, turned_by_rules
from porting.checkpoint import Checkpoint, open_checkpoint
from porting.checkpoint.addresses import as_source
from porting.checkpoint.file.copying import Packer, equal_arrays
from porting.checkpoint.selection import Kind, Selection
from porting.checkpoint.tensor import LazyTensor, TensorCallback
from porting.conversion import fitting
from porting.describe import Canonical, canonical, canonical_by_rules
from porting.errors import CheckpointError
from porting.names import fold_members
from porting.saved_rules import SavedTable
from porting.visible import lines_of

_SHOWN, _FEW = 10, 3
"""Numbers of lines for tensors with one problem: all up to `_SHOWN`, else the first few."""


@dataclass(frozen=True)
class TensorDifference:
    """One tensor that is not bit-equal.

    Attributes:
        name: Canonical name, or the name as stored when the model is not known.
        problem: Why there are no numbers (missing, another shape or dtype, not finite); None where there are.
        elements: Number of elements; None, like all that follow, where there is a problem.
        differing: Number of elements that differ in value; zeros of different signs do not.
        max_abs: Largest absolute difference.
        rel_l2: L2 norm of the difference divided by the L2 norm of the first file's tensor.
        transposed: True where the tensors are equal once one of them is transposed.
    """

    name: str
    problem: str | None
    elements: int | None = None
    differing: int | None = None
    max_abs: float | None = None
    rel_l2: float | None = None
    transposed: bool = False


@dataclass(frozen=True)
class CheckpointDiff:
    """Differences between two checkpoints.

    Attributes:
        first: Path or address of the first file.
        second: Path or address of the second file.
        tensors: Number of names of tensors that at least one file holds.
        different: The tensors that differ, the worst first.
        left_out: Names of the counters that the layout of one file does not keep.
        notes: How the files were read, where that is not plain.
        by_name: True where the files are no model that is known, and tensors were compared under their names as stored.
    """

    first: Path | str
    second: Path | str
    tensors: int
    different: tuple[TensorDifference, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    by_name: bool = False

    @property
    def same(self) -> bool:
        """Whether every tensor is bit-equal."""
        return not self.different

    def to_json(self) -> dict[str, Any]:
        """The differences as a JSON value."""
        return {
            "first": str(self.first),
            "second": str(self.second),
            "same": self.same,
            "tensors": self.tensors,
            "different": [asdict(tensor) for tensor in self.different],
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }

    def to_text(self, *, verbose: bool = False) -> str:
        """The verdict, then the worst tensors, or with `verbose` all that differ, a line each."""
        left_out = f" ({len(self.left_out)} counters that one file does not keep left out)" if self.left_out else ""
        if self.same:
            return f"same: all {self.tensors} tensors are bit-equal{left_out}"
        head = f"different: {len(self.different)} of {self.tensors} tensors{left_out}"
        return lines_of(head, *(f"  {note}" for note in self.notes), *self._lines(verbose))

    def _lines(self, verbose: bool) -> Iterator[str]:
        broken: dict[str, list[str]] = {}
        for tensor in self.different:
            if tensor.problem:
                broken.setdefault(tensor.problem, []).append(tensor.name)
        for problem, names in broken.items():
            members = fold_members(names)
            first = list(members) if verbose or len(members) <= _SHOWN else list(members)[:_FEW]
            yield from (f"  {name}: {problem}" for name in first)
            rest = sum(len(members[name]) for name in members if name not in first)
            if rest:
                yield f"  and {rest} more: {problem}; -v names all"
        measured = [tensor for tensor in self.different if not tensor.problem]
        shown = len(measured) if verbose else _SHOWN
        for tensor in measured[:shown]:
            yield (
                f"  {tensor.name}: relative L2 {tensor.rel_l2:.2e}, max {tensor.max_abs:.2e}, "
                f"{tensor.differing:,} of {tensor.elements:,} elements"
                + (", equal when it is transposed" if tensor.transposed else "")
                if tensor.differing
                else f"  {tensor.name}: equal values, other bits: zeros of different signs"
            )
        if len(measured) > shown:
            yield f"  and {len(measured) - shown} more; -v names all"


def diff(
    first: str | PathLike[str],
    second: str | PathLike[str],
    *,
    weights: Kind | None = None,
    key: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    rules: SavedTable | None = None,
    progress: TensorCallback | None = None,
) -> CheckpointDiff:
    """Compare two checkpoints bit by bit, one tensor in memory at a time.

    Args:
        first: The checkpoint to compare with.
        second: The checkpoint in question. Where both are the same known model their layouts may differ; otherwise
            tensors are compared under the names as stored.
        weights: `"model"` or `"ema"`, which to take from a file that holds both; a single state dict is taken as it is.
        key: Keys that lead to the state dict, where a file has it under these, as in `open_checkpoint`.
        prefix: Only tensors whose names begin so, and without it, where a file has such.
        ignore: Patterns of tensors to leave out, where a file has such.
        rules: A table between two models of the user's; files of different sides are compared on the reference's.
        progress: Called with the name and size in bytes of each tensor that has been compared.

    Raises:
        CheckpointError: A file cannot be read as a checkpoint, or neither holds the weights asked for.
        NothingComparedError: Neither file holds a tensor.
    """
    selection = Selection(weights, key, prefix, tuple(ignore))
    with opened(first, second, selection, as_stored=rules is not None) as (one, other):
        compared = _alike(one, other) if rules is None else _alike_by_rules(rules, one, other)
        sides = compared.sides
        names = list(dict.fromkeys((*sides[0].tensors, *sides[1].tensors)))
        left_out = tuple(name for name in names if name in sides[0].filled | sides[1].filled)
        names = [name for name in names if name not in left_out]
        if not names:
            raise NothingComparedError(f"{first} and {second} hold no tensors")
        found = _differences(names, sides[0].tensors, sides[1].tensors, progress)
        different = [*_not_turned(compared.wrong), *(one for one in found if one.name not in compared.wrong)]
    worst_first = sorted(different, key=lambda tensor: (tensor.problem is None, -(tensor.rel_l2 or 0.0)))
    return CheckpointDiff(
        as_source(first), as_source(second), len(names), tuple(worst_first), left_out, compared.notes, compared.by_name
    )


class _Compared(NamedTuple):
    """Two checkpoints in one form.

    Attributes:
        sides: Both.
        wrong: Name of every tensor that one file has the other way round than its layout to what is said of it.
        notes: How the files were read.
        by_name: Whether no model is known, and the names are those that are stored.
    """

    sides: tuple[Canonical, Canonical]
    wrong: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    by_name: bool = False


def _not_turned(wrong: Mapping[str, str]) -> Iterator[TensorDifference]:
    return (TensorDifference(name, what) for name, what in wrong.items())


def _alike(one: Checkpoint, other: Checkpoint) -> _Compared:
    """Both checkpoints in the canonical layout if they hold the same model, else both as they are stored.

    Where one is no known model only since some of its matrices lie the other way round, these are turned and named.
    """
    sides = canonical(one), canonical(other)
    models = [side.identity and side.identity.architecture.name for side in sides]
    if models[0] is not None and models[0] == models[1]:
        return _Compared(sides)
    for known, place in ((sides[0], 1), (sides[1], 0)):
        if known.identity is not None and sides[place].identity is None:
            form = turned(sides[place].checkpoint, known.identity.architecture)
            if form is not None:
                return _with_turned(sides, place, form)
    stored = Canonical(None, one.tensors, one), Canonical(None, other.tensors, other)
    return _Compared(stored, by_name=True)


def _with_turned(sides: tuple[Canonical, Canonical], place: int, form: Turned) -> _Compared:
    """Both sides, of which one was read as a layout that some of its matrices do not have."""
    checkpoint = sides[place].checkpoint
    side = Canonical(None, form.tensors, checkpoint, form.filled)
    note = f"{checkpoint.path} has {form.layout}, but for {len(form.wrong)} matrices that are not transposed"
    return _Compared((side, sides[1]) if place == 0 else (sides[0], side), form.wrong, (note,))


def _alike_by_rules(table: SavedTable, one: Checkpoint, other: Checkpoint) -> _Compared:
    """Both checkpoints on the reference's side of a table; as they are stored if both are the same side.

    Raises:
        CheckpointError: One of them is no side of the table.
    """
    sides = canonical_by_rules(table, one), canonical_by_rules(table, other)
    for place, side in enumerate(sides):
        if side.problem:
            form = None if sides[1 - place].problem else turned_by_rules(side.checkpoint, table)
            if form is None:
                raise CheckpointError(side.checkpoint.path, side.problem[0], side.problem[1:])
            return _with_turned(sides, place, form)
    if sides[0].side == sides[1].side:
        stored = (side.checkpoint for side in sides)
        first, second = (Canonical(None, checkpoint.tensors, checkpoint) for checkpoint in stored)
        return _Compared((first, second))
    return _Compared(sides)


@contextmanager
def opened(
    first: str | PathLike[str], second: str | PathLike[str], selection: Selection, *, as_stored: bool = False
) -> Iterator[tuple[Checkpoint, Checkpoint]]:
    """Both checkpoints, opened; at least one holds what is asked for. Raises the errors of `diff`.

    A prefix that all names share is taken off where that makes a known model or equal names, unless `as_stored`.
    """
    with (
        open_checkpoint(first, **vars(selection), required=False) as one,
        open_checkpoint(second, **vars(selection), required=False) as other,
    ):
        weights = selection.weights
        if weights is not None and weights not in {side.weights or "model" for side in (one, other)}:
            raise CheckpointError(one.path, f"holds no {weights} weights (--weights {weights}), nor does {other.path}")
        # The same part of the selection is missing in both, whatever the nearest names in each.
        missing = {problem.partition(";")[0] for problem in one.absent}
        missing &= {problem.partition(";")[0] for problem in other.absent}
        if missing:
            problem = next(problem for problem in one.absent if problem.partition(";")[0] in missing)
            raise CheckpointError(one.path, f"{problem}; nor has {other.path}")
        yield (one, other) if as_stored else _with_equal_names(fitting(one), fitting(other))


def _with_equal_names(one: Checkpoint, other: Checkpoint) -> tuple[Checkpoint, Checkpoint]:
    """Return both without the prefix that all names of one share, where only so they have equal names."""
    readings = ((left, right) for left in one.readings() for right in other.readings())
    return next(
        ((left, right) for left, right in readings if left.tensors.keys() == right.tensors.keys()), (one, other)
    )


def _differences(
    names: Iterable[str],
    first: Mapping[str, LazyTensor],
    second: Mapping[str, LazyTensor],
    progress: TensorCallback | None,
) -> Iterator[TensorDifference]:
    packer = Packer()
    for name in names:
        difference = _difference(name, first, second, packer)
        if difference is not None:
            yield difference
        if progress is not None:
            progress(name, first[name].nbytes if name in first else 0)


def _difference(
    name: str, first: Mapping[str, LazyTensor], second: Mapping[str, LazyTensor], packer: Packer
) -> TensorDifference | None:
    if name not in second:
        return TensorDifference(name, "only in the first file")
    if name not in first:
        return TensorDifference(name, "only in the second file")
    one, other = first[name], second[name]
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        turns = len(one.shape) == 2 and one.shape[::-1] == other.shape and one.dtype == other.dtype
        turns = turns and equal_arrays(one.load(), other.load().T, packer)
        equal = "; equal when it is transposed" if turns else ""
        kinds = f"{one.dtype.name} {one.shape}", f"{other.dtype.name} {other.shape}"
        return TensorDifference(
            name, f"{kinds[0]} in the first file, {kinds[1]} in the second{equal}", transposed=turns
        )
    values = one.load(), other.load()
    if equal_arrays(*values, packer):
        return None
    measured = measure(*values)
    if measured.problem:
        return TensorDifference(name, measured.problem)
    square = len(one.shape) == 2 and one.shape[0] == one.shape[1]
    turns = square and equal_arrays(values[0], values[1].T, packer)
    return TensorDifference(name, None, measured.count, measured.differing, measured.max_abs, measured.rel_l2, turns)
