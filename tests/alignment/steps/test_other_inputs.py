"""The step other_inputs: further batches of both sides, and what a run leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from alignment.errors import RefusedError
from alignment.judging.other_inputs import OtherInputs
from alignment.pair.feeds import Mask, Tokens
from tests.alignment.in_process import Recorded, recorded


class Net(nn.Module):
    """Features of an image averaged over its pixels, changed by a function of the model and the features."""

    def __init__(self, change: Callable[[Any, Any], Any] = lambda _, x: x) -> None:
        super().__init__()
        self.conv, self.head, self.calls = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5), 0
        self.register_buffer("seen", torch.zeros(1))
        self.change = change

    def forward(self, image: Any) -> Any:
        self.calls += 1
        return self.head(self.change(self, self.conv(image).tanh()).mean((2, 3)))


def over_the_batch(_: Any, x: Any) -> Any:
    return x - x.mean(0, keepdim=True) * (len(x) == 1)


def by_number_of_calls(model: Any, x: Any) -> Any:
    return x if model.calls < 8 else x * 1.00001


def only_squares(_: Any, x: Any) -> Any:
    if x.shape[2] != x.shape[3]:
        raise ValueError("no square")
    return x


def only_batches(_: Any, x: Any) -> Any:
    if len(x) == 1:
        raise ValueError("no batch")
    return x


def writes(model: Any, x: Any) -> Any:
    model.seen += 1
    return x


def drawn(_: Any, x: Any) -> Any:
    return nn.functional.dropout(x, 0.5, training=True)


def _images(reference: Callable[[Any, Any], Any], candidate: Callable[[Any, Any], Any]) -> Recorded:
    return recorded("other_inputs", Net(reference), Net(candidate), (3, 16, 16))


def _same(_: Any, x: Any) -> Any:
    return x


def test_equal_models_agree_on_every_further_batch() -> None:
    both = _images(_same, _same)
    keys = {f"other_inputs/{name}/logits" for name in ("one", "other", "again", "size_14x12", "larger")}
    assert both.reference.keys() == both.candidate.keys() == keys
    assert not both.differing
    assert not [*OtherInputs(*both).notes()]


def test_candidate_that_depends_on_the_batch_differs_for_a_single_input() -> None:
    both = _images(_same, over_the_batch)
    assert "other_inputs/one/logits" in both.differing
    assert [*OtherInputs(*both).causes(both.differing)] == [
        "the candidate depends on how many inputs a batch has, or keeps something between calls"
    ]


def test_candidate_that_counts_its_calls_differs_in_a_later_one() -> None:
    both = _images(_same, by_number_of_calls)
    assert "other_inputs/one/logits" not in both.differing
    (cause,) = OtherInputs(*both).causes({"other_inputs/again/logits"})
    assert cause == "the candidate keeps something between calls: its first call agrees, a later one does not"


def test_candidate_that_fails_for_a_single_input_diverges() -> None:
    both = _images(_same, only_batches)
    others = OtherInputs(*both)
    key = "other_inputs/refused/one"
    assert not others.left_out(key)
    assert others.left_out("other_inputs/one/logits")
    assert "the candidate fails for a single input, the reference does not: " in others.reason(key)
    assert "ValueError: no batch" in others.reason(key)


def test_candidate_that_takes_fewer_sizes_is_noted_and_does_not_diverge() -> None:
    both = _images(_same, only_squares)
    others = OtherInputs(*both)
    assert all(others.left_out(key) for key in both.candidate.keys() - both.reference.keys())
    assert others.left_out("other_inputs/size_14x12/logits")
    (note,) = others.notes()
    assert note.startswith("the reference takes images of 14x12, the candidate does not: ")


def test_size_that_the_reference_refuses_is_said_not_to_be_exercised() -> None:
    others = OtherInputs(*_images(only_squares, _same))
    assert others.left_out("other_inputs/size_14x12/logits")
    (note,) = others.notes()
    assert note.startswith("not exercised: another image size; the reference refuses it: ")
    assert re.search(r' \(File ".*", line \d+, in only_squares\)$', note)


def test_buffer_that_only_the_candidate_writes_is_named() -> None:
    both = _images(_same, writes)
    key = "other_inputs/changed/seen"
    assert both.candidate.keys() - both.reference.keys() == {key}
    assert OtherInputs(*both).reason(key) == (
        "the candidate changes it while it is run in evaluation mode, the reference does not"
    )


def test_reference_that_draws_is_refused_where_the_candidate_differs() -> None:
    others = OtherInputs(*_images(drawn, drawn))
    others.check(diverges=False)
    with pytest.raises(RefusedError, match="gives something else for the same input once more"):
        others.check(diverges=True)


def test_candidate_alone_that_draws_is_named() -> None:
    others = OtherInputs(*_images(_same, drawn))
    others.check(diverges=True)
    assert "the same input once more" in "".join(others.causes({"forward/logits"}))
    assert others.reason("other_inputs/unsteady")


class Sentence(nn.Module):
    """Attention over the ids that a mask keeps, with as many positions as ids."""

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.table, self.head, self.length = nn.Embedding(20, 6), nn.Linear(6, 4), length

    def forward(self, ids: Any, mask: Any) -> Any:
        x = self.table(ids)
        count = self.length or ids.shape[1]
        return self.head((x * mask[..., None]).sum(1) / count)


def test_shorter_sequences_tell_a_fixed_length() -> None:
    feeds = {"ids": Tokens(20, (8,)), "mask": Mask((8,))}
    both = recorded("other_inputs", Sentence(), Sentence(8), inputs=feeds)
    assert both.differing == {"other_inputs/length_6/logits"}
    (cause,) = OtherInputs(*both).causes(both.differing)
    assert cause == "the candidate gives something else for sequences of 6"
