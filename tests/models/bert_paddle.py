"""BERT in Paddle: queries, keys and values are one Linear."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional as F

from tests.models.paddle_parts import attend, masked


class Embedding(nn.Layer):
    """Words, positions and segments."""

    def __init__(self, words: int, width: int, positions: int) -> None:
        super().__init__()
        self.segment = nn.Embedding(2, width)
        self.position = nn.Embedding(positions, width)
        self.word = nn.Embedding(words, width)
        self.norm = nn.LayerNorm(width, epsilon=1e-12)

    def forward(self, ids: Any, segments: Any) -> Any:
        """`(batch, tokens, width)`."""
        places = paddle.arange(ids.shape[1])
        return self.norm(self.word(ids) + self.position(places) + self.segment(segments))


class Layer(nn.Layer):
    """Attention and MLP, each followed by a norm."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ffn_up = nn.Linear(width, hidden)
        self.ffn_down = nn.Linear(hidden, width)
        self.norm_a = nn.LayerNorm(width, epsilon=1e-12)
        self.norm_b = nn.LayerNorm(width, epsilon=1e-12)

    def forward(self, x: Any, bias: Any) -> Any:
        """Of the same shape."""
        q, k, v = self.qkv(x).chunk(3, axis=-1)
        x = self.norm_a(x + self.out(attend(q, k, v, self.heads, bias)))
        return self.norm_b(x + self.ffn_down(F.gelu(self.ffn_up(x))))


class Bert(nn.Layer):
    """The encoder; gives hidden states and the pooled first token."""

    def __init__(
        self,
        words: int = 29,
        width: int = 16,
        heads: int = 2,
        depth: int = 2,
        *,
        positions: int = 12,
        pooled: bool = True,
    ) -> None:
        super().__init__()
        self.embedding = Embedding(words, width, positions)
        self.layers = nn.LayerList([Layer(width, heads, 2 * width) for _ in range(depth)])
        self.pool = nn.Linear(width, width) if pooled else None

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        """Hidden states `(batch, tokens, width)`, and the pooled ones `(batch, width)` of a model that has them."""
        x = self.embedding(input_ids, token_type_ids)
        bias = masked(attention_mask, x)
        for layer in self.layers:
            x = layer(x, bias)
        return x if self.pool is None else (x, F.tanh(self.pool(x[:, 0])))


class MaskedBert(nn.Layer):
    """BERT with a head that predicts words, whose matrix is that of the embedding."""

    def __init__(self, words: int = 29, width: int = 16, positions: int = 12) -> None:
        super().__init__()
        self.bert = Bert(words, width, positions=positions, pooled=False)
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, epsilon=1e-12)
        self.word_bias = self.create_parameter([words], is_bias=True)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        """Logits `(batch, tokens, words)`."""
        x = self.norm(F.gelu(self.transform(self.bert(input_ids, attention_mask, token_type_ids))))
        return paddle.matmul(x, self.bert.embedding.word.weight, transpose_y=True) + self.word_bias


def bert(**options: Any) -> Any:
    """The encoder."""
    return Bert(**options)


def masked_bert(**options: Any) -> Any:
    """The encoder and its head."""
    return MaskedBert(**options)
