"""Where a run is in its schedule of the learning rate, under one set of names for torch and Paddle.

The settings of a schedule (its length, its lowest rate) are left to the program that resumes, which has them anyway:
Paddle keeps none of them in a state dict. Sources: `torch/optim/lr_scheduler.py`, `paddle/optimizer/lr.py`
(`state_keys`), timm's `scheduler/scheduler.py`, which counts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from porting.checkpoint.tensor import LazyTensor

_PLACES = (
    "lr_scheduler", "lr_schedulers", "scheduler", "schedulers", "lr_scheduler_state_dict", "scheduler_state_dict",
    "lr_sched", "sched", "LR_Scheduler",
)  # fmt: skip
_POSITION = "last_epoch"
_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter")
_OWN = {
    _POSITION,
    *_PLATEAU,
    "last_lr",
    "_last_lr",
    "_step_count",
    "_get_lr_called_within_step",
    "_is_initial",
    "verbose",
}


@dataclass(frozen=True)
class Schedule:
    """How far a schedule has come.

    Attributes:
        position: How often it was stepped, in epochs or updates as the program does; None for one that does not count.
        plateau: What a schedule that waits for better losses has seen: `best`, `num_bad_epochs`, `cooldown_counter`.
        settings: Names of what else the source's state holds.
        key: Where the source has it.
    """

    position: int | None
    plateau: Mapping[str, float] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    key: str = ""


def read_schedule(*trees: Mapping[Any, Any]) -> tuple[Schedule | None, tuple[str, ...]]:
    """Return the one schedule in the files of a run, and notes; None where there is none, or several.

    Args:
        trees: Contents of files, or parts of them, that may hold it.
    """
    states = []
    for key, value in ((key, tree[key]) for tree in trees for key in _PLACES if key in tree):
        listed = value if isinstance(value, list) else [value]
        states += [(key, state) for state in listed if isinstance(state, Mapping) and state]
    if len(states) > 1:
        return None, (
            f"{len(states)} schedules of the learning rate were left out: the position of one can be carried",
        )
    for key, state in states:
        numbers = {name: number for name in (_POSITION, *_PLATEAU) if (number := _number(state.get(name))) is not None}
        position = numbers.pop(_POSITION, None)
        settings = tuple(str(name) for name in state if name not in _OWN)
        return Schedule(None if position is None else int(position), numbers, settings, key), ()
    return None, ()


def _number(value: Any) -> float | None:
    if isinstance(value, LazyTensor) and value.size == 1:
        value = float(np.asarray(value.load(), np.float64).reshape(()))
    return value if isinstance(value, int | float) and isfinite(value) else None


def torch_schedule(schedule: Schedule | None, rates: list[Any]) -> dict[str, Any]:
    """Return the state of a schedule of torch; empty where there is no position.

    Args:
        schedule: The schedule.
        rates: The rate of each group of the optimizer.
    """
    if schedule is None or schedule.position is None:
        return {}
    return {_POSITION: schedule.position, "_step_count": schedule.position + 1, "_last_lr": rates, **schedule.plateau}


def paddle_schedule(schedule: Schedule | None, epochs: int, rate: float) -> dict[str, Any]:
    """Return the state of a schedule of Paddle; one that is not known has been stepped once in every epoch."""
    position = None if schedule is None else schedule.position
    plateau = {} if schedule is None else schedule.plateau
    return {_POSITION: epochs if position is None else position, "last_lr": rate, **plateau}


def schedule_in_words(schedule: Schedule, target: str) -> Iterator[str]:
    """Yield what of a schedule was carried to a format of WRITTEN, and what this format has no place for."""
    if target == "mindspore":
        yield "MindSpore keeps no schedule of the learning rate beside the number of updates; its program has the rates"
        return
    if schedule.position is not None:
        seen = f", {', '.join(f'{name} {value:g}' for name, value in schedule.plateau.items())}"
        yield f"the schedule of the learning rate, stepped {schedule.position} times{seen if schedule.plateau else ''}"
    if schedule.settings:
        more = f" and {len(schedule.settings) - 6} more" if schedule.settings[6:] else ""
        names = ", ".join(schedule.settings[:6]) + more
        yield f"settings of the schedule are those of the program that resumes: {names}"
