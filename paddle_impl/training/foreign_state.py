"""The state of a run that another framework wrote: torch's checkpoint, or MindSpore's, taken up in Paddle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import paddle

from paddle_impl.training.parts import Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.starting import LAYOUT
from paddle_impl.training.state import Progress, restore_scaler
from porting.checkpoint import LazyTensor, open_checkpoint
from porting.checkpoint.tensor import Array
from porting.conversion import fitting, job_of, plan_port
from porting.conversion.carrying import carried, in_words
from porting.errors import NoStateError
from porting.training_state.paddle_files import named_state
from porting.training_state.scaler import paddle_scaler
from recipe.errors import TrainingError

_PADDLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""What Paddle's own files begin with: pickles of protocols 2 to 5."""


def is_foreign(path: Path) -> bool:
    """Return True for a file that is not Paddle's own, such as DeiT's `.pth`."""
    try:
        with path.open("rb") as file:
            return file.read(2) not in _PADDLE
    except OSError:
        return False


def restore_foreign(
    path: Path, parts: Parts, precision: Precision, last_epoch: int | None
) -> tuple[Progress, tuple[str, ...]]:
    """Bring a run to the place where another framework's program wrote a checkpoint.

    Args:
        path: A checkpoint of training, such as DeiT's and timm's.
        parts: The run, freshly made; model, average and optimizer are restored.
        precision: Its loss scaler is restored, where both have one.
        last_epoch: Epochs that are done; None takes them from the file.

    Returns:
        How far the run had come, and what was read, one line each.

    Raises:
        TrainingError: The file is of another model, or says not how many epochs are done.
        CheckpointError: It cannot be read, or holds no state of AdamW that belongs to its weights.
        PlanError: Its weights cannot be laid out as Paddle's.
    """
    try:
        return _restored(path, parts, precision, last_epoch)
    except NoStateError as error:
        raise TrainingError(f"{path}: {error.problem}; model.weights={path} starts from its weights alone") from None


def _restored(
    path: Path, parts: Parts, precision: Precision, last_epoch: int | None
) -> tuple[Progress, tuple[str, ...]]:
    with open_checkpoint(path, weights="model") as opened:
        checkpoint = fitting(opened)
        port = plan_port(checkpoint, LAYOUT)
        with carried(job_of(checkpoint, port)) as (weights, run):
            epochs = run.state.epochs if last_epoch is None else last_epoch
            if epochs is None:
                raise TrainingError(f"{path}: does not tell how many epochs are done; give --last-epoch (-last_epoch)")
            carried_parts = ", ".join(in_words(run, "pdparams"))
            notes = [f"{path}: {port.identity.architecture.name} of {checkpoint.format}, {carried_parts}"]
            if any(len(kinds) > 2 for kinds in run.state.moments.values()):
                raise TrainingError(f"{path}: keeps amsgrad's third moment, and this AdamW is without amsgrad")
            _load(path, parts.model, weights)
            if parts.average is not None:
                _load(path, parts.average.model, weights if run.average is None else run.average)
                notes += ["the average begins anew from the weights"] if run.average is None else []
            parts.optimizer.set_named_state(dict(_arrays(named_state(run.state), parts)))
            if run.state.scaler is not None:
                restore_scaler(precision, paddle_scaler(run.state.scaler))
    return Progress(epochs), tuple(notes)


def _load(path: Path, model: paddle.nn.Layer, tensors: Mapping[str, LazyTensor]) -> None:
    own = model.state_dict()
    problems = [f"{name}: not in the checkpoint" for name in own if name not in tensors]
    problems += [f"{name}: not in the model" for name in tensors if name not in own]
    problems += [
        f"{name}: {tensors[name].shape} in the checkpoint, {tuple(own[name].shape)} in the model"
        for name in own.keys() & tensors.keys()
        if tensors[name].shape != tuple(own[name].shape)
    ]
    if problems:
        raise TrainingError(f"{path}: is not this run's model; take the configuration that belongs to it", problems)
    for name, tensor in tensors.items():
        own[name].set_value(np.asarray(tensor.load()).astype(own[name].numpy().dtype))


def _arrays(state: Iterable[tuple[str, LazyTensor]], parts: Parts) -> Iterator[tuple[str, Array]]:
    """Yield the optimizer's tensors as arrays, moments in the dtype of their weights."""
    dtypes = {name: tensor.numpy().dtype for name, tensor in parts.model.state_dict().items()}
    for key, tensor in state:
        array = np.ascontiguousarray(tensor.load())
        yield key, array.astype(dtypes[key.partition("/")[2]])
