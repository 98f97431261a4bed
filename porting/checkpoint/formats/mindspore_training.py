"""What MindSpore's and MindCV's training code saves among the weights, under names of its own.

Sources: `append_dict` and `append_info` of `mindspore/train`, the optimizers of `mindspore/nn/optim` and
`mindcv/optim`, `mindspore/nn/wrap/loss_scale.py`, `mindcv/utils/train_step.py`. Which names these are is data.
"""

from __future__ import annotations

from collections.abc import Mapping

from porting.checkpoint.file.source import brief, few_notes
from porting.checkpoint.tensor import LazyTensor

STATE = (
    "epoch_num", "step_num", "global_step", "learning_rate", "weight_decay", "momentum", "mu_schedule", "beta1_power",
    "beta2_power", "scale_sense", "scale_value", "loss_scale", "current_iterator_step", "last_overflow_iterator_step",
    "updates", "epoch", "step", "lr", "loss", "acc", "best_acc", "seed",
)  # fmt: skip
"""Counters and settings of training; those from `epoch` on are names that scripts often append."""
SLOTS = (
    "moment", "moment1", "moment2", "moment3", "moments", "vhat", "accum", "stat", "adam_m", "adam_v", "lamb_m",
    "lamb_v", "lion_m", "nadam_m", "nadam_v", "mean_square", "mean_grad", "exp_avg", "exp_avg_sq", "prev_gradient",
)  # fmt: skip
"""State that optimizers keep for each weight, such as `moment1.` and the weight's name."""
AVERAGES = "ema"
"""Prefix of the moving average of each weight, likewise."""


def sorted_out(items: Mapping[str, LazyTensor | str]) -> tuple[Mapping[str, object], tuple[str, ...]]:
    """Separate the weights from other tensors and texts.

    Args:
        items: Everything in a file, by name, texts as strings.

    Returns:
        The weights, or `model` and `model_ema` if there are averages as well, and notes on what was left out.
    """
    tensors = {name: item for name, item in items.items() if isinstance(item, LazyTensor) and name not in STATE}
    notes = [_note(name, item) for name, item in items.items() if name not in tensors]
    kinds = {name: _kind(name, tensors) for name in tensors}
    slots = [kind for kind in kinds.values() if kind in SLOTS]
    if slots:
        notes.append(f"{', '.join(dict.fromkeys(slots))}: left out, state of the optimizer ({len(slots)} tensors)")
    weights = {name: tensor for name, tensor in tensors.items() if not kinds[name]}
    averages = {name.partition(".")[2]: tensors[name] for name, kind in kinds.items() if kind == AVERAGES}
    return {"model": weights, "model_ema": averages} if averages else weights, few_notes(notes)


def _kind(name: str, tensors: Mapping[str, LazyTensor]) -> str:
    """Return the prefix of state or an average for the weight that the rest of the name names; empty for a weight."""
    prefix, _, weight = name.partition(".")
    known = prefix in SLOTS or prefix == AVERAGES
    return prefix if known and weight in tensors and tensors[weight].shape == tensors[name].shape else ""


def _note(name: str, item: LazyTensor | str) -> str:
    if isinstance(item, str):
        return f"{brief(name)}: left out, a text ({item!r:.100})"
    value = str(item.load().item()) if item.size == 1 else f"{item.size} numbers"
    return f"{name}: left out, not weights ({value})"
