"""Mistakes in ResNet-18 and in MobileNetV3."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_resnet, _mobilenet = partial(Mistake, net="resnet"), partial(Mistake, net="mobilenet")
_SHORTCUT = "identity = self.downsample(x)\n\n        out += identity\n        out = self.relu(out)\n"
_LAST_OF_BASIC = f"{_SHORTCUT}\n        return out\n\n\nclass Bottleneck"

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
        cause="takes the mean of each window, not the largest",
    ),
    _resnet(
        "activation before the sum",
        old="out = self.bn2(out)\n\n        if",
        new="out = self.relu(self.bn2(out))\n\n        if",
        guilty="layer?.?",
        cause="relu of bn2|relu where the reference computes no activation",
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
        guilty="avgpool|",
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
        cause="running statistics in training|use_global_stats",
        hidden=True,
    ),
    _resnet(
        "a factor of two in training",
        old="out = self.bn2(out)\n\n        if",
        new="out = self.bn2(out) * (2.0 if self.training else 1.0)\n\n        if",
        guilty="layer?.?",
        cause=r"multiplied by 2|2 bn2|'\*', of which only the left side",
        hidden=True,
    ),
    _resnet(
        "gradient of the shortcut's convolution stopped",
        old=_LAST_OF_BASIC,
        new=_LAST_OF_BASIC.replace("(x)\n", "(x).detach()\n", 1),
        guilty="layer2.0",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _resnet(
        "one image loses its axis",
        old="x = paddle.flatten(x, 1)\n            x = self.fc(x)",
        new="x = self.fc(x.squeeze())",
        guilty="",
        cause="axes of length one|squeeze",
        hidden=True,
    ),
    _resnet(
        "a fixed number of images",
        old="x = paddle.flatten(x, 1)\n            x = self.fc(x)",
        new="x = self.fc(x.reshape([2, -1]))",
        guilty="",
        cause="fails for a single input",
        hidden=True,
    ),
    _resnet(
        "statistics that evaluation changes",
        old="x = self.maxpool(x)",
        new="self.bn1._mean.set_value(self.bn1._mean * 1.001)\n        x = self.maxpool(x)",
        guilty="bn1",
        cause="keeps|changes",
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
        cause=r"scale_activation \+ what it gets|'\+' where the reference has a '\*'",
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
    _mobilenet(
        "gradient of the scale stopped",
        old="return scale * input",
        new="return scale.detach() * input",
        guilty="blocks.*.mid_se",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _mobilenet(
        "another rate of dropout",
        old="nn.Dropout(p=0.2)",
        new="nn.Dropout(p=0.5)",
        guilty="classifier.2",
        cause="rate is 0.5, not 0.2",
        hidden=True,
    ),
)
