"""Half precision: a correct model passes, a wrong activation does not, and what cannot be told is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional

from alignment.arrays import HALVES
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, Report
from tests.alignment.in_process import judged

STEPS = ("forward", "metric", "loss", "bp", "batchnorm", "other_inputs")
ACTIVATIONS = {
    "gelu": functional.gelu,
    "tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
}


class Net(nn.Module):
    """A convolution, both kinds of norms, and an activation that can be wrong."""

    def __init__(self, activation: str = "gelu", eps: float = 1e-5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16)
        self.fc, self.ln, self.head = nn.Linear(16, 32), nn.LayerNorm(32, eps), nn.Linear(32, 10)
        self.activation = activation

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.bn(self.conv(x))).mean((2, 3))
        return self.head(ACTIVATIONS[self.activation](self.ln(self.fc(x))))


class Port(Net):
    """The same in another order of sums."""

    def forward(self, x: Any) -> Any:
        x = torch.clamp(self.bn(self.conv(x)), min=0).mean(-1).mean(-1)
        return self.head(ACTIVATIONS[self.activation](self.ln(x @ self.fc.weight.T + self.fc.bias)))


class Upcast(Port):
    """A port that gives its logits in float32, as models of language do."""

    def forward(self, x: Any) -> Any:
        return super().forward(x).float()


class Overflowing(nn.Module):
    """A model that leaves the range of float16 on its way."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.two(self.one(x) * 1e6)


def run(tmp_path: Path, candidate: nn.Module, *dtypes: str, steps: tuple[str, ...] = ("forward", "bp")) -> Report:
    return judged(Net(), candidate, (3, 8, 8), folder=tmp_path, dtypes=dtypes, steps=steps)


@pytest.mark.parametrize("dtype", HALVES)
def test_correct_port_passes_every_step_in_half_precision(dtype: str, tmp_path: Path) -> None:
    report = run(tmp_path, Port(), dtype, steps=STEPS)
    assert not report.failures, [row.reason for row in report.failures]
    assert report.verdict == ROUNDING
    assert {row.step for row in report.rows} == {*STEPS}
    assert not any(row.key == "bp/loss_1" for row in report.rows)
    notes = " ".join(report.notes)
    assert f"{dtype} tells errors from rounding above" in notes
    assert f"--dtype both,{dtype} sees smaller ones" in notes


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_wrong_activation_diverges_in_half_precision(activation: str, dtype: str, tmp_path: Path) -> None:
    report = run(tmp_path, Port(activation), dtype, steps=("forward",))
    (row,) = (row for row in report.failures if row.key == "forward/logits")
    assert "times the rounding noise" in row.reason


def test_error_below_rounding_passes_in_bfloat16_and_diverges_beside_it_in_float64(tmp_path: Path) -> None:
    wrong = Port(eps=1.2e-5)
    alone = run(tmp_path / "alone", wrong, "bfloat16", steps=("forward",))
    assert alone.verdict == ROUNDING
    both = run(tmp_path / "both", wrong, "float64", "bfloat16", steps=("forward",))
    assert {(row.key, row.dtype) for row in both.failures} == {("forward/logits", "float64")}
    assert not any("sees smaller ones" in note for note in both.notes)


def test_float64_certifies_beside_half_precision(tmp_path: Path) -> None:
    assert run(tmp_path, Port(), "float64", "float16", steps=("forward",)).verdict == SAME_FUNCTION


def test_logits_in_float32_of_a_model_in_bfloat16_are_compared(tmp_path: Path) -> None:
    assert run(tmp_path / "right", Upcast(), "bfloat16", steps=("forward",)).verdict == ROUNDING
    assert run(tmp_path / "wrong", Upcast("relu"), "bfloat16", steps=("forward",)).verdict == DIVERGENCE


def test_what_the_reference_overflows_in_is_left_out_and_named(tmp_path: Path) -> None:
    models = Overflowing(), Overflowing()
    report = judged(*models, (8,), folder=tmp_path, dtypes=("float64", "float16"), steps=("forward",))
    assert not report.failures
    assert any(
        note == "left out in float16, since the reference itself is not finite there: forward/logits"
        for note in report.notes
    )
