"""Description of a checkpoint file, with a digest of its content that no format or layout changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from porting.architectures.base import Architecture, Shape
from porting.checkpoint import Checkpoint, open_checkpoint
from porting.checkpoint.addresses import as_source
from porting.checkpoint.dtypes import holds_floats
from porting.checkpoint.envelope import Kind
from porting.checkpoint.file.copying import Packer
from porting.checkpoint.prefixes import shared_prefix
from porting.checkpoint.tensor import LazyTensor, TensorCallback
from porting.conversion import count_dtypes, fitting, identify_checkpoint
from porting.converters import CANONICAL, plan_between
from porting.errors import CheckpointError
from porting.identify import Identity

if TYPE_CHECKING:
    from porting.saved_rules import Role, SavedTable


@dataclass(frozen=True)
class Description:
    """Description of a checkpoint.

    Attributes:
        path: The file, or its address.
        format: One of `porting.checkpoint.FORMATS`.
        envelope: Containers around the tensors, outermost first.
        notes: What else is in the file.
        weights: `"model"` or `"ema"`; None where the file does not say whose weights it holds.
        architecture: The model; None when it is not known.
        layout: The layout, or the side of the rules; None when the model is not known.
        problem: Why the model is not known: a line, and its details.
        tensors: Number of tensors.
        parameters: Number of trainable values; of all floating values when the model is not known.
        nbytes: Size of the tensors' data.
        dtypes: Dtype to number of tensors, most first.
        digest: SHA-256 of the canonical names, dtypes, shapes and values: equal for the same weights in any format and
            layout. Counters are left out, since not every layout keeps them. Over the names as stored when the model is
            not known.
        contents: Name of every tensor as it is stored to its dtype and shape.
        rules: The file of rules that the checkpoint is a side of; None without one.
    """

    path: Path | str
    format: str
    envelope: tuple[str, ...]
    notes: tuple[str, ...]
    weights: Kind | None
    architecture: Architecture | None
    layout: str | None
    problem: tuple[str, ...]
    tensors: int
    parameters: int
    nbytes: int
    dtypes: Mapping[str, int]
    digest: str
    contents: Mapping[str, tuple[str, Shape]]
    rules: str | None = None

    @property
    def model(self) -> str | None:
        """The model's name; None when it is not known."""
        return self.architecture.name if self.architecture else None


def describe(
    path: str | PathLike[str],
    *,
    weights: Kind | None = None,
    key: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    rules: SavedTable | None = None,
    progress: TensorCallback | None = None,
) -> Description:
    """Describe a checkpoint file; every tensor is read once, for the digest.

    Args:
        path: A checkpoint in any known format: a path, or `hf://owner/name[/file]`.
        weights: `"model"` or `"ema"`, of a training checkpoint; the average by default, as in `open_checkpoint`.
        key: Keys that lead to the state dict in the file, as in `open_checkpoint`.
        prefix: Only tensors whose names begin so, and without it.
        ignore: Patterns of tensors to leave out.
        rules: A table between two models of the user's; the digest is then the same for both sides.
        progress: Called with the name and size in bytes of each tensor that has been read.

    Raises:
        CheckpointError: The file cannot be read as a checkpoint.
    """
    with open_checkpoint(path, weights=weights, key=key, prefix=prefix, ignore=ignore) as opened:
        form = canonical(fitting(opened)) if rules is None else canonical_by_rules(rules, opened)
        checkpoint = form.checkpoint
        tensors, identity = form.tensors, form.identity
        floating = sum(tensor.size for tensor in tensors.values() if holds_floats(tensor.dtype))
        return Description(
            path=as_source(path),
            format=checkpoint.format,
            envelope=checkpoint.envelope,
            notes=(*checkpoint.notes, *(_shared(checkpoint) if form.problem else ())),
            weights=checkpoint.weights,
            architecture=identity.architecture if identity else None,
            layout=form.layout,
            problem=form.problem,
            tensors=len(checkpoint.tensors),
            parameters=identity.architecture.parameters if identity else floating,
            nbytes=sum(tensor.nbytes for tensor in checkpoint.tensors.values()),
            dtypes=count_dtypes(tensor.dtype for tensor in checkpoint.tensors.values()),
            digest=content_digest(_kept(form), progress),
            contents={name: (tensor.dtype.name, tensor.shape) for name, tensor in checkpoint.tensors.items()},
            rules=rules.name if rules else None,
        )


