"""A reader of lines of text and a finder of boxes: convolutions, an LSTM both ways, a GRU, and several outputs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class Cell(nn.Module):
    """An LSTM of one direction, step by step, that begins with a learned state."""

    def __init__(self, into: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(into, hidden)
        self.h0, self.c0 = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(hidden))

    def forward(self, x: Any) -> Any:
        """Shape `(batch, steps, hidden)`."""
        state = self.h0.expand(len(x), -1), self.c0.expand(len(x), -1)
        steps = []
        for step in x.unbind(1):
            state = self.cell(step, state)
            steps.append(state[0])
        return torch.stack(steps, 1)


class Reader(nn.Module):
    """The net."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, stride=(2, 1), padding=1), nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d((2, 1))
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8)
        self.rnn = nn.LSTM(16, 6, batch_first=True, bidirectional=True)
        self.decoder = Cell(12, 8)
        self.text = nn.Linear(8, 11)
        self.summary = nn.GRU(12, 5, batch_first=True)
        self.language = nn.Linear(5, 3)
        self.box, self.score = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)
        self.register_buffer("anchors", torch.tensor([[4.0, 6.0], [9.0, 3.0]]))

    def boxes(self, x: Any) -> Any:
        """Shape `(batch, anchors * rows * columns, 4)`."""
        batch, _, rows, columns = x.shape
        t = self.box(x).view(batch, 2, 4, rows, columns).permute(0, 1, 3, 4, 2)
        y, x_ = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        grid = torch.stack((x_, y), -1).to(t.dtype)
        centre = (torch.sigmoid(t[..., :2]) * 2 - 0.5 + grid) * 4
        size = torch.exp(t[..., 2:].clamp(max=4.0)) * self.anchors[:, None, None]
        return torch.cat((centre - size / 2, centre + size / 2), -1).flatten(1, 3)

    def forward(self, x: Any) -> Any:
        """Log-probabilities of the characters, the language, boxes and their scores."""
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = F.leaky_relu(self.bn2(self.conv2(x)), 0.1)
        line = x.permute(0, 3, 1, 2).flatten(2)
        both, _ = self.rnn(line)
        _, last = self.summary(both)
        return {
            "text": F.log_softmax(self.text(self.decoder(both)), -1),
            "language": self.language(last[-1]),
            "boxes": self.boxes(x),
            "scores": torch.sigmoid(self.score(x)).flatten(1),
        }


def reader() -> Any:
    """The net."""
    return Reader()
