"""What a model consists of, as its own process found it: plain values that no framework is needed to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TRACED_BATCH = 3
"""Inputs that a model is run on to be described."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a state dict.

    Attributes:
        shape: As the framework stores it.
        dtype: NumPy's name of it.
        buffer: Whether no optimiser updates it.
        same_as: The first name of the same tensor, where this is another one; else empty.
        values: Of a constant, a buffer that is neither a running statistic nor a counter: its values, flat.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    buffer: bool = False
    same_as: str = ""
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class ModuleInfo:
    """One module.

    Attributes:
        path: Its path in the model; empty for the model itself.
        kind: Name of its class.
        bases: Names of the framework's own classes that it is or derives from, nearest first.
        tensors: Names of the tensors that it holds itself.
        call: How many modules were first called before it; None where it is not called.
        given: Digest of the first input that it was called with; empty where it is not called.
        gave: Digest of the first output of that call.
    """

    path: str
    kind: str
    bases: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    call: int | None = None
    given: str = ""
    gave: str = ""


@dataclass(frozen=True)
class ModelDescription:
    """One model.

    Attributes:
        framework: A name in `alignment.backends.FRAMEWORKS`.
        modules: In the order in which the framework lists them.
        tensors: Name in the state dict to tensor, in its order.
        output: Shape of what it gives for `TRACED_BATCH` inputs.
    """

    framework: str
    modules: tuple[ModuleInfo, ...]
    tensors: Mapping[str, TensorInfo]
    output: tuple[int, ...] = ()
