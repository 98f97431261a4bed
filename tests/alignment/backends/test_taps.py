"""Taps of both frameworks: modules are handed the very tensors, and what is shown are their values at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from alignment.backends import create
from alignment.backends.base import Backend, Runtime, Tap

X = np.array([[1.0, -2.0, 3.0]])
WEIGHTS = np.ones((1, 3))


def _torch() -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.keep, self.act, self.same = nn.Identity(), nn.LeakyReLU(0.5, inplace=True), Same()

        def forward(self, x: Any) -> Any:
            x = self.keep(x * 1.0)
            y = self.act(x)
            return self.same(x, x) + 2 * y

    class Same(nn.Module):
        def forward(self, one: Any, other: Any) -> Any:
            return one * (3.0 if one is other else 5.0)

    return Net()


def _paddle() -> Any:
    import paddle.nn.functional as F
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.keep, self.act, self.same = nn.Identity(), Act(), Same()

        def forward(self, x: Any) -> Any:
            x = self.keep(x * 1.0)
            y = self.act(x)
            return self.same(x, x) + 2 * y

    class Act(nn.Layer):
        def forward(self, x: Any) -> Any:
            return F.leaky_relu_(x, 0.5)

    class Same(nn.Layer):
        def forward(self, one: Any, other: Any) -> Any:
            return one * (3.0 if one is other else 5.0)

    return Net()


@pytest.fixture(params=["torch", "paddle"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A backend in float64, with a model in which an activation in place changes what others see."""
    pytest.importorskip(request.param)
    made = create(request.param, Runtime(deterministic=False))
    made.use("float64")
    try:
        made.build(_torch if request.param == "torch" else _paddle, {})
        made.use("float64")
        yield made
    finally:
        made.use("float32")


def _seen(backend: Backend, **how: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    with backend.taps().watch(lambda tap, array: seen.__setitem__(str(tap), array.tolist()), **how):
        seen["loss"] = float(backend.backward(X, WEIGHTS, "projection"))
    return seen


def test_modules_are_handed_the_very_tensors(backend: Backend) -> None:
    plain = float(backend.backward(X, WEIGHTS, "projection"))
    seen = _seen(backend)
    assert seen["loss"] == plain == 15.0
    assert seen["act:0/input/0"] == X.tolist()
    assert seen["act:0/output/0"] == [[1.0, -1.0, 3.0]] == seen["same:0/input/1"]
    assert seen["act:0/output_gradient/0"] == [[5.0, 5.0, 5.0]]
    assert not any("input_gradient" in key for key in seen)
    assert "keep:0/output_gradient/0" not in seen  # of a tensor that is passed on, the gradient is that of all its uses


def test_gradients_of_each_use_are_told_apart_with_copies(backend: Backend) -> None:
    seen = _seen(backend, apart=True)
    assert seen["loss"] != 15.0
    assert seen["same:0/input_gradient/0"] == [[5.0, 5.0, 5.0]]
    assert "keep:0/output_gradient/0" in seen


def test_modules_that_are_not_chosen_are_not_watched(backend: Backend) -> None:
    assert {key.partition(":")[0] for key in _seen(backend, paths=("act",))} == {"act", "loss"}


def test_replaced_output_in_place_is_seen_by_others(backend: Backend) -> None:
    seen: dict[str, Any] = {}
    values = [np.array([[7.0, 8.0, 9.0]])]
    taps = backend.taps()
    with taps.watch(lambda tap, array: seen.__setitem__(str(tap), array.tolist()), {("act", 0): values}):
        backend.forward(X, None)
    assert seen["same:0/input/0"] == values[0].tolist()


def test_module_that_changes_its_input_runs_alone_with_its_gradient(backend: Backend) -> None:
    taps = backend.taps()
    with taps.watch(lambda *_: None):
        backend.forward(X, None)
    alone = taps.isolate("act", 0, [X], [np.ones_like(X)])
    assert alone.outputs[0].tolist() == [[1.0, -1.0, 3.0]]
    assert alone.input_gradients[0] is not None
    assert alone.input_gradients[0].tolist() == [[1.0, 0.5, 1.0]]


def test_call_is_known_by_its_path_and_number() -> None:
    assert str(Tap("a.b", 1, "output", 0)) == "a.b:1/output/0"
