"""A table that a model makes on its first call stays in that call's precision, and enters no other."""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.results.report import SAME_FUNCTION
from alignment.running.kept_state import GlobalState
from alignment.running.run import align

PAIRS = Path(__file__).parents[1] / "table_pairs.py"


def test_port_that_keeps_tables_of_its_first_call_is_the_same_function_in_both_precisions(tmp_path: Path) -> None:
    report = align(load_pair(f"{PAIRS}:TABLES"), tmp_path, Settings(threads=1, steps=("forward",)))
    assert report.verdict == SAME_FUNCTION, [row.reason for row in report.failures]


def test_what_a_users_module_keeps_is_undone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @functools.lru_cache
    def cached(x: int) -> list[int]:
        return [x]

    module: Any = ModuleType("users_own")
    module.__file__ = str(tmp_path / "users_own.py")
    cached.__module__ = "users_own"
    module.table, module.last, module.cached = {"a": 1}, None, cached
    monkeypatch.setitem(sys.modules, "users_own", module)
    before = cached(1)
    state = GlobalState()
    module.table["b"], module.last = 2, 3
    state.restore()
    assert module.table == {"a": 1}
    assert module.last is None
    assert cached(1) is not before


class _Builder(OrderedDict[str, type]):
    """A table as transformers and PaddleNLP keep their activations: it builds what it is asked for."""

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key)(1, 2, 3)


def test_table_that_builds_what_it_gives_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module: Any = ModuleType("users_own")
    module.__file__ = str(tmp_path / "users_own.py")
    module.layers = _Builder(a=object)
    monkeypatch.setitem(sys.modules, "users_own", module)
    GlobalState().restore()
    assert dict.__getitem__(module.layers, "a") is object
