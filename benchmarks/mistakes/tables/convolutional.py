"""Mistakes in ResNet-18 and in MobileNetV3."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_resnet, _mobilenet = partial(Mistake, net="resnet"), partial(Mistake, net="mobilenet")
_NORM = "self._norm_layer = nn.BatchNorm2D\n"

RESNET: tuple[Mistake, ...] = (
    _resnet(
        "epsilon of the first norm",
        old="self.bn1 = self._norm_layer(self.inplanes)",
        new="self.bn1 = self._norm_layer(self.inplanes, epsilon=1e-3)",
        guilty="bn1",
        cause="epsilon is 0.001, not 1e-05",
    ),
    _resnet(
        "padding of the first convolution",
        old="padding=3,",
        new="padding=3, padding_mode='reflect',",
        guilty="conv1",
        cause="pads by reflect",
    ),
    _resnet(
        "average pooling for the largest",
        old="nn.MaxPool2D(kernel_size=3, stride=2, padding=1)",
        new="nn.AvgPool2D(kernel_size=3, stride=2, padding=1)",
        guilty="maxpool",
        cause="mean",
    ),
    _resnet(
        "activation before the sum",
        old="out = self.bn2(out)\n\n        if",
        new="out = self.relu(self.bn2(out))\n\n        if",
        guilty="layer?.?",
        cause="relu of bn2|extra activation|an activation",
    ),
    _resnet(
        "no shortcut",
        old="out += identity\n        out = self.relu(out)\n\n        return out\n\n\nclass Bottleneck",
        new="out = self.relu(out)\n\n        return out\n\n\nclass Bottleneck",
        guilty="layer?.?",
        cause="what it gets|downsample",
    ),
    _resnet(
        "largest for the average at the end",
        old="nn.AdaptiveAvgPool2D((1, 1))",
        new="nn.AdaptiveMaxPool2D((1, 1))",
        guilty="avgpool",
        cause="largest",
    ),
    _resnet(
        "momentum of the other convention, with Paddle's variance",
        old="self.bn1 = self._norm_layer(self.inplanes)",
        new="self.bn1 = self._norm_layer(self.inplanes, momentum=0.1)",
        guilty="bn1",
        cause="share of 0.9 in them, not 0.1",
        hidden=True,
    ),
    _resnet(
        "statistics of a norm stay",
        old="self.bn1 = self._norm_layer(self.inplanes)",
        new="self.bn1 = self._norm_layer(self.inplanes, momentum=1.0)",
        guilty="bn1",
        cause="not updated",
        hidden=True,
    ),
    _resnet(
        "a norm that uses its running statistics in training",
        old="self.bn1 = self._norm_layer(self.inplanes)",
        new="self.bn1 = self._norm_layer(self.inplanes, use_global_stats=True)",
        guilty="bn1",
        cause="",
        hidden=True,
    ),
)
MOBILENET: tuple[Mistake, ...] = (
    _mobilenet(
        "epsilon of all norms",
        old="epsilon=0.001, momentum=0.99",
        new="epsilon=0.00001, momentum=0.99",
        guilty="*.1",
        cause="epsilon is 1e-05, not 0.001",
    ),
    _mobilenet(
        "swish for hard swish",
        old="self.activation_layer = nn.Hardswish",
        new="self.activation_layer = nn.Swish",
        guilty="blocks.*",
        cause="silu",
    ),
    _mobilenet(
        "sigmoid for hard sigmoid",
        old="scale_activation=nn.Hardsigmoid,",
        new="scale_activation=nn.Sigmoid,",
        guilty="blocks.*",
        cause="computes sigmoid",
    ),
    _mobilenet(
        "the scale is added",
        old="return scale * input",
        new="return scale + input",
        guilty="blocks.*.mid_se",
        cause="scale_activation|what it gets",
    ),
    _mobilenet(
        "momentum of the other convention, with Paddle's variance",
        old="epsilon=0.001, momentum=0.99",
        new="epsilon=0.001, momentum=0.01",
        guilty="*.1",
        cause="share of 0.99 in them, not 0.01",
        hidden=True,
    ),
    _mobilenet(
        "momentum of another framework",
        old="epsilon=0.001, momentum=0.99",
        new="epsilon=0.001, momentum=0.9",
        guilty="*.1",
        cause="share of 0.1 in them, not 0.01",
        hidden=True,
    ),
)
