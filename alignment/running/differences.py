"""Two checkpoint files, any formats and layouts, compared tensor by tensor in canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from alignment.errors import NothingComparedError
from alignment.judging.measuring import Measurement, measure
from porting.checkpoint import Checkpoint, open_checkpoint
from porting.checkpoint.addresses import as_source
from porting.checkpoint.envelope import Kind
from porting.checkpoint.file.copying import Packer, equal_arrays
from porting.checkpoint.tensor import LazyTensor, TensorCallback
from porting.describe import Canonical, canonical
from porting.errors import CheckpointError
from porting.names import fold

_SHOWN = 10


@dataclass(frozen=True)
class TensorDifference:
    """One tensor that is not bit-equal.

    Attributes:
        name: Its canonical name, or the name as stored when the model is not known.
        problem: Why no number could be given: missing, another shape or dtype, not finite; None otherwise.
        elements: Number of elements; None, like all that follow, with a problem.
        differing: How many of them differ in value; zeros of different signs do not.
        max_abs: Largest absolute difference.
        rel_l2: L2 norm of the difference over that of the first file's tensor.
    """

    name: str
    problem: str | None
    elements: int | None = None
    differing: int | None = None
    max_abs: float | None = None
    rel_l2: float | None = None


@dataclass(frozen=True)
class CheckpointDiff:
    """How two checkpoints differ.

    Attributes:
        first: Path or address of the first file.
        second: Likewise of the second.
        tensors: Number of tensor names in either.
        different: The tensors that differ, the worst first.
        left_out: Names of the counters that one of the files does not keep, in its layout.
    """

    first: Path | str
    second: Path | str
    tensors: int
    different: tuple[TensorDifference, ...]
    left_out: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every tensor is bit-equal."""
        return not self.different

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "first": str(self.first),
            "second": str(self.second),
            "same": self.same,
            "tensors": self.tensors,
            "different": [asdict(each) for each in self.different],
            "left_out": list(self.left_out),
        }

    def to_text(self, *, verbose: bool = False) -> str:
        """For people: the verdict, then the worst tensors, or with `verbose` all that differ."""
        left_out = f" ({len(self.left_out)} counters that one file does not keep left out)" if self.left_out else ""
        if self.same:
            return f"same: all {self.tensors} tensors are bit-equal{left_out}"
        return "\n".join(
            (f"different: {len(self.different)} of {self.tensors} tensors{left_out}", *self._lines(verbose))
        )

    def _lines(self, verbose: bool) -> Iterator[str]:
        broken: dict[str, list[str]] = {}
        for each in self.different:
            if each.problem:
                broken.setdefault(each.problem, []).append(each.name)
        for problem, names in broken.items():
            yield from (f"  {name}: {problem}" for name in fold(names))
        numbers = [each for each in self.different if not each.problem]
        shown = len(numbers) if verbose else _SHOWN
        for each in numbers[:shown]:
            yield (
                f"  {each.name}: relative L2 {each.rel_l2:.2e}, max {each.max_abs:.2e}, "
                f"{each.differing:,} of {each.elements:,} elements"
                if each.differing
                else f"  {each.name}: equal values, other bits: zeros of different signs"
            )
        if len(numbers) > shown:
            yield f"  and {len(numbers) - shown} more; -v names all"


def diff(
    first: str | PathLike[str],
    second: str | PathLike[str],
    *,
    weights: Kind | None = None,
    progress: TensorCallback | None = None,
) -> CheckpointDiff:
    """Compare two checkpoints bit by bit, one tensor in memory at a time.

    Args:
        first: The checkpoint to compare with.
        second: The checkpoint in question. Where both are the same known model their layouts may differ; otherwise
            tensors are compared under the names as stored.
        weights: `"model"` or `"ema"`, where a file holds both; one that holds a single state dict is taken as it is.
        progress: Called with the name and size in bytes of each tensor that has been compared.

    Raises:
        CheckpointError: A file cannot be read as a checkpoint, or neither holds the weights asked for.
        NothingComparedError: Neither file holds a tensor.
    """
    with opened(first, second, weights) as (one, other):
        sides = _alike(one, other)
        names = list(dict.fromkeys((*sides[0].tensors, *sides[1].tensors)))
        left_out = tuple(name for name in names if name in sides[0].filled | sides[1].filled)
        names = [name for name in names if name not in left_out]
        if not names:
            raise NothingComparedError(f"{first} and {second} hold no tensors")
        found = list(_differences(names, sides[0].tensors, sides[1].tensors, progress))
    worst_first = sorted(found, key=lambda each: (each.problem is None, -(each.rel_l2 or 0.0)))
    return CheckpointDiff(as_source(first), as_source(second), len(names), tuple(worst_first), left_out)


def _alike(one: Checkpoint, other: Checkpoint) -> tuple[Canonical, Canonical]:
    """Both in the canonical layout if they are the same model, else both as they are stored."""
    sides = canonical(one), canonical(other)
    models = [side.identity and side.identity.architecture.name for side in sides]
    if models[0] is None or models[0] != models[1]:
        return Canonical(None, one.tensors), Canonical(None, other.tensors)
    return sides


@contextmanager
def opened(
    first: str | PathLike[str], second: str | PathLike[str], weights: Kind | None
) -> Iterator[tuple[Checkpoint, Checkpoint]]:
    """Both checkpoints, at least one of which holds the weights that are asked for; errors as those of `diff`."""
    with (
        open_checkpoint(first, weights=weights, required=False) as one,
        open_checkpoint(second, weights=weights, required=False) as other,
    ):
        if weights is not None and weights not in {side.weights or "model" for side in (one, other)}:
            raise CheckpointError(one.path, f"holds no {weights} weights (--weights {weights}), nor does {other.path}")
        yield one, other


def _differences(
    names: Iterable[str],
    first: Mapping[str, LazyTensor],
    second: Mapping[str, LazyTensor],
    progress: TensorCallback | None,
) -> Iterator[TensorDifference]:
    packer = Packer()
    for name in names:
        found = _difference(name, first, second, packer)
        if found is not None:
            yield found
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
        kinds = f"{one.dtype.name} {one.shape}", f"{other.dtype.name} {other.shape}"
        return TensorDifference(name, f"{kinds[0]} in the first file, {kinds[1]} in the second")
    values = one.load(), other.load()
    if equal_arrays(*values, packer):
        return None
    return _measured(name, measure(*values))


def _measured(name: str, found: Measurement) -> TensorDifference:
    if found.problem:
        return TensorDifference(name, found.problem)
    return TensorDifference(name, None, found.count, found.differing, found.max_abs, found.rel_l2)
