"""Rules between models of which one keeps its weights cut by heads, experts apart, or positions in a module."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alignment.errors import AlignmentError
from alignment.pair import Pair, Side
from alignment.rules.describe_worker import describe
from alignment.rules.differences import difference
from alignment.rules.forms import common_forms
from alignment.rules.model import Model
from alignment.rules.side_by_side import Stretch
from tests.alignment.rules.small_models import built, derive, pairs_of

WIDTH, HEADS, SIZE = 12, 3, 4


def mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of tensors (batch, heads, tokens, size); returns (batch, tokens, heads, size)."""
    return (torch.softmax(q @ k.transpose(-1, -2), -1) @ v).transpose(1, 2)


class Block(nn.Module):
    """Attention with Linears, or with weights (width, heads, size) of its own; a Linear and a norm come after."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        if form == "linear":
            self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        else:
            shapes = {
                "by head": {"q": (WIDTH, HEADS, SIZE), "k": (WIDTH, HEADS, SIZE), "v": (WIDTH, HEADS, SIZE)},
                "mixed": {"q": (WIDTH, HEADS, SIZE), "k": (HEADS, WIDTH, SIZE), "v": (HEADS, SIZE, WIDTH)},
            }[form]
            for name, shape in shapes.items():
                setattr(self, name, nn.Parameter(torch.randn(shape)))
                setattr(self, f"{name}_bias", nn.Parameter(torch.randn(HEADS, SIZE)))
            if form == "by head":
                self.out = nn.Linear(WIDTH, WIDTH)
            else:
                self.o, self.o_bias = nn.Parameter(torch.randn(HEADS, SIZE, WIDTH)), nn.Parameter(torch.randn(WIDTH))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        if self.form == "linear":
            q, k, v = (
                part(x).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for part in (self.query, self.key, self.value)
            )
            return self.norm(x + self.out(mixed(q, k, v).flatten(2)))
        axes = {"q": "dhe", "k": "dhe", "v": "dhe"} if self.form == "by head" else {"q": "dhe", "k": "hde", "v": "hed"}
        q, k, v = (
            torch.einsum(f"bnd,{axes[name]}->bhne", x, getattr(self, name)) + getattr(self, f"{name}_bias")[:, None]
            for name in "qkv"
        )
        y = mixed(q, k, v)
        if self.form == "by head":
            return self.norm(x + self.out(y.flatten(2)))
        return self.norm(x + torch.einsum("bnhe,hed->bnd", y, self.o) + self.o_bias)


def stack(form: str) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, WIDTH), Block(form), Block(form), nn.Linear(WIDTH, 5))


@pytest.mark.parametrize("form", ["by head", "mixed"])
@pytest.mark.parametrize("back", [False, True])
def test_weights_cut_by_heads_stand_for_linears(form: str, back: bool) -> None:
    sides = (lambda: stack("linear")), (lambda: stack(form))
    contract = derive(*(sides[::-1] if back else sides), (6, 8))
    assert contract.saved.proof.startswith("proven")
    if not back:
        pairs = pairs_of(contract)
        assert pairs["2.q"][0] == "2.query.weight"
        assert pairs["2.v_bias"] == ("2.value.bias", "reshape 12 to 3x4")
        assert contract.evidence["2.q"] == "proof"


def test_weights_cut_by_heads_are_found_where_no_module_around_them_has_a_counterpart() -> None:
    def wrapped() -> nn.Module:
        inner = stack("linear")
        return nn.Sequential(
            inner[0], nn.Sequential(nn.Sequential(inner[1])), nn.Sequential(nn.Sequential(inner[2])), inner[3]
        )

    contract = derive(wrapped, lambda: stack("by head"), (6, 8))
    assert contract.saved.proof.startswith("proven")
    assert pairs_of(contract)["2.q_bias"] == ("2.0.0.query.bias", "reshape 12 to 3x4")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([(12, 12)] * 4, [(12, 3, 4)] * 3 + [(12, 12)], {(12, 4, 3): (12, 12)}),
        ([(12, 12)] * 4, [(12, 3, 4)] * 2 + [(12, 12)], {}),
        ([(12, 12)] * 2, [(9, 16)] * 2, {}),
        ([(8, 3, 2, 2)], [(8, 12)], {(8, 3, 2, 2): (12, 8)}),
    ],
)
def test_form_stands_for_another_only_where_the_counts_then_agree(one: Any, other: Any, expected: Any) -> None:
    assert common_forms(one, other) == expected


class Experts(nn.Module):
    """Four experts: all in two tensors, or each a module; a router gives each its share."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.router = nn.Linear(WIDTH, 4)
        if form == "stacked":
            self.gate_up, self.down = nn.Parameter(torch.randn(4, 14, WIDTH)), nn.Parameter(torch.randn(4, WIDTH, 7))
        elif form == "turned":
            self.gate_up, self.down = nn.Parameter(torch.randn(4, WIDTH, 14)), nn.Parameter(torch.randn(4, 7, WIDTH))
        else:
            names = ("gate", "up") if form == "modules" else ("up", "gate")
            parts = {name: nn.Linear(WIDTH, 7, bias=False) for name in names}
            self.experts = nn.ModuleList(
                nn.ModuleDict(
                    {name: nn.Linear(WIDTH, 7, bias=False) for name in parts}
                    | {"down": nn.Linear(7, WIDTH, bias=False)}
                )
                for _ in range(4)
            )

    def _expert(self, place: int, x: Tensor) -> Tensor:
        if self.form in ("stacked", "turned"):
            both, down = self.gate_up[place], self.down[place]
            both, down = (both.T, down.T) if self.form == "stacked" else (both, down)
            gate, up = (x @ both).chunk(2, -1)
            return (F.silu(gate) * up) @ down
        expert: Any = self.experts[place]
        first, second = (expert[name](x) for name in list(expert)[:2])
        gate, up = (first, second) if self.form == "modules" else (second, first)
        return expert["down"](F.silu(gate) * up)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        shares = torch.softmax(self.router(x), -1)
        return x + sum(self._expert(place, x) * shares[..., place : place + 1] for place in range(4))


