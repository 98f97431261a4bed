"""The models of `paddle.vision.models`, and ten of MindCV, each with the model of torchvision or timm that it is.

    python -m benchmarks.rules.vision [--model resnet50] [--mindspore-python PYTHON] [--page]

Each pair takes the smallest images that both models run on, and has ten classes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alignment.pair import Pair, Side
from porting.operations import Scale, Transpose
from porting.rules import Rule, rule

_CLASSES = 10


@dataclass(frozen=True)
class VisionPair:
    """A model and its reference.

    Attributes:
        model: Name in `paddle.vision.models` or MindCV.
        reference: `torchvision:NAME`, `timm:NAME`, or `torchvision:module.Class` of a model that has no function.
        size: Height and width of the images.
        differs: Where the two really differ; empty if they are one function.
        arguments: Positional arguments of the reference's class.
        options: Keyword arguments of the reference's function or class.
        candidate_options: Keyword arguments of the candidate's function.
        given: Rules that are given; the others are derived.
        framework: `paddle` or `mindspore`.
        title: Name of the pair if it is not the model's.
        table: Name of the model in `porting.tables` if it is not the pair's.
    """

    model: str
    reference: str
    size: int = 32
    differs: str = ""
    arguments: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    candidate_options: Mapping[str, Any] = field(default_factory=dict)
    given: Sequence[Rule] = ()
    framework: str = "paddle"
    title: str = ""
    table: str = ""

    @property
    def name(self) -> str:
        """Name of the pair."""
        return self.title or (self.model if self.framework == "paddle" else f"mindcv_{self.model}")


def _resnext(name: str, depths: list[int], groups: int) -> VisionPair:
    return VisionPair(
        name,
        "torchvision:resnet.ResNet",
        arguments=("Bottleneck", depths),
        options={"groups": groups, "width_per_group": 4},
    )


def _shuffle(name: str, widths: list[int], differs: str = "") -> VisionPair:
    return VisionPair(name, "torchvision:shufflenetv2.ShuffleNetV2", arguments=([4, 8, 4], widths), differs=differs)


def _same(*names: str, size: int = 32) -> list[VisionPair]:
    return [VisionPair(name, f"torchvision:{name}", size) for name in names]


_SQUEEZED = {"squeezenet1_0": 51, "squeezenet1_1": 47}
_DROPOUT = "Paddle's dropout multiplies by 0.5 in evaluation"
_ROUNDED = f"{_DROPOUT}; sizes after pooling round up in torchvision, down in Paddle"
_SQUEEZE_DIFFERS = {
    "squeezenet1_0": _ROUNDED,
    "squeezenet1_1": f"{_ROUNDED}; the first convolution pads in Paddle",
}
_SWISH = "Swish in Paddle, ReLU in torchvision; names and shapes are those of `shufflenet_v2_x1_0`"
_POOLING = "max pooling pads after the last row and column in MindCV, before the first in torchvision"
_STRIDE = "depthwise convolutions of stride 2 pad after the last row and column in MindCV, on both sides in torchvision"
_TANH = "MindCV's GELU is the approximation by tanh"
_DOWN = "sizes after pooling round up in torchvision, down in MindCV: the same at this size, not at 224"
_PADS = f"{_DOWN}; the first convolution pads in MindCV"
_PADDLE = (
    *_same("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *_same("resnext50_32x4d", "resnext101_64x4d"),
    _resnext("resnext50_64x4d", [3, 4, 6, 3], 64),
    _resnext("resnext101_32x4d", [3, 4, 23, 3], 32),
    _resnext("resnext152_32x4d", [3, 8, 36, 3], 32),
    _resnext("resnext152_64x4d", [3, 8, 36, 3], 64),
    *_same("densenet121", "densenet161", "densenet169", "densenet201"),
    VisionPair("densenet264", "torchvision:densenet.DenseNet", arguments=(32, (6, 12, 64, 48), 64)),
    *_same("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    VisionPair("mobilenet_v1", "timm:mobilenetv1_100", options={"act_layer": "relu"}),
    *_same("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5"),
    _shuffle("shufflenet_v2_x0_25", [24, 24, 48, 96, 512]),
    _shuffle("shufflenet_v2_x0_33", [24, 32, 64, 128, 512]),
    _shuffle("shufflenet_v2_x2_0", [24, 224, 488, 976, 2048]),
    _shuffle("shufflenet_v2_swish", [24, 116, 232, 464, 1024], _SWISH),
    *(VisionPair(name, f"torchvision:{name}", size, _SQUEEZE_DIFFERS[name]) for name, size in _SQUEEZED.items()),
    *_same("vgg11", "vgg13", "vgg16", "vgg19"),
    *(
        VisionPair(f"vgg{n}", f"torchvision:vgg{n}_bn", candidate_options={"batch_norm": True}, title=f"vgg{n}_bn")
        for n in (11, 13, 16, 19)
    ),
    VisionPair(
        "alexnet",
        "torchvision:alexnet",
        224,
        given=(
            rule("classifier.1.weight", "_fc6.weight", [Transpose(), Scale(2)]),
            rule("classifier.4.weight", "_fc7.weight", [Transpose(), Scale(2)]),
        ),
    ),
    VisionPair(
        "inception_v3",
        "torchvision:inception_v3",
        96,
        "epsilon of the batch norms is 1e-5 in Paddle, 1e-3 in torchvision and timm; Paddle's dropout multiplies by "
        "0.8 in evaluation",
        options={"aux_logits": False, "init_weights": False},
    ),
    VisionPair(
        "googlenet",
        "torchvision:googlenet",
        224,
        "no batch norms and convolutions of 5 x 5 in Paddle; batch norms and 3 x 3 in torchvision",
        options={"init_weights": False},
    ),
)
_MINDCV = (
    VisionPair("resnet18", "torchvision:resnet18", differs=_POOLING, framework="mindspore"),
    VisionPair("resnet34", "torchvision:resnet34", differs=_POOLING, framework="mindspore"),
    VisionPair("resnet50", "torchvision:resnet50", differs=_POOLING, framework="mindspore"),
    VisionPair("vgg11", "torchvision:vgg11", 224, "no biases of convolutions in MindCV", framework="mindspore"),
    VisionPair("squeezenet1_0", "torchvision:squeezenet1_0", 51, _DOWN, framework="mindspore"),
    VisionPair("squeezenet1_1", "torchvision:squeezenet1_1", 47, _PADS, framework="mindspore"),
    VisionPair("densenet121", "torchvision:densenet121", 64, framework="mindspore"),
    VisionPair("mobilenet_v2_100", "torchvision:mobilenet_v2", framework="mindspore", table="mobilenet_v2"),
    VisionPair("mobilenet_v3_small_100", "torchvision:mobilenet_v3_small", differs=_STRIDE, framework="mindspore"),
    VisionPair("mobilenet_v3_large_100", "torchvision:mobilenet_v3_large", differs=_STRIDE, framework="mindspore"),
    VisionPair(
        "mobilenet_v1_100",
        "timm:mobilenetv1_100",
        options={"act_layer": "relu"},
        framework="mindspore",
        table="mobilenet_v1",
    ),
    VisionPair("efficientnet_b0", "torchvision:efficientnet_b0", differs=_STRIDE, framework="mindspore"),
    VisionPair(
        "shufflenet_v2_x1_0",
        "torchvision:shufflenet_v2_x1_0",
        64,
        "branches of other widths in MindCV",
        framework="mindspore",
    ),
    VisionPair(
        "regnet_x_400mf",
        "torchvision:regnet_x_400mf",
        differs="the last stage has 384 channels in MindCV, 400 in torchvision",
        framework="mindspore",
    ),
    VisionPair("vit_b_32_224", "timm:vit_base_patch32_224", 224, _TANH, framework="mindspore"),
    VisionPair(
        "poolformer_s12",
        "timm:poolformer_s12",
        64,
        f"the head takes the mean of what the last norm gives in MindCV, the norm of the mean in timm; {_TANH}",
        framework="mindspore",
    ),
)
PAIRS: Mapping[str, VisionPair] = {pair.name: pair for pair in (*_PADDLE, *_MINDCV)}
WITHOUT: Mapping[str, str] = {"lenet": "neither torchvision nor timm has LeNet"}
"""Models that have no counterpart, and why."""


def declared(name: str) -> Pair:
    """The pair of this name as a user declares it."""
    pair = PAIRS[name]
    sides = (
        Side("torch", f"{__name__}:reference", options={"name": name}),
        Side(pair.framework, f"{__name__}:candidate", options={"name": name}),
    )
    return Pair(name, *sides, input_shape=(3, pair.size, pair.size), rules=["auto", *pair.given])


def reference(name: str) -> Any:
    """The reference of a pair."""
    pair = PAIRS[name]
    source, _, path = pair.reference.partition(":")
    return (_timm if source == "timm" else _torchvision)(path, pair)


def _timm(path: str, pair: VisionPair) -> Any:
    from reference_torch.compat import prepare_timm

    prepare_timm()
    import timm

    return timm.create_model(path, num_classes=_CLASSES, **pair.options)


def _torchvision(path: str, pair: VisionPair) -> Any:
    from reference_torch.compat import prepare_timm

    prepare_timm()
    import torchvision

    module, _, kind = path.rpartition(".")
    place = importlib.import_module(f"torchvision.models.{module}") if module else torchvision.models
    arguments = [getattr(place, word) if isinstance(word, str) else word for word in pair.arguments]
    return getattr(place, kind)(*arguments, num_classes=_CLASSES, **pair.options)


def candidate(name: str) -> Any:
    """The candidate of a pair."""
    return _CANDIDATES[PAIRS[name].framework](PAIRS[name])


def _paddle(pair: VisionPair) -> Any:
    from paddle.vision import models

    return getattr(models, pair.model)(num_classes=_CLASSES, **pair.candidate_options)


def _mindcv(pair: VisionPair) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MindCV warns of optional packages that it does without
        from mindcv import create_model

    return create_model(pair.model, num_classes=_CLASSES, **pair.candidate_options)


_CANDIDATES: Mapping[str, Callable[[VisionPair], Any]] = {"paddle": _paddle, "mindspore": _mindcv}
