"""The transformer of `torch_nets` as somebody writes it who ports it to MindSpore, and others that are not the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn, ops


class Attention(nn.Cell):
    """Attention with a Dense each for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.k, self.q, self.v, self.out = (nn.Dense(width, width) for _ in range(4))

    def split(self, x: Tensor) -> Tensor:
        """The heads of `(batch, tokens, width)`."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.size).transpose(0, 2, 1, 3)

    def construct(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, tokens, width)`."""
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        scores = ops.softmax(ops.matmul(q, k.transpose(0, 1, 3, 2)) * self.size**-0.5, -1)
        return self.out(ops.matmul(scores, v).transpose(0, 2, 1, 3).reshape(x.shape))


class Layer(nn.Cell):
    """A layer of the transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first, self.second = (nn.LayerNorm((width,), epsilon=1e-5) for _ in range(2))
        self.attention = Attention(width, heads)
        self.wide, self.narrow = nn.Dense(width, 2 * width), nn.Dense(2 * width, width)
        self.act = nn.GELU(approximate=False)

    def construct(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, tokens, width)`."""
        x = x + self.attention(self.first(x))
        return x + self.narrow(self.act(self.wide(self.second(x))))


class Transformer(nn.Cell):
    """Classifies sequences of up to 16 tokens."""

    def __init__(self, width: int = 12, heads: int = 3, depth: int = 2) -> None:
        super().__init__()
        self.table = nn.Embedding(20, width)
        self.places = Parameter(Tensor(np.zeros((1, 16, width), np.float32)))
        self.layers = nn.CellList([Layer(width, heads) for _ in range(depth)])
        self.last = nn.LayerNorm((width,), epsilon=1e-5)
        self.classes = nn.Dense(width, 5)

    def encode(self, ids: Tensor) -> Tensor:
        """The sequence, normed."""
        x = self.table(ids) + self.places[:, : ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.last(x)

    def construct(self, ids: Tensor) -> Tensor:
        """Takes `(batch, tokens)`, returns `(batch, 5)`."""
        return self.classes(self.encode(ids).mean(1))


class FirstToken(Transformer):
    """Classifies by the first token, which is another function."""

    def construct(self, ids: Tensor) -> Tensor:
        """Takes `(batch, tokens)`, returns `(batch, 5)`."""
        return self.classes(self.encode(ids)[:, 0])


class Checked(Transformer):
    """Looks at its numbers in Python, which MindSpore cannot compile."""

    def construct(self, ids: Tensor) -> Any:
        """Takes `(batch, tokens)`, returns `(batch, 5)`."""
        x = self.encode(ids).mean(1)
        if not np.isfinite(x.asnumpy()).all():
            raise ArithmeticError
        return self.classes(x)


class Gated(nn.Cell):
    """The recurrent net of `torch_nets`, whose tanh is far less than float32 in MindSpore on the CPU."""

    factor = 5.0

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.units = nn.LSTM(8, 6, batch_first=True), nn.GRU(6, 6, batch_first=True)
        self.wide, self.classes = nn.Dense(6, 10), nn.Dense(10, 4)

    def construct(self, x: Tensor) -> Tensor:
        """Takes `(batch, steps, 8)`, returns `(batch, 4)`."""
        x = self.units(self.rnn(self.factor * x)[0])[0]
        return self.classes(ops.softmax(ops.tanh(6 * self.wide(x)), -1).mean(1))


class OtherFactor(Gated):
    """The same with a factor that is off by less than MindSpore's own tanh is."""

    factor = 5.002


class Signal(nn.Cell):
    """The convolutions of `torch_nets` in one dimension, whose weights have an axis more, and a norm by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(3, 8, 5, stride=2, pad_mode="pad", padding=2, has_bias=True)
        self.scale, self.shift = (Parameter(Tensor(np.zeros(8, np.float32))) for _ in range(2))
        self.each, self.classes = nn.Conv1d(8, 8, 3, pad_mode="pad", padding=1, group=8), nn.Dense(8, 5)

    def construct(self, x: Tensor) -> Tensor:
        """Takes `(batch, 3, steps)`, returns `(batch, 5)`."""
        x = self.stem(x)
        groups = x.reshape(x.shape[0], 4, -1)
        apart = groups - groups.mean(-1, keep_dims=True)
        normed = (apart / ops.sqrt((apart**2).mean(-1, keep_dims=True) + 1e-5)).reshape(x.shape)
        return self.classes(ops.gelu(self.each(normed * self.scale[:, None] + self.shift[:, None])).mean(-1))
