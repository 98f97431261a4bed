"""The port of `reader_torch`."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn


class StepCell(nn.Layer):
    """An LSTM of one direction, step by step, that begins with a learned state."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.input, self.state = nn.Linear(width, 4 * hidden), nn.Linear(hidden, 4 * hidden)
        zeros = nn.initializer.Constant(0.0)
        self.first_h = self.create_parameter([hidden], default_initializer=zeros)
        self.first_c = self.create_parameter([hidden], default_initializer=zeros)

    def forward(self, x: Any) -> Any:
        """Shape `(batch, steps, hidden)`."""
        h = self.first_h.unsqueeze(0).expand([x.shape[0], -1])
        c = self.first_c.unsqueeze(0).expand([x.shape[0], -1])
        outputs = []
        for time in range(x.shape[1]):
            i, f, g, o = (self.input(x[:, time]) + self.state(h)).chunk(4, axis=-1)
            c = F.sigmoid(f) * c + F.sigmoid(i) * paddle.tanh(g)
            h = F.sigmoid(o) * paddle.tanh(c)
            outputs.append(h)
        return paddle.stack(outputs, axis=1)


class Boxes(nn.Layer):
    """Boxes of a map, as corners."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Conv2D(width, 8, 1)
        self.register_buffer("sizes", paddle.to_tensor([[4.0, 6.0], [9.0, 3.0]]))

    def forward(self, x: Any) -> Any:
        """Shape `(batch, anchors * rows * columns, 4)`."""
        n, _, height, width = x.shape
        t = self.head(x).reshape([n, 2, 4, height, width]).transpose([0, 1, 3, 4, 2])
        ys, xs = paddle.meshgrid(paddle.arange(height), paddle.arange(width))
        cells = paddle.stack([xs, ys], axis=-1).astype(t.dtype)
        middle = (F.sigmoid(t[..., :2]) * 2 - 0.5 + cells) * 4
        extent = paddle.exp(paddle.clip(t[..., 2:], max=4.0)) * self.sizes.reshape([2, 1, 1, 2])
        return paddle.concat([middle - extent / 2, middle + extent / 2], axis=-1).reshape([n, -1, 4])


class LineReader(nn.Layer):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2D(1, 8, 3, stride=(2, 1), padding=1), nn.BatchNorm2D(8), nn.ReLU(), nn.MaxPool2D((2, 1))
        )
        self.body = nn.Sequential(
            nn.Conv2D(8, 8, 3, padding=1, groups=2), nn.BatchNorm2D(8), nn.LeakyReLU(negative_slope=0.1)
        )
        self.context = nn.LSTM(16, 6, direction="bidirect")
        self.writer, self.letters = StepCell(12, 8), nn.Linear(8, 11)
        self.gist, self.tongue = nn.GRU(12, 5), nn.Linear(5, 3)
        self.places, self.found = Boxes(8), nn.Conv2D(8, 2, 1)

    def forward(self, image: Any) -> Any:
        """Log-probabilities of the characters, the language, boxes and their scores."""
        x = self.body(self.stem(image))
        line = x.transpose([0, 3, 1, 2]).flatten(2)
        both, _ = self.context(line)
        _, last = self.gist(both)
        return {
            "text": F.log_softmax(self.letters(self.writer(both)), axis=-1),
            "language": self.tongue(last[-1]),
            "boxes": self.places(x),
            "scores": F.sigmoid(self.found(x)).flatten(1),
        }


def reader() -> Any:
    """The net."""
    return LineReader()
