"""Strings of strangers: what shows nothing is shown, and nothing is a command."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.visible import printable, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bp/gradient/head.weight", "bp/gradient/head.weight"),
        ("Größe 中文 😀 ∞", "Größe 中文 😀 ∞"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x00\x7f\x9b", r"\x1b[31m\x00\x7f\x9b"),
        ("a\u2028b\u2029\u202e\u200b", r"a\u2028b\u2029\u202e\u200b"),
        ("\ud800x\udfff", r"\ud800x\udfff"),
    ],
)
def test_invisible_characters_are_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert printable(text) == shown


@given(st.text(st.characters() | st.sampled_from(":#[\n\r\u2028\x1b\ud800"), max_size=30))
def test_what_is_printable_is_one_line_and_no_command(text: str) -> None:
    shown = printable(text)
    assert shown.splitlines() == ([shown] if shown else [])
    assert "::" not in shown
    assert "##[" not in shown
    shown.encode()
    assert printable(shown) == shown


@dataclass(frozen=True, slots=True)
class Thing:
    names: tuple[str, ...]
    number: float | None
    more: dict[str, str]


def test_everything_in_a_value_becomes_printable() -> None:
    thing = Thing(("a\n", "::error::"), 1.0, {"k\x1b": "##[error]"})
    assert printable(thing) == Thing((r"a\n", r"\x3a:error\x3a:"), 1.0, {r"k\x1b": r"#\x23[error]"})
