"""Builds the model of a side with the backend of its framework."""

from __future__ import annotations

from alignment.backends.base import Backend
from alignment.pair import Side, targets


def build_model(backend: Backend, side: Side) -> None:
    """Make the model of a side, or take its function for one.

    Raises:
        AlignmentError: There is nothing of this name, or it makes something else than a model.
    """
    if side.function:
        backend.wrap(targets.resolve(side.function), side.options)
    else:
        backend.build(targets.resolve(side.build), side.options)
