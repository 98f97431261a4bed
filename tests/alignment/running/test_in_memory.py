"""Two models in memory, of two frameworks, in one process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alignment import align
from alignment.errors import AlignmentError

torch = pytest.importorskip("torch", reason="torch is not installed here; `make test` has it")
paddle = pytest.importorskip("paddle", reason="Paddle is not installed here; `make test` has it")


def models(epsilon: float = 1e-5) -> tuple[Any, Any]:
    """Return a small model in torch, and one in Paddle with the same weights."""
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.LayerNorm(8), torch.nn.Dropout(0.5))
    ours = paddle.nn.Sequential(paddle.nn.Linear(6, 8), paddle.nn.LayerNorm(8, epsilon=epsilon), paddle.nn.Dropout(0.5))
    weights = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    ours.set_state_dict({name: array.T if array.ndim == 2 else array for name, array in weights.items()})
    return theirs, ours


X = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)


@pytest.mark.parametrize("inputs", [X, {"input": X}], ids=["array", "named"])
def test_same_models_are_the_same_function_and_left_as_they_were(inputs: Any) -> None:
    theirs, ours = models()
    theirs.train()
    ours[1].eval()
    report = align(theirs, ours, inputs, name="mine")
    assert (report.verdict, report.model) == ("same function", "mine")
    assert {row.dtype for row in report.rows} == {"float32", "float64"}
    assert theirs.training
    assert theirs[0].weight.dtype == torch.float32
    assert (ours[0].training, ours[1].training) == (True, False)
    assert ours[0].weight.dtype == paddle.float32


def test_other_epsilon_diverges_and_torch_tensors_may_be_inputs() -> None:
    report = align(*models(1e-3), torch.from_numpy(X))
    assert report.verdict == "divergence"


def test_what_is_no_model_or_not_in_float32_is_refused() -> None:
    theirs, ours = models()
    with pytest.raises(AlignmentError, match="the candidate is a function"):
        align(theirs, lambda x: x, X)
    with pytest.raises(AlignmentError, match=r"the reference has tensors in float64: cast it to float32 first"):
        align(theirs.double(), ours, X)


def ending(error: BaseException) -> Any:
    """Return a model of Paddle whose forward pass raises an error."""
    model = paddle.nn.Linear(6, 8)

    def fail(x: Any) -> Any:
        raise error

    model.forward = fail
    return model


def test_model_that_ends_the_program_is_an_error() -> None:
    with pytest.raises(AlignmentError, match=r"the candidate model fails: it ends the program with sys\.exit\(0\)"):
        align(models()[0], ending(SystemExit(0)), X)


def test_error_of_a_model_does_not_speak_of_a_pair() -> None:
    with pytest.raises(AlignmentError, match="the Paddle model fails in forward: ValueError: oops") as caught:
        align(models()[0], ending(ValueError("oops")), X)
    assert "given float64 (3, 6)" in caught.value.details
    assert "pair" not in str(caught.value)


@pytest.mark.parametrize("inputs", [(X, X), [torch.from_numpy(X)]])
def test_several_inputs_without_names_are_refused(inputs: Any) -> None:
    with pytest.raises(AlignmentError, match="give one array, or several by the names of the arguments of forward"):
        align(*models(), inputs)
    with pytest.raises(AlignmentError, match="inputs: a NoneType is no array of numbers"):
        align(*models(), None)
