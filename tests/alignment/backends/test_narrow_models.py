"""Models that cast to float32 in their own code, so that they do not run in float64 as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alignment.backends.base import Backend, Runtime
from alignment.backends.building import build_model, in_finest
from alignment.errors import AlignmentError
from alignment.pair import Pair, Side
from alignment.rules.in_process import derive_here

_X = np.random.default_rng(3).standard_normal((2, 4))


def torch_casts() -> Any:
    import torch

    class Casts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.fc(x.float()).tanh().to(torch.float32))

    return Casts()


def paddle_casts() -> Any:
    import paddle

    class Casts(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = paddle.nn.Linear(4, 4), paddle.nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.fc(x.astype("float32")).tanh().cast("float32"))

    return Casts()


def torch_fails() -> Any:
    import torch

    class Fails(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(5, 4)

        def forward(self, x: Any) -> Any:
            return self.fc(x.float())

    return Fails()


def _backend(framework: str, build: str = "casts") -> Backend:
    return build_model(Side(framework, f"{__file__}:{framework}_{build}"), Runtime())


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_model_that_only_runs_without_its_casts_is_run_without_them(framework: str) -> None:
    backend = _backend(framework)
    narrow = backend.forward(_X.astype(np.float32), None).logits
    with in_finest(backend):
        wide = backend.forward(_X, None).logits
        again = backend.forward(_X, None).logits
        state = backend.state()
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide, again)
    matrices = [
        state[f"{name}.weight"] if framework == "paddle" else state[f"{name}.weight"].T for name in ("fc", "head")
    ]
    expected = np.tanh(_X @ matrices[0] + state["fc.bias"]) @ matrices[1] + state["head.bias"]
    np.testing.assert_allclose(wide, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(narrow, expected, rtol=1e-4, atol=1e-5)
    assert all(name.startswith("cast to float32 at test_narrow_models.py:") for name in backend.casts)
    assert backend.casts


def test_model_that_runs_as_it_is_keeps_its_casts() -> None:
    backend = _backend("torch")
    backend.forward(_X.astype(np.float32), None)
    assert not backend.casts


def test_error_of_a_model_that_fails_without_its_casts_too_is_its_own() -> None:
    backend = _backend("torch", "fails")
    with in_finest(backend), pytest.raises(AlignmentError, match="the torch model fails in forward") as caught:
        backend.forward(_X, None)
    assert "dtype" in caught.value.summary
    assert not backend.casts


def test_rules_of_models_that_cast_are_found_and_proven() -> None:
    pair = Pair(
        name="casts",
        reference=Side("torch", f"{__file__}:torch_casts"),
        candidate=Side("paddle", f"{__file__}:paddle_casts"),
        input_shape=(4,),
        rules="auto",
    )
    contract = derive_here(pair, _backend("torch"), _backend("paddle"))
    assert contract.proven is True
    assert contract.table.sources_of("head.weight") == ("head.weight",)
