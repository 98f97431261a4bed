"""Which weights the numbers of a torch optimizer stand for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from porting.checkpoint.tensor import Shape
from porting.training_state.naming import Merged, names_of

WEIGHTS: dict[str, Shape] = {
    "pos_embed": (1, 8, 4, 4), "conv.weight": (8, 3, 2, 2), "conv.bias": (8,), "a.weight": (8, 8), "a.bias": (8,),
    "b.weight": (8, 8), "b.bias": (8,), "norm.weight": (8,), "norm.bias": (8,),
}  # fmt: skip


def shapes(*names: str) -> list[Shape | None]:
    return [WEIGHTS[name] for name in names]


def test_one_group_is_in_the_order_of_the_model() -> None:
    assert names_of([shapes(*WEIGHTS)], [0.05], WEIGHTS) == [list(WEIGHTS)]


@pytest.mark.parametrize("first", ["exempt", "decaying"])
def test_vectors_without_decay_and_matrices_with_it_are_told_apart(first: str) -> None:
    exempt = [name for name, shape in WEIGHTS.items() if len(shape) == 1 or name == "pos_embed"]
    decaying = [name for name in WEIGHTS if name not in exempt]
    groups, decays = ([exempt, decaying], [0.0, 0.05]) if first == "exempt" else ([decaying, exempt], [0.05, 0.0])
    assert names_of([shapes(*group) for group in groups], decays, WEIGHTS) == groups


def test_parameters_without_a_shape_take_their_place() -> None:
    groups = [shapes(*WEIGHTS)]
    groups[0][2] = groups[0][3] = None
    assert names_of(groups, [0.05], WEIGHTS) == [list(WEIGHTS)]


def test_groups_in_the_order_of_names_are_found_where_the_models_order_does_not_fit() -> None:
    weights: dict[str, Shape] = {"z": (3,), "a": (2, 2), "m": (2,)}
    assert names_of([[(2, 2)], [(2,), (3,)]], [0.1, 0.0], weights) == [["a"], ["m", "z"]]
    reordered: dict[str, Shape] = {"z": (3,), "a": (2, 2), "m": (5,)}
    assert names_of([[(2, 2), (5,), (3,)]], [0.1], reordered) == [["a", "m", "z"]]


@pytest.mark.parametrize(
    ("groups", "decays", "problem"),
    [
        ([[(8, 8)], [(8, 8)]], [0.1, 0.1], "9 weights"),
        ([[(8, 8), (8, 8)]], [0.1], "2 parameters, the model 9 weights"),
    ],
)
def test_another_number_of_parameters_is_told(
    groups: list[list[Shape | None]], decays: list[float], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        names_of(groups, decays, WEIGHTS)


def test_equal_shapes_in_two_groups_are_refused_and_not_guessed() -> None:
    with pytest.raises(ValueError, match="fit the weights in several ways"):
        names_of([[(8, 8)], [(8, 8)]], [0.1, 0.1], {"a.weight": (8, 8), "b.weight": (8, 8)})


def test_shapes_of_another_model_name_the_first_weight_that_fits_nowhere() -> None:
    with pytest.raises(ValueError, match=r"no group goes on with b\.weight \(4, 8\)"):
        names_of([[(8, 8), (8, 8)]], [0.1], {"a.weight": (8, 8), "b.weight": (4, 8)})


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([(2,), (2, 2), (3, 2), (4,)]), st.integers(0, 2)), min_size=1, max_size=8))
def test_the_one_way_is_the_true_one(weights: list[tuple[Shape, int]]) -> None:
    named = {f"w{place}": shape for place, (shape, _) in enumerate(weights)}
    groups = [[f"w{place}" for place, (_, group) in enumerate(weights) if group == number] for number in range(3)]
    merged = Merged([[named[name] for name in group] for group in groups], named)
    assert merged.ways >= 1
    if merged.ways == 1:
        assert merged.names == groups
