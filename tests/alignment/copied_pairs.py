"""A tensor that one side shares between two layers, and the other keeps twice."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side, Tokens

_FILE = "copied_pairs.py"


def torch_net(*, shared: bool = True, head: bool = False) -> Any:
    import torch
    from torch import Tensor, nn

    class Net(nn.Module):
        """An encoder and a decoder with one embedding, which the head may share too."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(30, 16)
            self.others = self.words if shared else nn.Embedding(30, 16)
            self.encode, self.decode = nn.Linear(16, 16), nn.Linear(16, 16)
            self.head = nn.Linear(16, 30, bias=False)
            if head:
                self.head.weight = self.words.weight

        def forward(self, source: Tensor, target: Tensor) -> Tensor:
            memory = self.encode(self.words(source)).tanh().mean(1, keepdim=True)
            return self.head(torch.tanh(self.decode(self.others(target)) + memory))

    return Net()


def paddle_net(*, shared: bool = False) -> Any:
    import paddle
    from paddle import Tensor, nn

    class Net(nn.Layer):
        """The same with an embedding each, and a head of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.target_words = nn.Embedding(30, 16)
            self.source_words = self.target_words if shared else nn.Embedding(30, 16)
            self.encode, self.decode = nn.Linear(16, 16), nn.Linear(16, 16)
            self.head = nn.Linear(16, 30, bias_attr=False)

        def forward(self, source: Tensor, target: Tensor) -> Tensor:
            memory = paddle.tanh(self.encode(self.source_words(source))).mean(1, keepdim=True)
            return self.head(paddle.tanh(self.decode(self.target_words(target)) + memory))

    return Net()


COPIED = Pair(
    "copied",
    Side("torch", f"{_FILE}:torch_net"),
    Side("paddle", f"{_FILE}:paddle_net"),
    inputs={"source": Tokens(30, (6,)), "target": Tokens(30, (5,))},
    rules="auto",
)
SHARED = replace(COPIED, candidate=Side("paddle", f"{_FILE}:paddle_net", options={"shared": True}))
HEAD = replace(COPIED, reference=Side("torch", f"{_FILE}:torch_net", options={"head": True}))
APART = replace(COPIED, reference=Side("torch", f"{_FILE}:torch_net", options={"shared": False}))
MERGED = replace(APART, candidate=SHARED.candidate)
