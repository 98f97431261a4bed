"""Moving averages of weights: how files name them, and the shapes in which they keep them.

Which state dict is the average is not always the one that its name says. Sources: `callbacks/weight_averaging.py` of
Lightning 2.6 and `hooks/ema_hook.py` of MMEngine 0.10 both put the average into `state_dict`, and the weights in
training under `current_model_state` and `ema_state_dict`; `ldm/modules/ema.py` of latent diffusion takes the dots out
of the names; `torch_ema` and diffusers keep a list without names; ema-pytorch puts both sets into one flat dict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from porting.checkpoint.prefixes import COUNTERS
from porting.checkpoint.tensor import Described, LazyTensor

Saved = Mapping[object, object]
_AVERAGE = frozenset(("ema", "swa", "shadow", "avg", "average", "averaged", "averages", "polyak"))
_OTHER = frozenset(
    ("optimizer", "optimizers", "optim", "opt", "scheduler", "schedulers", "sched", "scaler", "loss", "losses", "lr",
     "metric", "metrics", "meter", "meters", "exp", "callbacks", "grad", "grads", "criterion", "rng", "loops", "sq",
     "decay", "momentum", "config", "cfg", "args", "history", "log", "logs")
)  # fmt: skip
_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_LEAVES = (LazyTensor, Described)
_AVERAGED_MODEL = "module."
"""What torch's AveragedModel puts before the names of the model that it holds."""
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_MAX_AVERAGES, _MAX_AXES = 8, 32


def words(key: str) -> list[str]:
    """Return the words of a key in lower case: `netG_ema` is net, g and ema."""
    return [word.lower() for word in _WORDS.split(key[:200]) if word]


def is_state(key: object) -> bool:
    """Return True if a key says that what is under it is state of training and no weights."""
    return isinstance(key, str) and not _OTHER.isdisjoint(words(key))


def says_average(key: object) -> bool:
    """Return True if a key says that an average of weights is under it."""
    return isinstance(key, str) and not _AVERAGE.isdisjoint(words(key)) and not is_state(key)


def averages_in(saved: Saved) -> list[tuple[str, str | None]]:
    """Return the keys that say average, in order, each with that of the weights it is an average of, if it is there."""
    keys = [key for key, value in saved.items() if isinstance(value, dict) and value and says_average(key)]
    return [(str(key), _partner(str(key), saved)) for key in keys[:_MAX_AVERAGES]]


def _partner(key: str, saved: Saved) -> str | None:
    rest = [word for word in words(key) if word not in _AVERAGE]
    others = (other for other, value in saved.items() if isinstance(other, str) and isinstance(value, dict))
    return next((other for other in others if rest and words(other) == rest), None)


def exchanged(saved: Saved) -> str | None:
    """Return the key of the weights in training in a file whose `state_dict` is their average; None for other files."""
    if not isinstance(saved.get("state_dict"), dict):
        return None
    if isinstance(saved.get("current_model_state"), dict):
        return "current_model_state"
    meta = saved.get("meta")
    mmengine = "message_hub" in saved or (isinstance(meta, dict) and "mmengine_version" in meta)
    return "ema_state_dict" if mmengine and isinstance(saved.get("ema_state_dict"), dict) else None


class Both(NamedTuple):
    """The two sets of weights of one flat dict.

    Attributes:
        model: The weights in training, and what else is in the dict.
        average: The same with the averages in their place.
        labels: How the names of either begin in the dict.
    """

    model: dict[object, object]
    average: dict[object, object]
    labels: tuple[str, str]


