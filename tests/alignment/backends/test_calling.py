"""Arguments by the names of inputs, outputs by the names that both sides use, and what is said of a failed call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from alignment.backends.calling import ONLY, Interface, failed, form
from alignment.errors import AlignmentError


def forward(input_ids: Any, attention_mask: Any = None, use_cache: bool = True) -> Any:
    """The arguments of a model."""


def passes_on(input_ids: Any, attention_mask: Any = None, **others: Any) -> Any:
    """The arguments of a model that takes any others."""


def test_one_array_is_the_first_positional_argument() -> None:
    assert Interface(call={"use_cache": False}).arguments({ONLY: 1}, forward) == ([1], {"use_cache": False})


@pytest.mark.parametrize(
    ("interface", "by_name"),
    [
        (Interface(), {"input_ids": 1, "attention_mask": 2}),
        (Interface({"attention_mask": None}), {"input_ids": 1}),
        (
            Interface({"attention_mask": "input_ids", "input_ids": "attention_mask"}),
            {"attention_mask": 1, "input_ids": 2},
        ),
        (Interface(call={"use_cache": False}), {"input_ids": 1, "attention_mask": 2, "use_cache": False}),
    ],
)
def test_inputs_become_keyword_arguments(interface: Interface, by_name: Mapping[str, Any]) -> None:
    assert interface.arguments({"input_ids": 1, "attention_mask": 2}, forward) == ([], by_name)


@pytest.mark.parametrize("function", [forward, passes_on])
def test_a_misspelt_input_is_refused_with_the_nearest_argument(function: Callable[..., Any]) -> None:
    with pytest.raises(AlignmentError, match="forward takes no argument 'input_id'; did you mean input_ids") as caught:
        Interface().arguments({"input_id": 1, "attention_mask": 2}, function)
    assert "it takes: input_ids, attention_mask" in caught.value.details[0]


def test_a_model_that_takes_any_keyword_is_given_names_of_its_own() -> None:
    assert Interface().arguments({"input_ids": 1, "pixel_values": 2}, passes_on)[1] == {
        "input_ids": 1,
        "pixel_values": 2,
    }
    assert Interface().arguments({"a": 1}, max)[1] == {"a": 1}  # a builtin that does not say what it takes


def test_a_call_option_that_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(AlignmentError, match="no argument 'use_cash'; did you mean use_cache"):
        Interface(call={"use_cash": False}).arguments({ONLY: 1}, forward)


def test_takes_that_names_no_input_is_refused_with_the_nearest() -> None:
    with pytest.raises(AlignmentError, match=r"names no input of the pair; did you mean input_ids\?"):
        Interface({"attention_mask": "input_id"}).arguments({"input_ids": 1}, forward)


@pytest.mark.parametrize(
    ("interface", "leaves", "outputs"),
    [
        (Interface(), {"": 1}, {"logits": 1}),
        (Interface(gives=("scores",)), {"": 1}, {"scores": 1}),
        (Interface(gives=("seq", "pooled")), {"0": 1, "1": 2, "2": 3}, {"seq": 1, "pooled": 2}),
        (Interface(gives=("1",)), {"0": 1, "1": 2}, {"1": 2}),
        (Interface(gives=("logits",)), {"loss": 1, "logits": 2}, {"logits": 2}),
        (Interface(gives={"out": "logits"}), {"out": 1, "aux": 2}, {"logits": 1}),
        (Interface(names={"0": "seq", "absent": "x"}), {"0": 1, "1": 2}, {"seq": 1, "1": 2}),
    ],
)
def test_gives_chooses_and_names_outputs(
    interface: Interface, leaves: Mapping[str, int], outputs: Mapping[str, int]
) -> None:
    assert interface.outputs(leaves) == outputs


@pytest.mark.parametrize("gives", [("logit",), {"logit": "logits"}])
def test_an_output_that_is_not_there_is_refused_with_the_nearest(gives: Any) -> None:
    with pytest.raises(AlignmentError, match="'logit', which the model does not give; did you mean logits") as caught:
        Interface(gives=gives).outputs({"loss": 1, "logits": 2})
    assert caught.value.details == ("it gives: loss, logits",)


def test_more_names_than_places_are_refused() -> None:
    with pytest.raises(AlignmentError, match="names the output 'third'"):
        Interface(gives=("first", "second", "third")).outputs({"0": 1, "1": 2})


def test_a_failed_call_says_what_was_given_and_where_it_failed() -> None:
    def model(x: Any) -> Any:
        raise ValueError("no such\nthing")

    given = {"x": np.ones((2, 3), np.float32)}
    try:
        model(None)
    except ValueError as error:
        said = failed(error, "the torch model fails in forward", given, model)
    assert said.summary == "the torch model fails in forward: ValueError: no such"
    assert said.details[:2] == ("given x float32 (2, 3)", "it takes: x")
    assert re.fullmatch(r'File ".*test_calling.py", line \d+, in model', said.details[2])
    assert said.details[3] == '  raise ValueError("no such\\nthing")'


def test_a_batch_in_words() -> None:
    assert form(np.ones((2, 3))) == "float64 (2, 3)"
    assert form({"ids": np.ones(2, np.int64), "x": np.ones(1, np.float32)}) == "ids int64 (2,), x float32 (1,)"
