"""Larger inputs and weights: bounds that ordinary values do not reach are told apart there, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import nn

from alignment.backends.functions.torch import TorchFunctions
from alignment.judging.other_inputs import OtherInputs, failing_batch
from alignment.pair.feeds import Tokens
from alignment.steps.bounds import Bounds
from tests.alignment.in_process import Recorded, recorded

LARGER = "other_inputs/larger/logits"


class Net(nn.Module):
    """Features of an image through a function of one tensor."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)
        self.act = act

    def forward(self, image: Any) -> Any:
        return self.head(self.act(self.norm(self.conv(image))).mean((2, 3)))


def _both(reference: Callable[[Any], Any], candidate: Callable[[Any], Any]) -> Recorded:
    return recorded("other_inputs", Net(reference), Net(candidate), (3, 12, 12))


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (nn.ReLU6(inplace=True), F.relu),
        (F.relu, F.relu6),
        (nn.Hardtanh(-8, 8), lambda x: x),
        (lambda x: x, lambda x: x.clamp(-9, 9)),
        (lambda x: x.clamp(-7.0, 7.0), lambda x: x.clamp(-7.0, 8.0)),
        (lambda x: torch.clip(x, max=9), lambda x: x),
        (lambda x: x.clamp_max(9), lambda x: x),
        (lambda x: torch.minimum(x, torch.tensor(9.0, dtype=x.dtype)), lambda x: x),
    ],
)
def test_other_bound_differs_for_larger_values_alone(
    reference: Callable[[Any], Any], candidate: Callable[[Any], Any]
) -> None:
    both = _both(reference, candidate)
    others = OtherInputs(*both)
    assert {key for key in both.differing if key.endswith("logits")} == {LARGER}
    assert not others.left_out(LARGER)
    assert not [*others.notes()]
    (cause,) = others.causes([LARGER])
    assert cause == (
        "the candidate gives something else for larger inputs and weights, for which values reach bounds such as "
        "ReLU6's"
    )
    assert failing_batch([LARGER]) == "larger"


def test_equal_bounds_agree() -> None:
    both = _both(F.relu6, nn.Hardtanh(0.0, 6.0))
    assert LARGER in both.reference
    assert LARGER not in both.differing
    assert not OtherInputs(*both).left_out(LARGER)


def test_models_without_bounds_are_not_held_there() -> None:
    both = _both(F.relu, F.gelu)
    others = OtherInputs(*both)
    assert others.left_out(LARGER)
    assert not [*others.notes()]


def test_bounds_that_are_reached_before_are_not_held_there() -> None:
    assert OtherInputs(*_both(lambda x: x.clamp(-0.1, 0.1), lambda x: x.clamp(-0.1, 0.1))).left_out(LARGER)


def test_small_numbers_that_keep_from_dividing_by_zero_are_no_bounds() -> None:
    assert OtherInputs(*_both(lambda x: x.clamp(min=1e-12), lambda x: x.clamp(min=1e-12))).left_out(LARGER)


def test_bound_that_nothing_reaches_is_said_not_to_be_exercised() -> None:
    (note,) = OtherInputs(*_both(lambda x: x.clamp(max=65504.0), lambda x: x)).notes()
    assert note.startswith(
        "not exercised: bounds that no value reaches, with larger inputs and weights either: clip at"
    )
    assert "65504 (tests/alignment/steps/test_larger.py:" in note


def test_candidate_that_overflows_there_does_not_diverge() -> None:
    others = OtherInputs(*_both(lambda x: x.clamp(-10, 10), lambda x: x + (x.abs().amax() > 10) * torch.inf))
    assert others.left_out(LARGER)
    (note,) = others.notes()
    assert note.endswith("larger inputs and weights; the candidate gives values for them that are not finite")


def test_model_that_rounding_moves_there_is_not_held() -> None:
    def wild(x: Any) -> Any:
        return torch.sin(x.clamp(-9, 9) * 1e9 * (x.abs().amax() > 9)) + x

    others = OtherInputs(*_both(wild, wild))
    assert others.left_out(LARGER)
    (note,) = others.notes()
    assert "larger inputs and weights; rounding alone moves what the reference gives for them by " in note


def test_weights_are_as_before_afterwards() -> None:
    net = Net(F.relu6)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    recorded("other_inputs", net, Net(F.relu6), (3, 12, 12))
    after = net.state_dict()
    assert all(torch.equal(after[name].double(), tensor.double()) for name, tensor in before.items())


def test_bounds_tell_their_places_and_fold_many() -> None:
    bounds = Bounds()
    x = torch.linspace(-2, 2, 5)
    with TorchFunctions(lambda tensor: tensor.numpy()).watch(bounds.visit):
        for end in (1.0, 3.0, 4.0, 5.0, 7.0):
            torch.clamp(x, -1.0, end)
    assert [end for _, _, end in bounds.idle] == [3.0, 4.0, 5.0, 7.0]
    assert bounds.told().endswith("and 1 more")
    assert np.all([name == "clip" for name, _, _ in bounds.idle])


class Words(nn.Module):
    """Ids looked up, and held against the same table again: tied, or in a copy of its own."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.table, self.fc, self.head = nn.Embedding(12, 6), nn.Linear(6, 6), nn.Linear(6, 12, bias=False)
        if tied:
            self.head.weight = self.table.weight

    def forward(self, ids: Any) -> Any:
        return self.head(F.relu6(self.fc(self.table(ids)).mean(1)))


@pytest.mark.parametrize("tied", [(True, True), (True, False)])
def test_tied_weights_are_multiplied_under_both_names(tied: tuple[bool, bool]) -> None:
    reference, candidate = (Words(tied=one) for one in tied)
    both = recorded("other_inputs", reference, candidate, inputs={"ids": Tokens(12, (5,))})
    assert LARGER in both.reference
    assert LARGER not in both.differing
    assert np.linalg.norm(both.reference[LARGER]) > 3 * np.linalg.norm(both.reference["other_inputs/one/logits"])
