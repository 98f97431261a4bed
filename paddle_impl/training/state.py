"""The state of a run as a checkpoint: `capture` makes it, `restore` resumes from it.

The keys are PaddleViT's (`model`, `model_ema`, `optimizer`, `epoch`, `lr_scheduler`, `amp_grad_scaler`), so that its
tools and `pit-port` read the weights; `progress` is what bit-for-bit resumption needs beside them. No generator has
a state: whatever is random in a run is a function of its seed, epoch, update and micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import paddle

from paddle_impl.training.parts import Array, Parts
from paddle_impl.training.precision import Precision
from porting.checkpoint.formats.nested import Nested, Tree, arrays
from porting.checkpoint.tensor import LazyTensor
from porting.training_state.paddle_files import GROUPS, moment_of
from recipe.errors import TrainingError


@dataclass(frozen=True)
class Best:
    """The best evaluation so far.

    Attributes:
        epoch: Number of the epoch, from 0.
        top1: Share of the images that were classified correctly.
        weights: The weights that were evaluated: `model` or `ema`.
    """

    epoch: int
    top1: float
    weights: str


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        epoch: The epoch in progress, from 0; for a run that has ended, the number of its epochs.
        update: The next update of that epoch, from 0; the number of its updates when its evaluation is next.
        loss: Sum of the losses since the last line of the log.
        losses: Number of these losses.
        rate: Learning rate of the last update.
        best: The best evaluation; None until there is one.
        history: All evaluations, as in the log.
    """

    epoch: int = 0
    update: int = 0
    loss: float = 0.0
    losses: int = 0
    rate: float = 0.0
    best: Best | None = None
    history: tuple[dict[str, Any], ...] = ()


def capture(parts: Parts, precision: Precision, progress: Progress, about: Mapping[str, Tree]) -> dict[str, Tree]:
    """The state of a run between two updates, and `about`: configuration, seed, provenance."""
    scaler = {} if precision.scaler is None else precision.scaler.state_dict()
    tree: dict[str, Tree] = {"model": _lazy(parts.model.state_dict())}
    if parts.average is not None:
        tree["model_ema"] = _lazy(parts.average.model.state_dict())
    tree["optimizer"] = _lazy(parts.optimizer.named_state())
    tree["epoch"] = progress.epoch
    tree["lr_scheduler"] = {"last_epoch": progress.epoch, "last_lr": progress.rate}
    tree["amp_grad_scaler"] = {key: plain(value) for key, value in scaler.items()}
    tree["progress"] = plain(asdict(progress))
    tree[GROUPS] = plain(parts.optimizer.described_groups())
    return tree | dict(about)


def restore(checkpoint: Nested, parts: Parts, precision: Precision) -> Progress:
    """Bring a run to the place where a checkpoint was written.

    Args:
        checkpoint: A checkpoint of `capture`, or PaddleViT's combined one.
        parts: The run, freshly made; model, average and optimizer are restored.
        precision: Its loss scaler is restored.

    Returns:
        How far the run had come.

    Raises:
        TrainingError: The checkpoint holds no state of a run, or one of another model.
    """
    tree = checkpoint.tree
    if not isinstance(tree.get("model"), dict) or "optimizer" not in tree:
        raise TrainingError(
            f"{checkpoint.path}: holds no state of a run, which needs model and optimizer, here or in a .pdopt "
            "beside it; to start from its weights, give it as model.weights"
        )
    own = parts.model.state_dict()
    parts.model.set_state_dict(matching(checkpoint, "model", own))
    if parts.average is not None:
        average = parts.average.model
        average.set_state_dict(matching(checkpoint, "model_ema", average.state_dict()))
    parts.optimizer.set_named_state(_optimizer_of(checkpoint))
    restore_scaler(precision, tree.get("amp_grad_scaler"))
    progress = _progress_of(checkpoint)
    parts.optimizer.set_lr(progress.rate)  # saved again as it is where no update is left in the epoch
    return progress


def _optimizer_of(checkpoint: Nested) -> dict[str, Array]:
    """The optimizer's tensors as `kind/name of the parameter`, in our checkpoints and in Paddle's."""
    saved = arrays(checkpoint.tree["optimizer"])
    if all("/" in name for name in saved):
        return saved
    names = {theirs: name for name, theirs in checkpoint.parameters.get("model", {}).items()}
    if not names:
        raise TrainingError(
            f"{checkpoint.path}: does not tell whose the optimizer's tensors are; "
            "give it as model.weights to start a run from its weights"
        )
    named = {key: moment_of(key, names) for key in saved}
    lost = next((key for key, name in named.items() if name is None), None)
    if lost is not None:
        raise TrainingError(f"{checkpoint.path}: its optimizer's {lost} belongs to no parameter of its model")
    return {name: saved[key] for key, name in named.items() if name is not None}


def _progress_of(checkpoint: Nested) -> Progress:
    tree = checkpoint.tree
    saved: Any = tree.get("progress")
    if isinstance(saved, dict):
        best = Best(**saved["best"]) if saved["best"] is not None else None
        return Progress(**{**saved, "best": best, "history": tuple(saved["history"])})
    if isinstance(tree.get("epoch"), int):
        return Progress(int(tree["epoch"]))  # type: ignore[arg-type] # the reader has checked that it is a number
    raise TrainingError(f"{checkpoint.path}: does not tell how far its run had come (epoch)")


def restore_scaler(precision: Precision, saved: Tree) -> None:
    """Bring the loss scaler of a run, if it has one, to a state as Paddle's saves it; an empty one changes nothing."""
    if precision.scaler is None or not isinstance(saved, Mapping) or not saved:
        return
    state = {key: value.load() if isinstance(value, LazyTensor) else value for key, value in saved.items()}
    if isinstance(state.get("scale"), float):
        state["scale"] = np.array([state["scale"]], np.float32)
    precision.scaler.load_state_dict(state)


def matching(checkpoint: Nested, key: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of a state dict of the checkpoint, which must be those of the model: names, shapes and dtypes.

    Args:
        checkpoint: The file.
        key: Where the state dict is in it; empty for the file's whole content.
        own: The model's state dict.

    Raises:
        TrainingError: They are not; the details name each difference.
    """
    saved = arrays(checkpoint.tree.get(key) if key else checkpoint.tree)
    problems = [f"{name}: not in the checkpoint" for name in own if name not in saved]
    problems += [f"{name}: not in the model" for name in saved if name not in own]
    for name in own.keys() & saved.keys():
        expected = tuple(own[name].shape), _dtype(own[name])
        actual = saved[name].shape, saved[name].dtype.name
        if actual != expected:
            problems.append(
                f"{name}: {actual[1]} {actual[0]} in the checkpoint, {expected[1]} {expected[0]} in the model"
            )
    if problems:
        raise TrainingError(
            f"{checkpoint.path}: its {key or 'content'} is not this run's model; take the configuration that wrote it",
            problems,
        )
    return {name: paddle.to_tensor(array) for name, array in saved.items()}


def _lazy(state: Mapping[str, Any]) -> dict[str, Tree]:
    """Tensors that are copied from the device one by one, when they are written."""
    return {
        name: LazyTensor(tuple(tensor.shape), np.dtype(_dtype(tensor)), tensor.numpy) for name, tensor in state.items()
    }


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("paddle.")


def plain(value: Any) -> Tree:
    """Return a value as dicts, lists, texts and numbers; an array of one number becomes that number."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "numpy"):
        value = value.numpy()
    return value.item() if isinstance(value, np.ndarray | np.generic) else value
