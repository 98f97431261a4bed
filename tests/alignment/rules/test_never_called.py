"""Modules that one side holds and never calls, while the other side uses its own."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from alignment.errors import AlignmentError
from tests.alignment.rules.small_models import derive, pairs_of


class Block(nn.Module):
    """A norm and a product around a skip."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.uses_norm = norm
        self.norm, self.product = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.product(self.norm(x) if self.uses_norm else x)
        return x + y.tanh()


class Chain(nn.Module):
    """Three blocks, a skip and a head; what is left out is never called."""

    def __init__(self, out: str = "", names: tuple[str, str] = ("blocks", "skip")) -> None:
        super().__init__()
        self.out, self.names = out, names
        self.stem, self.head = nn.Linear(5, 8), nn.Linear(8, 3)
        self.add_module(names[0], nn.ModuleList(Block(norm=out != "norm") for _ in range(3)))
        self.add_module(names[1], nn.Linear(8, 8))
        self.bn = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for place, block in enumerate(getattr(self, self.names[0])):
            x = x if self.out == "block" and place == 1 else block(x)
        x = x if self.out == "bn" else self.bn(x)
        x = x if self.out == "skip" else x + getattr(self, self.names[1])(x)
        y: Tensor = self.head(x)
        return y


@pytest.mark.parametrize("side", ["reference", "candidate"])
@pytest.mark.parametrize("out", ["norm", "block", "skip", "bn"])
def test_module_that_one_side_never_calls_has_the_counterpart_of_its_name(out: str, side: str) -> None:
    sides = partial(Chain), partial(Chain, out)
    contract = derive(*(sides if side == "candidate" else sides[::-1]), (4, 5))
    assert contract.proven is False
    assert all(source == target for target, (source, _) in pairs_of(contract).items())
    assert f"name (the {side} never calls its module)" in contract.evidence.values()


def test_module_never_called_has_its_counterpart_under_another_name() -> None:
    contract = derive(partial(Chain), partial(Chain, "block", ("layers", "beside")), (4, 5))
    assert pairs_of(contract)["layers.1.product.weight"][0] == "blocks.1.product.weight"


def test_module_that_one_side_lacks_is_refused_though_another_is_never_called() -> None:
    class Longer(Chain):
        def __init__(self) -> None:
            super().__init__()
            self.more = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.more(super().forward(x))
            return y

    with pytest.raises(AlignmentError, match="not every tensor") as error:
        derive(Longer, partial(Chain, "skip"), (4, 5))
    assert any("only in the reference: more (4, 3) of a Linear" in line for line in error.value.details)


class Tower(nn.Module):
    """A layer that is called twice, and modules that nothing calls."""

    def __init__(self, bias: bool, norm: bool = False) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(5, 8, bias=bias), *([nn.BatchNorm1d(8)] if norm else []), nn.Tanh())
        self.spare, self.old = nn.Linear(8, 8), nn.BatchNorm1d(8)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.cat([self.tower(x), self.tower(-x)], 1))
        return y


@pytest.mark.parametrize("changed", [{"bias": False}, {"bias": True, "norm": True}])
def test_what_one_side_lacks_is_no_part_of_an_unrelated_module_that_is_never_called(changed: dict[str, bool]) -> None:
    for sides in ((partial(Tower, True), partial(Tower, **changed)), (partial(Tower, **changed), partial(Tower, True))):
        with pytest.raises(AlignmentError, match="not every tensor"):
            derive(*sides, (5,))
