"""An encoder and a decoder as in T5: relative positions in buckets, RMS norms, gates, an embedding used twice."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HEADS, WORDS, PAD = 16, 4, 31, 0


class RMSNorm(nn.Module):
    """A root mean square norm."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(WIDTH)), 1e-6

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class Relative(nn.Module):
    """A bias for each head and each bucket of distances."""

    def __init__(self, bidirectional: bool, buckets: int = 8, far: int = 12) -> None:
        super().__init__()
        self.bidirectional, self.buckets, self.far = bidirectional, buckets, far
        self.table = nn.Embedding(buckets, HEADS)

    def forward(self, length: int) -> Any:
        """Shape `(1, heads, length, length)`."""
        places = torch.arange(length)
        distance = places[None, :] - places[:, None]
        buckets, start = self.buckets, torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            start = (distance > 0).long() * buckets
            distance = distance.abs()
        else:
            distance = -torch.minimum(distance, torch.zeros_like(distance))
        exact = buckets // 2
        log = torch.log(distance.clamp(min=1).double() / exact) / math.log(self.far / exact)
        large = (exact + (log * (buckets - exact)).long()).clamp(max=buckets - 1)
        return self.table(start + torch.where(distance < exact, distance, large)).permute(2, 0, 1)[None]


class Attention(nn.Module):
    """Attention without a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x: Any, other: Any, bias: Any) -> Any:
        """Of the shape of `x`."""
        q, k, v = (
            part.view(len(x), -1, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in (self.q(x), self.k(other), self.v(other))
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) + bias, -1)
        return self.o((weights @ v).transpose(1, 2).reshape(x.shape))


class FeedForward(nn.Module):
    """A gated feed forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.wi_0, self.wi_1 = nn.Linear(WIDTH, 24, bias=False), nn.Linear(WIDTH, 24, bias=False)
        self.wo, self.dropout = nn.Linear(24, WIDTH, bias=False), nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        """Of the same shape."""
        return self.wo(self.dropout(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x)))


class Layer(nn.Module):
    """Attention to itself, to the encoder in a decoder, and a feed forward network."""

    def __init__(self, decodes: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(RMSNorm() for _ in range(3 if decodes else 2))
        self.attention, self.feed_forward = Attention(), FeedForward()
        if decodes:
            self.cross = Attention()

    def forward(self, x: Any, bias: Any, memory: Any = None, memory_bias: Any = None) -> Any:
        """Of the same shape."""
        normed = self.norms[0](x)
        x = x + self.attention(normed, normed, bias)
        if memory is not None:
            x = x + self.cross(self.norms[1](x), memory, memory_bias)
        return x + self.feed_forward(self.norms[-1](x))


class Translator(nn.Module):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Embedding(10, WIDTH)
        self.encoder_bias, self.decoder_bias = Relative(True), Relative(False)
        self.encoder = nn.ModuleList(Layer(False) for _ in range(2))
        self.decoder = nn.ModuleList(Layer(True) for _ in range(2))
        self.encoder_norm, self.decoder_norm = RMSNorm(), RMSNorm()

    def forward(self, input_ids: Any, attention_mask: Any, decoder_input_ids: Any) -> Any:
        """Log-probabilities of the words, and the loss of each row as a language model."""
        seen = (1.0 - attention_mask[:, None, None].to(self.shared.weight.dtype)) * -1e9
        x = self.shared(input_ids) * WIDTH**0.5
        bias = self.encoder_bias(x.shape[1]) + seen
        for layer in self.encoder:
            x = layer(x, bias)
        memory = self.encoder_norm(x)
        y = self.shared(decoder_input_ids) * WIDTH**0.5
        y = y + self.positions(torch.arange(y.shape[1]))
        causal = torch.triu(torch.full((y.shape[1], y.shape[1]), -1e9, dtype=y.dtype), 1)
        bias = self.decoder_bias(y.shape[1]) + causal
        for layer in self.decoder:
            y = layer(y, bias, memory, seen)
        logits = self.decoder_norm(y) * WIDTH**-0.5 @ self.shared.weight.T
        logs = F.log_softmax(logits / 0.7, -1)
        labels, counts = decoder_input_ids[:, 1:], decoder_input_ids[:, 1:] != PAD
        losses = -logs[:, :-1].gather(-1, labels[..., None])[..., 0] * counts
        return {"logs": logs, "loss": losses.sum(1) / counts.sum(1).clamp(min=1)}


def translator() -> Any:
    """The net."""
    return Translator()
