"""Mistakes of embeddings, each made with NumPy, and named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.hypotheses.base import Case
from alignment.hypotheses.explain import explain
from alignment.results.findings import Finding

_TABLE = np.random.default_rng(0).standard_normal((7, 4))
_IDS = np.array([[0, 3, 6], [0, 0, 2]])


def _causes(expected: Array, found: Array, direction: str = "forward", **extra: Array) -> list[str]:
    case = Case(
        Finding("module", "words", "table", "eval", direction, ()),
        (expected,),
        (found,),
        kind="Embedding",
        candidate_kind="Embedding",
        parameters={"weight": _TABLE},
        inputs=(_IDS,),
        extra=extra,
    )
    return [cause.name for cause in explain(case).causes]


def _without(number: int) -> Array:
    return np.where(np.equal(_IDS, number)[..., None], 0.0, _TABLE[_IDS])


@pytest.mark.parametrize(
    ("expected", "found", "cause"),
    [
        (_TABLE[_IDS], _without(0), "padding row"),
        (_without(3), _TABLE[_IDS], "padding row lost"),
        (_TABLE[_IDS], _TABLE[(_IDS + 1) % 7], "ids moved"),
        (_TABLE[_IDS], _TABLE[_IDS] * 2, "scaled"),
    ],
)
def test_a_wrong_lookup_names_its_mistake(expected: Array, found: Array, cause: str) -> None:
    assert _causes(expected, found)[0] == cause


@pytest.mark.parametrize(
    ("change", "cause"), [(lambda row: row * 0, "padding gradient lost"), (lambda row: row, "padding gradient")]
)
def test_a_gradient_of_the_row_of_padding_names_its_mistake(change: Callable[[Array], Array], cause: str) -> None:
    given = np.random.default_rng(1).standard_normal((2, 3, 4))
    whole = np.zeros((7, 4))
    np.add.at(whole, _IDS.reshape(-1), given.reshape(-1, 4))
    stopped = whole.copy()
    stopped[3] = 0
    expected, found = (whole, stopped) if cause.endswith("lost") else (stopped, whole)
    extra = {
        "given/output gradient 0": given,
        "expected/gradient of words.weight": expected,
        "found/gradient of words.weight": found,
    }
    assert change(whole[3]).tolist() == found[3].tolist()
    assert cause in _causes(_TABLE[_IDS], _TABLE[_IDS], "backward", **extra)
