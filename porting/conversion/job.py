"""The job: open a checkpoint, identify its model, plan the port into another layout, and write it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.architectures.base import Architecture
from porting.checkpoint import Checkpoint, Written, format_of, open_checkpoint, write_checkpoint
from porting.checkpoint.addresses import as_source
from porting.checkpoint.envelope import Kind
from porting.checkpoint.file.target import check_target
from porting.checkpoint.format_names import INDEX
from porting.checkpoint.sizes import nbytes_of
from porting.checkpoint.tensor import LazyTensor
from porting.conversion.planning import (
    USUAL_LAYOUT,
    Port,
    fitting,
    identify_checkpoint,
    planned,
    translate,
    usual_layout,
)
from porting.conversion.report import ConvertReport, Job, report
from porting.converters import table_of
from porting.errors import CheckpointError
from porting.operations.casting import cast
from porting.surgery import Surgery
from porting.synthetic import random_weights

if TYPE_CHECKING:
    from porting.saved_rules import SavedTable

SAFETENSORS_FORMAT: Mapping[str, str] = {"torch": "pt", "paddle": "np", "mindspore": "ms"}
"""Framework to the `format` that its loaders expect in a safetensors file's metadata; PaddleNLP refuses `pd`."""


def convert(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    model: str | None = None,
    source_layout: str | None = None,
    weights: Kind | None = None,
    key: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    target_layout: str | None = None,
    dtype: str | None = None,
    surgery: Surgery = Surgery(),  # noqa: B008 - immutable
    rules: SavedTable | None = None,
    unproven: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    max_shard_size: int | str | None = None,
    with_optimizer: bool = False,
    optimizer_settings: Mapping[str, float | tuple[float, float]] | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> ConvertReport:
    """Port a checkpoint into another file format and layout.

    Every tensor of the source is planned for before the first byte is written, and the target appears under its name
    only once it has been read back and is as planned.

    Args:
        source: A checkpoint in any known format, which the content shows: a path, or `hf://owner/name[/file]`.
        target: The file to write; its suffix sets the format.
        model: Name of the model; found from names and shapes by default.
        source_layout: The source's layout; found from names and shapes by default.
        weights: `"model"` or `"ema"`, of a training checkpoint; the average by default, as in `open_checkpoint`.
        key: Keys that lead to the state dict in the source, as in `open_checkpoint`.
        prefix: Only tensors whose names begin so, and without it.
        ignore: Patterns of tensors to leave out.
        target_layout: The target's layout; by default the usual one of its format.
        dtype: `"float64"`, `"float32"`, `"float16"` or `"bfloat16"` for every floating tensor; kept by default.
        surgery: Changes to the model itself; none by default.
        rules: A table between two models of the user's, from `porting.saved_rules.read_table`: the source is one side
            (`source_layout` is `"reference"` or `"candidate"`, found by default), the target becomes the other. Model,
            target layout and surgery are not for such a model.
        unproven: Write also by rules with which a run gave different outputs on both sides.
        dry_run: Plan only, write nothing.
        overwrite: Replace a target that is there already.
        max_shard_size: Write several files, each with at most so many bytes of tensors, and an index; a text such as
            `5GB`, or bytes. See `write_sharded`.
        with_optimizer: Take the state of AdamW along: moments, steps, groups, the average and the epoch. The source is
            a checkpoint of training, and the target one that a training program resumes (`porting.training_state`).
        optimizer_settings: `lr`, `weight_decay`, `betas` and `eps`, where the source does not say them.
        progress: Called with the name and size in bytes of each tensor that has been written.

    Raises:
        CheckpointError: The source cannot be read, or the target cannot be written.
        TargetExistsError: The target exists, and `overwrite` is False.
        PlanError: The surgery does not fit the model, or the state of the optimizer cannot be carried.
        RulesError: The rules do not map the two models onto each other.
        UnprovenError: With the rules the models give different outputs, and `unproven` and `dry_run` are False.
        ImpossibleModelError: The image size or class count is not possible for the model.
        UnknownNameError: A model, layout, dtype or suffix is not known.
        SizeError: `max_shard_size` is no size.
        HubError: The source cannot be fetched.
    """
    source, target = as_source(source), _target(target, max_shard_size)
    target_format = format_of(target)
    if not dry_run:
        check_target(target, overwrite=overwrite)
    if rules is not None and not (dry_run or unproven):
        from porting.by_rules import require_proven

        require_proven(rules)
    if with_optimizer:
        from porting.conversion import carrying  # few conversions need it

        weights = carrying.checked(target, target_format, weights, dtype, max_shard_size)
    with open_checkpoint(source, weights=weights, key=key, prefix=prefix, ignore=ignore, check=False) as opened:
        opened.require_other(target)
        if rules is None:
            job = _job_of_model(opened, model, source_layout, (target_layout, target_format), surgery)
        else:
            job = _job_by_rules(rules, opened, source_layout)
        if with_optimizer:
            how = carrying.Writing(target, dtype, optimizer_settings or {}, dry_run, overwrite, progress)
            return carrying.carry(source, job, how)
        planned = job.plan.apply(job.tensors)
        tensors = {name: cast(name, tensor, dtype) for name, tensor in planned.items()} if dtype else planned
        shards = () if max_shard_size is None else _shards(opened, target, tensors, max_shard_size)
        if dry_run:
            opened.check()
            return report(source, target, job, (planned, tensors), None, shards)
        written = _write(target, tensors, job, max_shard_size, overwrite, progress)
        return report(source, target, job, (planned, tensors), written, shards)


def check_files(source: str | PathLike[str], target: str | PathLike[str], *, overwrite: bool, **where: Any) -> None:
    """Check what can be checked of the two files of a conversion before its rules are known.

    Args:
        source: The checkpoint to read.
        target: The file to write.
        overwrite: As for `convert`; True as well where nothing is written.
        where: Where the weights are in the source, as for `convert`.

    Raises:
        CheckpointError: The source cannot be read.
        TargetExistsError: The target exists, and `overwrite` is False.
        UnknownNameError: The target's suffix is not known.
        HubError: The source cannot be fetched.
    """
    format_of(target)
    check_target(Path(target), overwrite=overwrite)
    with open_checkpoint(as_source(source), **where, check=False) as opened:
        opened.require_other(Path(target))


def _job_of_model(
    opened: Checkpoint, model: str | None, source_layout: str | None, target: tuple[str | None, str], surgery: Surgery
) -> Job:
    """The job of a known model; the target is its layout, or None for the usual one, and its format."""
    checkpoint = fitting(opened, model=model, layout=source_layout)
    identity = identify_checkpoint(checkpoint, model=model, layout=source_layout)
    layout, target_format = target
    return job_of(checkpoint, planned(identity, layout or usual_layout(identity.family, target_format), surgery))


def job_of(checkpoint: Checkpoint, port: Port) -> Job:
    """Return the job of a known model from its planned port."""
    framework = table_of(port.architecture.family, port.layout).framework
    layouts = (port.identity.layout, port.layout)
    models = (port.identity.architecture, port.architecture)
    return Job(checkpoint, port.plan, checkpoint.tensors, layouts, framework, models)


def _job_by_rules(rules: SavedTable, opened: Checkpoint, side: str | None) -> Job:
    """The job of a model that rules of the user's map."""
    from porting.by_rules import plan_by_rules, require_tied

    port = plan_by_rules(rules, opened, side=side)
    require_tied(port)
    sides = (port.source, port.target)
    frameworks = [port.table.side(side).framework for side in sides]
    layouts = (f"{sides[0]} ({frameworks[0]})", f"{sides[1]} ({frameworks[1]})")
    return Job(
        port.checkpoint, port.plan, port.tensors, layouts, port.framework, None, port.table, port.added, port.source
    )


def _shards(
    opened: Checkpoint, target: Path, tensors: Mapping[str, LazyTensor], max_shard_size: int | str
) -> tuple[str, ...]:
    """Return the names of the files to write; none of the files that they replace may be the source."""
    from porting.checkpoint.sharding import planned_shards, set_paths  # few conversions need it

    shards = tuple(planned_shards(target, tensors, max_shard_size))
    for replaced in set_paths(target):
        opened.require_other(replaced)
    return shards


def _target(target: str | PathLike[str], max_shard_size: int | str | None) -> Path:
    """Return the file to write, or that the shards to write are parts of."""
    if max_shard_size is not None:
        from porting.checkpoint.sharding import whole_target

        nbytes_of(max_shard_size)
        return whole_target(target)
    if Path(target).name.endswith(INDEX):
        raise CheckpointError(target, "is the name of an index of shards; give --max-shard-size, such as 5GB, too")
    return Path(target)


def _write(
    target: Path,
    tensors: Mapping[str, LazyTensor],
    job: Job,
    max_shard_size: int | str | None,
    overwrite: bool,
    progress: Callable[[str, int], None] | None,
) -> Written:
    metadata = {"format": SAFETENSORS_FORMAT[job.framework]}
    if max_shard_size is None:
        return write_checkpoint(
            target, tensors, overwrite=overwrite, metadata=metadata, check=job.checkpoint.check, progress=progress
        )
    from porting.checkpoint import write_sharded

    return write_sharded(
        target,
        tensors,
        max_shard_size,
        overwrite=overwrite,
        metadata=metadata,
        check=job.checkpoint.check,
        progress=progress,
        made_from="\n".join((job.checkpoint.identity(), job.plan.identity, *_constants(job))),
    )


def _constants(job: Job) -> Iterator[str]:
    """Yield what the values of tensors are that come from the rules."""
    for name in job.added:
        yield f"{name} {zlib.crc32(job.tensors[name].load().tobytes()):08x}"


def write_random(
    architecture: Architecture,
    target: str | PathLike[str],
    *,
    layout: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Written:
    """Write random weights in which every tensor matters (see `porting.synthetic`).

    Args:
        architecture: The model.
        target: The file to write; its suffix sets the format.
        layout: The layout; by default the usual one of the format.
        seed: Any integer of 0 or more.
        overwrite: Replace a target that is there already.

    Raises:
        CheckpointError: The target cannot be written.
        UnknownNameError: The layout or suffix is not known.
    """
    chosen = layout or USUAL_LAYOUT.get(format_of(target), "canonical")
    weights = {name: LazyTensor.of(values) for name, values in random_weights(architecture, seed).items()}
    tensors = translate(weights, architecture, "canonical", chosen)
    return write_checkpoint(target, tensors, overwrite=overwrite, metadata=_metadata(architecture, chosen))


def _metadata(architecture: Architecture, layout: str) -> dict[str, str]:
    """The metadata of a file for the loaders of its layout's framework."""
    return {"format": SAFETENSORS_FORMAT[table_of(architecture.family, layout).framework]}
