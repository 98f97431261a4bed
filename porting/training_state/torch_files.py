"""The state of a run as torch's programs save it: DeiT's and timm's checkpoints, read and written.

Sources: `torch/optim/optimizer.py` (`state_dict`: numbers instead of names), `main.py` of facebookresearch/deit
(`model`, `model_ema`, `optimizer`, `lr_scheduler`, `epoch`, `args`) and timm's `CheckpointSaver` (`state_dict`,
`state_dict_ema`, `optimizer`, `epoch`). `epoch` is the number of the last epoch that is done, from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from porting.checkpoint.tensor import LazyTensor, Shape
from porting.errors import CheckpointError, NoStateError
from porting.training_state.naming import names_of
from porting.training_state.scaler import read_scaler, torch_scaler
from porting.training_state.schedule import read_schedule, torch_schedule
from porting.training_state.state import MOMENTS, SQUARES, USUAL_BETAS, Group, OptimizerState, one_value

_STEP = "step"
_PLACES = ("optimizer", "optimizer_state_dict", "optimizer_state", "optim", "opt", "optimizer_states", "optimizers")
_EPOCHS = ("epoch", "last_epoch", "epochs")
_DEFAULTS: Mapping[str, Any] = {
    "lr": None, "betas": list(USUAL_BETAS), "eps": 1e-8, "weight_decay": None, "amsgrad": False, "maximize": False,
    "foreach": None, "capturable": False, "differentiable": False, "fused": None,
}  # fmt: skip
"""Settings of a group of torch's AdamW, with their defaults; rate and decay have to be known."""


def read_torch(path: Path, tree: Mapping[Any, Any], weights: Mapping[str, Shape]) -> OptimizerState:
    """Return the state of AdamW in a checkpoint of torch.

    Args:
        path: The file, for errors.
        tree: Its content.
        weights: Name to shape of all weights that an optimizer may have, in the order of the state dict.

    Raises:
        CheckpointError: The file holds no state of an optimizer, several, or that of another one than AdamW, or its
            parameters cannot be told apart.
    """
    optimizer = _optimizer(path, tree)
    groups, state = optimizer["param_groups"], optimizer["state"]
    numbers = _numbers(path, groups)
    every = [number for group in numbers for number in group]
    entries = {number: _entry(path, number, state.get(number, state.get(str(number)))) for number in every}
    names = _names(path, groups, [[_shape(entries[number]) for number in group] for group in numbers], weights)
    by_number = dict(zip(every, (name for group in names for name in group), strict=True))
    steps = {
        by_number[number]: _step(path, entry, group)
        for group, members in zip(groups, numbers, strict=True)
        for number in members
        if (entry := entries[number])
    }
    moments = {
        by_number[number]: {kind: entry[kind] for kind in MOMENTS if kind in entry}
        for number, entry in entries.items()
        if entry
    }
    settings = [_settings(group) for group in groups]
    epoch = next((tree[key] for key in _EPOCHS if isinstance(tree.get(key), int)), None)
    (scaler, lost), (schedule, dropped) = read_scaler(tree), read_schedule(tree)
    return OptimizerState(
        moments,
        steps,
        tuple(Group(tuple(group), setting) for group, setting in zip(names, settings, strict=True)),
        None if epoch is None else epoch + 1,
        one_value(setting.get("lr") for setting in settings),
        _betas(path, settings),
        scaler,
        schedule,
        (*lost, *dropped),
    )


def _optimizer(path: Path, tree: Mapping[Any, Any]) -> Mapping[str, Any]:
    """The state dict of the one optimizer in a file."""
    found = [("", tree), *((key, tree[key]) for key in _PLACES if key in tree)]
    places = [
        (f"{key}[{at}]", item) for key, value in found if isinstance(value, list) for at, item in enumerate(value)
    ]
    known = [
        (key, value)
        for key, value in (*found, *places)
        if isinstance(value, dict)
        and isinstance(value.get("state"), dict)
        and isinstance(value.get("param_groups"), list)
    ]
    if len(known) > 1:
        names = ", ".join(key for key, _ in known)
        raise CheckpointError(path, f"holds the states of several optimizers ({names}); only one can be carried")
    if not known:
        seen = ", ".join(str(key) for key in list(tree)[:8])
        raise NoStateError(
            path,
            f"holds no state of an optimizer (its keys are {seen:.100}{'...' * (len(seen) > 100)}); "
            "expected `optimizer` with `state` and `param_groups`, as DeiT and timm save it",
        )
    optimizer: Mapping[str, Any] = known[0][1]
    return optimizer


def _numbers(path: Path, groups: list[Any]) -> list[list[int]]:
    numbers = [list(group["params"]) if isinstance(group, dict) and "params" in group else None for group in groups]
    flat = [number for group in numbers for number in group or ()]
    if None in numbers or not flat or len(set(flat)) != len(flat) or not all(isinstance(one, int) for one in flat):
        raise CheckpointError(path, "its optimizer's groups do not list their parameters by number, each once")
    return [group for group in numbers if group is not None]


