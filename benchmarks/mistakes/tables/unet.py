"""Mistakes in a U-Net."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_planted = partial(Mistake, net="unet")
_STAGES = "stem|middle.?|merge.?"

UNET: tuple[Mistake, ...] = (
    _planted(
        "no dilation",
        old="padding=dilation, dilation=dilation",
        new="padding=1",
        guilty="middle.0.body.0",
        cause="dilation is 1, not 2",
    ),
    _planted(
        "zeros for a reflected padding",
        old=', padding_mode="reflect"',
        new="",
        guilty="*.body.2",
        cause="pads with zeros, not by reflect",
    ),
    _planted(
        "groups of the first norms",
        old="nn.GroupNorm(4, channels),\n                nn.Conv2D",
        new="nn.GroupNorm(2, channels),\n                nn.Conv2D",
        guilty="*.body.1",
        cause="2 groups, not 4",
    ),
    _planted(
        "epsilon of the last norms",
        old="nn.GroupNorm(4, channels),\n            ]",
        new="nn.GroupNorm(4, channels, epsilon=1e-6),\n            ]",
        guilty="*.body.3",
        cause="epsilon is 1e-06, not 1e-05",
    ),
    _planted(
        "padding counts in the mean",
        old="exclusive=True",
        new="exclusive=False",
        guilty="pooling",
        cause="padding counts",
    ),
    _planted(
        "smaller windows of the pooling",
        old="nn.AvgPool2D(3, stride=2, padding=1, exclusive=True)",
        new="nn.AvgPool2D(2, stride=2)",
        guilty="pooling",
        cause="kernel_size is 2, not 3|kernel_size=3",
    ),
    _planted(
        "the transposed convolution without padding, then cut",
        old="self.grow(deep)",
        new="F.conv2d_transpose(deep, self.grow.weight, self.grow.bias, 2, 0)[:, :, :-1, :-1]",
        guilty="",
        cause=r"padding|\[:, :, 1:9, 1:9\] is meant",
    ),
    _planted(
        "order of a skip",
        old="[coarse, self.grow(deep)]",
        new="[self.grow(deep), coarse]",
        guilty="",
        cause="joins in the order|joined",
    ),
    _planted(
        "activation before the sum",
        old="F.silu(y + shortcut)",
        new="F.silu(y) + shortcut",
        guilty=_STAGES,
        cause="silu",
    ),
    _planted(
        "activation twice",
        old="y = F.silu(self.body[1](self.body[0](x)))",
        new="y = F.silu(F.silu(self.body[1](self.body[0](x))))",
        guilty=_STAGES,
        cause="silu",
    ),
    _planted(
        "no shortcut", old="F.silu(y + shortcut)", new="F.silu(y)", guilty=_STAGES, cause="project|what it gets|skip"
    ),
    _planted(
        "a norm left out",
        old="self.norm(self.middle[1](self.pooling(coarse)))",
        new="self.middle[1](self.pooling(coarse))",
        guilty="",
        cause="norm",
    ),
    _planted(
        "pixels shuffled in another order",
        old="F.pixel_shuffle(self.widen(y), 2)",
        new=(
            "self.widen(y).reshape([0, 2, 2, 8, y.shape[2], y.shape[3]]).transpose([0, 3, 4, 1, 5, 2])"
            ".reshape([0, 8, y.shape[2] * 2, y.shape[3] * 2])"
        ),
        guilty="",
        cause="split|shuffle",
    ),
    _planted(
        "ReLU for PReLU",
        old="y = self.slope(y)",
        new="y = F.relu(y)",
        guilty="",
        cause="relu of .*slope|its slope takes no part",
    ),
    _planted(
        "lower bound of a clamp",
        old="paddle.clip(distance, 0.05, 6.0)",
        new="paddle.clip(distance, 0.5, 6.0)",
        guilty="",
        cause=r"0\.5",
    ),
    _planted(
        "beta of a softplus",
        old="F.softplus(self.range(y) * 2.0)",
        new="F.softplus(self.range(y), beta=2.0)",
        guilty="",
        cause="softplus|beta|multiplied by",
    ),
    _planted(
        "logarithm to base 2",
        old="paddle.log(distance)",
        new="paddle.log2(distance)",
        guilty="",
        cause="log2|logarithm|multiplied by 1.44",
    ),
    _planted(
        "a factor left out", old="self.range(y) * 2.0", new="self.range(y)", guilty="", cause="multiplied by 2|2 the"
    ),
    _planted(
        "a bias left out",
        old="self.classes(y)",
        new="F.conv2d(y, self.classes.weight)",
        guilty="",
        cause="bias",
    ),
    _planted(
        "channels in reverse order",
        old="self.stem(image)",
        new="self.stem(image[:, [2, 1, 0]])",
        guilty="",
        cause="reverse|backwards|stem",
    ),
    _planted(
        "nearest neighbours for the transposed convolution's output",
        old="self.grow(deep)",
        new="F.interpolate(deep, scale_factor=2)",
        guilty="",
        cause="grow",
    ),
    _planted(
        "gradient of a skip stopped",
        old="[fine, F.pixel_shuffle",
        new="[fine.detach(), F.pixel_shuffle",
        guilty="",
        cause=r"detach\(\) stops",
        hidden=True,
    ),
    _planted(
        "gradient of a bound",
        old="distance = paddle.clip(distance, 0.05, 6.0)",
        new="distance = distance + (paddle.clip(distance, 0.05, 6.0) - distance).detach()",
        guilty="",
        cause=r"detach\(\) stops|agrees",
        hidden=True,
    ),
)
