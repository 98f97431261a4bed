"""The state of a run in three files, as hatimwen/paddle_pit saves it, and as Paddle's own examples do.

`NAME.pdparams` holds the weights, `NAME.pdopt` the optimizer's state under Paddle's names of the parameters, and
`NAME-EMA.pdparams` the average. None of them says how many epochs are done, but for the scheduler's state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from paddle_impl.training.parts import Array, Parts
from paddle_impl.training.state import Progress, matching
from porting.checkpoint.formats.nested import Nested, arrays
from porting.training_state.paddle_files import moment_of, optimizer_beside
from recipe.errors import TrainingError

_AVERAGE = "-EMA.pdparams"
_MOMENTS = ("moment1", "moment2")


def restore_split(checkpoint: Nested, parts: Parts, last_epoch: int | None) -> tuple[Progress, tuple[str, ...]]:
    """Bring a run to the place where three files were written.

    Args:
        checkpoint: The file of weights, open.
        parts: The run, freshly made; model, average and optimizer are restored.
        last_epoch: Epochs that are done; None takes them from the scheduler's state.

    Returns:
        How far the run had come, and what was read, one line each.

    Raises:
        TrainingError: The files are of another model, the optimizer's state does not belong to the weights, or nothing
            says how many epochs are done.
        CheckpointError: A file cannot be read.
    """
    path, average = checkpoint.path, parts.average
    weights = matching(checkpoint, "", parts.model.state_dict())
    with Nested(optimizer_beside(path)) as optimizer:
        state = _moments(checkpoint, optimizer, parts)
        epochs = _epochs(optimizer, last_epoch)
    parts.model.set_state_dict(weights)
    notes = [f"{path}, {optimizer.path}: the state after {epochs} epochs"]
    if average is not None:
        ema = path.with_name(f"{path.stem}{_AVERAGE}")
        if ema.is_file():
            with Nested(ema) as saved:
                average.model.set_state_dict(matching(saved, "", average.model.state_dict()))
        else:
            average.model.set_state_dict(weights)
            notes.append(f"{ema}: is not there, so that the average begins anew from the weights")
    parts.optimizer.set_named_state(state)
    return Progress(epochs), tuple(notes)


def _moments(checkpoint: Nested, optimizer: Nested, parts: Parts) -> dict[str, Array]:
    """The optimizer's tensors as `kind/name of the parameter`, which all have to be those of the weights."""
    ours = {theirs: name for name, theirs in checkpoint.parameters.get("", {}).items()}
    if not ours:
        raise TrainingError(
            f"{checkpoint.path}: does not hold Paddle's names of its parameters, so that {optimizer.path} cannot be "
            "matched; give it as model.weights to start a run from its weights"
        )
    saved = arrays(optimizer.tree)
    named = {moment_of(key, ours): array for key, array in saved.items()}
    problem = next(_differences(parts, ours, saved, {key: at for key, at in named.items() if key is not None}), None)
    if problem is not None:
        raise TrainingError(f"{optimizer.path}: does not belong to {checkpoint.path}; it differs first at {problem}")
    return {key: array for key, array in named.items() if key is not None}


def _differences(
    parts: Parts, ours: Mapping[str, str], saved: Mapping[str, Array], named: Mapping[str, Array]
) -> Iterator[str]:
    """What of the optimizer's state is not that of the weights, in the order of the model's parameters."""
    theirs = {name: parameter for parameter, name in ours.items()}
    for name, parameter in parts.model.named_parameters():
        for kind in () if parameter.stop_gradient else _MOMENTS:
            called, array = f"{name} ({theirs.get(name, 'without a name of Paddle')})", named.get(f"{kind}/{name}")
            if array is None:
                yield f"{called}: there is no {kind}"
            elif array.shape != tuple(parameter.shape):
                yield f"{called}: {kind} is {array.shape}, the weight {tuple(parameter.shape)}"
    for key in saved:
        if moment_of(key, ours) is None:
            yield f"{key}: belongs to no weight"


def _epochs(optimizer: Nested, last_epoch: int | None) -> int:
    """Epochs that are done: as told, or as the scheduler, which is stepped once before the first epoch, has counted."""
    if last_epoch is not None:
        return last_epoch
    scheduler: Any = optimizer.tree.get("LR_Scheduler")
    counted = scheduler.get("last_epoch") if isinstance(scheduler, Mapping) else None
    if not isinstance(counted, int) or counted < 1:
        raise TrainingError(
            f"{optimizer.path}: does not tell how many epochs are done; give --last-epoch (-last_epoch)"
        )
    return counted - 1
