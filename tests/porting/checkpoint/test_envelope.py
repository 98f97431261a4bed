"""What is wrapped around a state dict is taken off, and told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor
from porting.checkpoint.envelope import unwrap
from porting.checkpoint.pickles import Inert
from porting.errors import CheckpointError

W, V = (LazyTensor.of(np.full(2, value)) for value in (1.0, 2.0))


def error(problem: str) -> CheckpointError:
    return CheckpointError("a.pth", problem)


@pytest.mark.parametrize(
    ("saved", "envelope"),
    [
        ({"w": W}, ()),
        ({"model": {"w": W}}, ("model",)),
        ({"state_dict": {"w": W}, "epoch": 1}, ("state_dict",)),
        ({"model": {"w": V}, "state_dict": {"w": W}}, ("state_dict",)),
        ({"state_dict": {"w": V}, "model_ema": {"w": W}, "model": {"w": V}}, ("model_ema",)),
        ({"state_dict": {"w": V}, "state_dict_ema": {"w": W}, "model_ema": {"w": V}}, ("state_dict_ema",)),
        ({"model_ema": None, "model": {"w": W}}, ("model",)),
        ({"model_ema": {}, "model": {"w": W}}, ("model",)),
        ({"module.w": W}, ("module.",)),
        ({"_orig_mod.module.w": W}, ("_orig_mod.", "module.")),
        ({"state_dict": {"module._orig_mod.w": W}}, ("state_dict", "module.", "_orig_mod.")),
        ({"state_dict": {"model": {"w": W}}}, ("state_dict", "model")),
    ],
)
def test_envelopes(saved: dict[str, Any], envelope: tuple[str, ...]) -> None:
    found = unwrap(saved, error)
    assert found.tensors == {"w": W}
    assert found.envelope == envelope


def test_a_prefix_that_not_all_names_have_belongs_to_them() -> None:
    found = unwrap({"module.a": W, "b": V}, error)
    assert list(found.tensors) == ["module.a", "b"]
    assert found.envelope == ()


def test_what_is_left_out_is_told() -> None:
    saved = {
        "model": {"w": V, "steps": 3},
        "model_ema": {"w": W, "epochs": 1},
        "optimizer": {"state": {}},
        "args": Inert("argparse.Namespace"),
        "epoch": 5,
    }
    assert unwrap(saved, error).notes == (
        "model: left out, model_ema was read instead",
        "optimizer: left out, not weights (dict)",
        "args: left out, not weights (argparse.Namespace)",
        "epoch: left out, not weights (int)",
        "epochs: left out, not tensors",
    )


def test_many_entries_are_folded() -> None:
    found = unwrap({"w": W, **{f"blocks.{index}.steps": index for index in range(12)}}, error)
    assert found.notes == ("blocks.{0..11}.steps: left out, not tensors",)


def test_a_single_tensor() -> None:
    found = unwrap(W, error)
    assert found.tensors == {"tensor": W}
    assert found.notes == ("the file is one tensor without a name; it is called tensor",)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (3, "holds a int, expected a state dict"),
        (
            {"encoder": {"w": W}},
            "holds no state dict: its keys are encoder; expected tensors by name, or one of state_dict_ema",
        ),
        ({"model": {"epoch": 3}}, "holds no state dict: its keys are epoch"),
        ({1: W}, "has a tensor under 1, expected a name"),
        ({"a\nb": W}, r"has a tensor under 'a\\nb', expected a name"),
    ],
)
def test_no_state_dict(saved: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        unwrap(saved, error)


def test_wrappers_within_wrappers_end() -> None:
    saved: dict[str, Any] = {"w": W}
    for _ in range(10):
        saved = {"model": saved}
    with pytest.raises(CheckpointError, match="holds no state dict"):
        unwrap(saved, error)
