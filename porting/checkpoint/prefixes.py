"""Prefixes that wrappers put before the names of tensors, and how they are taken off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")
PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
"""What DataParallel, torch.compile, FSDP, activation checkpointing and Lightning's Fabric put before every name."""
WITHIN = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
"""Those that stand within names too, where a part of a model was wrapped. No model names a part of itself so."""
LIGHTNING_PREFIXES = ("model.", "net.")
"""Usual names of the network within a Lightning module, whose `state_dict` is saved."""
COUNTERS = (
    "n_averaged", "num_updates", "updates", "decay", "steps", "step", "initted", "optimization_step", "num_averaged",
    "global_step", "epoch",
)  # fmt: skip
"""What averages keep beside the weights: torch's AveragedModel and the like, always one number."""


def without_prefixes(tensors: Mapping[str, Value], *, lightning: bool) -> tuple[dict[str, Value], list[str]]:
    """Remove what wrappers put before the names, and within them; return the tensors and what was removed."""
    tensors, removed = _without_starts(dict(tensors), lightning=lightning)
    for part in WITHIN:
        shorter = {name: f".{name}".replace(f".{part}", ".")[1:] for name in tensors}
        if any(name != short for name, short in shorter.items()) and len({*shorter.values()}) == len(tensors):
            tensors = {shorter[name]: value for name, value in tensors.items()}
            removed.append(part)
    tensors, more = _without_starts(tensors, lightning=lightning and not {*removed} & {*LIGHTNING_PREFIXES})
    return tensors, [*removed, *more]


def without_modules(tensors: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return the tensors without `module` within or before their names, where only a part of a model was wrapped.

    `torch.nn.DataParallel` around `model.features` gives `features.module.0.weight`. A model may call a part of itself
    so too: the caller knows whether the shorter names are a model's.

    Returns:
        None if no name has that part, or if the shorter names would not be distinct.
    """
    shorter = {name: f".{name}".replace(".module.", ".")[1:] for name in tensors}
    if all(name == short for name, short in shorter.items()) or len({*shorter.values()}) < len(tensors):
        return None
    return {shorter[name]: value for name, value in tensors.items()}


def _without_starts(tensors: dict[str, Value], *, lightning: bool) -> tuple[dict[str, Value], list[str]]:
    prefixes: list[str] = []
    while True:
        known = (*PREFIXES, *LIGHTNING_PREFIXES) if lightning and not {*prefixes} & {*LIGHTNING_PREFIXES} else PREFIXES
        names = [name for name in tensors if name not in COUNTERS] or list(tensors)
        shared = shared_prefix(names)
        prefix = next((prefix for prefix in known if shared.startswith(prefix)), None)
        if prefix is None:
            return tensors, prefixes
        tensors = {name.removeprefix(prefix): tensors[name] for name in names}
        prefixes.append(prefix)


def shared_prefix(names: Iterable[str]) -> str:
    """Return the parts of names, up to a dot, that all of them begin with; empty if there are none."""
    names = list(names)
    first, last = min(names, default=""), max(names, default="")
    count = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[: first.rfind(".", 0, count) + 1]
