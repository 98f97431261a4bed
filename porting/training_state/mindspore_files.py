"""The state of a run in MindSpore's checkpoints: moments, powers, counters and average among the weights.

Sources: `mindcv/optim/adamw.py` and `mindspore/nn/optim/adam.py` (`adam_m.`, `adam_v.`, `moment1.`, `moment2.`,
`beta1_power`, `beta2_power`, `global_step`), `mindcv/utils/train_step.py` (`ema.`) and `mindcv/utils/callbacks.py`,
which saves the optimizer in a file of its own, `optim_MODEL.ckpt`, beside `MODEL-EPOCH_BATCH.ckpt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from porting.checkpoint.formats.mindspore_training import AVERAGES, SLOTS
from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError, NoStateError
from porting.training_state.scaler import mindspore_scaler, read_mindspore_scaler
from porting.training_state.state import (
    AVERAGE,
    SQUARES,
    USUAL_BETAS,
    OptimizerState,
    is_exact,
    one_value,
    powers,
    step_of,
)

_KINDS: Mapping[str, str] = {"adam_m": AVERAGE, "adam_v": SQUARES, "moment1": AVERAGE, "moment2": SQUARES}
_OPTIMIZER = re.compile(r"(?P<model>.+)-(?P<epoch>\d+)_\d+")
_EPOCHS = ("epoch_num", "epoch")


def optimizer_beside(weights: Path) -> Path | None:
    """Return MindCV's file of the optimizer beside one of weights, `MODEL-EPOCH_BATCH.ckpt`; None if there is none."""
    named = _OPTIMIZER.fullmatch(weights.stem)
    path = weights.with_name(f"optim_{named['model']}.ckpt") if named else None
    return path if path is not None and path.is_file() else None


def read_mindspore(path: Path, items: Mapping[str, Any], weights: Path) -> OptimizerState:
    """Return the state of AdamW among the entries of a file.

    Args:
        path: The file, for errors.
        items: Its entries by name.
        weights: The file of the weights, whose name says the epoch in MindCV.

    Raises:
        CheckpointError: There are no moments, those of another optimizer, or nothing says how many updates are done.
    """
    moments: dict[str, dict[str, LazyTensor]] = {}
    for name, item in items.items():
        kind, _, weight = name.partition(".")
        if kind in _KINDS and weight and isinstance(item, LazyTensor):
            moments.setdefault(weight, {})[_KINDS[kind]] = item
        elif kind in SLOTS and weight:
            raise CheckpointError(path, f"its optimizer keeps {kind}: only the state of AdamW and Adam is carried")
    if not moments:
        raise NoStateError(path, "holds no moments of AdamW (adam_m., adam_v.)")
    step = _step(path, items)
    named = _OPTIMIZER.fullmatch(weights.stem)
    epochs = next((_number(items[key]) for key in _EPOCHS if key in items), None)
    if epochs is None and named:
        epochs = float(named["epoch"])
    rate = _number(items.get("learning_rate"))
    updated = moments if step else {}
    scaler, notes = read_mindspore_scaler(items)
    done = None if epochs is None else int(epochs)
    return OptimizerState(updated, dict.fromkeys(updated, step), epochs=done, rate=rate, scaler=scaler, notes=notes)


def _step(path: Path, items: Mapping[str, Any]) -> int:
    """The updates that are done, the same for all weights: by the powers of beta, or the counter."""
    first, power, counter = (_number(items.get(key)) for key in ("beta1_power", "beta2_power", "global_step"))
    try:
        by_power = None if power is None else step_of(power, USUAL_BETAS[1])
        if first is not None and is_exact(first) and step_of(first, USUAL_BETAS[0]) != by_power:
            raise ValueError(f"beta1_power is {first} and beta2_power {power}")
    except ValueError as problem:
        raise CheckpointError(path, f"its betas are not {USUAL_BETAS[0]} and {USUAL_BETAS[1]}: {problem}") from None
    if by_power is None and counter is None:
        raise CheckpointError(path, "nothing says how many updates are done (beta2_power, global_step)")
    return int(counter) if by_power is None or (counter and power is not None and not is_exact(power)) else by_power  # type: ignore[arg-type] # one is


def _number(item: Any) -> float | None:
    if isinstance(item, LazyTensor) and item.size == 1:
        return float(np.asarray(item.load(), np.float64).reshape(()))
    return None


def mindspore_entries(
    weights: Mapping[str, LazyTensor], average: Mapping[str, LazyTensor] | None, state: OptimizerState, path: Path
) -> dict[str, LazyTensor]:
    """Return the entries of a file as MindCV's training step and optimizer have them.

    Weights that were never updated have moments of zeros.

    Raises:
        CheckpointError: Weights have different numbers of updates, or amsgrad's moment: MindSpore has no place for it.
    """
    step = one_value(state.steps.values())
    if step is None:
        counts = sorted(set(state.steps.values()))
        raise CheckpointError(path, f"MindSpore counts updates once for all weights; these have {counts or 'none'}")
    if any(len(kinds) > 2 for kinds in state.moments.values()):
        raise CheckpointError(path, "MindSpore's AdamW has no place for amsgrad's third moment")
    entries = dict(weights)
    names = [name for name in weights if name in state.moments or name in {n for g in state.groups for n in g.names}]
    for prefix, kind in (("adam_m", AVERAGE), ("adam_v", SQUARES)):
        for name in names:
            zeros = LazyTensor.of(np.zeros(weights[name].shape, weights[name].dtype))
            entries[f"{prefix}.{name}"] = state.moments[name][kind] if name in state.moments else zeros
    entries |= {f"{AVERAGES}.{name}": tensor for name, tensor in (average or {}).items()}
    for name, beta in zip(("beta1_power", "beta2_power"), state.betas, strict=True):
        entries[name] = LazyTensor.of(np.array([powers(beta, step)], np.float32))
    entries["global_step"] = LazyTensor.of(np.array([step], np.int32))
    if state.epochs is not None:
        entries["epoch_num"] = LazyTensor.of(np.array(state.epochs, np.int32))
    if state.scaler is not None:
        entries |= mindspore_scaler(state.scaler)
    return entries
