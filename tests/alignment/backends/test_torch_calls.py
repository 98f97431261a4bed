"""A torch model behind its backend: named arrays in, named arrays out, modules watched and run alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from alignment.backends.base import Backend, Runtime, Tap
from alignment.backends.calling import Interface
from alignment.backends.torch import create
from alignment.errors import AlignmentError

_IDS, _X = np.arange(6).reshape(2, 3), np.ones((2, 3, 4), np.float32)


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any, *, first: Any, second: Any) -> Any:
        return {"y": self.fc(x) * first + second}


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.block = nn.Embedding(9, 4), _Block()

    def forward(self, ids: Any, x: Any = None, shift: int = 0) -> Any:
        hidden = self.words(ids + shift)
        y = self.block(hidden, second=x, first=hidden.tanh())["y"]
        return {"logits": y.mean(1), "states": (hidden, y), "count": ids.sum(), "none": None}


class _Unpooled(nn.Module):
    def forward(self, x: Any) -> Any:
        pooled, places = nn.functional.max_pool2d(x, 2, return_indices=True)
        return nn.functional.max_unpool2d(pooled, places, 2)


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A backend with the model; what it sets for the whole process is put back."""
    before = torch.are_deterministic_algorithms_enabled()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    try:
        made = create(Runtime())
        made.use("float32")
        made.build(lambda: _Net(), {})
        made.connect(Interface(takes={"ids": "input_ids"}))
        yield made
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn


def test_every_output_has_a_name(backend: Backend) -> None:
    outputs = backend.forward({"input_ids": _IDS, "x": _X}, None)
    assert {name: array.shape for name, array in outputs.by_name.items()} == {
        "logits": (2, 4),
        "states.0": (2, 3, 4),
        "states.1": (2, 3, 4),
        "count": (),
    }
    assert outputs.logits is outputs.named["logits"]


def test_a_loss_of_several_outputs_is_the_sum_of_theirs(backend: Backend) -> None:
    batch: dict[str, Any] = {"input_ids": _IDS, "x": _X}
    outputs = backend.forward(batch, None).named
    rows = np.full((2, 4), 0.25, np.float32)
    weights = np.full((2, 3, 4), 0.5, np.float32)
    loss = backend.backward(batch, {"logits": rows, "states.1": weights, "absent": weights, "count": weights})
    expected = backend.loss("soft_target", outputs["logits"], rows) + (outputs["states.1"] * weights).sum()
    assert abs(loss - expected) < 1e-5
    backend.backward(batch, {"logits": rows, "states.1": weights})
    assert list(backend.input_gradients()) == ["x"]
    assert np.array_equal(backend.input_gradient(), backend.input_gradients()["x"])


def test_an_output_in_another_shape_than_expected_has_a_loss(backend: Backend) -> None:
    batch: dict[str, Any] = {"input_ids": _IDS, "x": _X}
    assert np.isfinite(backend.backward(batch, {"logits": np.ones((2, 7), np.float32)}, "projection"))


def test_outputs_that_are_all_lacking_are_an_error(backend: Backend) -> None:
    with pytest.raises(AlignmentError, match="none of the outputs whose gradients are compared"):
        backend.backward({"input_ids": _IDS, "x": _X}, {"absent": _X}, "projection")


def test_modules_with_integers_and_keyword_arguments_are_watched_and_run_alone(backend: Backend) -> None:
    seen: dict[str, np.ndarray[Any, Any]] = {}

    def visit(tap: Tap, array: np.ndarray[Any, Any]) -> None:
        seen[str(tap)] = array

    taps = backend.taps()
    with taps.watch(visit):
        backend.forward({"input_ids": _IDS, "x": _X}, None)
    assert np.array_equal(seen["words:0/integers/0"], _IDS)
    assert np.array_equal(seen[":0/integers/0"], _IDS)
    assert np.array_equal(seen["block:0/input/2"], _X)  # in the order of the declaration, not of the call
    alone = taps.isolate("words", 0, [], integers=[_IDS.astype(np.int32)])
    assert np.array_equal(alone.outputs[0], seen["words:0/output/0"])
    inputs = [seen[f"block:0/input/{index}"] for index in range(3)]
    assert np.array_equal(taps.isolate("block", 0, inputs).outputs[0], seen["block:0/output/0"])


def test_integers_of_another_shape_are_refused_where_a_module_takes_nothing_else(backend: Backend) -> None:
    taps = backend.taps()
    with taps.watch(lambda *_: None):
        backend.forward({"input_ids": _IDS, "x": _X}, None)
    with pytest.raises(AlignmentError, match=r"words takes integers \(2, 3\), \(2, 4\) were recorded"):
        taps.isolate("words", 0, [], integers=[np.zeros((2, 4), int)])
    kept = taps.isolate("", 0, [_X], integers=[np.zeros((2, 4), int)])
    assert np.array_equal(kept.outputs[0], backend.forward({"input_ids": _IDS, "x": _X}, None).logits)


def test_a_model_that_fails_says_what_it_was_given_and_where(backend: Backend) -> None:
    backend.connect(Interface(takes={"ids": "input_ids"}, call={"shift": 7}))
    with pytest.raises(AlignmentError, match="the torch model fails in forward: IndexError") as caught:
        backend.forward({"input_ids": _IDS, "x": _X}, None)
    assert caught.value.details[0] == "given input_ids int64 (2, 3), x float32 (2, 3, 4)"
    assert caught.value.details[-1] == "  hidden = self.words(ids + shift)"


def test_a_builder_that_fails_says_where(backend: Backend) -> None:
    def build() -> Any:
        return nn.Linear("wide", 3)

    with pytest.raises(AlignmentError, match="the builder of the torch model fails: TypeError") as caught:
        backend.build(build, {})
    assert caught.value.details[-1].strip().startswith('return nn.Linear("wide", 3)')


def test_a_model_without_a_tensor_in_its_output_is_refused(backend: Backend) -> None:
    backend.wrap(lambda x: {"a": None, "b": "text"}, {})
    with pytest.raises(AlignmentError, match="returned a dict without a tensor in it"):
        backend.forward(_X, None)


def test_a_published_pair_has_one_tensor_only(backend: Backend) -> None:
    backend.wrap(lambda x: (x, x), {})
    backend.connect(Interface(single=True))
    with pytest.raises(AlignmentError, match="the model returned a tuple in evaluation mode"):
        backend.forward(_X, None)


def test_operation_without_a_deterministic_form_runs(backend: Backend) -> None:
    backend.build(_Unpooled, {})
    backend.connect(Interface())
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    with pytest.warns(UserWarning, match="does not have a deterministic implementation"):
        outputs = backend.forward({"x": x}, None)
    assert np.count_nonzero(outputs.by_name["logits"]) == 8
