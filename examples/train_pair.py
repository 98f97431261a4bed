"""Two models with what trains them, for `pit-align training`: see docs/your-own-pair.md."""

from typing import Any

from alignment.pair import Pair, Side, Training


def reference() -> Any:
    """A small network in torch."""
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 5))


def train_reference() -> Training:
    """What trains it: matrices decay, biases and norms do not, and the rate falls as a cosine."""
    import torch

    model = reference()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    return Training(model, optimizer, torch.nn.CrossEntropyLoss(), scheduler)


def candidate() -> Any:
    """The port in Paddle, which starts from the same distributions."""
    from paddle import nn

    def linear(inputs: int, outputs: int) -> Any:
        start = nn.initializer.Uniform(-(inputs**-0.5), inputs**-0.5)
        return nn.Linear(inputs, outputs, weight_attr=start, bias_attr=start)

    return nn.Sequential(linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Dropout(0.1), linear(32, 5))


def train_candidate() -> Training:
    """What trains the port."""
    import paddle

    model = candidate()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    scheduler = paddle.optimizer.lr.CosineAnnealingDecay(1e-3, T_max=50)
    optimizer = paddle.optimizer.AdamW(scheduler, parameters=groups)
    return Training(model, optimizer, paddle.nn.CrossEntropyLoss(), scheduler)


def train_with_a_mistake() -> Training:
    """The same with a filter that looks for norms by name, where Paddle's own names have none."""
    import paddle

    model = candidate()
    groups = [
        {"params": [p for p in model.parameters() if "norm.weight" not in p.name], "weight_decay": 0.05},
        {"params": [p for p in model.parameters() if "norm.weight" in p.name], "weight_decay": 0.0},
    ]
    scheduler = paddle.optimizer.lr.CosineAnnealingDecay(1e-3, T_max=50)
    optimizer = paddle.optimizer.AdamW(scheduler, parameters=[group for group in groups if group["params"]])
    return Training(model, optimizer, paddle.nn.CrossEntropyLoss(), scheduler)


def _pair(candidate_training: str) -> Pair:
    return Pair(
        name="trained",
        reference=Side("torch", "train_pair.py:reference", training="train_pair.py:train_reference"),
        candidate=Side("paddle", "train_pair.py:candidate", training=f"train_pair.py:{candidate_training}"),
        input_shape=(16,),
        rules="auto",
    )


PAIR, MISTAKEN = _pair("train_candidate"), _pair("train_with_a_mistake")