def _shared(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return a note on the prefix that all names share; nothing if there is none."""
    shared = shared_prefix(checkpoint.tensors)
    return (f"every name begins with {shared}, which --prefix {shared} takes off",) if shared else ()


@dataclass(frozen=True)
class Canonical:
    """A checkpoint's tensors in the canonical layout, or on the reference's side of rules of the user's.

    Attributes:
        identity: Model and layout; None when the model is not known, and the tensors are as they are stored.
        tensors: Tensors by name.
        checkpoint: The checkpoint, without a prefix that its names share.
        filled: Names of the tensors that the file does not keep.
        problem: Why the model is not known: a line, and its details.
        side: The side of the rules; None without rules.
        framework: The framework of that side.
    """

    identity: Identity | None
    tensors: Mapping[str, LazyTensor]
    checkpoint: Checkpoint
    filled: frozenset[str] = frozenset()
    problem: tuple[str, ...] = ()
    side: Role | None = None
    framework: str = ""

    @property
    def layout(self) -> str | None:
        """The layout, or the side in words: `reference (torch)`."""
        if self.side is not None:
            return f"{self.side} ({self.framework})"
        return self.identity.layout if self.identity else None


def canonical(checkpoint: Checkpoint) -> Canonical:
    """Return a checkpoint's tensors in the canonical layout, or as they are stored when the model is not known."""
    try:
        identity = identify_checkpoint(checkpoint)
    except CheckpointError as error:
        return Canonical(None, checkpoint.tensors, checkpoint, problem=_problem(checkpoint, error))
    plan = plan_between(identity.architecture, identity.layout, CANONICAL)
    return Canonical(identity, plan.apply(checkpoint.tensors), checkpoint, frozenset(plan.filled))


def canonical_by_rules(table: SavedTable, checkpoint: Checkpoint) -> Canonical:
    """Return a checkpoint's tensors on the reference's side of a table, or as they are stored when it is no side.

    Raises:
        RulesError: The rules do not map the sides onto each other.
    """
    from porting.by_rules import plan_by_rules

    try:
        port = plan_by_rules(table, checkpoint)
    except CheckpointError as error:
        return Canonical(None, checkpoint.tensors, checkpoint, problem=_problem(checkpoint, error))
    back = table.plan("candidate")
    if port.source == "reference":
        tensors = {name: port.tensors[name] for name in table.reference.tensors if name in port.tensors}
    else:
        tensors = back.apply(port.tensors)
    side = table.side(port.source)
    return Canonical(None, tensors, port.checkpoint, frozenset(back.filled), (), port.source, side.framework)


def _problem(checkpoint: Checkpoint, error: CheckpointError) -> tuple[str, ...]:
    return (error.summary.removeprefix(f"{checkpoint.path}: "), *error.details)


def _kept(form: Canonical) -> Mapping[str, LazyTensor]:
    """The tensors that both layouts, or both sides, hold."""
    if form.side is None:
        return weights_of(form.tensors, form.identity)
    return {name: tensor for name, tensor in form.tensors.items() if name not in form.filled}


def weights_of(tensors: Mapping[str, LazyTensor], identity: Identity | None) -> dict[str, LazyTensor]:
    """Return the tensors without the counters of a known model."""
    specs = identity.architecture.tensors if identity else {}
    return {name: tensor for name, tensor in tensors.items() if name not in specs or specs[name].kind != "int"}


def content_digest(tensors: Mapping[str, LazyTensor], progress: TensorCallback | None = None) -> str:
    """Return the SHA-256 of name, dtype, shape and little-endian values of every tensor, in the order of the names."""
    digest, packer = hashlib.sha256(), Packer()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype.name}\0{tensor.shape}\0".encode())
        for block in packer.blocks(tensor.load()):
            digest.update(block)
        if progress is not None:
            progress(name, tensor.nbytes)
    return f"sha256:{digest.hexdigest()}"
