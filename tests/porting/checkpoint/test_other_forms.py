"""Weights in another form than a model uses them are named for what they are, with what to do about them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import open_checkpoint
from porting.checkpoint.other_forms import other_form
from porting.errors import PlanError
from porting.identify import identify

NAMES = {
    "base_model.model.h.0.attn.lora_A.default.weight": r"are an adapter.*merge_and_unload",
    "lora_unet_down_blocks_0.lora_down.weight": r"are an adapter",
    "base_model.model.fc.ia3_l": "are an adapter",
    "base_model.model.fc.oft_R.weight": "are an adapter",
    "base_model.vera_A": "are an adapter",
    "conv.weight_g": "weight_norm keeps in two",
    "conv.parametrizations.weight.original1": "weight_norm keeps in two",
    "fc.weight_mask": r"masks of pruned weights.*prune\.remove",
    "fc.weight_orig": "before torch has normalised them",
    "fc.parametrizations.weight.original": "before torch has normalised them",
    "layers.0.mlp.qweight": "packed into fewer bits",
    "layers.0.mlp.weight.absmax": "packed into fewer bits",
}


@pytest.mark.parametrize(("name", "words"), NAMES.items())
def test_form_is_named_with_what_to_do(name: str, words: str) -> None:
    told = other_form(["fc.bias", name])
    assert told is not None
    assert told.startswith(name)
    assert re.search(words, told)


def test_names_of_plain_models_tell_nothing() -> None:
    plain = ["attn.weight", "original_model.weight", "lora_ablation.weight", "norm.weight_gamma", "scales.bias"]
    assert other_form(plain) is None


WHOLE_NAMES = {
    "conv2d_0.w_0": "Paddle's own names of parameters.*use_structured_name=False",
    "conv2d_0.w_0_moment1_0": "the state of Paddle's optimizer",
    "arr_3": "arrays without names",
    "params/Dense_0/kernel": "Flax, JAX and TensorFlow",
    "bert/encoder/layer_0/dense/bias:0": "Flax, JAX and TensorFlow",
}


@pytest.mark.parametrize(("name", "words"), WHOLE_NAMES.items())
def test_form_that_most_names_have_is_named(name: str, words: str) -> None:
    told = other_form([name, name, name, name, name, "a.weight"])
    assert told is not None
    assert told.startswith(name)
    assert re.search(words, told)
    assert other_form([name, "a.weight", "b.weight"]) is None


def test_refusal_of_an_unknown_model_says_it() -> None:
    with pytest.raises(PlanError, match="not a known model") as caught:
        identify({"h.0.lora_A.weight": (4, 8), "h.0.lora_B.weight": (8, 4)})
    assert "are an adapter" in caught.value.details[0]


def test_optimizer_pickled_as_an_object_does_not_stop_the_weights(torch: Any, tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()  # its state has the parameters for keys
    torch.save({"model": model.state_dict(), "optimizer": optimizer}, tmp_path / "a.pth")
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert np.array_equal(checkpoint.tensors["weight"].load(), model.weight.detach().numpy())
        assert "optimizer: left out, state of the optimizer" in checkpoint.notes


def test_numbers_and_bytes_beside_the_weights_are_called_what_they_are(torch: Any, tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.ones(2)}, "best": np.float64(1.5), "commit": b"x"}, tmp_path / "a.pth")
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert {"best: left out, not weights (NumPy number)", "commit: left out, not weights (bytes)"} <= {
            *checkpoint.notes
        }
