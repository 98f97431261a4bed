"""What users' own pairs are fed with, and what a pair without a known architecture has to say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignment.errors import AlignmentError, FileError
from alignment.pair import Pair, Side
from alignment.pair.contract import Contract
from alignment.pair.inputs import Inputs
from alignment.pair.model_description import pack
from alignment.pair.units import kind_of
from alignment.processes.settings import Settings
from alignment.rules.derive import derive
from alignment.running.prepare import batch_of
from alignment.steps import STEPS, hindrances
from tests.alignment.models_in_words import layer, linear, model

OWN = Pair(
    name="own",
    reference=Side("torch", "a.py:one"),
    candidate=Side("paddle", "a.py:two"),
    input_shape=(6,),
    rules="auto",
)


def _settled(output: tuple[int, ...], **changes: Any) -> Pair:
    two = model(linear("fc", 4, 6, "paddle"), framework="paddle", output=output)
    contract = derive(model(linear("fc", 4, 6), output=output), two, [], auto=True)
    pair = replace(OWN, **changes)
    return replace(pair, architecture=contract.architecture("own", pair.input_shape), contract=contract)


def test_models_that_give_logits_get_labels_and_soft_targets() -> None:
    pair = _settled((3, 4))
    assert (pair.classifies, pair.loss) == (True, "soft_target")
    batch = batch_of(pair, Settings(batch_size=5))
    assert (batch.images.shape, batch.labels.shape, batch.soft_targets.shape) == ((5, 6), (5,), (5, 4))
    assert np.all(batch.soft_targets.sum(1) == 1)
    assert batch_of(pair, Settings(batch_size=5)).digest == batch.digest


@pytest.mark.parametrize(("traced", "output"), [((3, 7, 4), (5, 7, 4)), ((), ()), ((9,), (9,)), ((3, 1), (5, 1))])
def test_models_that_give_anything_else_get_weights_of_it(
    traced: tuple[int, ...], output: tuple[int, ...], tmp_path: Path
) -> None:
    pair = _settled(traced)
    assert (pair.classifies, pair.loss) == (False, "projection")
    assert list(hindrances(STEPS, ("forward", "metric", "loss", "bp"), pair)) == ["metric", "loss"]
    batch = batch_of(pair, Settings(batch_size=5))
    assert batch.soft_targets.shape == output
    batch.write(tmp_path / "inputs.safetensors")
    assert Inputs.read(tmp_path / "inputs.safetensors").digest == batch.digest


@pytest.mark.parametrize(
    ("traced", "fewer", "expected"),
    [((3,), (3,), (3,)), ((7, 3, 4), (7, 2, 4), (7, 5, 4)), ((12, 4), (8, 4), (20, 4)), ((3, 4), (2, 4), (5, 4))],
)
def test_axes_that_follow_the_batch_are_found_by_two_batches(
    traced: tuple[int, ...], fewer: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    one = replace(model(linear("fc", 4, 6), output=traced), fewer=fewer)
    contract = derive(one, one, [], auto=True)
    assert contract.output(5) == expected
    assert bool(contract.classes) == (traced == (3, 4))


@pytest.mark.parametrize("change", [{"gives": "int64"}, {"gives": "bool"}, {"function": True}])
def test_integers_and_plain_functions_are_no_logits(change: dict[str, Any]) -> None:
    one = replace(model(linear("fc", 4, 6), output=(3, 4)), **change)
    assert derive(one, one, [], auto=True).classes == 0


def test_tokens_are_integers_in_every_precision() -> None:
    batch = batch_of(_settled((3, 4), tokens=11, input_shape=(6,)), Settings(batch_size=50))
    assert batch.images.dtype == np.int64
    assert (batch.images.min(), batch.images.max()) == (0, 10)
    assert batch.cast("float64").images.dtype == np.int64


def test_a_file_of_inputs(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, image=np.arange(12).reshape(2, 6))
    pair = _settled((3, 7), tokens=12)
    assert batch_of(pair, Settings(inputs=path)).images.tolist() == np.arange(12).reshape(2, 6).tolist()
    with pytest.raises(FileError, match="expected integers from 0 to 10"):
        batch_of(replace(pair, tokens=11), Settings(inputs=path))
    with pytest.raises(FileError, match="expected normalised floating-point values"):
        batch_of(replace(pair, tokens=0), Settings(inputs=path))
    with pytest.raises(FileError, match=r"'image' is \(2, 6\), expected \(batch, 7\)"):
        batch_of(replace(pair, input_shape=(7,)), Settings(inputs=path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": ()}, "nothing says which weights of the reference become which"),
        ({"rules": ["atuo"]}, "own: 'atuo' is no rule"),
        ({"input_shape": ()}, r"say the shape of one input, without the batch: input_shape=\(3, 64, 64\)"),
        ({"input_shape": (0,)}, r"the input shape is \(0,\)"),
    ],
)
def test_a_pair_that_does_not_say_enough(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        replace(OWN, **changes)


def test_a_side_is_a_model_or_a_function() -> None:
    for build, function in (("", ""), ("a.py:b", "a.py:c")):
        with pytest.raises(AlignmentError, match="give either build, what makes a model, or function"):
            Side("torch", build, function=function)


def test_gradients_jump_where_a_module_is_known_to_make_them() -> None:
    smooth = Contract(model(linear("fc", 4, 6), layer("act", "GELU")), model(), ())
    assert smooth.smooth
    assert not replace(smooth, candidate=model(layer("act", "LeakyReLU"))).smooth


def test_constants_keep_their_values_and_counters_are_counters() -> None:
    index = layer("attn", "Attention", base="Module", relative_position_index=(2, 2))
    info = next(iter(index[1].values()))
    info = replace(info, dtype="int64", buffer=True, values=pack(np.array([0, 1, 1, 0])))
    both = model((index[0], {"attn.relative_position_index": info}), linear("fc", 4, 6))
    contract = derive(both, both, [], auto=True)
    architecture = contract.architecture("own", (6,))
    assert contract.constants["attn.relative_position_index"].tolist() == [[0, 1], [1, 0]]
    assert contract.constants["attn.relative_position_index"].dtype == np.int64
    assert not architecture.counters
    assert not architecture.statistics


@pytest.mark.parametrize(
    ("bases", "kind"),
    [
        (("LayerNorm2d", "LayerNorm", "Module"), "LayerNorm"),
        (("BatchNorm2D", "_BatchNormBase", "Layer"), "BatchNorm"),
        (("NonDynamicallyQuantizableLinear", "Linear", "Module"), "Linear"),
        (("Dense", "Cell"), "Linear"),
        (("Conv2dTranspose", "Cell"), "ConvTranspose"),
        (("Conv3D", "Layer"), "Conv"),
        (("Bilinear", "Module"), ""),
        (("Module",), ""),
    ],
)
def test_kinds_go_by_the_frameworks_classes(bases: tuple[str, ...], kind: str) -> None:
    module, _ = layer("m", "Whatever")
    assert kind_of(replace(module, bases=bases)) == kind
