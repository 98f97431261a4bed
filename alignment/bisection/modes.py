"""The modes in which modules are compared."""

from __future__ import annotations

from alignment.backends.base import Backend

EVAL, TRAIN, DROPOUTS = "eval", "train", "dropouts"
"""Evaluation; training with dropouts off; training with each dropout as a multiplication by one plus its rate."""
MODES = (EVAL, TRAIN, DROPOUTS)


def in_report(mode: str) -> str:
    """Return the mode as reports name it: dropouts are a part of training."""
    return TRAIN if mode == DROPOUTS else mode


def set_mode(backend: Backend, mode: str) -> None:
    """Put a model in one of the modes."""
    backend.train(mode != EVAL, scaled=mode == DROPOUTS)
