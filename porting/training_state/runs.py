"""A whole run in a file, opened: weights, average and the state of AdamW; and written in another format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from porting.checkpoint import Checkpoint, LazyTensor, Written, open_checkpoint
from porting.checkpoint.file.writer import Output, publishing
from porting.checkpoint.formats import mindspore
from porting.checkpoint.formats.nested import Nested, write_tree
from porting.checkpoint.formats.torch_zip import write_tree as write_torch_tree
from porting.checkpoint.locating import locate
from porting.errors import CheckpointError, NoStateError, PlanError
from porting.names import unknown
from porting.training_state.mindspore_files import mindspore_entries, read_mindspore
from porting.training_state.mindspore_files import optimizer_beside as mindspore_optimizer
from porting.training_state.paddle_files import is_split, optimizer_beside, paddle_tree, read_paddle
from porting.training_state.state import Group, OptimizerState, require_belonging
from porting.training_state.torch_files import lacking, read_torch, torch_tree

SETTINGS = ("lr", "weight_decay", "betas", "eps")
"""Settings of AdamW that can be given where a file does not say them."""
WRITTEN = ("torch-zip", "pdparams", "mindspore")
"""Formats in which the state of a run is written."""
_BUFFERS = (
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "_mean",
    "_variance",
    "moving_mean",
    "moving_variance",
)
"""Last parts of the names of running statistics, which no optimizer has."""

Settings = Mapping[str, float | tuple[float, float]]


class Run(NamedTuple):
    """What a file of training holds beside the weights that are trained.

    Attributes:
        state: The state of AdamW, by the names of the weights.
        average: The moving average of the weights; None where there is none.
    """

    state: OptimizerState
    average: Mapping[str, LazyTensor] | None


def parse_settings(texts: tuple[str, ...]) -> Settings:
    """Return settings from texts such as `weight_decay=0.05` and `betas=0.9,0.999`.

    Raises:
        UnknownNameError: There is no such setting.
        PlanError: A value is no number, or not two of them for `betas`.
    """
    settings: dict[str, float | tuple[float, float]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in SETTINGS:
            raise unknown("setting of the optimizer", name, SETTINGS)
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != (2 if name == "betas" else 1):
            raise PlanError(f"--optimizer-setting {text}: expected {name}={'0.9,0.999' if name == 'betas' else '0.05'}")
        settings[name] = (numbers[0], numbers[1]) if len(numbers) == 2 else numbers[0]
    return settings


def trained(weights: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Return the weights that an optimizer may have: no counters, no running statistics."""
    return {
        name: tensor
        for name, tensor in weights.items()
        if tensor.dtype.kind not in "iub" and name.rpartition(".")[2] not in _BUFFERS
    }


@contextmanager
def open_run(
    checkpoint: Checkpoint, weights: Mapping[str, LazyTensor], settings: Settings | None = None
) -> Iterator[Run]:
    """Open what a file of training holds beside the weights; its tensors are readable inside the block.

    Args:
        checkpoint: The open file, with the names that the weights have for their layout.
        weights: Those of its tensors that an optimizer may have, in the order of the file.
        settings: Settings of AdamW that the file does not say.

    Raises:
        CheckpointError: It holds no state of AdamW, or one that does not belong to the weights.
    """
    given = settings or {}
    path = checkpoint.path
    if not isinstance(path, Path):
        raise CheckpointError(path, "the state of a run is read from a local file only; fetch it first")
    path = locate(path).path
    with ExitStack() as stack:
        state, where = _state(path, checkpoint, weights, given, stack)
        require_belonging(where, state, weights, path)
        average = _average(path, checkpoint, stack)
        if "lr" in given and isinstance(given["lr"], float):
            state = replace(state, rate=given["lr"])
        yield Run(replace(state, groups=tuple(_with(group, given) for group in state.groups)), average)


def _state(
    path: Path, checkpoint: Checkpoint, weights: Mapping[str, LazyTensor], settings: Settings, stack: ExitStack
) -> tuple[OptimizerState, Path]:
    """The state, and the file that it is in."""
    from porting.checkpoint.whole import Whole

    if checkpoint.format in ("torch-zip", "torch-legacy"):
        whole = stack.enter_context(Whole(path))
        tree = whole.tree if isinstance(whole.tree, dict) else {}
        return read_torch(path, tree, {name: tensor.shape for name, tensor in weights.items()}), path
    if checkpoint.format == "pdparams":
        return _state_of_paddle(path, settings, stack)
    if checkpoint.format == "mindspore":
        beside = mindspore_optimizer(path)
        whole = stack.enter_context(Whole(path))
        if beside is not None and not any(name.startswith(("adam_m.", "moment1.")) for name in whole.tree):
            whole = stack.enter_context(Whole(beside))
        return read_mindspore(whole.path, whole.tree, path), whole.path
    raise NoStateError(path, f"{checkpoint.format} files hold no state of an optimizer")


