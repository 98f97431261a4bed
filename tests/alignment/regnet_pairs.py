"""A small RegNetY of the teacher's class, right and with the mistakes that ports make: loaded by the workers."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side
from porting.architectures.regnet import RegnetConfig, architecture

_SMALL: dict[str, Any] = {"widths": (24, 56, 152, 368), "depth": (1, 1, 4, 7), "group_width": 8}
"""timm's regnety_002."""


def reference(**options: Any) -> Any:
    from reference_torch.compat import prepare_timm

    prepare_timm()
    from timm.models.regnet import model_cfgs

    from reference_torch.regnet import RegNet

    return RegNet(model_cfgs["regnety_002"], **options)


def candidate(*, se_ratio: int = 4, **options: Any) -> Any:
    from paddle_impl import regnet

    return regnet.RegNet(regnet.RegnetConfig(**_SMALL, se_ratio=se_ratio), **options)


def _norms(model: Any) -> Iterator[Any]:
    return (layer for layer in model.sublayers() if hasattr(layer, "_variance"))


def with_torchs_momentum(**options: Any) -> Any:
    """Torch's 0.1, where Paddle means the share of the old statistic."""
    model = candidate(**options)
    for norm in _norms(model):
        norm._momentum = 0.1
    return model


def with_biased_variance(**options: Any) -> Any:
    """Paddle's own batch normalisation."""
    import paddle

    model = candidate(**options)
    for norm in _norms(model):
        norm.forward = lambda x, norm=norm: paddle.nn.BatchNorm2D.forward(norm, x)
    return model


def with_frozen_statistics(**options: Any) -> Any:
    """Gradients that take the statistics of the batch for constants."""
    import paddle

    model = candidate(**options)
    for norm in _norms(model):

        def forward(x: Any, norm: Any = norm, right: Any = norm.forward) -> Any:
            if not norm.training:
                return right(x)
            with paddle.no_grad():
                right(x)
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            return paddle.nn.functional.batch_norm(x, mean, variance, norm.weight, norm.bias, epsilon=norm._epsilon)

        norm.forward = forward
    return model


def with_wide_epsilon(**options: Any) -> Any:
    model = candidate(**options)
    for norm in _norms(model):
        norm._epsilon = 1e-3
    return model


def with_late_excitation(**options: Any) -> Any:
    """Squeeze-and-excitation after the third convolution, as in SE-ResNet."""
    import paddle.nn.functional as functional

    model = candidate(**options)
    block = model.stages[1].blocks[0]

    def forward(x: Any) -> Any:
        shortcut = block.downsample(x)
        x = functional.relu(block.bn1(block.conv1(x)))
        x = functional.relu(block.bn2(block.conv2(x)))
        return functional.relu(block.se(block.bn3(block.conv3(x))) + shortcut)

    block.forward = forward
    return model


def with_lost_bias(**options: Any) -> Any:
    model = candidate(**options)
    excitation = model.stages[2].blocks[0].se.conv1_1x1
    right = excitation.forward
    excitation.forward = lambda x: right(x) - excitation.bias.reshape((1, -1, 1, 1))
    return model


RIGHT = Pair(
    name="regnety_002",
    reference=Side("torch", "regnet_pairs.py:reference", "canonical", {"num_classes": 10}),
    candidate=Side("paddle", "regnet_pairs.py:candidate", "paddlevit", {"num_classes": 10}),
    architecture=architecture("regnety_002", RegnetConfig(**_SMALL, image_size=(64, 64), num_classes=10)),
    input_shape=(3, 64, 64),
    smooth=False,
)


def _wrong(builder: str, **options: Any) -> Pair:
    given = {**RIGHT.candidate.options, **options}
    return replace(RIGHT, candidate=replace(RIGHT.candidate, build=f"regnet_pairs.py:{builder}", options=given))


MOMENTUM = _wrong("with_torchs_momentum")
BIASED_VARIANCE = _wrong("with_biased_variance")
FROZEN = _wrong("with_frozen_statistics")
EPSILON = _wrong("with_wide_epsilon")
LATE_EXCITATION = _wrong("with_late_excitation")
BIAS = _wrong("with_lost_bias")
RATIO = _wrong("candidate", se_ratio=8)
