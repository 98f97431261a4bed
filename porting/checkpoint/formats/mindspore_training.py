"""What MindSpore's and MindCV's training code saves among the weights, under names of its own.

Sources: `append_dict` and `append_info` of `mindspore/train`, the optimizers of `mindspore/nn/optim` and
`mindcv/optim`, `mindspore/nn/wrap/loss_scale.py`, `mindcv/utils/train_step.py`. Which names these are is data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from porting.checkpoint.file.source import brief, printable
from porting.checkpoint.tensor import LazyTensor

STATE = (
    "epoch_num", "step_num", "global_step", "learning_rate", "weight_decay", "momentum", "mu_schedule", "beta1_power",
    "beta2_power", "scale_sense", "scale_value", "loss_scale", "current_iterator_step", "last_overflow_iterator_step",
    "updates", "epoch", "step", "lr", "loss", "acc", "best_acc", "seed",
)  # fmt: skip
"""Counters and settings of training; from `epoch` on what scripts like to append."""
SLOTS = (
    "moment", "moment1", "moment2", "moment3", "moments", "vhat", "accum", "stat", "adam_m", "adam_v", "lamb_m",
    "lamb_v", "lion_m", "nadam_m", "nadam_v", "mean_square", "mean_grad", "exp_avg", "exp_avg_sq", "prev_gradient",
)  # fmt: skip
"""What optimizers keep for each weight, under its name after a dot."""
AVERAGES = "ema"
"""The moving average of each weight, likewise."""

_MAX_NOTES = 50
_Items: TypeAlias = "Mapping[str, LazyTensor | str]"


def sorted_out(items: _Items) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Weights and other things apart.

    Args:
        items: Everything in a file, by name, texts as strings.

    Returns:
        The weights, or `model` and `model_ema` where there are averages as well, and what was left out.
    """
    tensors = {name: item for name, item in items.items() if isinstance(item, LazyTensor) and name not in STATE}
    notes = [_told(name, item) for name, item in items.items() if name not in tensors]
    kinds = {name: _kind(name, tensors) for name in tensors}
    slots = [kind for kind in kinds.values() if kind in SLOTS]
    if slots:
        notes.append(f"{', '.join(dict.fromkeys(slots))}: left out, state of the optimizer ({len(slots)} tensors)")
    weights = {name: tensor for name, tensor in tensors.items() if not kinds[name]}
    averages = {name.partition(".")[2]: tensors[name] for name, kind in kinds.items() if kind == AVERAGES}
    if len(notes) > _MAX_NOTES:
        notes[_MAX_NOTES:] = [f"{len(notes) - _MAX_NOTES} more entries: left out"]
    return {"model": weights, "model_ema": averages} if averages else weights, tuple(map(printable, notes))


def _kind(name: str, tensors: Mapping[str, LazyTensor]) -> str:
    """What a tensor keeps for the weight that the rest of its name names; empty for a weight itself."""
    prefix, _, weight = name.partition(".")
    known = prefix in SLOTS or prefix == AVERAGES
    return prefix if known and weight in tensors and tensors[weight].shape == tensors[name].shape else ""


def _told(name: str, item: LazyTensor | str) -> str:
    if isinstance(item, str):
        return f"{brief(name)}: left out, a text ({item!r:.100})"
    value = str(item.load().item()) if item.size == 1 else f"{item.size} numbers"
    return f"{name}: left out, not weights ({value})"
