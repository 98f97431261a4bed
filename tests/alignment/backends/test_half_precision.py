"""Models in half precision: converted, and refused with the operation where their framework has none."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from alignment import backends
from alignment.arrays import HALVES
from alignment.backends.base import Backend, Runtime
from alignment.backends.half_precision import missing_operation, running_in
from alignment.errors import AlignmentError


def net(framework: str) -> Any:
    """A convolution and a norm with running statistics."""
    if framework == "torch":
        from torch import nn

        return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    from paddle import nn as layers

    return layers.Sequential(layers.Conv2D(1, 2, 1), layers.BatchNorm2D(2))


def built(framework: str, dtype: str) -> Backend:
    pytest.importorskip(framework)
    backend = backends.create(framework, Runtime(threads=1))
    backend.build(lambda: net(framework), {})
    backend.use(dtype)
    return backend


@pytest.mark.parametrize("dtype", HALVES)
def test_torch_gives_outputs_and_gradients_in_half_precision(dtype: str) -> None:
    backend = built("torch", dtype)
    images = np.ones((2, 1, 3, 3)).astype(dtype)
    assert backend.forward(images, None).logits.dtype.name == dtype
    backend.backward(images, np.ones((2, 2, 3, 3)).astype(dtype), "projection")
    assert {array.dtype.name for name, array in backend.gradients().items() if "batches" not in name} == {dtype}
    assert {array.dtype.name for array in backend.input_gradients().values()} == {dtype}


@pytest.mark.parametrize("dtype", HALVES)
def test_paddle_keeps_batch_norms_in_float32(dtype: str) -> None:
    backend = built("paddle", dtype)
    backend.set_state({"0.weight": np.full((2, 1, 1, 1), 1 / 3, np.float32), "1.weight": np.full(2, 1 / 3, np.float32)})
    state = backend.state()
    assert {name: array.dtype.name for name, array in state.items()} == {
        **dict.fromkeys(("0.weight", "0.bias"), dtype),
        **dict.fromkeys(("1.weight", "1.bias", "1._mean", "1._variance"), "float32"),
    }
    assert state["0.weight"].flat[0] == np.float32(1 / 3).astype(dtype)
    assert state["1.weight"][0] == np.float32(1 / 3)


@pytest.mark.parametrize("dtype", HALVES)
def test_paddle_on_the_cpu_names_side_and_operation(dtype: str) -> None:
    backend = built("paddle", dtype)
    says = rf"^the candidate \(Paddle\) does not run in {dtype} on the CPU: conv2d is not implemented in it"
    with pytest.raises(AlignmentError, match=says), running_in(dtype, "candidate", backend.title, "cpu"):
        backend.forward(np.ones((1, 1, 3, 3)).astype(dtype), None)


@pytest.mark.parametrize(
    ("message", "operation"),
    [
        ("\"addmm_impl_cpu_\" not implemented for 'Half'", "addmm_impl_cpu_"),
        ("The kernel with key (CPU, Undefined(AnyLayout), bfloat16) of kernel `add` is not registered", "add"),
        ("  [operator < linear > error]", "linear"),
        ("Select CPU operator[MatMul] fail! Unsupported data type!", "MatMul"),
        ("For primitive[AvgPool3D], the input argument[x] must be a type of {Tensor[Float16]}", "AvgPool3D"),
        ("For cross_entropy, the input dtype should be mstype.float64", "cross_entropy"),
        ("index 3 is out of bounds", ""),
    ],
)
def test_missing_operation_is_read_from_the_message_of_each_framework(message: str, operation: str) -> None:
    assert missing_operation(message) == operation


def test_model_that_mixes_precisions_is_said_to() -> None:
    error = RuntimeError("mat1 and mat2 must have the same dtype, but got Float and BFloat16")
    says = "it mixes bfloat16 with another precision: RuntimeError: mat1 and mat2"
    with pytest.raises(AlignmentError, match=says), running_in("bfloat16", "reference", "torch", "cpu"):
        raise error


def test_bfloat16_is_a_floating_dtype_of_batches() -> None:
    from alignment.pair.inputs import perturb

    array = np.array([1.0, 0.0, -3.0], ml_dtypes.bfloat16)
    moved = perturb(array, np.random.default_rng(0))
    assert moved.dtype == array.dtype
    assert moved[1] == 0
    assert np.all(np.abs(moved.astype(float) - array.astype(float))[[0, 2]] <= [2.0**-7, 2.0**-6])
