"""Recurrent layers, whose weights one operation reads all at once in Paddle, and one for each direction in torch."""

from __future__ import annotations

from typing import Any

import pytest

from alignment.rules.recurrent import by_layers
from alignment.rules.tensor_graph import INPUT, TensorGraph
from tests.alignment.rules.small_models import derive

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _names(layers: int) -> list[str]:
    return [f"rnn.{part}_l{layer}{end}" for part in PARTS for layer in range(layers) for end in ("", "_reverse")]


def test_weights_of_one_operation_are_put_in_the_order_of_layers_and_directions() -> None:
    names = _names(2)
    chain = {name: (names[place - 1] if place else "fc.weight",) for place, name in enumerate(names)}
    graph = TensorGraph({"fc.weight": (INPUT,), **chain, "head.weight": (names[-1],)}, ("head.weight", names[-1]))
    parts = {name: ("rnn", name.removeprefix("rnn.")) for name in names} | {"fc.weight": ("fc", "weight")}
    ordered = by_layers(graph, parts)
    ends = ("rnn.bias_hh_l0", "rnn.bias_hh_l0_reverse")
    assert ordered.before["rnn.weight_ih_l0"] == ordered.before["rnn.weight_ih_l0_reverse"] == ("fc.weight",)
    assert ordered.before["rnn.weight_hh_l0"] == ("rnn.weight_ih_l0",)
    assert ordered.before["rnn.bias_hh_l0_reverse"] == ("rnn.bias_ih_l0_reverse",)
    assert set(ordered.before["rnn.weight_ih_l1"]) == set(ends)
    assert set(ordered.before["head.weight"]) == {"rnn.bias_hh_l1", "rnn.bias_hh_l1_reverse"}
    assert set(ordered.last) == {"head.weight", "rnn.bias_hh_l1", "rnn.bias_hh_l1_reverse"}
    assert set(ordered.before) == set(graph.before)


def test_graph_without_recurrent_layers_stays_as_it_is() -> None:
    graph = TensorGraph({"a.weight": (INPUT,), "b.weight": ("a.weight",)}, ("b.weight",))
    assert by_layers(graph, {"a.weight": ("a", "weight"), "b.weight": ("b", "weight")}) == graph


def torch_tagger() -> Any:
    import torch
    from torch import nn

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.LSTM(6, 6, num_layers=2, batch_first=True, bidirectional=True)
            self.mixer = nn.GRU(12, 5, batch_first=True, bidirectional=True)
            self.head = nn.Linear(10, 3)

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(self.mixer(self.encoder(x)[0])[0].mean(1))

    return Tagger()


def paddle_tagger() -> Any:
    from paddle import nn

    class Tagger(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(10, 3)
            self.gru = nn.GRU(12, 5, direction="bidirect")
            self.lstm = nn.LSTM(6, 6, num_layers=2, direction="bidirect")

        def forward(self, x: Any) -> Any:
            return self.last(self.gru(self.lstm(x)[0])[0].mean(1))

    return Tagger()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_both_directions_of_several_layers_are_found_and_proven() -> None:
    contract = derive(torch_tagger, paddle_tagger, (7, 6), frameworks=("torch", "paddle"))
    assert contract.proven is True
    for part in PARTS:
        for end in ("l0", "l0_reverse", "l1", "l1_reverse"):
            assert contract.table.sources_of(f"lstm.{part}_{end}") == (f"encoder.{part}_{end}",)