class Mixture(nn.Module):
    """Two layers of experts."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.into, self.layers = nn.Linear(8, WIDTH), nn.ModuleList(Experts(form) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, tokens, width)`."""
        x = self.into(x)
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("whole", ["stacked", "turned"])
@pytest.mark.parametrize("apart", ["modules", "modules, up first"])
def test_experts_in_one_tensor_are_each_a_module(whole: str, apart: str) -> None:
    contract = derive(lambda: Mixture(whole), lambda: Mixture(apart), (6, 8))
    assert contract.saved.proof.startswith("proven")
    assert pairs_of(contract)["layers.1.experts.2.gate.weight"][0] == "layers.1.gate_up"
    back = derive(lambda: Mixture(apart), lambda: Mixture(whole), (6, 8))
    assert back.saved.proof.startswith("proven")


class Positions(nn.Embedding):
    """Positions of the tokens that it is given."""

    def forward(self, ids: Tensor) -> Tensor:
        """`(batch, tokens, width)`."""
        return super().forward(torch.arange(ids.shape[1]).expand(ids.shape) + 2)


class Placed(nn.Module):
    """Words and positions, in a module that is given the words or in one that is given the places."""

    def __init__(self, positions: type[nn.Embedding]) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(20, WIDTH), positions(10, WIDTH)
        self.norm, self.mix = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores of words `(batch, tokens, 20)`; the table of words is the head too."""
        places = ids if isinstance(self.positions, Positions) else torch.arange(ids.shape[1]) + 2
        x = self.norm(self.words(ids) + self.positions(places))
        return torch.tanh(self.mix(x)) @ self.words.weight.T


@pytest.mark.parametrize("kinds", [(Positions, nn.Embedding), (nn.Embedding, Positions)])
def test_positions_are_known_whatever_their_module_is_given(kinds: tuple[Any, Any]) -> None:
    contract = derive(lambda: Placed(kinds[0]), lambda: Placed(kinds[1]), (6,), tokens=20)
    assert contract.saved.proof.startswith("proven")
    assert set(contract.evidence.values()) == {"structure"}


class Stacked(nn.Module):
    """A sum of the outputs of three layers, whose weights are one tensor."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.into, self.weights = nn.Linear(8, WIDTH), nn.Parameter(torch.randn(3, WIDTH, inner))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, tokens, inner)`."""
        return F.silu(torch.einsum("bnd,ndo->bno", self.into(x), self.weights))


