"""Losses that cannot be taken of what the models give, on both sides for the same reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alignment.arrays import Array

_KEY = "loss/untaken"


def left_out(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Return True for the remark that neither side has taken the losses."""
    return key == _KEY and key in reference and key in candidate


def reason(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> str:
    """Return why losses that one side only has taken diverge; empty for other keys."""
    if key != _KEY:
        return ""
    side = reference if key in reference else candidate
    where = "reference" if key in reference else "candidate"
    return f"no loss is taken in the {where} only: {bytes(side[key]).decode(errors='replace')}"


def notes(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> Iterator[str]:
    """Yield why losses are left out on both sides."""
    if _KEY in reference and _KEY in candidate:
        why = bytes(reference[_KEY]).decode(errors="replace")
        yield f"losses are left out, and gradients are those of a weighted sum of the logits: {why}"
