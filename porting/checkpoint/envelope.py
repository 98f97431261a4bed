"""What training scripts wrap around a state dict, and how it is taken off.

The known wrappers, whose weights are in them, and the order of preference are data: `WRAPPERS`, `PREFIXES`, `STATE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from porting.checkpoint.containers.pickles import Inert
from porting.checkpoint.file.source import brief, few_notes, shown
from porting.checkpoint.tensor import Described, LazyTensor, is_name
from porting.errors import CheckpointError
from porting.names import fold

Leaf: TypeAlias = LazyTensor | Described
Kind: TypeAlias = Literal["model", "ema"]
"""Whose weights: those that are trained, or their moving average."""


class Wrapper(NamedTuple):
    """A place where files keep a state dict.

    Attributes:
        keys: The keys that lead there, from the outside in.
        kind: Whose weights these are.
        join: Makes one state dict of several in this place.
    """

    keys: tuple[str, ...]
    kind: Kind = "model"
    join: Callable[[Mapping[object, object]], dict[object, object]] | None = None

    def __str__(self) -> str:
        return ".".join(self.keys)


_MAX_HEAD_DEPTH, _MAX_HEADS = 3, 10_000
_CLASSY_TO_TORCHVISION = (
    (r"^_feature_blocks\.conv1\.stem\.", "stem."),
    (r"^stem\.stem\.", "stem."),
    (r"^_feature_blocks\.res\d\.(block(\d)-)", r"trunk_output.block\2.\1"),
    (r"^(trunk_output\..*)\.proj\.(?!\d)", r"\1.proj.0."),
    (r"^(trunk_output\.block\d\.block\d-\d+)\.bn\.", r"\1.proj.1."),
    (r"^(trunk_output\..*)\.f\.se\.excitation\.0\.", r"\1.f.se.fc1."),
    (r"^(trunk_output\..*)\.f\.se\.excitation\.2\.", r"\1.f.se.fc2."),
    (r"^(trunk_output\..*)\.f\.c\.(?!\d)", r"\1.f.c.0."),
    (r"^(trunk_output\..*)\.f\.final_bn\.", r"\1.f.c.1."),
    (r"^0\.clf\.0\.", "fc."),
)
"""Starts of names of ClassyVision's RegNet, and torchvision's for them, replaced one after the other.

torchvision's RegNet descends from ClassyVision's. Sources: `models/{anynet,squeeze_and_excitation_layer}.py` of
ClassyVision and `models/trunks/regnet.py` of vissl, whose trunk puts the stages under `_feature_blocks.res2` to `res5`
and whose linear head is `0.clf.0`.
"""


def _join_classy(saved: Mapping[object, object]) -> dict[object, object]:
    """Return trunk and heads of ClassyVision, and of vissl, which is built on it, as one state dict.

    A head that ClassyVision attached to a block, `{block: {head: {name: tensor}}}`, keeps only the names within it if
    it is the only one. A dict without a trunk is returned as it is.
    """
    trunk, heads = saved.get("trunk"), saved.get("heads")
    if not isinstance(trunk, dict):
        return dict(saved)
    joined = dict(trunk)
    for _ in range(_MAX_HEAD_DEPTH):
        if isinstance(heads, dict) and len(heads) == 1 and isinstance(next(iter(heads.values())), dict):
            heads = next(iter(heads.values()))
    for name, value in islice(_flat(heads, _MAX_HEAD_DEPTH), _MAX_HEADS):
        joined.setdefault(name, value)
    return {_in_torchvision(name) if isinstance(name, str) else name: value for name, value in joined.items()}


def _flat(value: object, depth: int, *names: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _flat(inner, depth - 1, *names, key)
    elif names:
        yield ".".join(names), value


def _in_torchvision(name: str) -> str:
    for pattern, replacement in _CLASSY_TO_TORCHVISION:
        name = re.sub(pattern, replacement, name)
    return name


WRAPPERS = (
    Wrapper(("state_dict_ema",), "ema"),  # timm
    Wrapper(("model_ema",), "ema"),  # DeiT, PaddleViT, timm
    Wrapper(("ema_state",), "ema"),  # pycls
    Wrapper(("state_dict",)),  # timm, Lightning
    Wrapper(("model",)),  # DeiT and its teacher, PaddleViT
    Wrapper(("model_state",)),  # pycls
    Wrapper(("model_state_dict",)),  # torch's tutorials
    Wrapper(("classy_state_dict", "base_model", "model"), join=_join_classy),
)
"""In timm's order of preference, averages first: the first of several in one file is read, unless one is asked for."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
LIGHTNING_PREFIXES = ("model.", "net.")
"""Usual names of the network within a Lightning module, whose `state_dict` is saved."""
COUNTERS = ("n_averaged",)
"""What torch's AveragedModel keeps beside the weights."""
STATE: Mapping[str, str] = {
    "optimizer": "the optimizer",
    "optimizer_state": "the optimizer",
    "optimizer_state_dict": "the optimizer",
    "optimizer_states": "the optimizer",
    "lr_scheduler": "the learning rate schedule",
    "lr_schedulers": "the learning rate schedule",
    "scheduler": "the learning rate schedule",
    "scaler": "the loss scaler",
    "amp_scaler": "the loss scaler",
    "amp_grad_scaler": "the loss scaler",
}
"""What training keeps beside the weights, in words."""
_MAX_WRAPPERS = 4


