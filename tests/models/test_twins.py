"""The twins in this folder, with weights that are mapped by hand, compute what the models of transformers compute."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from alignment.backends.building import in_finest
from porting.checkpoint import LazyTensor
from tests.models import truth

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed; the extra `dev` has it"
)
_GENERATOR = np.random.default_rng(0)
_TEXT = {"input_ids": _GENERATOR.integers(3, 29, (3, 8))}
_MASKED = {"attention_mask": np.arange(8)[None] < np.array([[8], [5], [6]])}
_SEGMENTS = {"token_type_ids": (np.arange(8)[None] > np.array([[3], [2], [4]])) * 1}
_MASK = {name: mask.astype(np.int64) for name, mask in _MASKED.items()}
_DECODED = {"decoder_input_ids": _GENERATOR.integers(3, 29, (3, 6))}
CASES: Mapping[str, tuple[str, Mapping[str, Any], str, Mapping[str, Any]]] = {
    "bert": ("bert", {}, "bert_paddle:bert", _TEXT | _MASK | _SEGMENTS),
    "masked_bert": ("bert", {"masked": True}, "bert_paddle:masked_bert", _TEXT | _MASK | _SEGMENTS),
    "gpt2": ("gpt2", {}, "gpt2_paddle:gpt2", _TEXT),
    "llama": ("llama", {}, "llama_paddle:llama", _TEXT),
    "t5": ("t5", {}, "t5_paddle:t5", _TEXT | _MASK | _DECODED),
    "vit": ("vit", {}, "vit_paddle:vit", {"pixel_values": _GENERATOR.normal(size=(3, 3, 16, 16))}),
    "whisper": ("whisper", {}, "whisper_paddle:whisper", {"input_features": _GENERATOR.normal(size=(3, 8, 20))}),
}
LIMIT = 1e-6
"""Both sides keep norms or rotations in float32 whatever the model's dtype."""


def _first(outputs: Any) -> Any:
    for name in ("logits", "last_hidden_state"):
        outputs = getattr(outputs, name, outputs)
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _reference(builder: str, options: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Random weights, and what they make of the inputs in float64."""
    import torch

    from tests.models import references

    model = getattr(references, builder)(**options).double().eval()
    generator = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.tensor(0.2 * generator.standard_normal(tuple(parameter.shape))))
        outputs = model(**{name: torch.tensor(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}, _first(outputs).numpy()


def _candidate(target: str, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    import paddle

    module, _, function = target.partition(":")
    before = paddle.get_default_dtype()
    paddle.set_default_dtype("float64")
    try:
        make: Callable[[], Any] = getattr(importlib.import_module(f"tests.models.{module}"), function)
        model = make().to(dtype="float64")
        model.eval()
        own = model.state_dict()
        assert {name: tuple(tensor.shape) for name, tensor in own.items()} == {n: x.shape for n, x in state.items()}
        for name, tensor in own.items():
            tensor.set_value(np.ascontiguousarray(state[name]))
        with paddle.no_grad():
            return _first(model(*(paddle.to_tensor(array) for array in inputs.values()))).numpy()
    finally:
        paddle.set_default_dtype(before)


@pytest.mark.parametrize("name", CASES)
def test_twin_with_weights_mapped_by_hand_gives_what_the_reference_gives(name: str) -> None:
    builder, options, twin, inputs = CASES[name]
    state, expected = _reference(builder, options, inputs)
    given = _candidate(twin, getattr(truth, name)(state), inputs)
    assert np.ptp(expected) > 0.1
    assert np.abs(given - expected).max() / np.abs(expected).max() < LIMIT


@pytest.mark.parametrize("name", ["masked_bert", "t5", "vit"])
def test_pair_of_one_input_is_one_function_with_weights_mapped_by_hand(name: str) -> None:
    from benchmarks.rules.adapter import backends
    from tests.models.pairs import declared

    pair = declared(name)
    reference, candidate = backends(pair).values()
    generator = np.random.default_rng(2)
    drawn = {key: array + 0.2 * generator.standard_normal(array.shape) for key, array in reference.state().items()}
    state = drawn | {key: drawn[first] for key, first in reference.tied().items()}
    mapped = getattr(truth, name)({key.removeprefix("model."): array for key, array in state.items()})
    shape = (3, *pair.input_shape)
    batch = generator.integers(0, pair.tokens, shape) if pair.tokens else generator.standard_normal(shape)
    results = []
    for side, arrays in ((reference, state), (candidate, {f"model.{key}": array for key, array in mapped.items()})):
        with in_finest(side):
            side.set_state(arrays)
            results.append(side.forward(batch, None).logits)
    assert np.abs(results[0] - results[1]).max() / np.abs(results[0]).max() < LIMIT


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "whisper"])
def test_rules_of_a_twin_are_found_without_a_hint_and_proven(name: str) -> None:
    from alignment.rules.in_process import derive_here
    from benchmarks.rules.adapter import backends
    from tests.models.pairs import declared

    pair = declared(name)
    sides = backends(pair)
    contract = derive_here(pair, sides["reference"], sides["candidate"])
    assert contract.proven is True
    state = {f"model.{key}": array for key, array in _reference(*CASES[name][:2], CASES[name][3])[0].items()}
    expected = getattr(truth, name)({key.removeprefix("model."): array for key, array in state.items()})
    given = contract.table.apply({key: LazyTensor.of(array) for key, array in state.items()})
    for key, array in expected.items():
        np.testing.assert_array_equal(given[f"model.{key}"].load(), array, err_msg=key)