def separated(saved: Saved) -> Both | None:
    """Return the two sets of weights of a flat dict that holds each tensor twice; None for others."""
    tensors = [name for name, value in saved.items() if isinstance(name, str) and isinstance(value, _LEAVES)]
    groups: dict[str, list[str]] = {}
    for name in tensors:
        groups.setdefault(name.partition(".")[0], []).append(name)
    averages = [group for group, names in groups.items() if says_average(group) and "." in names[0]]
    if len(averages) != 1 or len(groups) < 2:
        return None
    group = averages[0]
    rest = {name.partition(".")[2]: name for name in groups.pop(group)}
    if all(name in COUNTERS or name.startswith(_AVERAGED_MODEL) for name in rest):
        rest = {name.removeprefix(_AVERAGED_MODEL): full for name, full in rest.items()}
    wanted = [name for name in rest if name not in COUNTERS]
    large = [f"{other}." for other, names in groups.items() if len(names) >= len(wanted)]
    for start in ("", *large[:_MAX_AVERAGES]) if wanted else ():
        known = [name for name in tensors if name.startswith(start) and not name.startswith(f"{group}.")]
        of = _partners(wanted, known, start)
        if of and all(_alike(saved[rest[name]], saved[of[name]]) for name in wanted):
            left_out = {*rest.values(), *COUNTERS}
            model = {name: value for name, value in saved.items() if name not in left_out}
            average = model | {of[name]: saved[rest[name]] for name in wanted}
            if start and all(isinstance(name, str) and name.startswith(start) for name in model):
                model, average = _shortened(model, start), _shortened(average, start)
            return Both(model, average, (start, f"{group}."))
    return None


def _shortened(saved: Saved, start: str) -> dict[object, object]:
    return {str(name).removeprefix(start): value for name, value in saved.items()}


def second_set(names: Iterable[str]) -> list[str]:
    """Return the buffers in which MMCV 1 keeps a second set of weights, such as `ema_conv_weight` for `conv.weight`."""
    names = list(names)
    buffers = {f"ema_{name.replace('.', '_')}" for name in names if "." in name}
    return [name for name in names if "." not in name and name in buffers]


def _partners(wanted: list[str], names: list[str], start: str) -> dict[str, str]:
    """Return the name of the weight that each average belongs to, by the average's; empty if one has none."""
    known = {name.removeprefix(start): name for name in names}
    if all(name in known for name in wanted):
        return {name: known[name] for name in wanted}
    dotless = {short.replace(".", ""): name for short, name in known.items()}
    if len(dotless) == len(known) and all(name in dotless for name in wanted):
        return {name: dotless[name] for name in wanted}
    return {}


def _alike(one: object, other: object) -> bool:
    return shape_of(one) is not None and shape_of(one) == shape_of(other)


def shape_of(value: object) -> tuple[int, ...] | None:
    """Return a tensor's shape; of one that is not checked yet, what the file says, if that can be a shape."""
    shape = getattr(getattr(value, "array", value), "shape", None)
    if isinstance(shape, tuple) and len(shape) <= _MAX_AXES and all(type(size) is int for size in shape):
        return shape
    return None


def lists_in(saved: object, most: int) -> Iterator[list[object]]:
    """Yield the averages that a dict keeps as a list of at most so many, in the order of the model's parameters."""
    for key in ("shadow_params", "averaged_params", "ema_params"):
        value = saved.get(key) if isinstance(saved, dict) else None
        if isinstance(value, list) and 0 < len(value) <= most and all(isinstance(item, _LEAVES) for item in value):
            yield value


def named(averages: list[object], model: Saved) -> dict[object, object] | None:
    """Give averages without names those of the model's parameters; None unless number and shapes agree one by one.

    A state dict lists parameters in the order of `model.parameters()`, with buffers between them. If there are as many
    averages as there are other entries than BatchNorm's buffers, each entry is a parameter and has its average: more
    parameters than entries there cannot be, and each buffer of another kind, tied or frozen weight makes them fewer.
    """
    names = [
        name
        for name, value in model.items()
        if isinstance(name, str) and isinstance(value, _LEAVES) and name.rpartition(".")[2] not in _BUFFERS
    ]
    if len(names) != len(averages) or not all(
        _alike(model[name], value) for name, value in zip(names, averages, strict=True)
    ):
        return None
    return {**model, **dict(zip(names, averages, strict=True))}