class Unwrapped(NamedTuple):
    """A state dict without its envelope.

    Attributes:
        tensors: By name, in the order of the file.
        envelope: What was taken off, outermost first: keys, and prefixes of names.
        notes: What else was in the file and left out, and why.
        weights: Whose weights these are; None where the file does not say, since it is one state dict alone.
    """

    tensors: Mapping[str, Leaf]
    envelope: tuple[str, ...]
    notes: tuple[str, ...]
    weights: Kind | None = None


class _StateDict(NamedTuple):
    """A state dict within a file, and the wrappers around it."""

    path: tuple[Wrapper, ...]
    saved: dict[object, object]

    @property
    def kind(self) -> Kind | None:
        kinds = [wrapper.kind for wrapper in self.path]
        return None if not kinds else "ema" if "ema" in kinds else "model"

    def __str__(self) -> str:
        return ".".join(map(str, self.path))


def unwrap(
    saved: object,
    error: Callable[[str], CheckpointError],
    *,
    weights: Kind | None = None,
    required: bool = True,
    averages: str = "",
) -> Unwrapped:
    """Find the state dict in what a file holds.

    Args:
        saved: What was read, with `LazyTensor` or `Described` for its tensors.
        error: Makes the error for a problem with the file.
        weights: Whose weights are wanted; by default those that were better according to the file, as files of
            `pit-train` tell, or else those of the first of `WRAPPERS` in the file.
        required: Raise an error if these weights are not in the file; otherwise take what is.
        averages: Name of a file that holds the averages of these weights; empty if there is none.

    Raises:
        CheckpointError: There is no state dict in the file, or not the one that is wanted.
    """
    notes: list[str] = []
    if isinstance(saved, Leaf):
        notes.append("the file is one tensor without a name; it is called tensor")
        saved = {"tensor": saved}
    state_dicts = list(_Search().state_dicts(saved))
    if not state_dicts:
        raise error(_nothing(saved))
    better = _better(saved) if weights is None else None
    chosen = _wanted(state_dicts, weights or better) or (None if required and weights else state_dicts[0])
    if chosen is None:
        raise error(_absent(state_dicts, weights, averages))
    if better == chosen.kind and len(state_dicts) > 1:
        notes.append(f"{chosen} was read, which had the better accuracy when the file was saved")
    if averages and chosen.kind != "ema":
        notes.append(f"{averages} beside it: not read; it holds the average of these weights, give its path to read it")
    notes += _left_out(saved, chosen, [other for other in state_dicts if other is not chosen])
    tensors, others = _split(chosen.saved, error)
    if others:
        notes.append(f"{_folded(others)}: left out, not tensors")
    tensors, prefixes = _without_prefixes(tensors, lightning=bool(chosen.path) and str(chosen.path[-1]) == "state_dict")
    dropped = [name for name in COUNTERS if name in chosen.saved and name not in tensors]
    notes += [f"{name}: left out, a counter beside the averages" for name in dropped]
    return Unwrapped(tensors, (*map(str, chosen.path), *prefixes), few_notes(notes), chosen.kind)


class _Search:
    """Finds the state dicts in what a file holds; a dict that it refers to many times is examined once."""

    def __init__(self) -> None:
        self._with_tensors: dict[int, bool] = {}

    def state_dicts(self, saved: object, path: tuple[Wrapper, ...] = ()) -> Iterator[_StateDict]:
        """Yield the state dicts in the order of preference."""
        if not isinstance(saved, dict):
            return
        inner = [
            state_dict
            for wrapper in WRAPPERS
            if len(path) < _MAX_WRAPPERS and not (path and wrapper.join)
            for state_dict in self.state_dicts(_opened(saved, wrapper), (*path, wrapper))
        ]
        if inner:
            yield from inner
        elif self._has_tensors(saved):
            yield _StateDict(path, saved)

    def _has_tensors(self, saved: dict[object, object]) -> bool:
        if id(saved) not in self._with_tensors:
            self._with_tensors[id(saved)] = any(isinstance(value, Leaf) for value in saved.values())
        return self._with_tensors[id(saved)]


