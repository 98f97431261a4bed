"""Models of a few numbers that mistakes are planted into."""

from __future__ import annotations

from typing import Any


def net() -> Any:
    """A convolution, norms, an activation with a slope, a dropout, and a module that nothing calls."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.mix, self.act = nn.LayerNorm(4, eps=1e-6), nn.Linear(4, 4), nn.LeakyReLU(0.1)

        def forward(self, x: Any) -> Any:
            return x + self.act(self.mix(self.norm(x)))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.2)
            self.block, self.head, self.unused = Block(), nn.Linear(4, 5), nn.LayerNorm(4)
            for parameter in self.parameters():
                nn.init.normal_(parameter)

        def forward(self, x: Any) -> Any:
            x = self.relu(self.bn(self.conv(x))).mean((2, 3))
            return self.head(self.drop(self.block(x)))

    return Net()


def attention() -> Any:
    """Ids of 11 words, the first of which is padding, a mask, and an attention with a scale of its own."""
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_heads, self.scale = 2, 4**-0.5
            self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x: Any, mask: Any) -> Any:
            batch, tokens, _ = x.shape
            parts = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
            scores = parts[0] @ parts[1].mT * self.scale + (mask[:, None, None] == 0) * -1e4
            y = (torch.softmax(scores, -1) @ parts[2]).transpose(1, 2)
            return self.out(y.reshape(batch, tokens, -1))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.attention = nn.Embedding(11, 8, padding_idx=0), Attention()
            self.head = nn.Linear(8, 4)

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.head(self.attention(self.words(ids), mask).mean(1))

    return Net()


def draws() -> Any:
    """A model that gives something else every time."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 5)

        def forward(self, x: Any) -> Any:
            return self.head(x) + torch.rand(1, dtype=x.dtype)

    return Net()
