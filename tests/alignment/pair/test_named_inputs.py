"""Pairs with several named inputs and outputs: what they declare, the batch, and which outputs are one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignment.errors import AlignmentError, FileError
from alignment.pair import Floats, Mask, Pair, Side, Tokens
from alignment.pair.inputs import Inputs, random_batch
from alignment.pair.model_description import OutputInfo
from alignment.pair.outputs import common_names, nameless
from alignment.processes.settings import Settings
from alignment.rules.derive import derive
from alignment.running.prepare import batch_of
from alignment.steps import STEPS, hindrances
from tests.alignment.models_in_words import linear, model

PAIR = Pair(
    name="named",
    reference=Side("torch", "a.py:one"),
    candidate=Side("paddle", "a.py:two"),
    inputs={"input_ids": Tokens(11, (5,)), "attention_mask": Mask((5,)), "pixel_values": Floats((3, 2, 2))},
    rules="auto",
)
_STATES, _LOGITS = OutputInfo((3, 5, 8), (2, 5, 8)), OutputInfo((3, 4), (2, 4))


def _settled(reference: Mapping[str, OutputInfo], candidate: Mapping[str, OutputInfo] | None = None) -> Pair:
    theirs = replace(model(linear("fc", 4, 6), output=(3, 4)), outputs=reference)
    ours = replace(model(linear("fc", 4, 6), output=(3, 4)), outputs=reference if candidate is None else candidate)
    contract = derive(theirs, ours, [], auto=True)
    return replace(PAIR, architecture=contract.architecture("named", PAIR.picture), contract=contract)


def test_a_named_batch_has_every_input_and_stays_what_it_is(tmp_path: Path) -> None:
    batch = batch_of(_settled({"logits": _LOGITS, "states": _STATES}), Settings(batch_size=3))
    assert {name: array.shape for name, array in batch.named.items()} == {
        "input_ids": (3, 5),
        "attention_mask": (3, 5),
        "pixel_values": (3, 3, 2, 2),
    }
    batch.write(tmp_path / "inputs.safetensors")
    again = Inputs.read(tmp_path / "inputs.safetensors")
    assert again.digest == batch.digest
    assert isinstance(again.batch, Mapping)
    wide = again.cast("float64")
    assert {name: array.dtype.name for name, array in wide.named.items()} == {
        "attention_mask": "int64",
        "input_ids": "int64",
        "pixel_values": "float64",
    }
    assert wide.dtype == "float64"


def test_an_input_does_not_depend_on_the_others() -> None:
    alone = replace(PAIR, inputs={"input_ids": PAIR.inputs["input_ids"]})
    one, all_of_them = (random_batch(pair, 2, seed=4) for pair in (alone, PAIR))
    assert isinstance(one, Mapping)
    assert isinstance(all_of_them, Mapping)
    assert one["input_ids"].tolist() == all_of_them["input_ids"].tolist()


def test_only_numbers_are_moved_by_rounding() -> None:
    pair = replace(PAIR, inputs={**PAIR.inputs, "attention_mask": Mask((5,), dtype="float32")})
    batch = random_batch(pair, 2, seed=0)
    assert isinstance(batch, Mapping)
    one = np.zeros(2, np.float32)
    inputs = Inputs(one, np.zeros(2, np.int64), one, one, np.zeros(2, np.int64), named=batch)
    moved = inputs.moved(pair.continuous, np.random.default_rng(0)).named
    assert [name for name in batch if not np.array_equal(batch[name], moved[name])] == ["pixel_values"]
    assert pair.continuous == ("pixel_values",)


def test_logits_among_other_outputs_are_those_of_a_classifier() -> None:
    pair = _settled({"loss": OutputInfo(()), "logits": _LOGITS, "states": _STATES})
    assert (pair.classifies, pair.loss) == (True, "soft_target")
    batch = batch_of(pair, Settings(batch_size=5))
    assert isinstance(batch.targets, Mapping)
    assert {name: array.shape for name, array in batch.targets.items()} == {
        "logits": (5, 4),
        "loss": (),
        "states": (5, 5, 8),
    }


@pytest.mark.parametrize("name", ["scores", "pooler_output"])
def test_an_output_of_another_name_is_no_logits(name: str) -> None:
    pair = _settled({name: _LOGITS, "states": _STATES})
    assert (pair.classifies, pair.loss) == (False, "projection")
    targets = batch_of(pair, Settings(batch_size=2)).targets
    assert isinstance(targets, Mapping)
    assert targets[name].shape == (2, 4)
    assert np.linalg.norm(targets["states"]) < 2


def test_outputs_that_share_no_name_have_no_gradient() -> None:
    pair = _settled({"a": _STATES, "b": _STATES}, {"c": _STATES, "d": _STATES})
    hindered = hindrances(STEPS, ("forward", "bp"), pair)
    assert hindered == {"bp": "no floating-point output of named has the same name on both sides"}


@pytest.mark.parametrize(
    ("reference", "candidate", "names"),
    [
        ({}, {}, ({}, {})),
        ({}, {"logits": _LOGITS, "aux": _STATES}, ({}, {})),
        ({"a": _STATES}, {}, ({"a": "logits"}, {"logits": "logits"})),
        ({"a": _STATES, "b": _LOGITS}, {}, ({}, {"logits": "a"})),
        ({"0": _STATES, "1": _LOGITS}, {"a": _STATES, "b": _LOGITS}, ({"0": "a", "1": "b"}, {})),
        ({"a": _STATES, "b": _LOGITS}, {"0": _STATES}, ({}, {"0": "a"})),
        ({"0": _STATES, "1": _LOGITS}, {}, ({"0": "logits"}, {"logits": "logits"})),
        ({"a": _STATES}, {"b": _STATES}, ({}, {})),
        ({"0": _STATES}, {"0": _STATES}, ({"0": "logits"}, {"0": "logits"})),
    ],
)
def test_outputs_without_names_get_those_of_the_other_side(
    reference: Mapping[str, OutputInfo], candidate: Mapping[str, OutputInfo], names: Any
) -> None:
    theirs, ours = (replace(model(output=(3, 4)), outputs=outputs) for outputs in (reference, candidate))
    assert common_names(theirs, ours) == names


def test_outputs_of_tuples_have_no_names() -> None:
    assert nameless(["logits"])
    assert nameless(["0", "1.0"])
    assert not nameless(["logits", "aux"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": (3,)}, "leave out input_shape= and tokens="),
        ({"tokens": 5}, "leave out input_shape= and tokens="),
        ({"inputs": {"input ids": Mask((3,))}}, "'input ids' cannot name an input"),
        ({"inputs": {"ids": (3,)}}, "the input ids is a tuple; expected Tokens, Mask or Floats"),
        ({"reference": Side("torch", "a.py:b", takes={"x": "input_id"})}, r"names no input; did you mean input_ids\?"),
        ({"inputs": {}, "input_shape": (3,), "reference": Side("torch", "a.py:b", takes={"x": "y"})}, "inputs= only"),
        ({"inputs": {}}, r"or inputs=\{'input_ids': Tokens"),
    ],
)
def test_a_pair_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        replace(PAIR, **changes)


def test_a_side_keeps_what_it_says_of_arguments_and_outputs() -> None:
    side = Side("torch", "a.py:b", gives="logits", takes={"x": None}, call={"use_cache": False})
    assert (side.gives, dict(side.takes), dict(side.call)) == (("logits",), {"x": None}, {"use_cache": False})


def test_the_image_is_the_input_with_most_axes() -> None:
    assert PAIR.picture == (3, 2, 2)
    assert _settled({}).architecture.image_size == (2, 2)
    assert replace(PAIR, inputs={"step": Tokens(10, ())}).picture == ()


def _file(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "input_ids": np.arange(10).reshape(2, 5),
        "attention_mask": np.ones((2, 5), bool),
        "pixel_values": np.ones((2, 3, 2, 2)),
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_a_file_of_named_inputs(tmp_path: Path) -> None:
    path = _file(tmp_path / "inputs.npz", label=np.array([3, 0]))
    batch = batch_of(_settled({"logits": _LOGITS}), Settings(inputs=path))
    assert batch.named["attention_mask"].dtype == np.int64
    assert batch.named["pixel_values"].dtype == np.float32
    assert batch.labels.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": None}, "input_ids: missing"),
        ({"input_id": np.ones(2)}, r"input_id: no input of the pair; did you mean input_ids\?"),
        ({"input_ids": np.full((2, 5), 11)}, "input_ids: goes from 11 to 11, expected integers from 0 to 10"),
        ({"input_ids": np.zeros((2, 6), int)}, r"input_ids: is \(2, 6\), expected \(batch, 5\)"),
        ({"attention_mask": np.full((2, 5), 3)}, "attention_mask: is int64 with values other than 0 and 1"),
        ({"pixel_values": np.ones((2, 3, 2, 2), int)}, "pixel_values: is int64, expected normalised"),
        ({"pixel_values": np.ones((3, 3, 2, 2))}, "the inputs have batches of 2, 3"),
        ({"pixel_values": np.ones(())}, r"pixel_values: is \(\), expected"),
    ],
)
def test_a_file_that_does_not_fit_names_the_input(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _file(tmp_path / "inputs.npz", **changes)
    with pytest.raises(FileError, match=message):
        batch_of(_settled({"logits": _LOGITS}), Settings(inputs=path))
