"""What is wrapped around a state dict is taken off, and told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor
from porting.checkpoint.containers.stand_ins import Inert
from porting.checkpoint.envelope import Kind, unwrap
from porting.checkpoint.selection import Selection
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
        ({"model_state": {"w": V}, "ema_state": {"w": W}, "optimizer_state": {}, "cfg": "a"}, ("ema_state",)),
        ({"model_state": {"w": W}, "epoch": 3}, ("model_state",)),
        ({"state_dict": {"model.w": W}, "pytorch-lightning_version": "2"}, ("state_dict", "model.")),
        ({"state_dict": {"net.module.w": W}}, ("state_dict", "net.", "module.")),
        ({"model_ema": {"n_averaged": V, "module.w": W}, "model": {"w": V}}, ("model_ema", "module.")),
        ({"model_ema": {"decay": 0.9}, "model": {"w": W}}, ("model",)),
    ],
)
def test_wrappers_and_prefixes_are_taken_off(saved: dict[str, Any], envelope: tuple[str, ...]) -> None:
    unwrapped = unwrap(saved, error)
    assert unwrapped.tensors == {"w": W}
    assert unwrapped.envelope == envelope


def test_prefix_that_only_some_names_have_stays() -> None:
    unwrapped = unwrap({"module.a": W, "b": V}, error)
    assert list(unwrapped.tensors) == ["module.a", "b"]
    assert unwrapped.envelope == ()


@pytest.mark.parametrize("saved", [{"model.w": W}, {"state_dict": {"model.w": W, "loss.w": V}}])
def test_lightning_prefix_that_is_ambiguous_stays(saved: dict[str, Any]) -> None:
    assert "model.w" in unwrap(saved, error).tensors


TRAINING = {
    "model": {"w": V, "steps": 3},
    "model_ema": {"w": W, "epochs": 1},
    "optimizer": {"state": {}, "exp_avg": W},
    "scaler": {"scale": 1.0},
    "lr_scheduler": None,
    "args": Inert("argparse.Namespace"),
    "epoch": 5,
    "logit_scale": V,
}
LEFT_OUT = (
    "optimizer: left out, state of the optimizer",
    "scaler: left out, state of the loss scaler",
    "lr_scheduler: left out, state of the learning rate schedule",
    "args: left out, not weights (argparse.Namespace)",
    "epoch: left out, not weights (int)",
    "logit_scale: left out, a tensor beside the weights",
)


def test_entries_left_out_are_noted() -> None:
    unwrapped = unwrap(TRAINING, error)
    assert (unwrapped.weights, unwrapped.tensors) == ("ema", {"w": W})
    other = "model: left out, model_ema was read instead; --weights model reads it"
    assert unwrapped.notes == (other, *LEFT_OUT, "epochs: left out, not tensors")


@pytest.mark.parametrize(("weights", "tensor", "key"), [("model", V, "model"), ("ema", W, "model_ema")])
def test_weights_option_chooses_the_state_dict(weights: Kind, tensor: LazyTensor, key: str) -> None:
    unwrapped = unwrap(TRAINING, error, Selection(weights))
    assert (unwrapped.weights, unwrapped.tensors, unwrapped.envelope) == (weights, {"w": tensor}, (key,))


@pytest.mark.parametrize(
    ("best", "read"),
    [
        ({"epoch": 4, "top1": 0.5, "weights": "model"}, "model"),
        ({"epoch": 4, "top1": 0.5, "weights": "ema"}, "model_ema"),
        ({"epoch": 3, "top1": 0.5, "weights": "model"}, "model_ema"),
        ({"epoch": 4, "top1": 0.5, "weights": "both"}, "model_ema"),
        ({"epoch": "4", "weights": "model"}, "model_ema"),
        (None, "model_ema"),
    ],
)
def test_better_weights_of_the_last_evaluation_are_preferred(best: Any, read: str) -> None:
    saved = {"model": {"w": W}, "model_ema": {"w": V}, "progress": {"epoch": 5, "best": best}}
    unwrapped = unwrap(saved, error)
    assert unwrapped.envelope == (read,)
    assert unwrap(saved, error, Selection("ema")).envelope == ("model_ema",)
    assert unwrap(saved, error, Selection("model")).envelope == ("model",)
    notes = [note for note in unwrapped.notes if "better accuracy" in note]
    assert len(notes) == (isinstance(best, dict) and best["epoch"] == 4 and best["weights"] != "both")
    assert unwrap({"model": {"w": W}, "progress": {"epoch": 5, "best": best}}, error).envelope == ("model",)


def test_averages_within_a_wrapper_are_found() -> None:
    saved = {"state_dict": {"model": {"w": V}, "model_ema": {"w": W}}, "epoch": 1}
    unwrapped = unwrap(saved, error, Selection("ema"))
    assert (unwrapped.tensors, unwrapped.envelope) == ({"w": W}, ("state_dict", "model_ema"))
    assert unwrapped.notes == (
        "state_dict.model: left out, state_dict.model_ema was read instead; --weights model reads it",
        "epoch: left out, not weights (int)",
    )


def test_model_and_averages_in_one_dict_can_both_be_read() -> None:
    inner = {"w": W}
    assert unwrap({"model": inner, "model_ema": inner}, error, Selection("model")).envelope == ("model",)


@pytest.mark.parametrize(
    ("saved", "weights", "averages", "message"),
    [
        ({"w": W}, "ema", "", "holds no ema weights, which --weights ema asks for; there is one state dict alone"),
        ({"model": {"w": W}}, "ema", "", r"there is model \(model\): leave --weights out to read it"),
        ({"model_ema": {"w": W}}, "model", "", r"holds no model weights, .* there is model_ema \(ema\)"),
        ({"w": W}, "ema", "pit-EMA.pdparams", r"or give pit-EMA\.pdparams beside it, which holds the average"),
    ],
)
def test_weights_that_are_not_there(saved: dict[str, Any], weights: Kind, averages: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        unwrap(saved, error, Selection(weights), beside={"ema": averages} if averages else {})
    assert unwrap(saved, error, Selection(weights), required=False).tensors == {"w": W}


def test_state_dict_alone_counts_as_the_model() -> None:
    assert unwrap({"w": W}, error, Selection("model")).weights is None


def classy(trunk: dict[str, Any], heads: dict[str, Any]) -> dict[str, Any]:
    return {
        "classy_state_dict": {"base_model": {"model": {"trunk": trunk, "heads": heads}}, "optimizer": {}},
        "type": 1,
    }


BLOCK = {"proj.weight": "proj.0.weight", "bn.bias": "proj.1.bias", "f.a.0.weight": "f.a.0.weight", "f.b.1.bias":
         "f.b.1.bias", "f.se.excitation.0.bias": "f.se.fc1.bias", "f.se.excitation.2.weight": "f.se.fc2.weight",
         "f.c.weight": "f.c.0.weight", "f.final_bn.running_mean": "f.c.1.running_mean"}  # fmt: skip


@pytest.mark.parametrize(
    ("stem", "block", "heads"),
    [
        ("_feature_blocks.conv1.stem.0", "_feature_blocks.res4.block3-10", {"0.clf.0.weight": W}),
        ("stem.stem.0", "trunk_output.block3.block3-10", {"block4": {"default_head": {"fc.weight": W}}}),
    ],
    ids=["vissl", "ClassyVision"],
)
def test_trunk_and_heads_get_the_names_of_torchvision(stem: str, block: str, heads: dict[str, Any]) -> None:
    saved = classy({f"{stem}.weight": V, **{f"{block}.{name}": V for name in BLOCK}}, heads)
    unwrapped = unwrap(saved, error)
    assert unwrapped.envelope == ("classy_state_dict.base_model.model",)
    names = ["stem.0.weight", *(f"trunk_output.block3.block3-10.{name}" for name in BLOCK.values()), "fc.weight"]
    assert list(unwrapped.tensors) == names
    assert unwrapped.tensors["fc.weight"] is W
    assert unwrapped.notes == ("type: left out, not weights (int)", "optimizer: left out, state of the optimizer")


def test_several_heads_keep_their_names() -> None:
    unwrapped = unwrap(
        classy({"stem.stem.0.weight": W}, {"block4": {"a": {"fc.weight": V}, "b": {"fc.weight": V}}}), error
    )
    assert list(unwrapped.tensors) == ["stem.0.weight", "a.fc.weight", "b.fc.weight"]


def test_dict_that_holds_itself_is_read() -> None:
    saved: dict[str, Any] = {"w": W}
    saved |= {"heads": saved, "trunk": saved, "model": saved, "state_dict": saved}
    saved["classy_state_dict"] = {"base_model": {"model": saved}}
    unwrapped = unwrap(saved, error)
    assert unwrapped.tensors == {"w": W}
    assert len(unwrapped.notes) <= 51


def test_many_entries_are_folded() -> None:
    unwrapped = unwrap({"w": W, **{f"blocks.{index}.steps": index for index in range(12)}}, error)
    assert unwrapped.notes == ("blocks.{0..11}.steps: left out, not tensors",)


def test_single_tensor_is_called_tensor() -> None:
    unwrapped = unwrap(W, error)
    assert unwrapped.tensors == {"tensor": W}
    assert unwrapped.notes == ("the file is one tensor without a name; it is called tensor",)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (3, "holds a int, expected a state dict"),
        (
            {"encoder": {"w": W}, "decoder": {"w": W}},
            r"holds several sets of tensors: encoder \(1 tensor\), decoder \(1 tensor\); choose one, such",
        ),
        (
            {"weights": 1},
            "holds no state dict: its keys are weights; expected tensors by name, or one of state_dict_em",
        ),
        ({"model": {"epoch": 3}}, "holds no state dict: its keys are model"),
        ({"a" * 2000: W}, "expected a name"),
        ({1: W}, "has a tensor under 1, expected a name"),
        ({"a\nb": W}, r"has a tensor under 'a\\nb', expected a name"),
    ],
)
def test_no_state_dict(saved: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        unwrap(saved, error)


def test_too_many_wrappers_are_refused() -> None:
    saved: dict[str, Any] = {"w": W}
    for _ in range(10):
        saved = {"model": saved}
    with pytest.raises(CheckpointError, match="holds no state dict"):
        unwrap(saved, error)
