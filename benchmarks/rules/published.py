"""Models of timm against themselves in disguise: renamed, reordered, with other modules in the place of some.

The reference is the model as timm has it, small. The candidate is the same object after its modules were registered
under other names and in another order, and some of its leaves were replaced by others that compute the same.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from alignment.pair import Pair, Role
from alignment.pair import Side as Declared
from benchmarks.rules.naming import Names
from benchmarks.rules.sides import Made, Weights
from benchmarks.rules.torch_kit import ChannelsLinear, own, parameter
from reference_torch.compat import prepare_timm

_PATCHES = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}
MODELS: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "vit_tiny_patch16_224": (_PATCHES, 32),
    "deit3_small_patch16_224": (_PATCHES, 32),
    "beit_base_patch16_224": (_PATCHES, 32),
    "eva02_tiny_patch14_224": (_PATCHES, 32),
    "swin_tiny_patch4_window7_224": (
        {"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2)},
        32,
    ),
    "swinv2_tiny_window8_256": (
        {"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2)},
        32,
    ),
    "convnext_atto": ({"depths": (1, 2, 1, 1), "dims": (8, 16, 24, 32)}, 32),
    "cait_xxs24_224": ({**_PATCHES, "depth_token_only": 1}, 32),
    "xcit_nano_12_p8_224": ({**_PATCHES, "patch_size": 8}, 32),
    "resnet10t": ({}, 32),
    "resnet26d": ({}, 32),
    "resnext26ts": ({}, 32),
    "seresnext26t_32x4d": ({}, 32),
    "regnety_002": ({}, 32),
    "mobilenetv3_small_050": ({}, 32),
    "efficientnet_lite0": ({}, 32),
    "efficientnet_b0": ({}, 32),
    "ghostnet_050": ({}, 32),
    "mobileone_s0": ({}, 32),
    "repvgg_a0": ({}, 32),
    "poolformer_s12": ({}, 64),
    "pvt_v2_b0": ({}, 64),
    "edgenext_xx_small": ({}, 64),
    "mobilevit_xxs": ({}, 64),
    "levit_128s": ({"img_size": 64}, 64),
    "pit_ti_224": ({"img_size": 64}, 64),
    "crossvit_9_240": ({"img_size": 240}, 240),
    "densenet121": ({"growth_rate": 4, "block_config": (2, 2, 3, 2)}, 64),
    "dla34": ({}, 64),
    "hardcorenas_a": ({}, 64),
    "tinynet_e": ({}, 64),
    "fastvit_t8": ({}, 64),
    "repvit_m0_9": ({}, 64),
    "starnet_s1": ({}, 64),
}
"""Name in timm to options that make it small, and the size of its images."""


@dataclass
class Known:
    """What is known of a side, as `benchmarks.rules.sides.Side` knows it."""

    shapes: dict[str, tuple[int, ...]]
    silent: set[str] = field(default_factory=set)
    choices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A model of timm against itself in disguise.

    Attributes:
        seed: Of the disguise.
        family: Name in timm.
        swapped: The disguised one is the reference.
    """

    seed: int
    family: str
    swapped: bool = False

    @property
    def name(self) -> str:
        """Name of the pair."""
        return f"{self.family}-{self.seed}{'-swapped' if self.swapped else ''}"

    @property
    def pair(self) -> Pair:
        """The pair as a user declares it."""
        size = MODELS[self.family][1]
        options = {"seed": self.seed, "family": self.family}
        sides = [
            Declared("torch", f"{__name__}:build", options={**options, "disguised": self._disguised(role)})
            for role in ("reference", "candidate")
        ]
        return Pair(self.name, sides[0], sides[1], input_shape=(3, size, size), rules="auto")

    def _disguised(self, role: str) -> bool:
        return (role == "candidate") != self.swapped

    def tensors(self, role: Role) -> tuple[Mapping[str, Made], Known]:
        """What every tensor of a side is made of, and what is known of the side."""
        model = _plain(self.family)
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        constants = {name for name, buffer in model.named_buffers() if not name.endswith(("_mean", "_var"))}
        known = Known({name: shape for name, shape in shapes.items() if name not in constants})
        origins = _Origins(model)
        if self._disguised(role):
            disguise(model, origins, self.seed)
        made = {name: entry for name, entry in origins.named(model).items() if not constants & set(entry.keys)}
        return made, known


