"""The port of `translator_torch`."""

from __future__ import annotations

import math
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

DIM, HEADS, VOCABULARY, PAD = 16, 4, 31, 0


class T5Norm(nn.Layer):
    """A root mean square norm."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.create_parameter([DIM], default_initializer=nn.initializer.Constant(1.0))

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        variance = (x * x).mean(-1, keepdim=True)
        return x * paddle.rsqrt(variance + 1e-6) * self.scale


def bucket_of(distance: Any, bidirectional: bool, count: int = 8, far: int = 12) -> Any:
    """The bucket of each distance."""
    offset = paddle.zeros_like(distance)
    if bidirectional:
        count = count // 2
        offset = (distance > 0).astype("int64") * count
        distance = distance.abs()
    else:
        distance = paddle.clip(-distance, min=0)
    half = count // 2
    ratio = paddle.log(paddle.clip(distance, min=1).astype("float64") / half) / math.log(far / half)
    large = paddle.clip(half + (ratio * (count - half)).astype("int64"), max=count - 1)
    return offset + paddle.where(distance < half, distance, large)


class Mixer(nn.Layer):
    """Attention without a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(DIM, DIM, bias_attr=False), nn.Linear(DIM, DIM, bias_attr=False)
        self.value, self.out = nn.Linear(DIM, DIM, bias_attr=False), nn.Linear(DIM, DIM, bias_attr=False)

    def split(self, x: Any) -> Any:
        """Shape `(batch, heads, tokens, size)`."""
        return x.reshape([0, 0, HEADS, DIM // HEADS]).transpose([0, 2, 1, 3])

    def forward(self, x: Any, context: Any, bias: Any) -> Any:
        """Of the shape of `x`."""
        q, k, v = self.split(self.query(x)), self.split(self.key(context)), self.split(self.value(context))
        scores = paddle.matmul(q, k, transpose_y=True) + bias
        mixed = paddle.matmul(F.softmax(scores, axis=-1), v)
        return self.out(mixed.transpose([0, 2, 1, 3]).reshape([0, 0, DIM]))


class Gated(nn.Layer):
    """A gated feed forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.lift = nn.Linear(DIM, 24, bias_attr=False), nn.Linear(DIM, 24, bias_attr=False)
        self.lower, self.drop = nn.Linear(24, DIM, bias_attr=False), nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        y = F.gelu(self.gate(x), approximate=True) * self.lift(x)
        return self.lower(self.drop(y))


class EncoderLayer(nn.Layer):
    """Attention to itself and a feed forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_a, self.mix, self.norm_f, self.ffn = T5Norm(), Mixer(), T5Norm(), Gated()

    def forward(self, x: Any, bias: Any) -> Any:
        """Of the same shape."""
        y = self.norm_a(x)
        x = x + self.mix(y, y, bias)
        return x + self.ffn(self.norm_f(x))


class DecoderLayer(nn.Layer):
    """Attention to itself, to the encoder, and a feed forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_a, self.mix, self.norm_f, self.ffn = T5Norm(), Mixer(), T5Norm(), Gated()
        self.norm_c, self.cross = T5Norm(), Mixer()

    def forward(self, x: Any, bias: Any, memory: Any, memory_bias: Any) -> Any:
        """Of the same shape."""
        y = self.norm_a(x)
        x = x + self.mix(y, y, bias)
        x = x + self.cross(self.norm_c(x), memory, memory_bias)
        return x + self.ffn(self.norm_f(x))


class Seq2Seq(nn.Layer):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, DIM), nn.Embedding(10, DIM)
        self.near_both, self.near_past = nn.Embedding(8, HEADS), nn.Embedding(8, HEADS)
        self.reader = nn.LayerList([EncoderLayer() for _ in range(2)])
        self.writer = nn.LayerList([DecoderLayer() for _ in range(2)])
        self.read_norm, self.write_norm = T5Norm(), T5Norm()

    def bias(self, length: int, table: Any, bidirectional: bool) -> Any:
        """Shape `(1, heads, length, length)`."""
        steps = paddle.arange(length)
        distance = steps.unsqueeze(0) - steps.unsqueeze(1)
        return table(bucket_of(distance, bidirectional)).transpose([2, 0, 1]).unsqueeze(0)

    def encode(self, ids: Any, hidden: Any) -> Any:
        """Shape `(batch, tokens, width)`."""
        x = self.words(ids) * math.sqrt(DIM)
        bias = self.bias(ids.shape[1], self.near_both, True) + hidden
        for layer in self.reader:
            x = layer(x, bias)
        return self.read_norm(x)

    def forward(self, input_ids: Any, attention_mask: Any, decoder_input_ids: Any) -> Any:
        """Log-probabilities of the words, and the loss of each row as a language model."""
        hidden = (1.0 - attention_mask.astype(self.words.weight.dtype)).unsqueeze([1, 2]) * -1e9
        memory = self.encode(input_ids, hidden)
        length = decoder_input_ids.shape[1]
        y = self.words(decoder_input_ids) * math.sqrt(DIM) + self.places(paddle.arange(length))
        causal = paddle.triu(paddle.full([length, length], -1e9, y.dtype), diagonal=1)
        bias = self.bias(length, self.near_past, False) + causal
        for layer in self.writer:
            y = layer(y, bias, memory, hidden)
        y = self.write_norm(y) * DIM**-0.5
        logs = F.log_softmax(paddle.matmul(y, self.words.weight, transpose_y=True) / 0.7, axis=-1)
        labels = decoder_input_ids[:, 1:]
        kept = (labels != PAD).astype(logs.dtype)
        losses = -paddle.take_along_axis(logs[:, :-1], labels.unsqueeze(-1), axis=-1).squeeze(-1) * kept
        return {"logs": logs, "loss": losses.sum(1) / paddle.clip(kept.sum(1), min=1.0)}


def translator() -> Any:
    """The net."""
    return Seq2Seq()
