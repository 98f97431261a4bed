"""Losses that cannot be taken of what the models give, or not compared, on both sides for the same reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alignment.arrays import Array

_KEY = "loss/untaken"
_UNUPDATED = "bp/not_updated"


def left_out(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Return True for the remark that neither side has taken losses."""
    return key in (_KEY, _UNUPDATED) and key in reference and key in candidate


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
    if _UNUPDATED in reference and _UNUPDATED in candidate:
        names = bytes(reference[_UNUPDATED]).decode(errors="replace")
        yield (
            f"losses after updates are left out: one side keeps {names} multiplied by a number, and an optimizer whose "
            "steps do not grow with a parameter, such as AdamW, trains that otherwise; the gradients are compared"
        )
