"""Mistakes that the self-test puts into correct candidates: the catalogue and the held-out set."""

from __future__ import annotations

from collections.abc import Mapping

from alignment.selftest.faults.base import NO_CAUSE, Fault
from alignment.selftest.faults.catalogue import FAULTS
from alignment.selftest.faults.held_out_models import HELD_OUT

KNOWN: Mapping[str, Fault] = {fault.name: fault for fault in (*FAULTS, *HELD_OUT)}
"""Faults of both sets by name."""

__all__ = ["FAULTS", "HELD_OUT", "KNOWN", "NO_CAUSE", "Fault"]