def _opened(saved: dict[object, object], wrapper: Wrapper) -> object:
    value: object = saved
    for key in wrapper.keys:
        value = value.get(key) if isinstance(value, dict) else None
    return wrapper.join(value) if wrapper.join and isinstance(value, dict) else value


def _wanted(state_dicts: list[_StateDict], weights: Kind | None) -> _StateDict | None:
    """Return the first one, or the first of the wanted kind; a state dict alone is the model's."""
    return next((one for one in state_dicts if weights in (None, one.kind or "model")), None)


def _better(saved: object) -> Kind | None:
    """Return whose weights were better in the evaluation just before a file of `pit-train` was saved."""
    match saved:
        case {
            "progress": {
                "epoch": int() as epoch,
                "best": {"epoch": int() as best, "weights": ("model" | "ema") as kind},
            }
        } if best + 1 == epoch:
            return "ema" if kind == "ema" else "model"
    return None


def _absent(state_dicts: list[_StateDict], weights: Kind | None, averages: str) -> str:
    there = " and ".join(f"{other} ({other.kind})" for other in state_dicts if other.path) or "one state dict alone"
    elsewhere = f", or give {averages} beside it, which holds the average" if averages and weights == "ema" else ""
    return (
        f"holds no {weights} weights, which --weights {weights} asks for; there is {there}: "
        f"leave --weights out to read it{elsewhere}"
    )


def _left_out(saved: object, chosen: _StateDict, others: list[_StateDict]) -> Iterator[str]:
    """Yield notes on what is beside the chosen state dict, from the outside in."""
    for other in others:
        alternative = f"; --weights {other.kind} reads it" if other.kind != chosen.kind else ""
        yield f"{other}: left out, {chosen} was read instead{alternative}"
    noted = {wrapper.keys[0] for other in others for wrapper in other.path}
    for wrapper in chosen.path:
        for key in wrapper.keys:
            if isinstance(saved, dict):
                yield from (_beside(name, value) for name, value in saved.items() if name != key and name not in noted)
                saved = saved.get(key)


def _beside(key: object, value: object) -> str:
    if isinstance(key, str) and key in STATE:
        return f"{key}: left out, state of {STATE[key]}"
    if isinstance(value, Leaf):
        return f"{brief(key)}: left out, a tensor beside the weights"
    kind = value.name if isinstance(value, Inert) else type(value).__name__
    return f"{brief(key)}: left out, not weights ({kind})"


def _nothing(saved: object) -> str:
    """Return why there is no state dict in what a file holds."""
    if not isinstance(saved, dict):
        return f"holds a {type(saved).__name__}, expected a state dict; save model.state_dict()"
    content = f"its keys are {_folded(map(brief, saved))}" if saved else "it is empty"
    known = ", ".join(map(str, WRAPPERS))
    return f"holds no state dict: {content:.300}; expected tensors by name, or one of {known}"


def _folded(names: Iterable[str]) -> str:
    """Return names for one line: the first thousand, which is enough for any file that people make."""
    return ", ".join(fold(islice(names, 1000)))


def _split(saved: dict[object, object], error: Callable[[str], CheckpointError]) -> tuple[dict[str, Leaf], list[str]]:
    """Return the tensors of a state dict, and the names of its other entries."""
    tensors, others = {}, []
    for key, value in saved.items():
        if not isinstance(value, Leaf):
            others.append(brief(key))
        elif isinstance(key, str) and is_name(key):
            tensors[key] = value
        else:
            raise error(f"has a tensor under {shown(key)}, expected a name; save model.state_dict()")
    return tensors, others


def _without_prefixes(tensors: dict[str, Leaf], *, lightning: bool) -> tuple[dict[str, Leaf], list[str]]:
    """Remove prefixes that all names have, and return the names without them and the prefixes."""
    prefixes: list[str] = []
    while True:
        names = [name for name in tensors if name not in COUNTERS] or list(tensors)
        known = (*PREFIXES, *LIGHTNING_PREFIXES) if lightning and not {*prefixes} & {*LIGHTNING_PREFIXES} else PREFIXES
        prefix = next((prefix for prefix in known if all(name.startswith(prefix) for name in names)), None)
        if prefix is None:
            return tensors, prefixes
        tensors = {name.removeprefix(prefix): tensors[name] for name in names}
        prefixes.append(prefix)
