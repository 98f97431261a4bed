"""Vectors that one model keeps as rows of one matrix, or as parts of one vector, and uses at different places."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from alignment.errors import AlignmentError
from alignment.rules.pieces import piece_shape
from alignment.rules.trial import Trial
from tests.alignment.rules.small_models import derive, pairs_of


class Scaled(nn.Module):
    """Blocks of two branches, each with a scale: two vectors, rows of a matrix in any order, or parts of a vector."""

    def __init__(self, kept: str, depth: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.kept = kept
        self.layers = nn.ModuleList()
        for _ in range(depth):
            layer = nn.Module()
            layer.a, layer.b = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8, bias=bias))
            if kept == "apart":
                layer.first, layer.second = (nn.Parameter(torch.randn(8)) for _ in range(2))
            else:
                layer.scales = nn.Parameter(torch.randn(16) if kept == "vector" else torch.randn(2, 8))
            self.layers.append(layer)

    def scales(self, layer: Any) -> Any:
        if self.kept == "apart":
            return layer.first, layer.second
        if self.kept == "vector":
            return layer.scales.chunk(2)
        rows = layer.scales.unbind(0) if self.kept == "unbound" else (layer.scales[0], layer.scales[1])
        return rows[::-1] if self.kept == "turned" else rows

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            first, second = self.scales(layer)
            x = x + first * layer.a(x).tanh()
            x = x + second * layer.b(x)
        return x


@pytest.mark.parametrize("kept", ["rows", "unbound", "turned", "vector"])
def test_vectors_of_the_reference_become_rows(kept: str) -> None:
    contract = derive(partial(Scaled, "apart"), partial(Scaled, kept), (8,))
    assert contract.proven is True
    order = ("second", "first") if kept == "turned" else ("first", "second")
    assert contract.table.sources_of("layers.1.scales") == tuple(f"layers.1.{name}" for name in order)


def test_rows_of_the_reference_become_vectors() -> None:
    contract = derive(partial(Scaled, "turned"), partial(Scaled, "apart"), (8,))
    assert contract.proven is True
    assert pairs_of(contract)["layers.2.first"][0] == "layers.2.scales"
    assert contract.evidence["layers.2.first"] == "proof"


def test_rows_of_twelve_blocks_take_no_more_passes_than_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    run = Trial.run

    def counted(self: Trial, links: Any, **options: Any) -> Any:
        passes.append(1)
        return run(self, links, **options)

    monkeypatch.setattr(Trial, "run", counted)
    counts = []
    for depth in (1, 12):
        passes.clear()
        contract = derive(partial(Scaled, "apart", depth), partial(Scaled, "turned", depth), (8,))
        assert contract.proven is True
        counts.append(len(passes))
    assert counts[1] <= counts[0] + 1
    assert counts[1] <= 8


def test_a_difference_beside_rows_is_listed_alone() -> None:
    with pytest.raises(AlignmentError) as caught:
        derive(partial(Scaled, "apart"), partial(Scaled, "rows", bias=False), (8,))
    lines = caught.value.details[:-1]
    assert any("b.2.bias" in line for line in lines)
    assert not any("only in" in line and "scales" in line for line in lines)
    assert len(lines) <= 3


def test_a_matrix_that_both_models_use_by_rows_stays_whole() -> None:
    contract = derive(partial(Scaled, "rows"), partial(Scaled, "rows"), (8,))
    assert contract.proven is True
    assert contract.evidence["layers.0.scales"] == "structure"


@pytest.mark.parametrize(
    ("shape", "count", "part"),
    [((2, 8), 2, (8,)), ((16,), 2, (8,)), ((4, 8), 2, (2, 8)), ((3, 8), 2, None), ((), 2, None), ((9, 8), 9, None)],
)
def test_pieces_are_rows_or_equal_parts(shape: tuple[int, ...], count: int, part: tuple[int, ...] | None) -> None:
    assert piece_shape(shape, count) == part
