"""When a search with exact kernels counts: it finds less than that with the framework's own, and nothing besides."""

from __future__ import annotations

import pytest

from alignment.bisection.search import _Attempt, _fewer, _less

FORWARD, BACKWARD = ("bn", "train", "forward"), ("bn", "train", "backward")
OTHER = ("fc", "eval", "backward")


@pytest.mark.parametrize(
    ("exact", "plain", "less"),
    [
        ({OTHER}, {OTHER, FORWARD}, True),
        ({OTHER, BACKWARD}, {OTHER, FORWARD}, True),
        (set(), {FORWARD}, True),
        ({OTHER, ("block", "train", "backward")}, {OTHER, ("block.bn", "train", "forward"), FORWARD}, True),
        ({OTHER, ("block", "train", "backward")}, {OTHER, FORWARD}, False),
        ({FORWARD}, {FORWARD}, False),
        ({FORWARD}, {BACKWARD}, False),
        ({OTHER}, {FORWARD}, False),
    ],
)
def test_search_with_exact_kernels_finds_less(
    exact: set[tuple[str, str, str]], plain: set[tuple[str, str, str]], less: bool
) -> None:
    assert _fewer(exact, plain) is less


@pytest.mark.parametrize(("exact", "plain", "less"), [(3, 9, True), (9, 9, False), (9, 3, False)])
def test_search_with_exact_kernels_that_finds_less_of_the_same_places(exact: int, plain: int, less: bool) -> None:
    class Found(_Attempt):
        failed = 0

    one, other = Found(places={FORWARD}), Found(places={FORWARD})
    one.failed, other.failed = exact, plain
    assert _less(one, other) is less
