"""Known mistakes, by the kind of finding that they explain.

A module here holds those of one place. To teach the toolkit another one, write a generator of `Prediction`s and add it
to the tuple of its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignment.hypotheses.attention import attention
from alignment.hypotheses.base import Hypotheses
from alignment.hypotheses.calls import trials
from alignment.hypotheses.embeddings import embedding
from alignment.hypotheses.exchanged import exchanged
from alignment.hypotheses.functions import FUNCTION_HYPOTHESES
from alignment.hypotheses.generic import GENERIC_HYPOTHESES
from alignment.hypotheses.instead import instead
from alignment.hypotheses.layers import LAYER_HYPOTHESES, dropped
from alignment.hypotheses.parameters import PARAMETER_HYPOTHESES
from alignment.hypotheses.settings import settings
from alignment.hypotheses.tensors import on_the_way
from alignment.hypotheses.unused import unused
from alignment.hypotheses.wiring import wiring

__all__ = ["COSTLY", "HYPOTHESES", "LAST"]

COSTLY = frozenset((settings, instead, trials))
"""Run the candidate's module again: tried only where nothing before them explains the finding, until one does."""

LAST = unused
"""Saves the costly trials, and comes after the causes that others name, which say what is computed in its place."""

HYPOTHESES: Mapping[str, tuple[Hypotheses, ...]] = {
    "module": (
        *LAYER_HYPOTHESES,
        embedding,
        attention,
        on_the_way,
        exchanged,
        settings,
        instead,
        unused,
        trials,
        dropped,
        wiring,
        *GENERIC_HYPOTHESES,
    ),
    "parameter": PARAMETER_HYPOTHESES,
    "statistic": (),
    "function": FUNCTION_HYPOTHESES,
}
"""The more telling ones first: of several that explain a finding, the first is the cause that is named."""
