"""What no optimizer updates on one side only: buffers, frozen parameters, and those that no gradient reaches."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from alignment.judging.untrained import left_out, reason
from tests.alignment.in_process import recorded

KEY = "bp/untrained/{}"


class Net(nn.Module):
    """A net with an offset and a parameter that no output depends on, each in one of several forms."""

    def __init__(self, offset: str = "trained", idle: str = "unreached") -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 5)
        if offset == "buffer":
            self.register_buffer("offset", torch.ones(8))
        else:
            self.offset = nn.Parameter(torch.ones(8), requires_grad=offset == "trained")
        self.idle, self.reached = nn.Parameter(torch.ones(3)), idle == "zeros"

    def forward(self, x: Any) -> Any:
        x = self.norm(self.first(x)).tanh() + self.offset
        return self.last(x + 0 * self.idle.sum() if self.reached else x)


@pytest.mark.parametrize(
    ("reference", "candidate", "name", "words"),
    [
        (Net(), Net(idle="zeros"), "idle", "no gradient reaches it in the reference, and one does in the candidate"),
        (Net(idle="zeros"), Net(), "idle", "no gradient reaches it in the candidate, and one does in the reference"),
        (Net(), Net("frozen"), "offset", "it is frozen in the candidate, and trained in the reference"),
        (Net("frozen"), Net(), "offset", "it is frozen in the reference, and trained in the candidate"),
        (Net(), Net("buffer"), "offset", "it is a buffer in the candidate, and a parameter that is trained in the ref"),
        (Net("buffer"), Net(), "offset", "it is a buffer in the reference, and a parameter that is trained in the can"),
    ],
)
def test_tensor_that_is_trained_on_one_side_only_is_named(
    reference: Any, candidate: Any, name: str, words: str
) -> None:
    both = recorded("bp", reference, candidate, (6,))
    key = KEY.format(name)
    assert not left_out(key, *both)
    assert reason(key, *both).startswith(words)
    assert both.reference.keys() ^ both.candidate.keys() <= {key, f"bp/gradient/{name}"}


@pytest.mark.parametrize("forms", [("buffer", "frozen"), ("frozen", "buffer"), ("frozen", "frozen")])
def test_buffers_and_frozen_parameters_are_one(forms: tuple[str, str]) -> None:
    both = recorded("bp", Net(forms[0]), Net(forms[1]), (6,))
    assert all(left_out(KEY.format(name), *both) for name in ("offset", "idle"))
    assert not both.differing - {KEY.format("offset")}


def test_other_keys_are_left_alone() -> None:
    assert not left_out("bp/gradient/offset", {}, {})
    assert reason("bp/gradient/offset", {}, {}) == ""
