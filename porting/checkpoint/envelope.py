"""What training scripts wrap around a state dict, and how it is taken off.

Which wrappers there are, whose they are, and which of several in one file wins, is data: `WRAPPERS`, `PREFIXES`,
`STATE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from porting.checkpoint.containers.pickles import Inert
from porting.checkpoint.file.source import brief, printable, shown
from porting.checkpoint.tensor import Described, LazyTensor
from porting.errors import CheckpointError
from porting.names import fold

Leaf: TypeAlias = LazyTensor | Described
Kind: TypeAlias = Literal["model", "ema"]
"""Whose weights: those that are trained, or their moving average."""


class Wrapper(NamedTuple):
    """A place where files keep a state dict.

    Attributes:
        keys: The way there, from the outside in.
        kind: Whose weights these are.
        joined: Makes one state dict of what is there, for a place that holds several.
    """

    keys: tuple[str, ...]
    kind: Kind = "model"
    joined: Callable[[Mapping[object, object]], dict[object, object]] | None = None

    def __str__(self) -> str:
        return ".".join(self.keys)


def _joined(saved: Mapping[object, object]) -> dict[object, object]:
    from porting.checkpoint.formats import classy

    return classy.joined(saved)


WRAPPERS = (
    Wrapper(("state_dict_ema",), "ema"),  # timm
    Wrapper(("model_ema",), "ema"),  # DeiT, PaddleViT, timm
    Wrapper(("ema_state",), "ema"),  # pycls
    Wrapper(("state_dict",)),  # timm, Lightning
    Wrapper(("model",)),  # DeiT and its teacher, PaddleViT
    Wrapper(("model_state",)),  # pycls
    Wrapper(("model_state_dict",)),  # torch's tutorials
    Wrapper(("classy_state_dict", "base_model", "model"), joined=_joined),
)
"""In timm's order of preference, averages first: of several in one file the first is read, unless one is asked for."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
LIGHTNING_PREFIXES = ("model.", "net.")
"""What Lightning's users call the network within their module, the `state_dict` of which is saved."""
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
_MAX_NOTES = 50
_LONGEST_NAME = 1000


class Unwrapped(NamedTuple):
    """A state dict without its envelope.

    Attributes:
        tensors: By name, in the order of the file.
        envelope: What was taken off, outermost first: keys, and prefixes of names.
        notes: What else was in the file and left out, and why.
        weights: Whose they are; None where the file does not say, because it holds nothing but a state dict.
    """

    tensors: Mapping[str, Leaf]
    envelope: tuple[str, ...]
    notes: tuple[str, ...]
    weights: Kind | None = None


class _Found(NamedTuple):
    """A state dict within what a file holds, and the way there."""

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
    """Finds the state dict in what a file holds.

    Args:
        saved: What was read, with `LazyTensor` or `Described` for its tensors.
        error: Makes the error for a problem with the file.
        weights: Whose weights are wanted; by default those that the file says were better, as files of `pit-train`
            do, or else those of the first of `WRAPPERS` that is there.
        required: Whether it is an error that they are not there; otherwise what is there is taken.
        averages: Name of a file that holds the averages of these weights; empty where there is none.

    Raises:
        CheckpointError: There is no state dict in it, or not the one that is wanted.
    """
    notes: list[str] = []
    if isinstance(saved, Leaf):
        notes.append("the file is one tensor without a name; it is called tensor")
        saved = {"tensor": saved}
    found = list(_Search().state_dicts(saved))
    if not found:
        raise error(_nothing(saved))
    better = _better(saved) if weights is None else None
    chosen = _wanted(found, weights or better) or (None if required and weights else found[0])
    if chosen is None:
        raise error(_absent(found, weights, averages))
    if better == chosen.kind and len(found) > 1:
        notes.append(f"{chosen} was read, which had the better accuracy when the file was saved")
    if averages and chosen.kind != "ema":
        notes.append(f"{averages} beside it: not read; it holds the average of these weights, give its path to read it")
    notes += _left_out(saved, chosen, [each for each in found if each is not chosen])
    tensors, others = _split(chosen.saved, error)
    if others:
        notes.append(f"{_folded(others)}: left out, not tensors")
    tensors, prefixes = _without_prefixes(tensors, lightning=bool(chosen.path) and str(chosen.path[-1]) == "state_dict")
    dropped = [name for name in COUNTERS if name in chosen.saved and name not in tensors]
    notes += [f"{name}: left out, a counter beside the averages" for name in dropped]
    if len(notes) > _MAX_NOTES:
        notes[_MAX_NOTES:] = [f"{len(notes) - _MAX_NOTES} more entries: left out"]
    envelope = (*map(str, chosen.path), *prefixes)
    return Unwrapped(tensors, envelope, tuple(map(printable, notes)), chosen.kind)


