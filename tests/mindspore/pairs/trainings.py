"""A small net, and what trains it in torch and in MindSpore."""

from __future__ import annotations

from typing import Any

from alignment.pair import Pair, Side, Training


def reference(**_: Any) -> Any:
    """The net in torch; the options are those of its training."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.drop, self.b = nn.Linear(8, 12), nn.LayerNorm(12), nn.Dropout(0.1), nn.Linear(12, 5)

        def forward(self, x: Any) -> Any:
            return self.b(self.drop(nn.functional.relu(self.norm(self.a(x)))))

    return Net()


def candidate(*, rate: float = 0.1, factor: float = 1.0, **_: Any) -> Any:
    """The net in MindSpore, with another rate or, in training, a factor; further options are those of its training."""
    from mindspore import nn, ops

    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.ln, self.two = nn.Dense(8, 12), nn.LayerNorm([12], epsilon=1e-5), nn.Dense(12, 5)
            self.dropout = nn.Dropout(p=rate)

        def construct(self, x: Any) -> Any:
            x = self.two(self.dropout(ops.relu(self.ln(self.one(x)))))
            return x * factor if self.training else x

    return Net()


def train_reference(kind: str = "adamw") -> Training:
    """AdamW with two groups and a cosine, SGD with stairs, or Adam or RMSProp at one rate."""
    import torch
    from torch.optim import lr_scheduler

    model = reference()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    scheduler: Any = None
    if kind == "adamw":
        optimizer: Any = torch.optim.AdamW(groups, lr=1e-3)
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 50)
    elif kind == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        scheduler = lr_scheduler.StepLR(optimizer, 20, 0.5)
    else:
        optimizer = getattr(torch.optim, kind)(model.parameters(), lr=1e-3, **({"alpha": 0.9} if "RMS" in kind else {}))
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    return Training(model, optimizer, torch.nn.CrossEntropyLoss(), scheduler)


def train_candidate(kind: str = "adamw", *, decays_all: bool = False) -> Training:
    """The same in MindSpore; `decays_all` puts all parameters into the group that decays."""
    from mindspore import nn
    from mindspore.experimental import optim

    model = candidate()
    matrices = [p for p in model.trainable_params() if p.ndim > 1]
    vectors = [p for p in model.trainable_params() if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": 0.05},
        {"params": vectors, "weight_decay": 0.05 if decays_all else 0.0},
    ]
    rates, scheduler = [1e-3 / (1 + step) for step in range(200)], None
    if kind == "adamw":
        optimizer: Any = optim.AdamW(groups, lr=1e-3)
        scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    elif kind == "sgd":
        optimizer = optim.SGD(model.trainable_params(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        scheduler = optim.lr_scheduler.StepLR(optimizer, 20, 0.5)
    elif kind == "Adam":
        optimizer = nn.Adam(model.trainable_params(), learning_rate=rates, eps=1e-8)
    else:
        optimizer = nn.RMSProp(model.trainable_params(), learning_rate=rates, decay=0.9, epsilon=1e-8)
    return Training(model, optimizer, nn.CrossEntropyLoss(), scheduler)


def _trained(kind: str, **options: Any) -> Pair:
    sides = (
        Side("torch", "trainings.py:reference", training="trainings.py:train_reference", options={"kind": kind}),
        Side(
            *("mindspore", "trainings.py:candidate"),
            training="trainings.py:train_candidate",
            options={"kind": kind, **options},
        ),
    )
    return Pair("trained", *sides, rules="auto", input_shape=(8,))


ADAMW, SGD, ADAM, RMSPROP = (_trained(kind) for kind in ("adamw", "sgd", "Adam", "RMSprop"))
DECAYS_ALL = _trained("adamw", decays_all=True)


def _in_training(**options: float) -> Pair:
    sides = Side("torch", "trainings.py:reference"), Side("mindspore", "trainings.py:candidate", options=options)
    return Pair("in_training", *sides, rules="auto", input_shape=(8,))


RIGHT, OTHER_RATE, OTHER_FACTOR = _in_training(), _in_training(rate=0.2), _in_training(factor=3.0)
