"""What is one tensor on one side, and several on the other, which an optimizer moves apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alignment.arrays import Array

_KEY, _UPDATED = "bp/apart/", "bp/loss_1"


def left_out(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Return True for what is several tensors on both sides."""
    return key.startswith(_KEY) and key in reference and key in candidate


def reason(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> str:
    """Return why a tensor that is several on one side diverges; empty for other keys."""
    if not key.startswith(_KEY):
        return ""
    where, other = ("reference", "candidate") if key in reference else ("candidate", "reference")
    names = bytes((reference if key in reference else candidate)[key]).decode(errors="replace")
    return (
        f"it is one tensor in the {other}, and several in the {where}, {names}, each with a gradient of its own: "
        "training moves them apart"
    )


def before_updates(keys: Iterable[str]) -> list[str]:
    """Return keys with what one side alone says of copies before the losses that differ for that reason."""
    keys = list(keys)
    apart = [key for key in keys if key.startswith(_KEY)]
    rest = [key for key in keys if not key.startswith(_KEY)]
    place = rest.index(_UPDATED) if apart and _UPDATED in rest else len(rest)
    return [*rest[:place], *apart, *rest[place:]]
