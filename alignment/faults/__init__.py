"""Mistakes that are put into correct candidates, to see whether the toolkit finds them."""

from __future__ import annotations

from alignment.faults.base import NO_KNOWN_CAUSE, Fault
from alignment.faults.catalogue import FAULTS

__all__ = ["FAULTS", "NO_KNOWN_CAUSE", "Fault"]
