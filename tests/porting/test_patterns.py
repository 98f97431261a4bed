from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.patterns import Pattern, PatternError, Patterns


def test_placeholders_match_and_format() -> None:
    pattern = Pattern("transformers.{pool+1}.pool.{kind:conv|fc}.weight")
    assert pattern.match("transformers.2.pool.fc.weight") == {"pool": 1, "kind": "fc"}
    assert pattern.format({"pool": 1, "kind": "fc"}) == "transformers.2.pool.fc.weight"


@pytest.mark.parametrize(
    "name",
    [
        "transformers.0.pool.fc.weight",  # the pool before the first
        "transformers.01.pool.fc.weight",
        "transformers.1.pool.norm.weight",
        "x.transformers.1.pool.fc.weight",
        "transformers.1.pool.fc.weights",
        "transformers.1.pool.fc.weight\n",
        "transformers.-1.pool.fc.weight",
        f"transformers.{'1' * 5000}.pool.fc.weight",
        "transformers1.pool.fc.weight",
        "transformers.\u0661.pool.fc.weight",  # a digit of another script
    ],
)
def test_other_names_do_not_match(name: str) -> None:
    assert Pattern("transformers.{pool+1}.pool.{kind:conv|fc}.weight").match(name) is None


def test_dots_are_dots() -> None:
    assert Pattern("a.b").match("aXb") is None


@pytest.mark.parametrize("text", ["{stage", "stage}", "{Stage}", "{}", "{a*}", "{a:}", "{a+}"])
def test_malformed_patterns_are_refused_when_written(text: str) -> None:
    with pytest.raises(PatternError, match="pattern"):
        Pattern(text)


@given(stage=st.integers(0, 10**6), part=st.sampled_from(["weight", "bias"]), offset=st.integers(0, 9))
def test_formatting_and_matching_are_inverse(stage: int, part: str, offset: int) -> None:
    pattern = Pattern(f"x.{{stage+{offset}}}.{{part:weight|bias}}")
    bindings: dict[str, int | str] = {"stage": stage, "part": part}
    assert pattern.match(pattern.format(bindings)) == bindings


def test_a_placeholder_twice_is_the_same_value_twice() -> None:
    pattern = Pattern("trunk_output.block{stage}.block{stage}-{block-1}.f.a.0.weight")
    assert pattern.match("trunk_output.block2.block2-0.f.a.0.weight") == {"stage": 2, "block": 1}
    assert pattern.match("trunk_output.block2.block3-0.f.a.0.weight") is None
    assert pattern.format({"stage": 2, "block": 1}) == "trunk_output.block2.block2-0.f.a.0.weight"


WORDS = ["a", "weight", "{i}", "{i+1}", "{j}", "{part:weight|bias|b}", "s{i}", "{j}x", "a{part:a|aa}a", "1{i}"]
PARTS = [
    "a",
    "b",
    "0",
    "7",
    "07",
    "12",
    "\u0661",
    "",
    "weight",
    "bias",
    "1234567890",
    "s0",
    "s07",
    "s",
    "3x",
    "aaa",
    "aa",
    "10",
]


@given(
    pattern=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    name=st.lists(st.sampled_from(PARTS), min_size=1, max_size=4),
)
def test_parts_are_compared_as_a_regular_expression_would(pattern: list[str], name: list[str]) -> None:
    written = Pattern(".".join(pattern))
    assert written.by_parts is not None
    for candidate in (".".join(name), written.format({"i": 3, "j": 0, "part": "bias"})):
        assert written.match(candidate) == written.match_expression(candidate)


def test_two_placeholders_in_one_part_need_an_expression() -> None:
    assert Pattern("block{stage}-{block}.weight").by_parts is None


def test_names_are_looked_up_in_several() -> None:
    texts = ("a.{i}.{part:weight|bias}", "a.{i+1}.weight", "a.b", "{part:a|b}.b", "c")
    patterns = Patterns((text, Pattern(text)) for text in texts)
    assert patterns.find("a.2.weight") == [
        ("a.{i}.{part:weight|bias}", {"i": 2, "part": "weight"}),
        ("a.{i+1}.weight", {"i": 1}),
    ]
    assert patterns.find("a.b") == [("a.b", {}), ("{part:a|b}.b", {"part": "a"})]
    for name in ("c", "a.x.weight", "a.b.c.d", ""):
        assert patterns.find(name) == [(text, {}) for text in texts if text == name]
