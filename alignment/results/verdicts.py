"""The verdicts as an enumeration whose members equal the words that reports hold."""

from __future__ import annotations

from enum import Enum

from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, STRENGTH, WITHIN_TOLERANCE


class Verdict(str, Enum):
    """A verdict; `report.verdict == Verdict.ROUNDING` and `report.verdict == "rounding"` say the same.

    Attributes:
        strength: How much the verdict proves, from 0, a divergence, to 3.
    """

    SAME_FUNCTION = SAME_FUNCTION
    ROUNDING = ROUNDING
    WITHIN_TOLERANCE = WITHIN_TOLERANCE
    DIVERGENCE = DIVERGENCE

    __str__ = str.__str__

    def __format__(self, format_spec: str) -> str:
        """Return the word, formatted as a string."""
        return str.__format__(self, format_spec)

    @property
    def strength(self) -> int:
        """How much it proves, from 0 to 3."""
        return STRENGTH[self.value]