class Apart(nn.Module):
    """The same with three modules, and another activation."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.into, self.layers = (
            nn.Linear(8, WIDTH),
            nn.ModuleList(nn.Linear(WIDTH, inner, bias=False) for _ in range(3)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, tokens, inner)`."""
        x = self.into(x)
        return F.gelu(torch.stack([layer(x[:, place]) for place, layer in enumerate(self.layers)], 1))


def test_numbered_modules_are_those_of_a_stack_in_their_order_where_another_mistake_hides_the_proof() -> None:
    contract = derive(lambda: Stacked(7), lambda: Apart(7), (3, 8))
    assert not contract.saved.proof.startswith("proven")
    assert pairs_of(contract)["layers.1.weight"] == ("weights", "split in 3, (squeeze 0 then transpose) each of 3")
    assert contract.evidence["layers.1.weight"] == "usual form"


def test_square_modules_beside_a_mistake_are_refused_as_they_may_lie_in_a_stack_either_way() -> None:
    with pytest.raises(AlignmentError, match="no way fits"):
        derive(lambda: Stacked(WIDTH), lambda: Apart(WIDTH), (3, 8))


def test_same_tensors_at_another_place_are_not_called_different() -> None:
    def described(order: str) -> Model:
        backend = built("torch", lambda: nn.Sequential(OrderedDict((name, nn.Linear(4, 4)) for name in order)))
        side = Side("torch", "nowhere:model")
        return Model(describe(Pair("small", side, side, input_shape=(4,), rules="auto"), "reference", backend))

    sides = described("ab"), described("ba")
    line = difference(sides, Stretch(["a.weight", "a.bias"], ["a.weight", "a.bias"], ("", "")))
    assert line == (
        "in another place: a (4, 4) of a Linear in the reference, after the input; "
        "a (4, 4) of a Linear in the candidate, after b.bias"
    )


class Shifted(nn.Module):
    """A scale and a shift of each feature between two Linears, in one operation or in two."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.one, self.other = nn.Linear(8, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.p, self.q = nn.Parameter(torch.randn(WIDTH)), nn.Parameter(torch.randn(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, width)`; fused, `p` is the shift and `q` the scale, and the other way round."""
        x = self.one(x)
        return self.other(torch.addcmul(self.p, self.q, x) if self.fused else x * self.p + self.q)


@pytest.mark.parametrize("fused", [True, False])
def test_scale_and_shift_that_one_operation_reads_at_once_are_told_apart_by_a_run(fused: bool) -> None:
    contract = derive(lambda: Shifted(fused=fused), lambda: Shifted(fused=not fused), (8,))
    assert contract.saved.proof.startswith("proven")
    assert pairs_of(contract)["p"] == ("q", "")
    assert contract.evidence["p"] == "proof"


class Attending(nn.Module):
    """torch's attention, whose weights are packed."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        return self.norm(x + self.attention(x, x, x, need_weights=False)[0])


class Scaled(nn.Module):
    """The same with a module for each of the three, and another scale."""

    def __init__(self) -> None:
        super().__init__()
        self.to_k, self.to_v, self.query, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        q, k, v = (part(x).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for part in (self.query, self.to_k, self.to_v))
        return self.norm(x + self.out(mixed(q * 0.1, k, v).flatten(2)))


@pytest.mark.parametrize("back", [False, True])
def test_packed_attention_of_torch_holds_query_key_and_value_in_this_order_beside_a_mistake(back: bool) -> None:
    sides = (
        (lambda: nn.Sequential(nn.Linear(8, WIDTH), Attending())),
        (lambda: nn.Sequential(nn.Linear(8, WIDTH), Scaled())),
    )
    contract = derive(*(sides[::-1] if back else sides), (6, 8))
    assert not contract.saved.proof.startswith("proven")
    pairs = pairs_of(contract)
    if back:
        assert pairs["1.attention.in_proj_weight"][0] == "1.query.weight + 1.to_k.weight + 1.to_v.weight"
    else:
        assert pairs["1.query.weight"] == pairs["1.to_v.weight"] == ("1.attention.in_proj_weight", "split in 3")
        assert contract.evidence["1.to_v.weight"] == "usual form"
