"""The one place that knows how rules are derived; everything else here compares what they do with the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from alignment.arrays import Array
from alignment.backends.base import Backend, Runtime
from alignment.backends.building import build_model
from alignment.pair import ROLES, Pair, Role
from alignment.rules.in_process import derive_here
from porting.checkpoint import LazyTensor
from porting.errors import ExpectedError

Arrays: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True)
class Found:
    """What came of a pair.

    Attributes:
        convert: The candidate's tensors, of the reference's; None where no rules were found.
        lines: What was said instead: one line for each difference.
    """

    convert: Callable[[Arrays], Arrays] | None
    lines: tuple[str, ...] = ()


def backends(pair: Pair) -> dict[Role, Backend]:
    """Both models, each with its framework's backend."""
    return {role: build_model(pair.side(role), Runtime(threads=1)) for role in ROLES}


def find(pair: Pair) -> Found:
    """Derive the rules of a pair in this process."""
    try:
        built = backends(pair)
        contract = derive_here(pair, built["reference"], built["candidate"])
    except ExpectedError as error:
        lines = [error.summary] if not error.details else list(error.details)
        return Found(None, tuple(line for line in lines if not line.startswith("say what they are")))

    def convert(arrays: Arrays) -> Arrays:
        lazy = {name: LazyTensor.of(array) for name, array in arrays.items()}
        return {name: tensor.load() for name, tensor in contract.table.apply(lazy).items()}

    return Found(convert)