def build(seed: int, family: str, disguised: bool) -> Any:
    """A side of a pair."""
    model = _plain(family)
    if disguised:
        disguise(model, _Origins(model), seed)
    return model


def _plain(family: str) -> Any:
    prepare_timm()
    import timm

    return timm.create_model(family, num_classes=5, **MODELS[family][0]).eval()


def _itself(name: str) -> Made:
    return Made((name,), lambda weights: weights[name])


class _Origins:
    """Of which tensors of the plain model each tensor is made, by the module that holds it."""

    def __init__(self, model: nn.Module) -> None:
        self._made: dict[tuple[int, str], Made] = {}
        self._alive: list[nn.Module] = []
        for path, module in model.named_modules():
            for name in (*module._parameters, *module._buffers):
                self._made[id(module), name] = _itself(f"{path}.{name}".lstrip("."))
            self._alive.append(module)

    def of(self, module: nn.Module, name: str) -> Made:
        """What a tensor is made of."""
        return self._made[id(module), name]

    def put(self, module: nn.Module, name: str, made: Made) -> None:
        """Say what a tensor of a module that is new, or has a new name, is made of."""
        self._made[id(module), name] = made
        self._alive.append(module)

    def named(self, model: nn.Module) -> dict[str, Made]:
        """Name in the state dict to what the tensor is made of."""
        named = {}
        for path, module in model.named_modules():
            for name in (*module._parameters, *module._buffers):
                if (id(module), name) in self._made:
                    named[f"{path}.{name}".lstrip(".")] = self._made[id(module), name]
        return {name: named[name] for name in model.state_dict() if name in named}


def disguise(model: nn.Module, origins: _Origins, seed: int) -> None:
    """Change a model in place without a change of what it computes; what would change it is left out."""
    generator = random.Random(f"disguise/{seed}")
    names = Names(generator, generator.choice(("any", "numbers", "words")), 0.0)
    share = generator.choice((0.0, 0.3, 0.6))
    chosen: dict[tuple[str, str], Callable[..., Any] | None] = {}
    for _, parent in [*model.named_modules()]:
        for name, child in [*parent.named_children()]:
            key = type(parent).__name__, name
            ways = [way for kind, way in _WAYS if type(child) is kind]
            if key not in chosen:
                chosen[key] = generator.choice(ways) if ways and generator.random() < share else None
            way = chosen[key]
            other = way(child, origins, name) if way and ways else None
            if other is not None and not _read(type(parent), name):
                setattr(parent, name, other)
    shuffled = generator.random() < 0.6
    for _, module in [*model.named_modules()]:
        if type(module).__module__.startswith("timm") and not isinstance(module, _CONTAINERS):
            _rename(module, origins, names, random.Random(f"{seed}/{type(module).__name__}") if shuffled else None)


_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList)


def _ordered(kind: type) -> bool:
    """Whether a class runs its children in the order in which they are registered."""
    source = "".join(inspect.getsource(base) for base in kind.__mro__ if base.__module__.startswith("timm"))
    return "children()" in source or "_modules" in source


