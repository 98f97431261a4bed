"""What can be said of training mode where a side draws random numbers that cannot be switched off."""

from __future__ import annotations

from collections.abc import Collection, Iterator

DRAWS, HIDDEN, DROPOUTS = "train_mode/draws", "train_mode/hidden", "train_mode/dropouts/"
"""Keys of a side that draws although its dropouts are off, and of one of which some dropouts cannot be seen; and the
start of the keys of what a side gives with factors in the place of its dropouts."""
_STEP, _RATE = "train_mode/", "train_mode/rate_"

_WAYS = {
    "unscaled": "does not divide what it keeps by one minus the rate",
    "whole_batch": "keeps or drops all samples of a batch together",
    "channels": "keeps or drops whole channels",
}


def left_out(key: str, reference: Collection[str], candidate: Collection[str]) -> bool:
    """Return True for the keys of training mode where one side draws: a dropout called as a function has no rate.

    One thing remains: that a side draws, where the other neither draws nor has a module that would. Places of dropouts
    are compared where both sides have the same rates, and all of theirs can be seen.
    """
    if key == HIDDEN:
        return True
    if key.startswith(DROPOUTS):
        sides = reference, candidate
        return any(HIDDEN in keys or key not in keys for keys in sides) or _rates(reference) != _rates(candidate)
    if not key.startswith(_STEP) or not (DRAWS in reference or DRAWS in candidate):
        return False
    return key != DRAWS or not _alone(reference, candidate)


def notes(reference: Collection[str], candidate: Collection[str]) -> Iterator[str]:
    """Yield that training mode is not compared, and for which side."""
    sides = [name for name, keys in (("reference", reference), ("candidate", candidate)) if DRAWS in keys]
    if sides and not _alone(reference, candidate):
        yield (
            f"training mode is not compared: random numbers are drawn in it outside of modules for it, by the "
            f"{' and the '.join(sides)}"
        )
    elif hidden := [name for name, keys in (("reference", reference), ("candidate", candidate)) if HIDDEN in keys]:
        yield f"places of dropouts are not compared: not all of them can be seen in the {' and the '.join(hidden)}"


def explained(key: str) -> str:
    """Return how a quantity of training mode was made, for the beginning of a sentence; empty for most keys."""
    return "with one plus its rate as a factor in the place of each dropout, it" if key.startswith(DROPOUTS) else ""


def reason(key: str, reference: Collection[str], candidate: Collection[str]) -> str:
    """Return why a key of training mode that one side lacks diverges; empty for other keys."""
    lacks = [name for name, keys in (("reference", reference), ("candidate", candidate)) if key not in keys]
    if not lacks:
        return ""
    other = "candidate" if lacks == ["reference"] else "reference"
    if key == DRAWS:
        return f"the {other} draws random numbers in training mode, the {lacks[0]} none"
    if key.startswith(_RATE):
        rate, _, way = key.removeprefix(_RATE).partition("_")
        if way:
            return f"the {other} has a dropout or drop path of rate {rate} that {_WAYS[way]}, the {lacks[0]} none"
        sides = {"reference": reference, "candidate": candidate}
        instead = ", ".join(sorted(_rates(sides[lacks[0]]) - _rates(sides[other])))
        none = f"none, but of rate {instead}" if instead else "none"
        return f"the {other} has dropouts or drop paths of rate {rate}, the {lacks[0]} {none}"
    return ""


def _rates(keys: Collection[str]) -> set[str]:
    """The rates of a side, as its keys have them."""
    return {rate for key in keys if key.startswith(_RATE) and "_" not in (rate := key.removeprefix(_RATE))}


def _alone(reference: Collection[str], candidate: Collection[str]) -> bool:
    """True if one side draws, and the other neither draws nor has a rate."""
    if DRAWS in reference and DRAWS in candidate:
        return False
    quiet = candidate if DRAWS in reference else reference
    return not any(key.startswith(_RATE) for key in quiet)
