"""The state of a run in Paddle's files: PaddleViT's and `pit-train`'s combined one, and a `.pdopt` beside weights.

Paddle names a moment after the parameter, such as `linear_7.w_0_moment1_0`, and the file of the weights has Paddle's
names of them; `pit-train` names it after the weight, `moment1/head.weight`. `epoch` is the number of epochs done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from porting.checkpoint.formats.nested import Nested, Tree
from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError
from porting.training_state.scaler import paddle_scaler, read_scaler
from porting.training_state.schedule import paddle_schedule, read_schedule
from porting.training_state.state import (
    AVERAGE,
    MAXIMA,
    SQUARES,
    USUAL_BETAS,
    Group,
    OptimizerState,
    is_exact,
    powers,
    step_of,
)

KINDS: Mapping[str, str] = {"moment1": AVERAGE, "moment2": SQUARES, "moment2_max": MAXIMA}
"""Paddle's names of the moments, to torch's."""
GROUPS = "optimizer_groups"
"""Where a checkpoint of `pit-train` has the groups: a list of dicts with `names` and settings."""
_POWERS = ("beta1_pow_acc", "beta2_pow_acc")
_MASTERS, _SCHEDULER = "master_weights", "LR_Scheduler"
_COUNTER = re.compile(r"_\d+$")


def moment_of(key: str, names: Mapping[str, str]) -> str | None:
    """Return our name of what Paddle calls `linear_7.w_0_moment1_0`: parameter, kind and a counter of its process.

    Args:
        key: Paddle's name of a tensor of its optimizer.
        names: Paddle's names of the parameters to ours.

    Returns:
        `kind/name of the parameter`; None for a tensor of no parameter.
    """
    bare = _COUNTER.sub("", key)
    for at in range(len(bare) - 1, 0, -1):
        if bare[at] == "_" and bare[:at] in names:
            return f"{bare[at + 1 :]}/{names[bare[:at]]}"
    return None


def optimizer_beside(weights: Path) -> Path:
    """Return the path of the optimizer's state beside a file of weights."""
    return weights.with_suffix(".pdopt")


def is_split(checkpoint: Nested) -> bool:
    """Return True if a file holds weights only, and the optimizer's state is in a file beside it."""
    return "optimizer" not in checkpoint.tree and optimizer_beside(checkpoint.path).is_file()


def read_paddle(
    path: Path,
    saved: Mapping[str, Tree],
    names: Mapping[str, str],
    tree: Mapping[str, Any],
    betas: tuple[float, float] | None = None,
) -> OptimizerState:
    """Return the state of AdamW in a file of Paddle.

    Args:
        path: The file, for errors.
        saved: Its optimizer's state.
        names: Paddle's names of the parameters to the weights' names; empty where the file does not have them.
        tree: The whole content of the file: epoch, groups and rate are looked for in it.
        betas: Decay rates of the moments; as the file says by default, or else the usual ones.

    Raises:
        CheckpointError: The state is that of another optimizer than AdamW, or of parameters without a name.
    """
    by_kind = _by_kind(path, saved, names)
    unknown = sorted(kind for kind in by_kind if kind not in (*KINDS, *_POWERS))
    if unknown:
        raise CheckpointError(
            path, f"its optimizer keeps {', '.join(unknown)}: only the state of AdamW and Adam is carried"
        )
    groups = _groups(path, tree.get(GROUPS))
    betas = betas or _betas(path, groups, tree)
    steps = _steps(path, by_kind, betas)
    moments = {
        name: {KINDS[kind]: by_kind[kind][name] for kind in KINDS if name in by_kind.get(kind, {})} for name in steps
    }
    updated = {name: step for name, step in steps.items() if step}
    (scaler, lost), (schedule, dropped) = read_scaler(tree), read_schedule(tree, saved)
    return OptimizerState(
        {name: kinds for name, kinds in moments.items() if name in updated},
        updated,
        groups,
        _epochs(path, saved, tree),
        _rate(saved, tree),
        betas,
        scaler,
        schedule,
        (*lost, *dropped),
    )


def _by_kind(path: Path, saved: Mapping[str, Tree], names: Mapping[str, str]) -> dict[str, dict[str, LazyTensor]]:
    """Kind, then weight, to tensor; float32 copies of half weights are refused."""
    by_kind: dict[str, dict[str, LazyTensor]] = {}
    masters = saved.get(_MASTERS)
    if isinstance(masters, Mapping) and masters:
        raise CheckpointError(
            path,
            f"its optimizer keeps float32 weights beside {len(masters)} half ones ({_MASTERS}), which other frameworks "
            "keep as the weights themselves: save the model in float32 and its optimizer without multi_precision",
        )
    for key, value in saved.items():
        if not isinstance(value, LazyTensor):
            continue
        place = key if "/" in key else moment_of(key, names)
        if place is None:
            why = (
                "belongs to no weight" if names else "has no known weight: the file lacks Paddle's names of its weights"
            )
            raise CheckpointError(path, f"its optimizer's state does not belong to its weights; {key} {why}")
        kind, _, name = place.partition("/")
        by_kind.setdefault(kind, {})[name] = value
    return by_kind


