"""A conversion that takes a training run along: weights, average and the state of AdamW move by the same plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from porting.by_rules import other_side
from porting.checkpoint import LazyTensor, format_of
from porting.checkpoint.envelope import Kind
from porting.conversion.report import ConvertReport, Job, framework_of, report
from porting.converters import specs_in
from porting.errors import CheckpointError, NoStateError, PlanError
from porting.operations.casting import cast
from porting.training_state.moving import moved
from porting.training_state.runs import WRITTEN, Run, Settings, grouped, open_run, trained, write_run
from porting.training_state.scaler import scaler_in_words
from porting.training_state.schedule import schedule_in_words

_HALF = ("float16", "bfloat16")
_EXEMPT = ("pos_embed", "cls_token", "dist_token", "position_embedding", "class_token", "distill_token")
"""Weights that the published models themselves exempt from weight decay, beside vectors and biases."""


class Writing(NamedTuple):
    """How the target is written.

    Attributes:
        target: The file.
        dtype: The dtype of all floating tensors, moments included; None keeps them.
        settings: Settings of AdamW that were given.
        dry_run: Write nothing.
        overwrite: Replace a target that is there.
        progress: Called with name and size in bytes of each tensor that was written.
    """

    target: Path
    dtype: str | None
    settings: Settings
    dry_run: bool
    overwrite: bool
    progress: Callable[[str, int], None] | None


def checked(
    target: Path, target_format: str, weights: Kind | None, dtype: str | None, max_shard_size: int | str | None
) -> Kind:
    """Check what can be checked before a file is opened, and return whose weights are read: those that are trained.

    Raises:
        CheckpointError: The target's format has no place for the state of a run, or shards are asked for.
        PlanError: The average alone is asked for, or a half precision.
    """
    if target_format not in WRITTEN:
        raise CheckpointError(
            target, f"{target_format} files have no place for the state of a run; choose .pth, .pdparams or .ckpt"
        )
    if max_shard_size is not None:
        raise CheckpointError(target, "the state of a run is one file; give --with-optimizer or --max-shard-size")
    if weights == "ema":
        raise PlanError("--with-optimizer carries the weights that are trained and their average; omit --weights ema")
    if dtype in _HALF:
        raise PlanError(f"--with-optimizer keeps moments in float32 or float64; {dtype} would lose most of them")
    return "model"


def carry(source: Path | str, job: Job, how: Writing) -> ConvertReport:
    """Write the target of a planned job with the state of its run, and return the report.

    Raises:
        CheckpointError: The source holds no state of AdamW, or one that does not belong to its weights, or the target
            cannot be written.
        PlanError: The plan changes weights and does not only move them.
    """
    try:
        return _carry(source, job, how)
    except NoStateError as error:
        remedy = "without --with-optimizer the weights alone are ported"
        raise CheckpointError(error.path, f"{error.problem}; {remedy}") from None


def _carry(source: Path | str, job: Job, how: Writing) -> ConvertReport:
    _require_framework(how.target, job)
    with carried(job, how.settings) as (planned, run):
        weights, average, state = _cast(planned, how.dtype), run.average, run.state
        if format_of(how.target) == "torch-zip":
            decays = {name: _decays(job, name, weights[name]) for name in _names(job, weights)}
            state = grouped(state, decays, how.settings, source)
        state = replace(state, moments={name: _cast(kinds, how.dtype) for name, kinds in state.moments.items()})
        run = Run(state, None if average is None else _cast(average, how.dtype))
        written = None
        if how.dry_run:
            job.checkpoint.check()
        else:
            written = write_run(
                how.target, format_of(how.target), weights, run, timm=job.layouts[1].startswith("timm"),
                overwrite=how.overwrite, check=job.checkpoint.check, progress=how.progress,
            )  # fmt: skip
        done = report(source, how.target, job, (planned, weights), written, ())
        parts = [part.key.partition(".")[0] for part in (run.state.scaler, run.state.schedule) if part is not None]
        notes = tuple(note for note in done.notes if not note.startswith((*_CARRIED, *parts)))
        return replace(done, notes=notes, training=tuple(in_words(run, format_of(how.target))))


@contextmanager
def carried(job: Job, settings: Settings | None = None) -> Iterator[tuple[dict[str, LazyTensor], Run]]:
    """Open the run of a planned job's source as its target has it: the weights, the state of AdamW and the average.

    Args:
        job: The job, whose checkpoint was opened with `weights="model"`.
        settings: Settings of AdamW that the source does not say.

    Raises:
        CheckpointError: The source holds no state of AdamW, or one that does not belong to its weights.
        PlanError: The plan changes weights and does not only move them.
    """
    if job.plan.changes:
        changes = [f"{name}: {change}" for name, change in job.plan.changes.items()]
        raise PlanError("the optimizer's state cannot be carried where weights are changed on the way", changes)
    tied, weights = _tied(job), job.plan.apply(job.tensors)
    candidates = {
        name: tensor
        for name, tensor in trained(job.checkpoint.tensors).items()
        if name not in tied and not _is_buffer(job, name)
    }
    with open_run(job.checkpoint, candidates, settings) as run:
        state = moved(run.state, job.plan, job.checkpoint.tensors, _names(job, weights), tied)
        average = None if run.average is None else job.plan.apply({**job.tensors, **run.average})
        yield weights, Run(state, average)


_CARRIED = (
    "optimizer",
    "model_ema",
    "state_dict_ema",
    "epoch",
    "adam_m",
    "moment1",
    "beta1_power",
    "beta2_power",
    "global_step",
    "current_iterator_step",
    "last_overflow_iterator_step",
)
"""What notes on a source begin with that tell of parts which are carried."""


def _require_framework(target: Path, job: Job) -> None:
    framework = framework_of(format_of(target))
    if framework != job.framework:
        raise PlanError(
            f"layout {job.layouts[1]} is {job.framework}'s and {target.name} a file of {framework}: the state of an "
            "optimizer is written for its own framework only; choose another suffix, or another layout (--to)"
        )


def _cast(tensors: Mapping[str, LazyTensor], dtype: str | None) -> dict[str, LazyTensor]:
    return {name: cast(name, tensor, dtype) if dtype else tensor for name, tensor in tensors.items()}


def _tied(job: Job) -> dict[str, str]:
    """Further names of the source's tensors to their first ones."""
    if job.rules is None or job.source_role is None:
        return {}
    infos = job.rules.side(job.source_role).tensors
    return {name: info.same_as for name, info in infos.items() if info.same_as and info.same_as != name}


