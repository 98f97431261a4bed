"""The state of a loss scaler for float16, under one set of names for every framework.

Sources: `torch/amp/grad_scaler.py`, `apex/amp/_initialize.py`, `paddle/amp/grad_scaler.py`,
`mindspore/nn/wrap/loss_scale.py` (`DynamicLossScaleUpdateCell`) and `mindspore/amp.py` (`DynamicLossScaler`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from porting.checkpoint.tensor import LazyTensor

_TORCH = {"scale", "growth_factor", "backoff_factor"}
_APEX = {"loss_scale", "unskipped"}
_PADDLE = {"scale", "incr_ratio", "decr_ratio"}
_MINDSPORE = ("scale_sense", "scale_value", "loss_scale")
_STEPS, _LAST = "current_iterator_step", "last_overflow_iterator_step"


@dataclass(frozen=True)
class LossScaler:
    """What a loss scaler does next.

    Attributes:
        scale: The factor of the next loss.
        growth: What the scale is multiplied by after `interval` updates without an overflow; 1 for a fixed scale.
        backoff: What it is multiplied by after an overflow; 1 for a fixed scale.
        interval: Updates without an overflow before it grows.
        passed: Updates without an overflow since it last grew or an overflow.
        tolerated: Overflows one after the other before it shrinks.
        overflowed: Overflows since the last update without one.
        key: Where the source has it; of MindSpore's several entries the first.
        assumed: True if the source holds no growth, backoff and interval, and the usual ones are taken.
    """

    scale: float
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    passed: int = 0
    tolerated: int = 1
    overflowed: int = 0
    key: str = ""
    assumed: bool = False

    @property
    def fixed(self) -> bool:
        """True if the scale never changes."""
        return self.growth == self.backoff == 1


def read_scaler(tree: Mapping[Any, Any]) -> tuple[LossScaler | None, tuple[str, ...]]:
    """Return the one loss scaler in a file of torch or Paddle, and notes on those that cannot be carried.

    Args:
        tree: The content of the file.

    Returns:
        The scaler; None where there is none, several, or one whose numbers are none of a scaler.
    """
    states = {str(key): value for key, value in tree.items() if isinstance(value, Mapping)}
    for key, value in tuple(states.items()):
        states |= {f"{key}.{inner}": state for inner, state in value.items() if isinstance(state, Mapping)}
    states = {
        key: value for key, value in states.items() if any(keys <= value.keys() for keys in (_TORCH, _APEX, _PADDLE))
    }
    if len(states) > 1:
        return None, (
            f"the states of {len(states)} loss scalers ({', '.join(states)}) were left out: one can be carried",
        )
    if not states:
        return None, ()
    ((key, state),) = states.items()
    try:
        return _checked(_scaler(key, state)), ()
    except (KeyError, TypeError, ValueError) as problem:
        return None, (f"{key}: left out, no state of a loss scaler that can be carried ({problem})",)


def _scaler(key: str, state: Mapping[str, Any]) -> LossScaler:
    numbers = {name: _number(value) for name, value in state.items()}
    count = {name: int(number) for name, number in numbers.items() if isfinite(number)}
    if state.keys() >= _APEX:
        return LossScaler(numbers["loss_scale"], passed=count["unskipped"], key=key, assumed=True)
    if state.keys() >= _TORCH:
        return LossScaler(
            numbers["scale"],
            numbers["growth_factor"],
            numbers["backoff_factor"],
            count.get("growth_interval", 2000),
            count.get("_growth_tracker", 0),
            key=key,
        )
    dynamic = bool(numbers.get("use_dynamic_loss_scaling", 1))
    return LossScaler(
        numbers["scale"],
        numbers["incr_ratio"] if dynamic else 1.0,
        numbers["decr_ratio"] if dynamic else 1.0,
        count.get("incr_every_n_steps", 2000),
        count.get("incr_count", 0),
        count.get("decr_every_n_nan_or_inf", 1),
        count.get("decr_count", 0),
        key=key,
    )


def _number(value: Any) -> float:
    if isinstance(value, LazyTensor):
        value = value.load()
    return float(np.asarray(value, np.float64).reshape(-1)[:1].item())


def _checked(scaler: LossScaler) -> LossScaler:
    """Return a scaler whose numbers are those of one; raises ValueError where they are not."""
    for name in ("scale", "growth", "backoff"):
        value = getattr(scaler, name)
        if not isfinite(value) or value <= 0:
            raise ValueError(f"its {name} is {value:g}, expected a number above 0")
    if scaler.interval < 1 or scaler.passed < 0:
        raise ValueError(f"it grows after {scaler.interval} updates, and has counted {scaler.passed}")
    return scaler


def read_mindspore_scaler(items: Mapping[str, Any]) -> tuple[LossScaler | None, tuple[str, ...]]:
    """Return the loss scaler among the entries of a file of MindSpore, and notes; None where there is none.

    Factor and window are not in such files: they are taken to be the usual ones.
    """
    key = next((name for name in _MINDSPORE if _is_one(items.get(name))), None)
    if key is None:
        return None, ()
    scale, steps, last = (_number(items[name]) if _is_one(items.get(name)) else None for name in (key, _STEPS, _LAST))
    if steps is None and "counter" in items:
        steps = _number(items["counter"])
    try:
        if steps is None:
            return (_checked(LossScaler(scale or 0.0, 1.0, 1.0, key=key)) if scale != 1 else None), ()
        passed = steps if last is None else steps - 1 - last  # MindSpore counts updates from 1, and no overflow as 0
        return _checked(LossScaler(scale or 0.0, passed=int(passed), key=key, assumed=True)), ()
    except ValueError as problem:
        return None, (f"{key}: left out, no state of a loss scaler that can be carried ({problem})",)


def _is_one(item: object) -> bool:
    return isinstance(item, LazyTensor) and item.size == 1


def torch_scaler(scaler: LossScaler) -> dict[str, Any]:
    """Return what `torch.amp.GradScaler.load_state_dict` takes."""
    return {
        "scale": scaler.scale,
        "growth_factor": scaler.growth,
        "backoff_factor": scaler.backoff,
        "growth_interval": scaler.interval,
        "_growth_tracker": scaler.passed,
    }


def paddle_scaler(scaler: LossScaler) -> dict[str, Any]:
    """Return what `paddle.amp.GradScaler.load_state_dict` takes."""
    return {
        "scale": LazyTensor.of(np.array([scaler.scale], np.float32)),
        "incr_ratio": 2.0 if scaler.fixed else scaler.growth,
        "decr_ratio": 0.5 if scaler.fixed else scaler.backoff,
        "incr_every_n_steps": scaler.interval,
        "decr_every_n_nan_or_inf": scaler.tolerated,
        "incr_count": scaler.passed,
        "decr_count": scaler.overflowed,
        "use_dynamic_loss_scaling": not scaler.fixed,
    }


def mindspore_scaler(scaler: LossScaler) -> dict[str, LazyTensor]:
    """Return the entries of `TrainOneStepWithLossScaleCell` and its `DynamicLossScaleUpdateCell`."""
    entries = {"scale_sense": LazyTensor.of(np.array(scaler.scale, np.float32))}
    if scaler.fixed:
        return entries
    counts = {_STEPS: scaler.passed + 1, _LAST: 0}
    return entries | {name: LazyTensor.of(np.array(count, np.int32)) for name, count in counts.items()}


def scaler_in_words(scaler: LossScaler, target: str) -> Iterator[str]:
    """Yield what of a scaler was carried to a format of WRITTEN, and what this format has no place for."""
    if scaler.fixed:
        yield f"the fixed loss scale {scaler.scale:g}"
    else:
        yield f"the loss scale {scaler.scale:g}, {scaler.passed} updates after it last changed"
    if scaler.assumed:
        yield "the source does not say how the loss scale grows: doubled after 2000 updates, halved at an overflow"
    if scaler.tolerated > 1 and target != "pdparams":
        yield (
            f"decr_every_n_nan_or_inf={scaler.tolerated} of the loss scaler was left out: the target's shrinks at "
            "every overflow"
        )
    usual = (scaler.growth, scaler.backoff, scaler.interval) == (2.0, 0.5, 2000)
    if target == "mindspore" and not scaler.fixed and not usual:
        both = (
            "" if scaler.growth * scaler.backoff == 1 else f", where MindSpore has one factor and no {scaler.backoff:g}"
        )
        yield (
            "MindSpore's files hold no factor and window of a loss scaler: give its manager "
            f"scale_factor={scaler.growth:g}, scale_window={scaler.interval}{both}"
        )