def _steps(path: Path, by_kind: Mapping[str, Mapping[str, LazyTensor]], betas: tuple[float, float]) -> dict[str, int]:
    """The updates of every weight that has moments, from the power of beta, which starts at beta itself."""
    known: dict[tuple[float, float, str], int] = {}
    steps: dict[str, int] = {}
    for name in by_kind.get("moment1", {}):
        tensors = [by_kind.get(kind, {}).get(name) for kind in _POWERS]
        if None in tensors:
            raise CheckpointError(path, f"its optimizer does not tell how often {name} was updated (beta2_pow_acc)")
        first, second = (float(np.asarray(tensor.load(), np.float64).reshape(-1)[0]) for tensor in tensors if tensor)
        dtype = tensors[1].dtype.name if tensors[1] is not None and tensors[1].dtype == np.float64 else "float32"
        key = (first, second, dtype)
        if key not in known:
            known[key] = _step(path, name, key, betas)
        steps[name] = known[key]
    return steps


def _step(path: Path, name: str, key: tuple[float, float, str], betas: tuple[float, float]) -> int:
    first, second, dtype = key
    try:
        step = step_of(second, betas[1], dtype)
        if is_exact(first) and step_of(first, betas[0], dtype) != step:
            raise ValueError(f"{first} and {second} are not the same power of {betas[0]} and {betas[1]}")
    except ValueError as problem:
        raise CheckpointError(
            path,
            f"its optimizer's betas are not {betas[0]} and {betas[1]} ({name}: {problem}); give them: "
            "--optimizer-setting betas=0.9,0.95",
        ) from None
    return max(step - 1, 0)


def _betas(path: Path, groups: tuple[Group, ...], tree: Mapping[str, Any]) -> tuple[float, float]:
    told = [group.settings["betas"] for group in groups if isinstance(group.settings.get("betas"), list)]
    config = tree.get("config")
    optimizer = config.get("optimizer") if isinstance(config, Mapping) else None
    if not told and isinstance(optimizer, Mapping) and isinstance(optimizer.get("betas"), list):
        told = [optimizer["betas"]]
    if any(betas != told[0] or len(betas) != 2 for betas in told):
        raise CheckpointError(path, f"its optimizer's groups have several betas ({told}), which is not carried")
    return (float(told[0][0]), float(told[0][1])) if told else USUAL_BETAS


def _groups(path: Path, saved: object) -> tuple[Group, ...]:
    if not isinstance(saved, list):
        return ()
    groups = []
    for entry in saved:
        names = entry.get("names") if isinstance(entry, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CheckpointError(path, f"{GROUPS} is no list of dicts with the names of weights")
        groups.append(Group(tuple(names), {key: value for key, value in entry.items() if key != "names"}))
    return tuple(groups)


def _epochs(path: Path, saved: Mapping[str, Any], tree: Mapping[str, Any]) -> int | None:
    progress, scheduler = tree.get("progress"), saved.get(_SCHEDULER)
    if isinstance(progress, Mapping) and progress.get("update"):
        raise CheckpointError(
            path,
            f"was saved within epoch {progress.get('epoch')} (from 0), after {progress['update']} updates; other "
            "programs go on from whole epochs: resume it and let it end the epoch",
        )
    if isinstance(tree.get("epoch"), int):
        return int(tree["epoch"])
    counted = scheduler.get("last_epoch") if isinstance(scheduler, Mapping) else None
    return counted - 1 if isinstance(counted, int) and counted > 0 else None


def _rate(saved: Mapping[str, Any], tree: Mapping[str, Any]) -> float | None:
    for scheduler in (tree.get("lr_scheduler"), saved.get(_SCHEDULER)):
        if isinstance(scheduler, Mapping) and isinstance(scheduler.get("last_lr"), int | float):
            return float(scheduler["last_lr"])
    return None


def paddle_tree(
    weights: Mapping[str, LazyTensor], average: Mapping[str, LazyTensor] | None, state: OptimizerState
) -> dict[str, Tree]:
    """Return the content of a checkpoint that `pit-train` resumes: PaddleViT's keys, moments by the weights' names."""
    tree: dict[str, Tree] = {"model": dict(weights)}
    if average is not None:
        tree["model_ema"] = dict(average)
    tree["optimizer"] = dict(named_state(state))
    tree["epoch"] = state.epochs or 0
    tree["lr_scheduler"] = paddle_schedule(state.schedule, state.epochs or 0, state.rate or 0.0)
    tree["amp_grad_scaler"] = {} if state.scaler is None else paddle_scaler(state.scaler)
    if state.groups:
        tree[GROUPS] = [{"names": [*group.names], **group.settings} for group in state.groups]
    return tree


def named_state(state: OptimizerState) -> Iterator[tuple[str, LazyTensor]]:
    """Yield the tensors of Paddle's AdamW as `kind/name of the weight`, moments first."""
    for kind, ours in KINDS.items():
        yield from ((f"{kind}/{name}", kinds[ours]) for name, kinds in state.moments.items() if ours in kinds)
    known: dict[tuple[float, int, str], LazyTensor] = {}
    for kind, beta in zip(_POWERS, state.betas, strict=True):
        for name, step in state.steps.items():
            dtype = "float64" if state.moments[name][AVERAGE].dtype == np.float64 else "float32"
            key = (beta, step, dtype)
            if key not in known:
                known[key] = LazyTensor.of(np.array([powers(beta, step + 1, dtype)], dtype))
            yield f"{kind}/{name}", known[key]
