"""Attention to something else, whose packed weight meets two inputs: that of the queries, and that of the keys."""

from __future__ import annotations

from typing import Any

import pytest

from tests.alignment.rules.small_models import derive

pytest.importorskip("torch")
pytest.importorskip("paddle")


def torch_seq2seq() -> Any:
    import torch
    from torch import nn

    class Seq2Seq(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.layers = nn.ModuleList(nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
            self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))

        def forward(self, x: torch.Tensor) -> Any:
            memory = self.fc(x)
            for layer, norm in zip(self.layers, self.norms, strict=True):
                x = x + layer(norm(x), memory, memory)[0]
            return x.mean(1)

    return Seq2Seq()


def paddle_seq2seq() -> Any:
    from paddle import nn

    class Seq2Seq(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.attentions = nn.LayerList([nn.MultiHeadAttention(8, 2) for _ in range(2)])
            self.before, self.memory = nn.LayerList([nn.LayerNorm(8) for _ in range(2)]), nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            memory = self.memory(x)
            for attention, norm in zip(self.attentions, self.before, strict=True):
                x = x + attention(norm(x), memory, memory)
            return x.mean(1)

    return Seq2Seq()


def test_packed_attention_to_something_else_is_taken_apart() -> None:
    contract = derive(torch_seq2seq, paddle_seq2seq, (5, 8), frameworks=("torch", "paddle"))
    assert contract.proven is True
    for layer in range(2):
        for name in ("q_proj.weight", "k_proj.weight", "v_proj.weight", "k_proj.bias"):
            sources = contract.table.sources_of(f"attentions.{layer}.{name}")
            assert sources == (f"layers.{layer}.in_proj_{name.rpartition('.')[2]}",)


def torch_decoder() -> Any:
    import torch
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
            self.queries, self.decoder = nn.Embedding(5, 16), nn.TransformerDecoder(layer, 2)
            self.memory, self.head = nn.Linear(8, 16), nn.Linear(16, 6)

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(self.decoder(self.queries.weight.expand(len(x), -1, -1), self.memory(x)))

    return Decoder()


def paddle_decoder() -> Any:
    from paddle import nn

    class Decoder(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Embedding(5, 16)
            self.body = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0), 2)
            self.stem, self.classes = nn.Linear(8, 16), nn.Linear(16, 6)

        def forward(self, x: Any) -> Any:
            queries = self.query.weight.unsqueeze(0).expand([len(x), -1, -1])
            return self.classes(self.body(queries, self.stem(x)))

    return Decoder()


def test_learned_queries_go_through_a_decoder_as_an_input_does() -> None:
    contract = derive(torch_decoder, paddle_decoder, (7, 8), frameworks=("torch", "paddle"))
    assert contract.saved.proof.startswith("proven")
    assert contract.evidence["query.weight"] == "structure"
