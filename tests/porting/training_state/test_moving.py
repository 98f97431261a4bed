"""Moments move as their weights do, and nothing that the rules change is carried."""

from __future__ import annotations

import numpy as np
import pytest

from porting.architectures.base import TensorSpec
from porting.checkpoint.tensor import LazyTensor
from porting.errors import PlanError
from porting.operations import Chain, Concat, Op, Permute, Reshape, Scale, Split, Transpose, Untie
from porting.plan import Plan, plan
from porting.rules import rule
from porting.training_state.moving import moved
from porting.training_state.state import Group, OptimizerState

Q, K = "q.weight", "k.weight"


def tensor(shape: tuple[int, ...], start: int = 0) -> LazyTensor:
    return LazyTensor.of(np.arange(start, start + int(np.prod(shape)), dtype=np.float32).reshape(shape))


def state_of(shapes: dict[str, tuple[int, ...]], steps: dict[str, int] | None = None, *groups: Group) -> OptimizerState:
    steps = dict.fromkeys(shapes, 4) if steps is None else steps
    moments = {
        name: {"exp_avg": tensor(shapes[name], 10 * at), "exp_avg_sq": tensor(shapes[name], 100 * at)}
        for at, name in enumerate(shapes)
        if steps.get(name)
    }
    return OptimizerState(moments, {name: step for name, step in steps.items() if step}, groups)


def planned(shapes: dict[str, tuple[int, ...]], sources: tuple[str, ...], targets: tuple[str, ...], op: Op) -> Plan:
    return plan([rule(sources, targets, op)], {name: TensorSpec(shape) for name, shape in shapes.items()})


def tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, LazyTensor]:
    return {name: tensor(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("op", [Transpose(), Permute((1, 0)), Chain((Transpose(), Reshape((3, 2), (6,))))])
def test_moments_of_a_rearranged_weight_are_rearranged(op: Op) -> None:
    shapes: dict[str, tuple[int, ...]] = {Q: (2, 3)}
    state = state_of(shapes)
    result = moved(state, planned(shapes, (Q,), ("w",), op), tensors(shapes))
    for kind, source in state.moments[Q].items():
        np.testing.assert_array_equal(result.moments["w"][kind].load(), op.apply(source.load())[0])
    assert result.steps == {"w": 4}


def test_joined_and_split_weights_carry_moments_steps_and_groups() -> None:
    shapes: dict[str, tuple[int, ...]] = {Q: (2, 3), K: (2, 3)}
    group = Group((Q, K), {"weight_decay": 0.1})
    joined = moved(state_of(shapes, None, group), planned(shapes, (Q, K), ("qk",), Concat(2, 0)), tensors(shapes))
    assert joined.moments["qk"]["exp_avg"].load()[:, 0].tolist() == [0, 3, 10, 13]
    assert joined.groups == (Group(("qk",), {"weight_decay": 0.1}),)
    whole: dict[str, tuple[int, ...]] = {"qk": (4, 3)}
    back = moved(joined, planned(whole, ("qk",), (Q, K), Split(2, 0)), tensors(whole))
    np.testing.assert_array_equal(back.moments[K]["exp_avg"].load(), tensor((2, 3), 10).load())
    assert back.groups == (group,)


def test_groups_follow_the_order_of_the_target() -> None:
    shapes: dict[str, tuple[int, ...]] = {"a": (2,), "b": (2,)}
    same = plan([rule("a", "x"), rule("b", "y")], {name: TensorSpec(shape) for name, shape in shapes.items()})
    result = moved(state_of(shapes, None, Group(("a", "b"), {})), same, tensors(shapes), ["y", "x"])
    assert result.groups == (Group(("y", "x"), {}),)


def test_weight_without_a_gradient_so_far_has_no_moments_there_either() -> None:
    shapes: dict[str, tuple[int, ...]] = {Q: (2, 3)}
    result = moved(state_of(shapes, {}, Group((Q,), {})), planned(shapes, (Q,), ("w",), Transpose()), tensors(shapes))
    assert (result.moments, result.steps, result.groups) == ({}, {}, (Group(("w",), {}),))


def test_weight_under_two_names_has_the_moments_of_the_first() -> None:
    shapes: dict[str, tuple[int, ...]] = {"embed": (2, 3), "head": (2, 3)}
    state = state_of(shapes, {"embed": 4}, Group(("embed",), {}))
    result = moved(state, planned(shapes, ("embed", "head"), ("w",), Untie(2)), tensors(shapes), tied={"head": "embed"})
    assert result.steps == {"w": 4}
    assert result.groups == (Group(("w",), {}),)


@pytest.mark.parametrize(
    ("steps", "groups", "problem"),
    [
        ({Q: 4, K: 5}, (), "its parts have different numbers of updates: q.weight 4, k.weight 5"),
        ({Q: 4}, (), "its parts have different numbers of updates: q.weight 4, k.weight 0"),
        (
            {Q: 4, K: 4},
            (Group((Q,), {"weight_decay": 0.0}), Group((K,), {"weight_decay": 0.1})),
            "its parts are in different groups",
        ),
    ],
)
def test_parts_that_were_not_updated_alike_are_refused(
    steps: dict[str, int], groups: tuple[Group, ...], problem: str
) -> None:
    shapes: dict[str, tuple[int, ...]] = {Q: (2, 3), K: (2, 3)}
    with pytest.raises(PlanError, match=problem):
        moved(state_of(shapes, steps, *groups), planned(shapes, (Q, K), ("qk",), Concat(2, 0)), tensors(shapes))


def test_multiplied_weight_is_refused_by_name() -> None:
    shapes: dict[str, tuple[int, ...]] = {Q: (2, 3)}
    with pytest.raises(PlanError, match="w: its values are changed on the way"):
        moved(state_of(shapes), planned(shapes, (Q,), ("w",), Scale(0.5)), tensors(shapes))
