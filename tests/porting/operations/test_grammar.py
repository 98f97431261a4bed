"""The text of operations: what is printed is parsed as the same operation, and nothing else is parsed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.checkpoint.tensor import Shape
from porting.operations import (
    Build,
    Concat,
    Drop,
    Fill,
    GrammarError,
    Keep,
    Op,
    Split,
    Squeeze,
    Tie,
    Transpose,
    Untie,
    parse,
    text,
)
from porting.operations.grammar import FORMS, known, parse_all, texts
from tests.porting.operations.strategies import REASONS, chains, one_of_each


@pytest.mark.parametrize("op", one_of_each(), ids=str)
def test_text_of_every_operation_is_parsed_as_the_same_operation(op: Op) -> None:
    assert parse(text(op)) == op
    assert str(op) == text(op)
    assert parse_all(texts(op)) == op


def test_every_class_with_a_form_is_tested() -> None:
    tested = {type(op) for op in one_of_each()} | {Drop, Fill, Keep, Build}
    assert {form.cls for form in FORMS} <= tested


@given(chains())
def test_text_of_a_random_chain_is_parsed_as_the_same_chain(drawn: tuple[Op, Shape]) -> None:
    op, _ = drawn
    assert parse(text(op)) == op
    assert op.inverse is not None
    assert op.inverse.inverse == op
    assert parse(text(op.inverse)) == op.inverse


@given(REASONS, st.one_of(st.integers(-5, 2**40), st.floats(allow_nan=False)))
def test_reasons_and_values_are_read_as_they_were_written(reason: str, value: float) -> None:
    for op in (Drop(reason), Drop(reason, value), Fill(reason, value), Keep(reason), Build(reason)):
        assert parse(text(op)) == op


@pytest.mark.parametrize(
    ("words", "op"),
    [
        ("transpose", Transpose()),
        ("split in 3", Split(3)),
        ("join 3", Concat(3)),
        ("tie 2", Tie(2)),
        ("untie 2", Untie(2)),
        ("transpose and tie 2", Tie(2, Transpose())),
        ("squeeze 2 3 and untie 2", Untie(2, Squeeze((2, 3)))),
        ("drop: why: because", Drop("why: because")),
        ("drop: a then b", Drop("a then b")),
        ("fill with 0: why", Fill("why")),
        ("fill with 0", Fill("")),
        ("squeeze 2 3", Squeeze((2, 3))),
    ],
)
def test_texts_of_earlier_versions_are_read(words: str, op: Op) -> None:
    assert parse(words) == op


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rotate", "'rotate' is no operation; known: transpose, permute AXES"),
        ("", "'' is no operation; known: "),
        ("transpose then rotate", "'transpose then rotate' is no operation from 'rotate' on; known: "),
        ("transpose then", "is no operation"),
        ("transposed", "is no operation"),
        ("permute 0 0", "permute needs the axes from 0 on, each once"),
        ("reshape 4x3 to 5", "other numbers of elements"),
        ("split in 0", "at least one part"),
        ("tie 2 then transpose", "tie 2 gives 2 and transpose takes 1 tensors"),
        ("each of (transpose", "')' is missing"),
        ("each of (transpose)", "at least two"),
        ("(" * 50 + "transpose" + ")" * 50, "too many brackets"),
        ("transpose each of 999999999999", "too many"),
        ("transpose then drop: why", "is no operation"),
        ("x" * 30_000, "30000 characters"),
        ("own os:system", "is an operation of somebody's own, which is not read here"),
        ('own os:system {"command":', "is no operation"),
    ],
)
def test_text_that_is_no_operation_is_refused(words: str, message: str) -> None:
    with pytest.raises(GrammarError, match=re.escape(message)):
        parse(words)


@given(st.text(alphabet="transpoe splitnjo(); 0123456789x+then", max_size=40))
def test_any_text_is_an_operation_or_refused(words: str) -> None:
    try:
        op = parse(words)
    except GrammarError:
        return
    assert parse(text(op)) == op


def test_known_forms_name_their_fields() -> None:
    assert "interleave PARTS parts of GROUPS groups[ in each of OUTER][ along AXIS]" in known()
