"""Which model and layout an open checkpoint holds, and the planned port into another layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from porting import tables
from porting.architectures.base import FAMILIES, Architecture, TensorSpec
from porting.checkpoint import Checkpoint
from porting.checkpoint.dtypes import holds_floats
from porting.checkpoint.tensor import LazyTensor
from porting.converters import inward, outward, plan_between, specs_in
from porting.errors import CheckpointError, PlanError
from porting.identify import Identity, identify
from porting.names import counts_batches, fold
from porting.plan import Plan, mismatches
from porting.surgery import Surgery, operate

USUAL_LAYOUT: Mapping[str, str] = {"pdparams": "paddlevit", "mindspore": "mindcv"}
"""Target format to its usual layout; canonical for the others."""

_KINDS = {"float": "a floating dtype", "int": "an integer"}


class Port(NamedTuple):
    """The planned port of a checkpoint.

    Attributes:
        identity: Model and layout of the source.
        architecture: The model of the target.
        layout: The layout of the target.
        plan: The plan of the target's tensors from those of the source.
    """

    identity: Identity
    architecture: Architecture
    layout: str
    plan: Plan


def plan_port(
    checkpoint: Checkpoint,
    layout: str,
    *,
    model: str | None = None,
    source_layout: str | None = None,
    surgery: Surgery = Surgery(),  # noqa: B008 - immutable
) -> Port:
    """Plan the port of an open checkpoint into a layout; arguments and errors as those of `convert`."""
    return planned(identify_checkpoint(checkpoint, model=model, layout=source_layout), layout, surgery)


def usual_layout(family: str, target_format: str) -> str:
    """Return the layout of a family that files of a format usually have.

    Args:
        family: A family that has a module, or one of `porting.tables`.
        target_format: One of `porting.checkpoint.FORMATS`.
    """
    if family in FAMILIES:
        return USUAL_LAYOUT.get(target_format, "canonical")
    return tables.usual_layout(family, {"pdparams": "paddle", "mindspore": "mindspore"}.get(target_format, ""))


def planned(identity: Identity, layout: str, surgery: Surgery) -> Port:
    """Return the port of an identified checkpoint into a layout.

    Raises:
        PlanError: The surgery does not fit the model.
    """
    if identity.family not in FAMILIES and surgery != Surgery():
        raise PlanError(f"{identity.architecture.name}: only models of {', '.join(FAMILIES)} can be changed on the way")
    architecture, change = operate(identity.architecture, surgery)
    there = inward(identity.architecture, identity.layout)
    return Port(identity, architecture, layout, there.then(change).then(outward(architecture, layout)))


def fitting(checkpoint: Checkpoint, *, model: str | None = None, layout: str | None = None) -> Checkpoint:
    """Return an open checkpoint without what a wrapper put into its names, where a known model has it so.

    Of all readings (`Checkpoint.readings`) the first is taken that holds a known model; if none does, the checkpoint as
    it is. The envelope tells what was taken off.
    """
    readings = list(checkpoint.readings())
    for reading in readings if len(readings) > 1 else ():
        shapes = {name: tensor.shape for name, tensor in reading.tensors.items()}
        try:
            identify(shapes, model=model, layout=layout)
        except PlanError:
            continue
        return reading
    return checkpoint


def identify_checkpoint(checkpoint: Checkpoint, *, model: str | None = None, layout: str | None = None) -> Identity:
    """Return the model and layout of an open checkpoint.

    Raises:
        CheckpointError: The file holds no known model, or one with missing, unexpected or misshapen tensors, or tensors
            of a wrong kind of dtype (integers for floating numbers, or the other way round).
        UnknownNameError: `model` or `layout` is not known.
    """
    try:
        identity = identify(
            {name: tensor.shape for name, tensor in checkpoint.tensors.items()}, model=model, layout=layout
        )
    except PlanError as error:
        checkpoint.check()  # damage is the better explanation of missing tensors
        raise CheckpointError(checkpoint.path, error.summary, error.details) from None
    if wrong := _wrong_dtypes(specs_in(identity.architecture, identity.layout), checkpoint.tensors):
        looks = f"looks like {identity.architecture.name} in layout {identity.layout}, with wrong dtypes; save it again"
        raise CheckpointError(checkpoint.path, looks, wrong)
    return identity


def _wrong_dtypes(specs: Mapping[str, TensorSpec], tensors: Mapping[str, LazyTensor]) -> list[str]:
    """The tensors with a wrong kind of dtype, one line for each, indices folded."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for name, tensor in tensors.items():
        kind = "float" if holds_floats(tensor.dtype) else "int" if tensor.dtype.kind in "iu" else "other"
        counts = kind == "float" and counts_batches(name)  # of a checkpoint all of whose tensors were halved
        if kind != specs[name].kind and not counts:
            wrong.setdefault((tensor.dtype.name, _KINDS[specs[name].kind]), []).append(name)
    return [
        f"wrong dtype: {name} is {dtype}, expected {kind}"
        for (dtype, kind), names in wrong.items()
        for name in fold(names)
    ]


def translate(
    tensors: Mapping[str, LazyTensor], architecture: Architecture, source: str, target: str
) -> dict[str, LazyTensor]:
    """Return the tensors of a model in another layout.

    Args:
        tensors: Tensor name in the source layout to tensor: all tensors of the model, no others.
        architecture: The model.
        source: Layout of `tensors`.
        target: Layout of the result.

    Raises:
        PlanError: The tensors are not exactly the model's in the source layout.
        UnknownNameError: The family has no such layout.
    """
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    problems = mismatches(specs_in(architecture, source), shapes)
    if problems:
        raise PlanError(f"the tensors are not {architecture.name} in layout {source}", problems)
    return plan_between(architecture, source, target).apply(tensors)
