"""The weight files of the two sides: the reference's, and the candidate's port of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair, Role
from alignment.pair.layouts import CANONICAL, inward, specs, to_side
from porting.architectures import Architecture
from porting.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from porting.checkpoint.selection import Selection
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import fitting, identify_checkpoint, translate
from porting.converters import layouts_of, specs_in, table_of
from porting.describe import content_digest
from porting.errors import CheckpointError
from porting.operations.casting import cast
from porting.plan import mismatches
from porting.synthetic import random_weights


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One side's weights, in its framework's format and its model's layout, float32.

    Attributes:
        path: The file; it does not exist where the model has no weights.
        digest: Digest of the canonical content without counters, equal for equal weights in any layout.
        empty: True if the model has no weights.
    """

    path: Path
    digest: str
    empty: bool = False


def write_weights(
    pair: Pair,
    role: Role,
    folder: Path,
    *,
    source: str | PathLike[str] | None,
    seed: int,
    selection: Selection = Selection(),  # noqa: B008 - immutable
    shipped: bool = False,
    named: Role | None = None,
    padded: bool = True,
) -> WeightFile:
    """Write one side's weight file with the conversion that is under test.

    Args:
        pair: What is aligned.
        role: The side to write for.
        folder: Folder for the file, which is named after the side.
        source: A checkpoint in any format and in any layout of the model; None draws random weights.
        seed: Seed of the random weights.
        selection: Which tensors to take from a source that holds more.
        shipped: True if the source is itself under test, a port that is used as it is. Then it has to be in the side's
            own names, or in a published layout of its framework: in any other, the framework would not load it.
        named: The side of a user's pair whose names the source has, where that is known: names and shapes of both sides
            may be the same. None to find out.
        padded: Whether random weights have zeros in the rows of padding, as before the first update.

    Raises:
        PortingError: The source cannot be read or is not this model; the file cannot be written.
    """
    side = pair.side(role)
    target = folder / f"{pair.label(role)}{FRAMEWORKS[side.framework].suffix}"
    if source is None:
        constants = pair.contract.constants if pair.contract else {}
        arrays = {**random_weights(pair.architecture, seed), **constants}
        for name, row in (pair.contract.padding if pair.contract and padded else {}).items():
            arrays[name][row] = 0  # as every framework builds it: Paddle gives zeros for this id, torch gives the row
        return _write(pair, role, {name: LazyTensor.of(array) for name, array in arrays.items()}, target)
    with open_checkpoint(source, **vars(selection), required=False) as opened:
        checkpoint = _reading(pair, opened) if pair.own else fitting(opened)
        tensors = {name: cast(name, tensor, "float32") for name, tensor in checkpoint.tensors.items()}
        if pair.own:
            names = named or _names_of(pair, checkpoint, role, shipped=shipped)
            canonical = inward(pair, names).apply(tensors)
        else:
            layout = find_layout(pair, checkpoint, side.layout)
            if shipped and layout != side.layout:
                require_loadable(checkpoint, pair.architecture, layout, side.framework)
            canonical = translate(tensors, pair.architecture, layout, CANONICAL)
        return _write(pair, role, canonical, target)


def _reading(pair: Pair, checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint without the prefix that all names share, where only so it has the names of a side."""
    for reading in checkpoint.readings():
        shapes = {name: tensor.shape for name, tensor in reading.tensors.items()}
        if any(not mismatches(specs(pair, role), shapes) for role in ROLES):
            return reading
    return checkpoint


def require_loadable(checkpoint: Checkpoint, architecture: Architecture, layout: str, framework: str) -> None:
    """Check that a file has the names and orientation of a model of the framework.

    Raises:
        CheckpointError: The layout is one of another framework; the message says how to convert the file.
    """
    if table_of(architecture.family, layout).framework == framework:
        return
    known = ", ".join(
        name for name in layouts_of(architecture) if table_of(architecture.family, name).framework == framework
    )
    raise CheckpointError(
        checkpoint.path,
        f"holds {architecture.name} in layout {layout}, which no {framework} model loads as it is; expected "
        f"{known or f'a layout of {framework}'}: port it with pit-port convert --to",
    )


def _names_of(pair: Pair, checkpoint: Checkpoint, preferred: Role, *, shipped: bool) -> Role:
    """The side whose names a checkpoint of a user's model has; of a shipped one, this has to be the preferred side.

    Raises:
        CheckpointError: It has the names of neither side; the mismatches are those with the preferred side.
    """
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    other: Role = "candidate" if preferred == "reference" else "reference"
    problems = {role: mismatches(specs(pair, role), shapes) for role in (preferred, other)}
    fits = [role for role, mismatched in problems.items() if not mismatched]
    if shipped and fits == [other]:
        summary = f"holds the {other}'s names and shapes: the {preferred} does not load it as it is; port it first"
        raise CheckpointError(checkpoint.path, summary, problems[preferred])
    if not fits:
        summary = f"not the weights of {pair.name}, neither in the reference's names nor in the candidate's"
        raise CheckpointError(checkpoint.path, summary, problems[preferred])
    return fits[0]


def find_layout(pair: Pair, checkpoint: Checkpoint, preferred: str) -> str:
    """The layout in which the checkpoint holds the pair's model.

    Raises:
        CheckpointError: It holds another model; the message names that, or lists the mismatches.
    """
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    layouts = [preferred, *(name for name in layouts_of(pair.architecture) if name != preferred)]
    problems = {}
    for layout in layouts:
        problems[layout] = mismatches(specs_in(pair.architecture, layout), shapes)
        if not problems[layout]:
            return layout
    best = min(layouts, key=lambda layout: len(problems[layout]))
    height, width = pair.architecture.image_size
    form = f"{height}x{width} pixels with {pair.architecture.num_classes} classes"
    expected = f"expected {pair.architecture.name} at {form}"
    try:
        identity = identify_checkpoint(checkpoint)
    except CheckpointError:
        summary = f"not the weights of {pair.name} in any layout; {expected}; nearest is layout {best}"
        raise CheckpointError(checkpoint.path, summary, problems[best]) from None
    held = identity.architecture.name
    details = problems[best] if held == pair.architecture.name else ()  # of another model all names are others
    raise CheckpointError(checkpoint.path, f"holds {held}, {expected}", details)


def _write(pair: Pair, role: Role, canonical: Mapping[str, LazyTensor], target: Path) -> WeightFile:
    digest = content_digest({name: canonical[name] for name in canonical if name not in pair.architecture.counters})
    tensors = to_side(pair, role, canonical)
    if not tensors:
        return WeightFile(target, digest, empty=True)
    write_checkpoint(target, tensors, overwrite=True)
    return WeightFile(target, digest)