def _is_buffer(job: Job, name: str) -> bool:
    if job.rules is None or job.source_role is None:
        return False
    info = job.rules.side(job.source_role).tensors.get(name)
    return info is not None and info.buffer


def _names(job: Job, weights: Mapping[str, LazyTensor]) -> list[str]:
    """Names of the target's weights in the order of its model, without buffers and further names."""
    known = trained(weights)
    if job.models is not None:
        return [name for name in specs_in(job.models[1], job.layouts[1]) if name in known]
    assert job.rules is not None  # noqa: S101 - there are a model's or a user's rules
    assert job.source_role is not None  # noqa: S101 - and these have sides
    infos = job.rules.side(other_side(job.source_role)).tensors
    return [name for name, info in infos.items() if name in known and not info.buffer and info.same_as in ("", name)]


def _decays(job: Job, name: str, tensor: LazyTensor) -> bool:
    """Whether a weight decays in the published programs; of a model of the user's own, all are one group."""
    if job.models is None:
        return True
    return len(tensor.shape) > 1 and not name.endswith(".bias") and name not in _EXEMPT


def in_words(run: Run, target: str) -> Iterator[str]:
    """Yield what of a run was carried to a format of `WRITTEN`, and what this format has no place for, in lines."""
    state = run.state
    steps = sorted(set(state.steps.values()))
    counts = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}" if steps else "no"
    kinds = sorted({kind for moments in state.moments.values() for kind in moments})
    yield f"AdamW after {counts} updates: {', '.join(kinds) or 'no moments'} of {len(state.moments)} weights"
    if state.epochs is not None:
        yield f"{state.epochs} epochs done"
    if state.groups:
        sizes = (f"{len(group.names)} with weight decay {group.settings.get('weight_decay')}" for group in state.groups)
        yield f"{len(state.groups)} groups: {', '.join(sizes)}"
    yield "no average, since the source has none" if run.average is None else "the average too"
    if state.scaler is not None:
        yield from scaler_in_words(state.scaler, target)
    if state.schedule is not None:
        yield from schedule_in_words(state.schedule, target)
    yield from state.notes
