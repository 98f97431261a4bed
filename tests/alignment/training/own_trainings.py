"""Two small models and what trains them: rightly, and with the mistakes that ports make; loaded by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from alignment.pair import Pair, Side, Training

HERE = Path(__file__)


def torch_mlp() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 5))


def paddle_mlp() -> Any:
    from paddle import nn

    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 5))


def torch_conv() -> Any:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


def paddle_conv() -> Any:
    from paddle import nn

    norm = nn.BatchNorm2D(4, momentum=0.9)
    return nn.Sequential(nn.Conv2D(2, 4, 3), norm, nn.Tanh(), nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(4, 3))


def _groups(model: Any, decay: float = 0.05, norm: bool = False, bias: bool = False, rate: float = 1.0) -> Any:
    """Parameter groups of a Paddle model: matrices decay, and what a mistake lets decay."""
    named = dict(model.named_parameters())
    last = [name for name in named if name.endswith("bias")][-1]
    wrong = {"1.weight"} if norm else {last} if bias else set()
    decaying = [p for name, p in named.items() if p.ndim > 1 or name in wrong]
    rest = [p for name, p in named.items() if p.ndim <= 1 and name not in wrong and not (rate != 1 and name == last)]
    groups = [{"params": decaying, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
    return groups + ([{"params": [named[last]], "weight_decay": 0.0, "learning_rate": rate}] if rate != 1 else [])


def torch_training(model: Callable[[], Any], kind: str, **settings: Any) -> Training:
    """A right training: AdamW in groups with a cosine, or another optimizer of all parameters."""
    import torch

    net = model()
    if kind == "AdamW":
        decaying = [p for p in net.parameters() if p.ndim > 1]
        rest = [p for p in net.parameters() if p.ndim <= 1]
        groups = [{"params": decaying, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
        optimizer: Any = torch.optim.AdamW(groups, lr=1e-3)
        scheduler: Any = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, 1e-5)
        return Training(net, optimizer, torch.nn.CrossEntropyLoss(), scheduler)
    if kind == "Lamb":
        from timm.optim import Lamb

        optimizer = Lamb(net.parameters(), lr=0.01, max_grad_norm=None)
    else:
        optimizer = getattr(torch.optim, kind)(net.parameters(), lr=0.01, **settings)
    return Training(net, optimizer, torch.nn.functional.cross_entropy)


def paddle_adamw(
    model: Callable[[], Any],
    *,
    rate: float = 1e-3,
    ahead: int = 0,
    sum_up: bool = False,
    kind: Any = None,
    **wrong: Any,
) -> Training:
    """The same in Paddle, with a mistake."""
    import paddle

    net = model()
    scheduler = paddle.optimizer.lr.CosineAnnealingDecay(rate, 50, 1e-5)
    for _ in range(ahead):
        scheduler.step()
    settings = {name: wrong.pop(name) for name in ("beta1", "beta2", "epsilon") if name in wrong}
    optimizer = (kind or paddle.optimizer.AdamW)(scheduler, parameters=_groups(net, **wrong), **settings)
    loss = paddle.nn.CrossEntropyLoss(reduction="sum" if sum_up else "mean")
    return Training(net, optimizer, loss, scheduler)


def paddle_filtered(model: Callable[[], Any], style: str) -> Training:
    """AdamW with a filter on the weights' names, where Paddle hands over its own, as published ports have it."""
    import paddle

    net = model()
    skip = [name for name, parameter in net.named_parameters() if parameter.ndim <= 1]
    filters = {"list": lambda name: name not in skip, "suffix": lambda name: not name.endswith(".bias")}
    scheduler = paddle.optimizer.lr.CosineAnnealingDecay(1e-3, 50, 1e-5)
    optimizer = paddle.optimizer.AdamW(
        scheduler, parameters=net.parameters(), weight_decay=0.05, apply_decay_param_fun=filters[style]
    )
    return Training(net, optimizer, paddle.nn.CrossEntropyLoss(), scheduler)


def paddle_other(model: Callable[[], Any], kind: str, *given: Any, rate: float = 0.01, **settings: Any) -> Training:
    import paddle

    net = model()
    optimizer = getattr(paddle.optimizer, kind)(rate, *given, parameters=net.parameters(), **settings)
    return Training(net, optimizer, paddle.nn.functional.cross_entropy)


