"""What training scripts wrap around a state dict, and how it is taken off.

Which wrappers there are, and which of several in one file wins, is data: `WRAPPERS` and `PREFIXES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from porting.checkpoint.pickles import Inert
from porting.checkpoint.source import printable
from porting.checkpoint.tensor import Described, LazyTensor
from porting.errors import CheckpointError
from porting.names import fold

Leaf: TypeAlias = LazyTensor | Described

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which files keep a state dict; the first that is there is read, in timm's order of preference."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
_MAX_WRAPPERS = 4


@dataclass(frozen=True)
class Unwrapped:
    """A state dict without its envelope.

    Attributes:
        tensors: By name, in the order of the file.
        envelope: What was taken off, outermost first: keys, and prefixes of names.
        notes: What else was in the file and left out, and why.
    """

    tensors: Mapping[str, Leaf]
    envelope: tuple[str, ...]
    notes: tuple[str, ...]


def unwrap(saved: object, error: Callable[[str], CheckpointError]) -> Unwrapped:
    """Finds the state dict in what a file holds.

    Args:
        saved: What was read, with `LazyTensor` or `Described` for its tensors.
        error: Makes the error for a problem with the file.

    Raises:
        CheckpointError: There is no state dict in it.
    """
    envelope: list[str] = []
    notes: list[str] = []
    if isinstance(saved, Leaf):
        notes.append("the file is one tensor without a name; it is called tensor")
        saved = {"tensor": saved}
    while isinstance(saved, dict) and len(envelope) < _MAX_WRAPPERS:
        wrapper = next((key for key in WRAPPERS if isinstance(saved.get(key), dict) and saved[key]), None)
        if wrapper is None:
            break
        notes += [_skipped(key, value, wrapper) for key, value in saved.items() if key != wrapper]
        envelope.append(wrapper)
        saved = saved[wrapper]
    tensors, others = _split(saved, error)
    if others:
        notes.append(f"{', '.join(fold(others))}: left out, not tensors")
    tensors, prefixes = _without_prefixes(tensors)
    return Unwrapped(tensors, (*envelope, *prefixes), tuple(map(printable, notes)))


def _skipped(key: object, value: object, wrapper: str) -> str:
    if key in WRAPPERS and isinstance(value, dict) and value:
        return f"{key}: left out, {wrapper} was read instead"
    kind = value.name if isinstance(value, Inert) else type(value).__name__
    return f"{key!s:.100}: left out, not weights ({kind})"


def _split(saved: object, error: Callable[[str], CheckpointError]) -> tuple[dict[str, Leaf], list[str]]:
    """The tensors of a state dict, and the names of its other entries."""
    if not isinstance(saved, dict):
        raise error(f"holds a {type(saved).__name__}, expected a state dict; save model.state_dict()")
    tensors, others = {}, []
    for key, value in saved.items():
        if not isinstance(value, Leaf):
            others.append(f"{key!s:.100}")
        elif isinstance(key, str) and key.isprintable():
            tensors[key] = value
        else:
            raise error(f"has a tensor under {key!r:.100}, expected a name; save model.state_dict()")
    if not tensors:
        found = f"its keys are {', '.join(fold(others))}" if others else "it is empty"
        raise error(f"holds no state dict: {found:.300}; expected tensors by name, or one of {', '.join(WRAPPERS)}")
    return tensors, others


def _without_prefixes(tensors: dict[str, Leaf]) -> tuple[dict[str, Leaf], list[str]]:
    found: list[str] = []
    while True:
        prefix = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in tensors)), None)
        if prefix is None:
            return tensors, found
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        found.append(prefix)
