"""Modules that keep what they made of their weights until their mode changes."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from torch import Tensor, nn

from alignment.backends import create
from alignment.backends.base import AdamW, Backend, Runtime


class LookedUpOnce(nn.Module):
    """Keeps a table as the first pass in evaluation mode has looked it up."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, 3))
        self.kept: Tensor | None = None

    def train(self, mode: bool = True) -> LookedUpOnce:
        self.kept = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x + self.table[0]
        if self.kept is None:
            self.kept = self.table[[0]]  # a copy, as a table that is looked up by indices is
        return x + self.kept


class LookedUpAhead(nn.Module):
    """Looks a table up without gradients when it is put in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, 3))

    @torch.no_grad()
    def train(self, mode: bool = True) -> LookedUpAhead:
        super().train(mode)
        if not mode:
            self.kept = self.table[0].clone()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.table[0] if self.training else self.kept)


class Net(nn.Module):
    """A module that keeps something, a norm, and a dropout within another such module."""

    def __init__(self, kept: type[nn.Module]) -> None:
        super().__init__()
        self.kept, self.norm, self.drop = kept(), nn.BatchNorm1d(3), nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.kept(x)))


@pytest.fixture(params=[LookedUpOnce, LookedUpAhead])
def backend(request: pytest.FixtureRequest) -> Backend:
    backend = create("torch", Runtime(threads=1))
    backend.build(Net, {"kept": request.param})
    return backend


X = np.ones((4, 3), np.float32)


def test_weights_that_are_written_after_a_pass_are_those_of_the_next_pass(backend: Backend) -> None:
    before = backend.forward(X, None).logits
    backend.set_state({"kept.table": np.ones((2, 3), np.float32)})
    after = backend.forward(X, None).logits
    np.testing.assert_allclose(after - before, 1, atol=1e-4)


def test_weights_that_an_optimizer_has_updated_are_those_of_the_next_pass(backend: Backend) -> None:
    backend.start_optimizer(AdamW())
    backend.backward(X, np.ones((4, 3), np.float32), "projection")
    backend.optimizer_step()
    after = backend.forward(X, None).logits
    backend.set_state(backend.state())  # which makes anew what is kept
    np.testing.assert_array_equal(after, backend.forward(X, None).logits)


def test_precision_holds_for_what_is_kept(backend: Backend) -> None:
    backend.forward(X, None)
    backend.use("float64")
    try:
        assert backend.forward(X.astype(np.float64), None).logits.dtype == np.float64
    finally:
        backend.use("float32")


def test_graph_shows_a_table_that_an_earlier_pass_has_kept(backend: Backend) -> None:
    backend.forward(X, None)
    state = {name: array.copy() for name, array in backend.state().items()}
    graph = backend.graph(X)
    assert graph is not None
    assert "kept.table" in graph.tensors.values()
    assert all(np.array_equal(array, state[name]) for name, array in backend.state().items())


def test_modules_are_in_evaluation_mode_afterwards(backend: Backend) -> None:
    backend.set_state({"kept.table": np.ones((2, 3), np.float32)})
    backend.graph(X)
    np.testing.assert_array_equal(backend.forward(X, None).logits, backend.forward(X, None).logits)


def test_gradient_reaches_a_table_that_an_earlier_pass_has_kept() -> None:
    backend = create("torch", Runtime(threads=1))
    backend.build(Net, {"kept": LookedUpOnce})
    backend.forward(X, None)
    backend.backward(X, np.ones((4, 3), np.float32), "projection")
    assert backend.gradients()["kept.table"].any()