def written_by_hand(model: Callable[[], Any], mistake: str = "") -> Training:
    """An AdamW of the user's own, which says nothing of itself that its base class does not."""
    import paddle

    class Own(paddle.optimizer.AdamW):
        def _append_optimize_op(self, block: Any, given: Any) -> None:
            parameter, gradient = self._update_param_group(given) if isinstance(given, dict) else given
            held = self.__dict__.setdefault("held", {})
            zeros = paddle.zeros_like(parameter)
            count, first, second = held.get(parameter.name, (0, zeros, zeros))
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient * gradient
            held[parameter.name] = count + 1, first, second
            large, small = 1 - 0.9 ** (count + 1), 1 - 0.999 ** (count + 1)
            if mistake == "uncorrected":
                large = small = 1.0
            inside = mistake == "inside"
            root = paddle.sqrt(second / small + 1e-8) if inside else paddle.sqrt(second / small) + 1e-8
            kept = 1 - (1.0 if mistake == "unscaled" else self.get_lr()) * self._weight_decay
            parameter.set_value(parameter * kept - self.get_lr() * first / large / root)

    return paddle_adamw(model, kind=Own)


def adam_with_l2(model: Callable[[], Any]) -> Training:
    import paddle

    net = model()
    scheduler = paddle.optimizer.lr.CosineAnnealingDecay(1e-3, 50, 1e-5)
    optimizer = paddle.optimizer.Adam(scheduler, parameters=_groups(net))
    return Training(net, optimizer, paddle.nn.CrossEntropyLoss(), scheduler)


REFERENCES: dict[str, Callable[[Callable[[], Any]], Training]] = {
    "adamw": lambda model: torch_training(model, "AdamW"),
    "adam": lambda model: torch_training(model, "Adam", weight_decay=0.01),
    "sgd": lambda model: torch_training(model, "SGD", momentum=0.9, weight_decay=1e-4),
    "rmsprop": lambda model: torch_training(model, "RMSprop", alpha=0.9, momentum=0.9),
    "lamb": lambda model: torch_training(model, "Lamb"),
}
CANDIDATES: dict[str, Callable[[Callable[[], Any]], Training]] = {
    "adamw": paddle_adamw,
    "adamw_by_hand": written_by_hand,
    "adamw_filter_list": lambda model: paddle_filtered(model, "list"),
    "adamw_filter_suffix": lambda model: paddle_filtered(model, "suffix"),
    "adamw_norm_decays": lambda model: paddle_adamw(model, norm=True),
    "adamw_bias_decays": lambda model: paddle_adamw(model, bias=True),
    "adamw_other_rate": lambda model: paddle_adamw(model, rate=5e-4),
    "adamw_beta2": lambda model: paddle_adamw(model, beta2=0.99),
    "adamw_epsilon": lambda model: paddle_adamw(model, epsilon=3e-7),
    "adamw_decay": lambda model: paddle_adamw(model, decay=0.03),
    "adamw_ahead": lambda model: paddle_adamw(model, ahead=1),
    "adamw_summed": lambda model: paddle_adamw(model, sum_up=True),
    "adamw_l2": adam_with_l2,
    "adamw_inside": lambda model: written_by_hand(model, "inside"),
    "adamw_uncorrected": lambda model: written_by_hand(model, "uncorrected"),
    "adamw_unscaled": lambda model: written_by_hand(model, "unscaled"),
    "adam": lambda model: paddle_other(model, "Adam", weight_decay=0.01),
    "adam_beta1": lambda model: paddle_other(model, "Adam", 0.8, weight_decay=0.01),
    "sgd": lambda model: paddle_other(model, "Momentum", 0.9, weight_decay=1e-4),
    "sgd_momentum": lambda model: paddle_other(model, "Momentum", 0.1, weight_decay=1e-4),
    "sgd_nesterov": lambda model: paddle_other(model, "Momentum", 0.9, weight_decay=1e-4, use_nesterov=True),
    "sgd_decay": lambda model: paddle_other(model, "Momentum", 0.9, weight_decay=5e-4),
    "sgd_plain": lambda model: paddle_other(model, "SGD", weight_decay=1e-4),
    "rmsprop": lambda model: paddle_other(model, "RMSProp", 0.9, 1e-8, 0.9),
    "rmsprop_rho": lambda model: paddle_other(model, "RMSProp", 0.95, 1e-8, 0.9),
    "rmsprop_epsilon": lambda model: paddle_other(model, "RMSProp", 0.9, 1e-6, 0.9),
    "lamb": lambda model: paddle_other(model, "Lamb", 0.01),
    "lamb_decay": lambda model: paddle_other(model, "Lamb", 0.02),
}


