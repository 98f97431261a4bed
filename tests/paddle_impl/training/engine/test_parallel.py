from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.distributed as dist
import pytest
from paddle import nn

from paddle_impl.training import parallel
from paddle_impl.training.parallel import World, join


@pytest.fixture
def two_alike(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A world of two ranks that have the same, so that sums are twice as much; tells the sizes that were reduced."""
    sizes: list[int] = []

    def double(tensor: Any) -> None:
        sizes.append(tensor.size)
        tensor.set_value(tensor * 2)

    monkeypatch.setattr(dist, "all_reduce", double)
    return sizes


def test_gradients_are_summed_and_a_parameter_without_gradient_gets_none(two_alike: list[int]) -> None:
    model = nn.Linear(2, 3)
    model.weight.sum().backward()
    before = model.weight.grad.numpy()
    extra = World(0, 2).sum_gradients(model.parameters(), (1.5, 0.0))
    np.testing.assert_array_equal(model.weight.grad.numpy(), 2 * before)
    assert model.bias.grad is None
    assert extra.tolist() == [3.0, 0.0]
    assert two_alike == [4, 6]  # whether each has a gradient and the two numbers, then the one gradient


def test_parameter_with_a_gradient_on_another_rank_only_counts_as_zero_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = nn.Linear(2, 3)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.set_value(tensor + 1))
    World(0, 2).sum_gradients(model.parameters())
    np.testing.assert_array_equal(model.bias.grad.numpy(), np.ones(3))


def test_gradients_are_reduced_a_few_megabytes_at_a_time_and_by_dtype(
    two_alike: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_BUCKET", 64)
    parameters = [
        paddle.ones([size], dtype).detach()
        for size, dtype in ((8, "float32"), (4, "float64"), (8, "float32"), (1, "float32"), (100, "float32"))
    ]
    for parameter in parameters:
        parameter.stop_gradient = False
        (parameter * paddle.arange(parameter.size).astype(parameter.dtype)).sum().backward()
    World(0, 2).sum_gradients(parameters)
    assert two_alike == [5, 16, 4, 1, 100]
    for parameter in parameters:
        np.testing.assert_array_equal(parameter.grad.numpy(), 2 * np.arange(parameter.size))
        assert parameter.grad.dtype == parameter.dtype


def test_world_without_launcher_has_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    assert join() == World(0, 1)
    assert World().leads
    assert not World(1, 2).leads
