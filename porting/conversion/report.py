"""What a conversion did: the planned job, and the report of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from porting.architectures.base import Architecture
from porting.checkpoint import Checkpoint, Written, format_of
from porting.checkpoint.envelope import Kind
from porting.checkpoint.tensor import LazyTensor
from porting.converters import layouts_of, table_of
from porting.frozen import Frozen
from porting.names import fold
from porting.plan import Plan

if TYPE_CHECKING:
    from porting.saved_rules import Role, SavedTable

_FRAMEWORKS: Mapping[str, str] = {"torch-zip": "torch", "pdparams": "paddle", "mindspore": "mindspore"}
"""Format to the framework whose own it is; the others belong to none."""
_TITLES: Mapping[str, str] = {"torch": "PyTorch", "paddle": "Paddle", "mindspore": "MindSpore"}


@dataclass(eq=False, repr=False)
class ConvertReport(Frozen):
    """Report of a conversion, or of a dry run.

    Attributes:
        source: Path of the file that was read, or its address.
        target: Path of the file that was written.
        source_format: One of `porting.checkpoint.FORMATS`.
        target_format: One of `porting.checkpoint.FORMATS`.
        source_layout: Layout of the source's tensors.
        target_layout: Layout of the target's tensors.
        architecture: The model that was written; None for one that rules of the user's map.
        source_architecture: The model that was read; surgery makes another one of it.
        envelope: Containers around the source's tensors, outermost first.
        notes: What else the source holds, which was left behind.
        weights: `"model"` or `"ema"`; None where the source does not say whose weights it holds.
        tensors: Number of tensors in the target.
        nbytes: Size of the target's tensors in bytes.
        transposed: Target names of the tensors that were transposed.
        dropped: Source names of the tensors that the target layout does not keep, with the reason.
        filled: Target names of the tensors that the source layout does not keep.
        remarks: Target names of the tensors whose values were changed on the way, with the reason.
        changes: Target names of the tensors that surgery changed, with what was done.
        dtypes: Target dtype to number of tensors.
        cast_from: Source dtype to number of tensors that were cast; empty when the dtypes were kept.
        digest: Digest of the target file as it was read back; None when nothing was written.
        advice: What to know about the target, such as a layout of another framework than the format's.
        shards: Names of the shards that were written; none for a single file.
        kept: Number of shards that an interrupted run of the same conversion had completed, and that were kept.
        rules: The file of rules that was followed; None without one.
        proven: Whether the outputs of both models agreed in float64 with these rules; None where that is not known.
        training: What of the training run was carried along, one line each; empty where only weights were ported.
    """

    source: Path | str
    target: Path
    source_format: str
    target_format: str
    source_layout: str
    target_layout: str
    architecture: Architecture | None
    source_architecture: Architecture | None
    envelope: tuple[str, ...]
    notes: tuple[str, ...]
    weights: Kind | None
    tensors: int
    nbytes: int
    transposed: tuple[str, ...]
    dropped: Mapping[str, str]
    filled: tuple[str, ...]
    remarks: Mapping[str, str]
    changes: Mapping[str, str]
    dtypes: Mapping[str, int]
    cast_from: Mapping[str, int]
    digest: str | None
    advice: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    kept: int = 0
    rules: str | None = None
    proven: bool | None = None
    training: tuple[str, ...] = ()


class Job(NamedTuple):
    """A conversion that is planned.

    Attributes:
        checkpoint: The open source.
        plan: What every tensor of the target is made of.
        tensors: The tensors that the plan starts from.
        layouts: Layouts of source and target.
        framework: Framework of the target's layout.
        models: The models of source and target; None for one that rules of the user's map.
        rules: These rules.
        added: Names of tensors that the rules knew and the source has not.
        source_role: With rules, the side that the source is.
    """

    checkpoint: Checkpoint
    plan: Plan
    tensors: Mapping[str, LazyTensor]
    layouts: tuple[str, str]
    framework: str
    models: tuple[Architecture, Architecture] | None
    rules: SavedTable | None = None
    added: tuple[str, ...] = ()
    source_role: Role | None = None


def framework_of(format_name: str) -> str | None:
    """Return the framework whose own a format is; None for one that belongs to none."""
    return _FRAMEWORKS.get(format_name)


def report(
    source: Path | str,
    target: Path,
    job: Job,
    tensors: tuple[Mapping[str, LazyTensor], Mapping[str, LazyTensor]],
    written: Written | None,
    shards: tuple[str, ...],
) -> ConvertReport:
    """Return the report of a job; `tensors` are the planned ones, and those that they were cast to."""
    planned, cast_to = tensors
    plan, checkpoint = job.plan, job.checkpoint
    changed = [planned[name].dtype for name in cast_to if cast_to[name].dtype != planned[name].dtype]
    return ConvertReport(
        source=source,
        target=written.path if written else target,
        source_format=checkpoint.format,
        target_format=format_of(target),
        source_layout=job.layouts[0],
        target_layout=job.layouts[1],
        architecture=job.models[1] if job.models else None,
        source_architecture=job.models[0] if job.models else None,
        envelope=checkpoint.envelope,
        notes=checkpoint.notes,
        weights=checkpoint.weights,
        tensors=len(cast_to),
        nbytes=sum(tensor.nbytes for tensor in cast_to.values()),
        transposed=plan.transposed,
        dropped={name: reason for name, reason in plan.dropped.items() if name in checkpoint.tensors},
        changes=plan.changes,
        filled=plan.filled,
        remarks=plan.remarks(job.tensors),
        dtypes=count_dtypes(tensor.dtype for tensor in cast_to.values()),
        cast_from=count_dtypes(changed),
        digest=written.digest if written else None,
        advice=tuple(_advice(format_of(target), job)),
        shards=shards if len(shards) > 1 else (),
        kept=written.kept if written else 0,
        rules=job.rules.name if job.rules else None,
        proven=job.rules.proven if job.rules else None,
    )


def _advice(target_format: str, job: Job) -> Iterator[str]:
    """Yield what to know of a layout that the format's own framework does not load, and of tensors that were added."""
    framework = _FRAMEWORKS.get(target_format)
    if framework is not None and job.framework != framework:
        whose = f"layout {job.layouts[1]} is {_TITLES[job.framework]}'s, and the format {_TITLES[framework]}'s"
        yield whose + _hint(framework, job)
    if job.rules and job.rules.proven is False:
        yield job.rules.proof
    if job.rules and job.rules.crosswise:
        yield job.rules.crosswise
    if job.added:
        yield f"{len(job.added)} tensors that the source lacks come from the rules: {', '.join(fold(job.added))}"


def _hint(framework: str, job: Job) -> str:
    if job.models is None:
        return ""
    known = [name for name in layouts_of(job.models[1]) if table_of(job.models[1].family, name).framework == framework]
    return f": its models load {', '.join(known)} (--to)" if known else ": no layout of its own is known"


def count_dtypes(dtypes: Iterable[np.dtype[Any]]) -> dict[str, int]:
    """Return the number of tensors of each dtype, most frequent first."""
    return dict(Counter(dtype.name for dtype in dtypes).most_common())
