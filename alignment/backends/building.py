"""Builds the model of a side with the backend of its framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from alignment import backends
from alignment.backends.base import Backend, Runtime
from alignment.backends.calling import Interface
from alignment.pair import Side, targets
from alignment.recordings.kernels import Kernel


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
    _build(backend, side, Interface(side.takes, side.call, side.gives, names or {}, single), "float32")
    return backend


def build_exact(
    side: Side, runtime: Runtime, peer: str, *, names: Mapping[str, str] | None = None, single: bool = False
) -> tuple[Backend, Mapping[str, Kernel]]:
    """The same with exact versions of the framework's kernels and in float64, and which of them building has used.

    Tables that the model makes in float32 when it is built are float64 then.

    Args:
        side: As for `build_model`, and so are the others.
        runtime: How the framework is to run.
        peer: The framework of the other side, see `Backend.exact`.
        names: Own name of an output to the name that both sides use, where they differ.
        single: Whether the model has to give one tensor and nothing else.
    """
    backend = backends.create(side.framework, runtime)
    interface = Interface(side.takes, side.call, side.gives, names or {}, single)
    with backend.exact(peer) as used:
        _build(backend, side, interface, "float64")
    return backend, used


def _build(backend: Backend, side: Side, interface: Interface, dtype: str) -> None:
    backend.use(dtype)
    if side.function:
        backend.wrap(targets.resolve(side.function), side.options)
    else:
        backend.build(targets.resolve(side.build), side.options)
    backend.connect(interface)
    backend.use(dtype)  # a model may be built in another precision


@contextmanager
def in_finest(*backends: Backend) -> Iterator[None]:
    """Run models in float64, or the most exact precision that their framework has; afterwards they are float32 again.

    So is what their frameworks create by default.
    """
    try:
        for backend in backends:
            backend.use(backend.finest)
        yield
    finally:
        for backend in backends:
            backend.use("float32")
