"""What becomes of a tensor between two modules is told: ids, masks, axes; tensors that take no part; sums in one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import ACTIVATIONS
from alignment.hypotheses.base import Case
from alignment.hypotheses.bench import Answers, Result, Weight
from alignment.hypotheses.explain import explain
from alignment.results.findings import Evidence, Finding

DRAWS = np.random.default_rng(12)
X, Y = DRAWS.standard_normal((2, 4, 6, 6)), DRAWS.standard_normal((2, 4, 6, 6))
TABLE = DRAWS.standard_normal((9, 3))
IDS = np.array([[1, 8, 3, 3], [2, 0, 0, 5]])
HIDDEN = np.where(np.array([[1, 1, 1, 0], [1, 0, 0, 0]])[:, None, None] > 0, 0.0, -1e9)
FINDING = Finding("module", "part", "part", "eval", "forward", (Evidence("output 0", 1.0, ""),))


def causes(own: Mapping[str, Array], reference: Mapping[str, Array], right: Array, wrong: Array) -> list[str]:
    case = Case(FINDING, (right,), (wrong,), candidate_kind="Own", children=own, reference_children=reference)
    return [cause.says for cause in explain(case).causes]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (np.minimum(IDS, 7), "what word gets differs in 1 of 8 numbers: 7 where 8 is meant"),
        (IDS - 1, "what word gets is off by -1"),
        (IDS[:, ::-1], "what word gets runs backwards"),
    ],
)
def test_other_ids_are_told(ids: Array, says: str) -> None:
    own = {"word:0/integers/0": ids, "word:0/output/0": TABLE[ids]}
    reference = {"word:0/integers/0": IDS, "word:0/output/0": TABLE[IDS]}
    assert causes(own, reference, TABLE[IDS], TABLE[ids])[0] == says


def test_ids_of_a_table_with_more_rows_in_front_are_no_mistake() -> None:
    own = {"word:0/integers/0": IDS + 2, "word:0/output/0": TABLE[IDS]}
    reference = {"word:0/integers/0": IDS, "word:0/output/0": TABLE[IDS]}
    assert causes(own, reference, TABLE[IDS], TABLE[IDS] ** 3) == []


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (
            -1e9 - HIDDEN,
            "the mask in what layer gets (1) is the wrong way round: it hides what is to be seen, and shows",
        ),
        (0 * HIDDEN, "the mask in what layer gets (1) hides nothing, where the reference's does"),
        (HIDDEN[:, :, :, ::-1], "the mask in what layer gets (1) hides 8 places that are to be seen, and shows 8 that"),
    ],
)
def test_another_mask_is_told_whatever_it_is_filled_with(mask: Array, says: str) -> None:
    wide = np.broadcast_to(np.where(HIDDEN < 0, np.finfo(np.float32).min, 0.0), (2, 1, 4, 4)).astype(np.float64)
    own, reference = {"layer:0/input/1": mask}, {"layer:0/input/1": wide}
    assert causes(own, reference, X, Y)[0].startswith(says)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (X[:, ::-1], "axis 1 of what stem gets runs backwards"),
        (X.swapaxes(2, 3), "what stem gets has its axes in the order 0, 1, 3, 2: exchange them back"),
        (np.roll(X, 1, 2), "what stem gets is moved by 1 along axis 2, forwards"),
    ],
)
def test_rearranged_tensor_is_told(wrong: Array, says: str) -> None:
    assert says in causes({"stem:0/input/0": wrong}, {"stem:0/input/0": X}, X**2, wrong**2)


@pytest.mark.parametrize("activation", ["silu", "gelu erf", "tanh", "relu"])
def test_sum_in_an_activation_is_written_out_on_both_sides(activation: str) -> None:
    act = ACTIVATIONS[activation]
    children = {"norm:0/input/0": X**2, "norm:0/output/0": X, "project:0/input/0": Y**2, "project:0/output/0": Y}
    assert causes(children, children, act(X + Y), act(X)) == [
        f"its output 0 is {activation} of norm, not {activation} of (norm + project)"
    ] or causes(children, children, act(X + Y), act(X)) == [
        f"its output 0 is {activation} of norm, not {activation} of (project + norm)"
    ]


class Scaled:
    """A module that leaves out its scale, and may have a bias that does something."""

    calls = ()
    weights: Mapping[str, Weight] = {}

    def __init__(self) -> None:
        self.tensors = {"part.scale.weight": np.ones(4), "part.bias": np.zeros(5)}

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        return Result((X + {**self.tensors, **(weights or {})}["part.bias"].sum(),))


def test_tensor_that_changes_nothing_takes_no_part() -> None:
    extra = {
        "expected/gradient of theirs.gamma": np.ones(4),
        "found/gradient of theirs.gamma": np.zeros(4),
        "expected/gradient of theirs.bias": np.ones(5),
        "found/gradient of theirs.bias": np.ones(5),
    }
    case = Case(FINDING, (X * 3,), (X,), candidate_kind="Own", extra=extra, bench=Scaled)
    assert "its scale takes no part in what it gives" in [cause.says for cause in explain(case).causes]
    stopped = {**extra, "expected/gradient of theirs.gamma": np.ones(5), "found/gradient of theirs.gamma": np.zeros(5)}
    case = Case(FINDING, (X * 3,), (X,), candidate_kind="Own", extra=stopped, bench=Scaled)
    assert not any("no part" in cause.says for cause in explain(case).causes)


def test_elements_beside_large_ones_that_differ_too_are_not_said_to_be_multiplied() -> None:
    right = np.maximum(DRAWS.standard_normal((2, 50)), 0) * 100
    wrong = np.where(right > 0, 1.7 * right, 0.0) + np.where(right == 0, 3.0, 0.0)
    assert not any("beside fills" in says for says in causes({}, {}, right, wrong))