def _state_of_paddle(path: Path, settings: Settings, stack: ExitStack) -> tuple[OptimizerState, Path]:
    checkpoint = stack.enter_context(Nested(path))
    betas = settings.get("betas")
    pair = betas if isinstance(betas, tuple) else None
    if is_split(checkpoint):
        optimizer = stack.enter_context(Nested(optimizer_beside(path)))
        names = {theirs: name for name, theirs in checkpoint.parameters.get("", {}).items()}
        return read_paddle(optimizer.path, optimizer.tree, names, {}, pair), optimizer.path
    saved = checkpoint.tree.get("optimizer")
    if not isinstance(saved, Mapping):
        raise CheckpointError(
            path, f"holds no state of an optimizer, and there is no {optimizer_beside(path).name} beside it"
        )
    names = {theirs: name for name, theirs in checkpoint.parameters.get("model", {}).items()}
    return read_paddle(path, saved, names, checkpoint.tree, pair), path


def _average(path: Path, checkpoint: Checkpoint, stack: ExitStack) -> Mapping[str, LazyTensor] | None:
    """The moving average beside the weights, under the same names; None where there is none."""
    beside = path.with_name(f"{path.stem}-EMA{path.suffix}")
    if checkpoint.weights is None:
        if not (path.suffix == ".pdparams" and beside.is_file()):
            return None
        opened = stack.enter_context(open_checkpoint(beside, weights="ema"))
    else:
        opened = stack.enter_context(open_checkpoint(path, weights="ema", required=False, check=False))
        if opened.weights != "ema":
            return None
    for reading in opened.readings():
        if reading.tensors.keys() == checkpoint.tensors.keys():
            return reading.tensors
    raise CheckpointError(opened.path, "the average has other tensors than the weights that are trained")


def _with(group: Group, settings: Settings) -> Group:
    """The group with the settings that were given; one that does not decay still does not."""
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    if group.settings.get("weight_decay") == 0:
        values.pop("weight_decay", None)
    return Group(group.names, {**group.settings, **values})


def grouped(state: OptimizerState, names: Mapping[str, bool], settings: Settings, path: Path | str) -> OptimizerState:
    """Return a state with groups as torch's programs have them, where the source does not say its own.

    Args:
        state: The state.
        names: Every weight in the order of the model to whether it decays. All are one group if all decay, or none.
        settings: Settings that were given.
        path: The source, for errors.

    Raises:
        CheckpointError: Rate or decay is not known.
    """
    if not state.groups:
        decay = settings.get("weight_decay")
        base = {"lr": state.rate, "weight_decay": decay, "betas": list(state.betas)}
        base |= {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
        exempt = tuple(name for name, decays in names.items() if not decays)
        rest = tuple(name for name, decays in names.items() if decays)
        parts = [(exempt, 0.0), (rest, decay)] if exempt and rest and decay else [(tuple(names), decay)]
        state = replace(state, groups=tuple(Group(part, {**base, "weight_decay": value}) for part, value in parts))
    if missing := lacking(state.groups):
        options = " ".join(f"--optimizer-setting {name}=..." for name in missing)
        raise CheckpointError(
            path, f"does not tell its optimizer's {' and '.join(missing)}, which torch needs: give {options}"
        )
    return state


def write_run(
    path: Path,
    name: str,
    weights: Mapping[str, LazyTensor],
    run: Run,
    *,
    timm: bool = False,
    overwrite: bool = False,
    check: Callable[[], None] | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Written:
    """Write weights, average and state of AdamW as one checkpoint that a training program resumes.

    Args:
        path: The target.
        name: One of `WRITTEN`.
        weights: The weights.
        run: State and average by the same names.
        timm: Write timm's keys and not DeiT's; for torch.
        overwrite: Replace an existing file.
        check: As for `write_checkpoint`.
        progress: As for `write_checkpoint`.

    Raises:
        TargetExistsError: The target exists and `overwrite` is false.
        CheckpointError: The format has no place for the state, or the target cannot be written.
    """
    write: Callable[[Output, Any], None]
    tree: Mapping[str, Any]
    if name == "torch-zip":
        tree, write = torch_tree(weights, run.average, run.state, timm=timm), write_torch_tree
    elif name == "pdparams":
        tree, write = paddle_tree(weights, run.average, run.state), write_tree
    elif name == "mindspore":
        tree = mindspore_entries(weights, run.average, run.state, path)
        write = lambda output, entries: mindspore.write(output, entries, {})  # noqa: E731 - one of three writers
    else:
        raise CheckpointError(
            path, f"{name} files have no place for the state of a run; choose .pth, .pdparams or .ckpt"
        )
    with publishing(path, overwrite=overwrite, check=check, progress=progress) as output:
        write(output, tree)
    return Written(path, name, output.position, f"crc32:{output.crc:08x}")
