"""Planted mistakes are there once in the source of their port, and outcomes are told as they are."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from alignment.results.findings import Bisection, Cause, Evidence, Finding
from benchmarks.mistakes.mistake import Mistake
from benchmarks.mistakes.page import summary
from benchmarks.mistakes.planting import planted
from benchmarks.mistakes.tables import MISTAKES, NETS
from benchmarks.mistakes.worker import _outcome


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.net}, {mistake.name}")
def test_text_to_replace_is_there_once(mistake: Mistake) -> None:
    files = [importlib.util.find_spec(name) for name in NETS[mistake.net].modules]
    sources = [Path(str(spec.origin)).read_text() for spec in files if spec is not None]
    holders = [source for source in sources if mistake.old in source]
    assert holders
    assert holders[-1].count(mistake.old) == 1
    assert mistake.new != mistake.old
    re.compile(mistake.cause)


def test_names_are_unique_within_a_net() -> None:
    names = [(mistake.net, mistake.name) for mistake in MISTAKES]
    assert len(set(names)) == len(names)


def test_planted_port_is_gone_afterwards() -> None:
    name = "benchmarks.mistakes.decoder_paddle"
    mistake = next(mistake for mistake in MISTAKES if mistake.name == "unbiased std")
    with planted((name,), mistake):
        changed = sys.modules[name]
    assert sys.modules[name] is not changed
    assert mistake.old in Path(str(changed.__file__)).read_text()
    missing = Mistake("none", "decoder", "no such text", "x", "", "")
    with pytest.raises(ValueError, match="is there 0 times"), planted((name,), missing):
        pass


def outcome(path: str, says: str) -> str:
    cause = Cause("a", says, "net.py:1", 0.1, 0.0)
    finding = Finding("module", path, path, "eval", "forward", (Evidence("output 0", 0.1, ""),), (cause,))
    found = Bisection("net", ("torch", "paddle"), "float64", True, (finding,), ())
    return summary([_outcome("vit", Mistake("x", "vit", "a", "b", "layers.?.attn", "axis 2"), found, 1.0)])


def test_outcome_tells_what_was_named_and_what_wrongly() -> None:
    assert "1 detected, 1 localised, 1 named, 0 with a wrong cause" in outcome("layers.0.attn", "it runs over axis 2")
    assert "1 detected, 0 localised, 0 named, 1 with a wrong cause" in outcome("head", "it runs over axis 1")
