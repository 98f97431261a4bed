"""Calls of a framework's functions are seen with their place, answered otherwise, and left as they were afterwards."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import torch
from paddle import nn

from alignment.backends.functions.calls import PASSED_ON, Answer, Arrays, FunctionCall
from alignment.backends.functions.paddle import PaddleFunctions
from alignment.backends.functions.torch import TorchFunctions

X = np.random.default_rng(0).standard_normal((2, 4))


class Net(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.drop, self.held = nn.GELU(), nn.Dropout(0.5), F.relu

    def forward(self, x: Any) -> Any:
        with paddle.no_grad():
            kept = x * 1.0
        y = self.drop(self.act(x @ x.t())).detach()
        return F.softmax(self.held(y), axis=0) + kept.std() * (y >= 0.0).astype(y.dtype)


def torch_net(x: Any) -> Any:
    y = torch.nn.functional.gelu(x @ x.t()).detach()
    return y.softmax(dim=0) * (y >= 0.0)


def names(functions: Any, model: Any, x: Any) -> list[str]:
    seen: list[FunctionCall] = []

    def visit(call: FunctionCall, _: Arrays) -> Answer:
        seen.append(call)
        return None

    with functions.watch(visit):
        model(x)
    assert all(call.place.startswith("tests/alignment/backends/test_functions.py:") for call in seen), seen
    assert all(call.line for call in seen)
    return [call.name for call in seen]


def test_calls_of_a_model_in_paddle_are_seen_once_each_and_nothing_stays_replaced() -> None:
    net, before = Net(), (F.softmax, paddle.Tensor.__matmul__, paddle.Tensor.stop_gradient, paddle.std)
    functions = PaddleFunctions(net, lambda tensor: tensor.numpy())
    seen = names(functions, net, paddle.to_tensor(X, stop_gradient=False))
    wanted = ["no_grad", "multiply", "matmul", "gelu", "dropout", "detach", "relu", "softmax", "std", "greater_equal"]
    wanted += ["multiply", "add"]
    assert [name for name in seen if name in wanted] == wanted
    assert (F.softmax, paddle.Tensor.__matmul__, paddle.Tensor.stop_gradient, paddle.std) == before
    assert net.held is F.relu


def test_calls_of_a_model_in_torch_are_seen() -> None:
    functions = TorchFunctions(lambda tensor: tensor.detach().numpy())
    seen = names(functions, torch_net, torch.tensor(X, requires_grad=True))
    assert seen == ["matmul", "gelu", "detach", "softmax", "greater_equal", "multiply"]


@pytest.mark.parametrize("framework", ["paddle", "torch"])
def test_an_answer_takes_the_place_of_what_a_function_returned(framework: str) -> None:
    def visit(call: FunctionCall, arrays: Arrays) -> Answer:
        given, returned = arrays()
        assert given[0].shape == returned[0].shape == call.takes[0] == (2, 2)
        return [np.full((2, 2), 7.0)] if call.name == "softmax" else None

    if framework == "paddle":
        functions: Any = PaddleFunctions(nn.Identity(), lambda tensor: tensor.numpy())
        x = paddle.to_tensor(np.ones((2, 2)))
        with functions.watch(visit):
            assert (F.softmax(x).numpy() == 7).all()
        assert (F.softmax(x).numpy() == 0.5).all()
        return
    with TorchFunctions(lambda tensor: tensor.detach().numpy()).watch(visit):
        assert (torch.ones(2, 2).softmax(1) == 7).all()


def test_gradient_flows_again_through_what_stops_it_in_paddle() -> None:
    def stopping(x: Any) -> Any:
        with paddle.no_grad():
            y = x * 2.0
        z = x * 3.0
        z.stop_gradient = True
        return y + z + x.detach()

    functions = PaddleFunctions(nn.Identity(), lambda tensor: tensor.numpy())
    x = paddle.to_tensor(np.ones(2), stop_gradient=False)
    with functions.watch(lambda call, _: PASSED_ON if call.name in ("no_grad", "stop_gradient", "detach") else None):
        stopping(x).sum().backward()
    assert (x.grad.numpy() == 6).all()


def test_products_that_begin_at_the_same_column_are_told_apart() -> None:
    def model(x: Any) -> Any:
        return x * x * x + (x * (x * x))

    seen: list[FunctionCall] = []

    def visit(call: FunctionCall, _: Arrays) -> Answer:
        seen.append(call)
        return None

    with TorchFunctions(lambda tensor: tensor.numpy()).watch(visit):
        model(torch.tensor(X))
    assert [call.name for call in seen] == ["multiply"] * 4 + ["add"]
    assert len(set(seen)) == (5 if sys.version_info >= (3, 11) else 2)


def test_index_of_what_is_cut_out_is_shown() -> None:
    seen: list[FunctionCall] = []

    def visit(call: FunctionCall, _: Arrays) -> Answer:
        seen.append(call)
        return None

    with PaddleFunctions(nn.Identity(), lambda tensor: tensor.numpy()).watch(visit):
        F.silu(F.silu(paddle.to_tensor(X))[:, 1:])
    inner, cut, outer = seen
    assert (inner.name, outer.name) == ("silu", "silu")
    assert (cut.name, cut.setting("index")) == ("getitem", ":, 1:")
