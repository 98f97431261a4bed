"""What was measured of a framework, read without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from alignment.framework_facts import BEHAVIOUR, LIMIT, PRECISION, SAME, Difference, Fact, framework_facts

HEAVY = ("torch", "paddle", "mindspore", "numpy")


def _fact(*errors: float | None) -> Fact:
    differences = tuple(Difference("output", False, error) for error in errors)
    return Fact("Pooling", "nn.A()", "nn.B()", ("2",), PRECISION, differences, "", None)


def test_each_kind_of_fact_says_what_it_must() -> None:
    facts = framework_facts("paddle")
    assert {"torch", "paddle", "numpy"} <= set(facts.versions)
    assert len(facts.cases) >= 120
    assert sum(len(facts.of(kind)) for kind in (SAME, PRECISION, BEHAVIOUR)) == len(facts.cases)
    for fact in facts.of(SAME):
        assert not fact.differences
        assert not fact.note
    for fact in facts.of(PRECISION):
        assert fact.error is not None
        assert LIMIT < fact.error <= 1e-6
    assert all(fact.note for fact in facts.of(BEHAVIOUR))


@pytest.mark.parametrize(
    ("torch", "kind"),
    [
        ("nn.Conv2d(4, 6, 3)", SAME),
        ("nn.SELU()", PRECISION),
        ("nn.AdaptiveAvgPool2d((3, 4))", PRECISION),
        ("nn.BatchNorm3d(4)", BEHAVIOUR),
        ("nn.Embedding(7, 4, padding_idx=0)", BEHAVIOUR),
    ],
)
def test_known_case_has_known_kind(torch: str, kind: str) -> None:
    assert {fact.kind for fact in framework_facts("paddle").cases if fact.torch == torch} == {kind}


def test_error_is_the_largest_or_unknown() -> None:
    assert _fact(1e-9, 3e-8).error == 3e-8
    assert _fact(1e-9, None).error is None
    assert _fact().error == 0.0


@pytest.mark.parametrize("name", ["jax", "", "../report/schema/gate.schema", "paddle.json"])
def test_unknown_framework_is_named_with_those_that_are_known(name: str) -> None:
    with pytest.raises(KeyError, match="known are: mindspore, paddle"):
        framework_facts(name)


def test_reading_needs_no_framework() -> None:
    code = (
        "import sys; from alignment.framework_facts import framework_facts; framework_facts('paddle'); "
        f"assert not set(sys.modules) & {set(HEAVY)!r}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