def _entry(path: Path, number: int, entry: Any) -> dict[str, Any]:
    """The state of one parameter; empty for one that was never updated."""
    if not entry:
        return {}
    others = sorted(str(key) for key in entry if key not in (*MOMENTS, _STEP) and entry[key] is not None)
    if others or not {*MOMENTS[:2]} <= entry.keys():
        what = f"keeps {', '.join(others)}" if others else f"lacks {SQUARES if MOMENTS[0] in entry else MOMENTS[0]}"
        raise CheckpointError(
            path,
            f"its optimizer {what} for parameter {number}: only the state of AdamW and Adam is carried, which is "
            f"{', '.join((*MOMENTS[:2], _STEP))}, and {MOMENTS[2]} with amsgrad",
        )
    return {str(key): value for key, value in entry.items() if value is not None}


def _shape(entry: Mapping[str, Any]) -> Shape | None:
    value = entry.get(MOMENTS[0])
    return value.shape if isinstance(value, LazyTensor) else None


def _names(
    path: Path, groups: list[Any], shapes: list[list[Shape | None]], weights: Mapping[str, Shape]
) -> list[list[str]]:
    """The names of each group's parameters: those that it lists, or those that fit."""
    saved = [group.get("param_names") for group in groups]
    if all(isinstance(names, list) and len(names) == len(own) for names, own in zip(saved, shapes, strict=True)):
        return [[_known(path, str(name), weights) for name in names] for names in saved]
    try:
        return names_of(shapes, [_number(group.get("weight_decay")) for group in groups], weights)
    except ValueError as problem:
        raise CheckpointError(
            path,
            f"the weights of its optimizer cannot be told: {problem}. Save it from an optimizer that was given "
            "`model.named_parameters()`, which keeps `param_names` (torch 2.6 and later)",
        ) from None


def _known(path: Path, name: str, weights: Mapping[str, Shape]) -> str:
    """The name of a weight, without what a wrapper has put before it."""
    parts = name.split(".")
    for start in range(min(4, len(parts))):
        if (shorter := ".".join(parts[start:])) in weights:
            return shorter
    raise CheckpointError(path, f"its optimizer names {name}, which is no weight of the model")


def _step(path: Path, entry: Mapping[str, Any], group: Mapping[str, Any]) -> int:
    """The number of updates of a parameter: its own, or that of its group, as in fused optimizers."""
    value = _number(entry.get(_STEP, group.get(_STEP)))
    if value is None or value < 0 or value != int(value):
        raise CheckpointError(path, f"its optimizer does not tell how many updates are done: step is {value}")
    return int(value)


def _number(value: Any) -> float | None:
    if isinstance(value, LazyTensor) and value.size == 1:
        return float(np.asarray(value.load(), np.float64).reshape(()))
    return float(value) if isinstance(value, int | float) else None


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """What a group says of its updates: numbers, texts, lists and None."""
    left_out = ("params", "param_names", _STEP)
    return {
        str(key): _number(value) if isinstance(value, LazyTensor) else value
        for key, value in group.items()
        if key not in left_out and not isinstance(value, dict)
    }


def _betas(path: Path, settings: list[dict[str, Any]]) -> tuple[float, float]:
    all_betas = [tuple(setting.get("betas", USUAL_BETAS)) for setting in settings]
    betas = one_value(all_betas)
    if betas is None or len(betas) != 2:
        raise CheckpointError(path, f"its optimizer's groups have several betas ({all_betas}), which is not carried")
    return float(betas[0]), float(betas[1])


def torch_tree(
    weights: Mapping[str, LazyTensor], average: Mapping[str, LazyTensor] | None, state: OptimizerState, *, timm: bool
) -> dict[str, Any]:
    """Return the content of a checkpoint: DeiT's, or timm's own with `timm`.

    Args:
        weights: The weights.
        average: Their moving average; None without one.
        state: Its groups have rate and decay, and epochs are known.
        timm: True for `state_dict` and `state_dict_ema` in place of `model` and `model_ema`.
    """
    numbers = {name: number for number, name in enumerate(name for group in state.groups for name in group.names)}
    entries: dict[int, dict[str, Any]] = {
        numbers[name]: {_STEP: LazyTensor.of(np.array(state.steps[name], np.float32)), **moments}
        for name, moments in sorted(state.moments.items(), key=lambda item: numbers[item[0]])
    }
    groups = [
        {
            **_DEFAULTS,
            **group.settings,
            "params": [numbers[name] for name in group.names],
            "param_names": [*group.names],
        }
        for group in state.groups
    ]
    keys = ("state_dict", "state_dict_ema") if timm else ("model", "model_ema")
    tree: dict[str, Any] = {keys[0]: weights, **({keys[1]: average} if average is not None else {})}
    rates = [group.settings.get("lr") for group in state.groups]
    tree |= {
        "optimizer": {"state": entries, "param_groups": groups},
        "lr_scheduler": torch_schedule(state.schedule, rates),
    }
    if state.scaler is not None:
        tree["amp_scaler" if timm else "scaler"] = torch_scaler(state.scaler)
    return tree | {"epoch": (state.epochs or 0) - 1, **({"version": 2} if timm else {})}


def lacking(groups: tuple[Group, ...]) -> list[str]:
    """Return the settings that torch's groups need, and that one of these has not."""
    needed = [key for key, value in _DEFAULTS.items() if value is None and key not in ("foreach", "fused")]
    return [key for key in needed if any(group.settings.get(key) is None for group in groups)]
