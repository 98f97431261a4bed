from __future__ import annotations

from typing import Any

import paddle
import pytest

from paddle_impl.training.optimizer import AdamW
from paddle_impl.training.precision import Precision, device_of
from recipe.config import Optimizer
from recipe.errors import ConfigError


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_mixed_precision_on_a_cpu_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"run\.precision is {name}, which Paddle has on GPUs only: on a CPU its autocast"
    ):
        Precision.of(name, "cpu")


def test_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"run\.precision is 'int8', expected float32 or float64 on a CPU"):
        Precision.of("int8", "cpu")


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_full_precision_is_the_dtype_of_the_parameters(name: str) -> None:
    precision = Precision.of(name, "cpu")
    assert (precision.parameters, precision.autocast, precision.scaler) == (name, None, None)


def test_float16_scales_the_loss_and_bfloat16_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle.amp, "GradScaler", lambda: "scaler")
    assert Precision.of("float16", "gpu") == Precision("float32", "float16", "scaler")
    assert Precision.of("bfloat16", "gpu") == Precision("float32", "bfloat16", None)


def test_mixed_is_float16_where_there_is_a_gpu_and_float32_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle.amp, "GradScaler", lambda: "scaler")
    assert Precision.of("mixed", "gpu") == Precision.of("float16", "gpu")
    assert Precision.of("mixed", "cpu") == Precision("float32")


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="needs a Paddle without CUDA")
def test_missing_gpu_is_an_error() -> None:
    assert device_of("auto") == "cpu"
    with pytest.raises(ConfigError, match=r"run\.device is gpu, and this Paddle was built without CUDA"):
        device_of("gpu")
    with pytest.raises(ConfigError, match=r"run\.device is 'tpu', expected auto, cpu or gpu"):
        device_of("tpu")


class _Recorded:
    """A scaler, and an optimizer, that write down what they are asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> _Recorded:
            self.calls.append(name)
            return self

        return call


class _Overflowed:
    """A scaler after gradients overflowed; `step` decides as Paddle 3.3's."""

    def step(self, optimizer: Any) -> None:
        """Leaves the decision to optimizers that say they take it."""
        if hasattr(optimizer, "_set_auxiliary_var"):
            optimizer._set_auxiliary_var("found_inf", True)
            optimizer.step()

    def update(self) -> None:
        """Nothing."""


def test_overflow_of_gradients_skips_the_step_and_the_decay() -> None:
    model = paddle.nn.Linear(2, 2)
    optimizer = AdamW(model, Optimizer(weight_decay=0.5), 0.1)
    before = model.weight.numpy()
    model(paddle.ones([1, 2])).sum().backward()
    Precision("float32", "float16", _Overflowed()).step(optimizer)
    assert (model.weight.numpy() == before).all()
    assert model.weight.grad is None or not model.weight.grad.numpy().any()
    model(paddle.ones([1, 2])).sum().backward()
    Precision().step(optimizer)
    assert (model.weight.numpy() != before).all()


def test_step_with_a_scaler_steps_and_updates_it_once() -> None:
    scaler = _Recorded()
    optimizer: Any = _Recorded()
    precision = Precision("float32", "float16", scaler)
    precision.backward(paddle.zeros([]))
    precision.step(optimizer)
    assert scaler.calls == ["scale", "backward", "step", "update"]
    assert optimizer.calls == ["clear_grad"]
