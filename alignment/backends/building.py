"""Builds the model of a side with the backend of its framework."""

from __future__ import annotations

from alignment import backends
from alignment.backends.base import Backend, Runtime
from alignment.pair import Side, targets


def build_model(side: Side, runtime: Runtime) -> Backend:
    """The backend of a side's framework with the side's model, or its function in the place of one, in float32.

    Raises:
        AlignmentError: The framework is missing, there is nothing of the model's name, or it makes something else.
    """
    backend = backends.create(side.framework, runtime)
    backend.use("float32")
    if side.function:
        backend.wrap(targets.resolve(side.function), side.options)
    else:
        backend.build(targets.resolve(side.build), side.options)
    backend.use("float32")  # a model may be built in another precision
    return backend
