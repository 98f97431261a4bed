"""Builds the model of a side with the backend of its framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from alignment import backends
from alignment.backends.base import Backend, Runtime
from alignment.backends.calling import Interface
from alignment.pair import Side, targets


def build_model(
    side: Side, runtime: Runtime, *, names: Mapping[str, str] | None = None, single: bool = False
) -> Backend:
    """The backend of a side's framework with the side's model, or its function in the place of one, in float32.

    Args:
        side: The side; `takes`, `call` and `gives` say how the model is called and what its outputs are called.
        runtime: How the framework is to run.
        names: Own name of an output to the name that both sides use, where they differ.
        single: Whether the model has to give one tensor and nothing else.

    Raises:
        AlignmentError: The framework is missing, there is nothing of the model's name, or it makes something else.
    """
    backend = backends.create(side.framework, runtime)
    backend.use("float32")
    if side.function:
        backend.wrap(targets.resolve(side.function), side.options)
    else:
        backend.build(targets.resolve(side.build), side.options)
    backend.connect(Interface(side.takes, side.call, side.gives, names or {}, single))
    backend.use("float32")  # a model may be built in another precision
    return backend


@contextmanager
def in_float64(*backends: Backend) -> Iterator[None]:
    """Run models in float64; afterwards they, and what their frameworks create by default, are float32 again."""
    try:
        for backend in backends:
            backend.use("float64")
        yield
    finally:
        for backend in backends:
            backend.use("float32")
