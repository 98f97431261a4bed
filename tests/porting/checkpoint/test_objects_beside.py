"""Objects that training tools keep beside the weights, pickled by the real libraries: they are left out, and told."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import functools
import types
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pytest

from porting.checkpoint import open_checkpoint


class Colour(enum.Enum):
    RED = 1


class Settings(dict[str, Any]):
    """A dictionary of a class of its own, as yacs, EasyDict, addict and MMEngine have."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.__dict__ = self


@dataclasses.dataclass
class Config:
    lr: float = 0.1


class Slots:
    __slots__ = ("lr",)

    def __init__(self) -> None:
        self.lr = 0.1


class Numbers(list[int]):
    """A list of a class of its own."""


class Pair(NamedTuple):
    one: int = 1


class Keyword:
    """Made with keywords alone, which protocol 4 has an opcode for."""

    def __new__(cls, *, lr: float) -> Keyword:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, float]]:
        return (), {"lr": 0.1}


BESIDE: dict[str, Callable[[], Any]] = {
    "enum": lambda: Colour.RED,
    "keys that are enums": lambda: {Colour.RED: 1},
    "set of enums": lambda: {Colour.RED},
    "dict of a class": lambda: Settings(lr=0.1, inner=Settings(a=1)),
    "list of a class": lambda: Numbers([1, 2]),
    "named tuple": Pair,
    "dataclass": Config,
    "slots": Slots,
    "keywords": lambda: Keyword(lr=0.1),
    "deque": lambda: collections.deque([1], 3),
    "Counter": lambda: collections.Counter("aab"),
    "defaultdict": lambda: collections.defaultdict(list, {"a": [1]}),
    "Namespace": lambda: argparse.Namespace(lr=0.1, colour=Colour.RED),
    "SimpleNamespace": lambda: types.SimpleNamespace(a=1),
    "path": lambda: PurePosixPath("a"),
    "class": lambda: Config,
    "function with arguments": lambda: functools.partial(Config, lr=0.1),
    "range and slice": lambda: [range(3), slice(1)],
    "exception": lambda: ValueError("x"),
    "NumPy generator": lambda: np.random.default_rng(1),
    "NumPy text": lambda: np.array(["a", "b"]),
    "NumPy records": lambda: np.zeros(2, [("a", "f4")]),
    "keys that are NumPy's": lambda: {np.int64(3): "cat"},
    "large number": lambda: 2**3000,
    "bytearray": lambda: bytearray(b"x"),
}


@pytest.mark.parametrize(
    ("kind", "protocol"),
    # In protocol 2 an object that is made with keywords is a call of getattr, which is refused.
    [(kind, protocol) for kind in BESIDE for protocol in (2, 4) if (kind, protocol) != ("keywords", 2)],
)
def test_object_beside_the_weights_is_left_out(kind: str, protocol: int, torch: Any, tmp_path: Path) -> None:
    saved = {"model": {"w": torch.ones(2, 3)}, "extra": BESIDE[kind](), "after": 1}
    for zipped in (True, False):
        torch.save(saved, tmp_path / "a.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        with open_checkpoint(tmp_path / "a.pth") as checkpoint:
            assert (checkpoint.tensors["w"].load() == 1).all()
            assert [note.partition(":")[0] for note in checkpoint.notes] == ["extra", "after"]