def _read(kind: type, name: str) -> bool:
    """Whether a class reads tensors of a child itself, so that the child cannot be replaced."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return True
    return any(f"self.{name}.{tensor}" in source for tensor in ("weight", "bias", "in_features", "out_features"))


def _into_first(child: Any, origins: _Origins, _: str) -> Any:
    biased = child.bias is not None

    def forward(module: Any, x: Any) -> Any:
        y = x @ module.kernel
        return y + module.shift if biased else y

    made = own("Conv1D", forward)
    parameter(made, "kernel", child.weight.detach().numpy().T)
    origin = origins.of(child, "weight")
    origins.put(made, "kernel", Made(origin.keys, lambda weights: origin.of(weights).T))
    if biased:
        parameter(made, "shift", child.bias.detach().numpy())
        origins.put(made, "shift", origins.of(child, "bias"))
    return made


def _three(child: Any, origins: _Origins, name: str) -> Any:
    """Three Linears for one that gives queries, keys and values."""
    if name != "qkv" or child.out_features % 3:
        return None
    length = child.out_features // 3
    parts = [nn.Linear(child.in_features, length, bias=child.bias is not None) for _ in range(3)]
    for place, part in enumerate(parts):
        for tensor in ("weight", "bias") if child.bias is not None else ("weight",):
            _share(origins, part, tensor, origins.of(child, tensor), slice(place * length, (place + 1) * length))
            getattr(part, tensor).data.copy_(getattr(child, tensor).data[place * length : (place + 1) * length])
    made = own("Projections", lambda module, x: torch.cat([module.q(x), module.k(x), module.v(x)], -1))
    for role, part in zip("qkv", parts, strict=True):
        made.add_module(role, part)
    return made


def _share(origins: _Origins, module: Any, name: str, origin: Made, rows: slice) -> None:
    origins.put(module, name, Made(origin.keys, lambda weights: origin.of(weights)[rows]))


def _channels(child: Any, origins: _Origins, _: str) -> Any:
    """A Linear over channels for a convolution of 1 x 1."""
    if (child.kernel_size, child.stride, child.groups, child.padding) != ((1, 1), (1, 1), 1, (0, 0)):
        return None
    made = ChannelsLinear(child.in_channels, child.out_channels, bias=child.bias is not None)
    made.weight.data.copy_(child.weight.data[:, :, 0, 0])
    origin = origins.of(child, "weight")
    origins.put(made, "weight", Made(origin.keys, lambda weights: origin.of(weights)[:, :, 0, 0]))
    if child.bias is not None:
        made.bias.data.copy_(child.bias.data)
        origins.put(made, "bias", origins.of(child, "bias"))
    return made


def _norm_by_hand(child: Any, origins: _Origins, _: str) -> Any:
    if len(child.normalized_shape) != 1 or child.weight is None or child.bias is None:
        return None
    epsilon = child.eps

    def forward(module: Any, x: Any) -> Any:
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + epsilon) * module.gamma + module.beta

    made = own("LayerNormByHand", forward)
    for name, before in (("gamma", "weight"), ("beta", "bias")):
        parameter(made, name, getattr(child, before).detach().numpy())
        origins.put(made, name, origins.of(child, before))
    return made


_WAYS: Sequence[tuple[type, Callable[..., Any]]] = (
    (nn.Linear, _into_first),
    (nn.Linear, _three),
    (nn.Conv2d, _channels),
    (nn.LayerNorm, _norm_by_hand),
)


def _rename(module: nn.Module, origins: _Origins, names: Names, order: random.Random | None) -> None:
    """Register children and parameters of a module under other names; its own code finds them under the old ones."""
    kind = type(module)
    aliases: dict[str, str] = {}
    for table in (module._modules, module._parameters):
        entries = [(name, value) for name, value in table.items() if value is not None]
        if order is not None and not _ordered(kind):
            order.shuffle(entries)
        for name, value in entries:
            new = names.of(kind.__name__, name).split(".")[0]
            new = f"n{new}" if hasattr(kind, new) or new in module.__dict__ else new
            aliases[name] = new
            del table[name]
            if table is module._parameters:
                origins.put(module, new, origins.of(module, name))
            table[new] = value

    def find(self: Any, name: str) -> Any:
        known = self.__dict__.get("_aliases", {})
        return nn.Module.__getattr__(self, known.get(name, name))

    module.__dict__["_aliases"] = aliases
    module.__class__ = type(names.kind(kind.__name__), (kind,), {"__getattr__": find})


__all__ = ["MODELS", "Known", "Published", "Weights", "build", "disguise"]