def _bad(name: str) -> Callable[[], Any]:
    """A training that cannot be run."""

    def make() -> Any:
        import paddle
        import torch

        right = paddle_adamw(paddle_mlp)
        net, optimizer = right.model, paddle.optimizer.SGD(0.1, right.model.parameters())
        return {
            "nothing": lambda: None,
            "other_framework": lambda: Training(net, torch.optim.SGD(torch_mlp().parameters()), right.loss),
            "word": lambda: Training(net, "adamw", right.loss),
            "other_model": lambda: Training(paddle_conv(), optimizer, right.loss),
            "of_another": lambda: Training(net, paddle.optimizer.SGD(0.1, paddle_mlp().parameters()), right.loss),
            "too_many": lambda: Training(
                net, paddle.optimizer.SGD(0.1, [*net.parameters(), *paddle_mlp().parameters()]), right.loss
            ),
            "vector": lambda: Training(net, optimizer, lambda out, target: (out * out).mean(1)),
            "number": lambda: Training(net, optimizer, lambda out, target: 1.0),
            "uncallable": lambda: Training(net, optimizer, cast(Any, 3)),
            "scheduler": lambda: Training(
                net,
                optimizer,
                right.loss,
                torch.optim.lr_scheduler.StepLR(torch.optim.SGD(torch_mlp().parameters()), 3),
            ),
            "loose": lambda: Training(net, optimizer, right.loss, paddle.optimizer.lr.StepDecay(0.1, 3)),
            "torch_model": lambda: Training(torch_mlp(), optimizer, right.loss),
        }[name]()

    return make


BAD: tuple[str, ...] = ("nothing", "other_framework", "word", "other_model", "of_another", "too_many", "vector")
BAD += ("number", "uncallable", "scheduler", "loose", "torch_model")
CANDIDATES["sgd_left_out"] = lambda model: _left_out(model)
CANDIDATES["adamw_rate_of_group"] = lambda model: _rate_of_group(model)


def _rate_of_group(model: Callable[[], Any]) -> Training:
    import paddle

    net = model()
    scheduler = paddle.optimizer.lr.CosineAnnealingDecay(1e-3, 50, 1e-5)
    optimizer = paddle.optimizer.AdamW(scheduler, parameters=_groups(net, rate=10.0))
    return Training(net, optimizer, paddle.nn.CrossEntropyLoss(), scheduler)


def _left_out(model: Callable[[], Any]) -> Training:
    """The optimizer is given two of the parameters."""
    import paddle

    net = model()
    return Training(net, paddle.optimizer.SGD(0.1, net.parameters()[:2]), paddle.nn.CrossEntropyLoss())


def torch_scheduler_of_another() -> Training:
    import torch

    net = torch_mlp()
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for _ in range(2)]
    return Training(net, optimizers[0], torch.nn.MSELoss(), torch.optim.lr_scheduler.StepLR(optimizers[1], 3))


def takes_arguments(side: Any, config: Any) -> Any:
    raise AssertionError


for _net in ("mlp", "conv"):
    for _name, _make in REFERENCES.items():
        globals()[f"torch_{_net}_{_name}"] = lambda make=_make, net=_net: make(globals()[f"torch_{net}"])
    for _name, _make in CANDIDATES.items():
        globals()[f"paddle_{_net}_{_name}"] = lambda make=_make, net=_net: make(globals()[f"paddle_{net}"])
for _name in BAD:
    globals()[f"bad_{_name}"] = _bad(_name)


def declared(net: str, reference: str, candidate: str) -> Pair:
    """A pair of these, by the names of the functions that train them."""
    return Pair(
        name=net,
        reference=Side("torch", f"{HERE}:torch_{net}", training=f"{HERE}:{reference}"),
        candidate=Side("paddle", f"{HERE}:paddle_{net}", training=f"{HERE}:{candidate}"),
        input_shape=(6,) if net == "mlp" else (2, 6, 6),
        rules="auto",
    )
