"""Powers of beta, as optimizers keep them, and what does not belong to the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError
from porting.training_state.state import OptimizerState, powers, require_belonging, step_of


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [0, 1, 17, 1000, 8191])
def test_number_of_factors_is_found_again(step: int, dtype: str) -> None:
    assert step_of(powers(0.999, step, dtype), 0.999, dtype) == step


@pytest.mark.parametrize("power", [0.0, powers(0.9, 5000)])
def test_power_that_shrinks_no_more_gives_the_least_such_number(power: float) -> None:
    step = step_of(power, 0.9)
    assert step < 1200
    assert powers(0.9, step - 1) > powers(0.9, step) == powers(0.9, 5000)


def test_power_of_another_beta_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is no power of 0\.9"):
        step_of(0.95**3, 0.9)


def tensor(*shape: int) -> LazyTensor:
    return LazyTensor.of(np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("moments", "problem"),
    [
        ({"b": {"exp_avg": tensor(3), "exp_avg_sq": tensor(2)}}, r"b: exp_avg is \(3,\), the weight \(2,\)"),
        ({"a": {"exp_avg": tensor(2, 2)}}, "a: there is no exp_avg_sq"),
        ({"c": {"exp_avg": tensor(2), "exp_avg_sq": tensor(2)}}, "c: there is no such weight"),
    ],
)
def test_state_of_other_weights_is_refused_with_the_first_that_differs(
    moments: dict[str, dict[str, LazyTensor]], problem: str
) -> None:
    weights = {"a": tensor(2, 2), "b": tensor(2)}
    with pytest.raises(
        CheckpointError, match=f"x.pdopt: .*does not belong to x.pdparams; it differs first at {problem}"
    ):
        require_belonging(Path("x.pdopt"), OptimizerState(moments, {}), weights, Path("x.pdparams"))
