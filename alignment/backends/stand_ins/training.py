"""Exact versions of a framework's layers and of its optimizers together, for the check points of training."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from alignment.backends.base import Backend
from alignment.recordings.kernels import Kernel

_OPTIMIZERS = "alignment.backends.stand_ins.{}_optimizers"


@contextmanager
def exact_training(backend: Backend, framework: str, peer: str) -> Iterator[list[Kernel]]:
    """Use exact versions, for as long as the context lasts.

    Args:
        backend: The side's framework.
        framework: Its name.
        peer: The framework of the other side; empty to replace nothing.

    Yields:
        A list that holds, once the context is left, what was used.
    """
    used: list[Kernel] = []
    if not peer:
        yield used
        return
    with ExitStack() as stack:
        tables = [stack.enter_context(backend.exact(peer))]
        name = _OPTIMIZERS.format(framework)
        if importlib.util.find_spec(name) is not None:
            tables.append(stack.enter_context(importlib.import_module(name).exact(peer)))
        yield used
    used.extend(kernel for table in tables for kernel in table.values())