class _Search:
    """Finds the state dicts in what a file holds, however often it refers to the same dict."""

    def __init__(self) -> None:
        self._with_tensors: dict[int, bool] = {}

    def state_dicts(self, saved: object, path: tuple[Wrapper, ...] = ()) -> Iterator[_Found]:
        """They and the way to them, in the order of preference."""
        if not isinstance(saved, dict):
            return
        inner = [
            found
            for wrapper in WRAPPERS
            if len(path) < _MAX_WRAPPERS and not (path and wrapper.joined)
            for found in self.state_dicts(_opened(saved, wrapper), (*path, wrapper))
        ]
        if inner:
            yield from inner
        elif self._has_tensors(saved):
            yield _Found(path, saved)

    def _has_tensors(self, saved: dict[object, object]) -> bool:
        if id(saved) not in self._with_tensors:
            self._with_tensors[id(saved)] = any(isinstance(value, Leaf) for value in saved.values())
        return self._with_tensors[id(saved)]


def _opened(saved: dict[object, object], wrapper: Wrapper) -> object:
    value: object = saved
    for key in wrapper.keys:
        value = value.get(key) if isinstance(value, dict) else None
    return wrapper.joined(value) if wrapper.joined and isinstance(value, dict) else value


def _wanted(found: list[_Found], weights: Kind | None) -> _Found | None:
    """The first, or the first of the kind that is wanted; weights of which the file says nothing are the model's."""
    return next((each for each in found if weights in (None, each.kind or "model")), None)


def _better(saved: object) -> Kind | None:
    """Whose weights did better in the evaluation that a file of `pit-train` was saved after."""
    match saved:
        case {
            "progress": {
                "epoch": int() as epoch,
                "best": {"epoch": int() as best, "weights": ("model" | "ema") as kind},
            }
        } if best + 1 == epoch:
            return "ema" if kind == "ema" else "model"
    return None


def _absent(found: list[_Found], weights: Kind | None, averages: str) -> str:
    there = " and ".join(f"{each} ({each.kind})" for each in found if each.path) or "one state dict alone"
    elsewhere = f", or give {averages} beside it, which holds the average" if averages and weights == "ema" else ""
    return (
        f"holds no {weights} weights, which --weights {weights} asks for; there is {there}: "
        f"leave --weights out to read it{elsewhere}"
    )


def _left_out(saved: object, chosen: _Found, others: list[_Found]) -> Iterator[str]:
    """What is beside the chosen state dict, from the outside in."""
    for other in others:
        alternative = f"; --weights {other.kind} reads it" if other.kind != chosen.kind else ""
        yield f"{other}: left out, {chosen} was read instead{alternative}"
    told = {wrapper.keys[0] for other in others for wrapper in other.path}
    for wrapper in chosen.path:
        for key in wrapper.keys:
            if isinstance(saved, dict):
                yield from (_beside(name, value) for name, value in saved.items() if name != key and name not in told)
                saved = saved.get(key)


def _beside(key: object, value: object) -> str:
    if isinstance(key, str) and key in STATE:
        return f"{key}: left out, state of {STATE[key]}"
    if isinstance(value, Leaf):
        return f"{brief(key)}: left out, a tensor beside the weights"
    kind = value.name if isinstance(value, Inert) else type(value).__name__
    return f"{brief(key)}: left out, not weights ({kind})"


def _nothing(saved: object) -> str:
    """Why there is no state dict in what a file holds."""
    if not isinstance(saved, dict):
        return f"holds a {type(saved).__name__}, expected a state dict; save model.state_dict()"
    found = f"its keys are {_folded(map(brief, saved))}" if saved else "it is empty"
    known = ", ".join(map(str, WRAPPERS))
    return f"holds no state dict: {found:.300}; expected tensors by name, or one of {known}"


def _folded(names: Iterable[str]) -> str:
    """Names for one line; enough of them for any file that people make."""
    return ", ".join(fold(islice(names, 1000)))


def _split(saved: dict[object, object], error: Callable[[str], CheckpointError]) -> tuple[dict[str, Leaf], list[str]]:
    """The tensors of a state dict, and the names of its other entries."""
    tensors, others = {}, []
    for key, value in saved.items():
        if not isinstance(value, Leaf):
            others.append(brief(key))
        elif isinstance(key, str) and key.isprintable() and len(key) <= _LONGEST_NAME:
            tensors[key] = value
        else:
            raise error(f"has a tensor under {shown(key)}, expected a name; save model.state_dict()")
    return tensors, others


def _without_prefixes(tensors: dict[str, Leaf], *, lightning: bool) -> tuple[dict[str, Leaf], list[str]]:
    found: list[str] = []
    while True:
        names = [name for name in tensors if name not in COUNTERS] or list(tensors)
        known = (*PREFIXES, *LIGHTNING_PREFIXES) if lightning and not set(found) & set(LIGHTNING_PREFIXES) else PREFIXES
        prefix = next((prefix for prefix in known if all(name.startswith(prefix) for name in names)), None)
        if prefix is None:
            return tensors, found
        tensors = {name.removeprefix(prefix): tensors[name] for name in names}
        found.append(prefix)
