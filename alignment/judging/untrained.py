"""What no optimizer updates on one side only: buffers, frozen parameters, parameters that no gradient reaches.

A gradient of zeros and none are the same number and not the same: AdamW decays the one and passes over the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignment.arrays import Array
from alignment.backends.base import BUFFER, FROZEN, UNREACHED

_KEY = "bp/untrained/"
_WORDS = {
    BUFFER: "it is a buffer in the {side}, and a parameter that is trained in the {other}",
    FROZEN: "it is frozen in the {side}, and trained in the {other}",
    UNREACHED: "no gradient reaches it in the {side}, and one does in the {other}, of zeros perhaps: AdamW decays that",
}


def left_out(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Return True for what is not updated on either side, for whatever reason."""
    return key.startswith(_KEY) and key in reference and key in candidate


def reason(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> str:
    """Return why a tensor that is trained on one side only diverges; empty for other keys."""
    if not key.startswith(_KEY):
        return ""
    sides = ("reference", "candidate") if key in reference else ("candidate", "reference")
    why = bytes((reference if key in reference else candidate)[key]).decode(errors="replace")
    return _WORDS.get(why, "it is not trained in the {side}").format(side=sides[0], other=sides[1])
