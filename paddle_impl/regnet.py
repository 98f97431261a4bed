"""RegNetY (arXiv 2003.13678), the teacher of the distilled models, in Paddle, under the names of PaddleViT.

The function and the initial values are those of timm, which `reference_torch/regnet.py` builds on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.nn.initializer import Constant, Normal

from paddle_impl.layers import Conv2D, Dropout, DropPath, Linear, drop_path_rates
from paddle_impl.norms import BatchNorm2D
from paddle_impl.variants import check_classes, config_of

_FC = 2
"""Place of the Linear in the head."""


@dataclass(frozen=True)
class RegnetConfig:
    """Hyper-parameters of one RegNetY.

    Attributes:
        widths: Channels of each stage.
        depth: Blocks in each stage.
        group_width: Channels of one group of the 3x3 convolutions.
        stem_width: Channels of the stem.
        se_ratio: Width of squeeze-and-excitation over the block's input channels, as a divisor.
    """

    widths: tuple[int, ...]
    depth: tuple[int, ...]
    group_width: int
    stem_width: int = 32
    se_ratio: int = 4


CONFIGS = {
    "regnety_160": RegnetConfig(widths=(224, 448, 1232, 3024), depth=(2, 4, 11, 1), group_width=112),
    "regnety_002": RegnetConfig(widths=(24, 56, 152, 368), depth=(1, 1, 4, 7), group_width=8),
}
"""The teacher, and the smallest one, for tests."""


class BiasedConv2D(Conv2D):
    """A 1x1 convolution with a bias that is kept, and not trained.

    PaddleViT's files have this bias before a BatchNorm, where it has no use: the running mean takes it up, and in every
    port it is zero. It is a buffer here, so that those files load strictly and keep their function, and training has
    only the parameters of the reference.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=1, bias=False)
        del self.bias
        self.register_buffer("bias", paddle.zeros((channels,)))


class SqueezeExcitation(nn.Layer):
    """Scales every channel by a function of the means of all channels (arXiv 1709.01507).

    Args:
        channels: Channels in and out.
        squeezed: Channels between.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1_1x1 = Conv2D(channels, squeezed, kernel_size=1)
        self.conv2_1x1 = Conv2D(squeezed, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Takes and returns `(batch, channels, rows, columns)`."""
        means = x.mean((2, 3), keepdim=True)
        return x * F.sigmoid(self.conv2_1x1(F.relu(self.conv1_1x1(means))))


class Downsample(nn.Layer):
    """The shortcut of a block that changes width or resolution.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        stride: Stride of the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1x1 = Conv2D(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
        self.bn = BatchNorm2D(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(batch, in, rows, columns)`, returns `(batch, out, rows / stride, columns / stride)`."""
        return self.bn(self.conv1x1(x))


class Bottleneck(nn.Layer):
    """A residual block with grouped convolutions, squeeze-and-excitation after the second one.

    Args:
        in_channels: Channels in.
        out_channels: Channels out, a multiple of the group width.
        stride: Stride of the 3x3 convolution.
        group_width: Channels of one of its groups.
        squeezed: Channels of the squeeze.
        drop_path: Drop path rate.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, group_width: int, squeezed: int, drop_path: float
    ) -> None:
        super().__init__()
        groups = out_channels // group_width
        self.conv1 = Conv2D(in_channels, out_channels, kernel_size=1, bias=False)
        self.bn1 = BatchNorm2D(out_channels)
        self.conv2 = Conv2D(
            out_channels, out_channels, kernel_size=3, stride=stride, padding=1, groups=groups, bias=False
        )
        self.bn2 = BatchNorm2D(out_channels)
        self.se = SqueezeExcitation(out_channels, squeezed)
        self.conv3 = BiasedConv2D(out_channels)
        self.bn3 = BatchNorm2D(out_channels)
        self.drop_path = DropPath(drop_path)
        keeps_shape = (in_channels, stride) == (out_channels, 1)
        self.downsample = nn.Identity() if keeps_shape else Downsample(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(batch, in, rows, columns)`, returns `(batch, out, rows / stride, columns / stride)`."""
        shortcut = self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.se(F.relu(self.bn2(self.conv2(x))))
        x = self.bn3(self.conv3(x))
        return F.relu(self.drop_path(x) + shortcut)


class Stage(nn.Layer):
    """The blocks of one resolution; the first one halves it.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        config: Hyper-parameters.
        drop_path_rates: Drop path rate of each block; their number is the depth.
    """

    def __init__(
        self, in_channels: int, out_channels: int, config: RegnetConfig, drop_path_rates: Sequence[float]
    ) -> None:
        super().__init__()
        before = [in_channels] + [out_channels] * (len(drop_path_rates) - 1)
        self.blocks = nn.Sequential(
            *(
                Bottleneck(
                    channels,
                    out_channels,
                    stride=2 if index == 0 else 1,
                    group_width=config.group_width,
                    squeezed=channels // config.se_ratio,
                    drop_path=drop_path_rate,
                )
                for index, (channels, drop_path_rate) in enumerate(zip(before, drop_path_rates, strict=True))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(batch, in, rows, columns)`, returns `(batch, out, rows / 2, columns / 2)`."""
        return self.blocks(x)


class GlobalPooling(nn.Layer):
    """The mean over the map."""

    def forward(self, x: Tensor) -> Tensor:
        """Takes `(batch, channels, rows, columns)`, returns `(batch, channels)`."""
        return x.mean((2, 3))


class RegNet(nn.Layer):
    """RegNetY with the parameter names of PaddleViT's checkpoints.

    The arguments after `config`, and the errors, are those of `create`.

    Args:
        config: Hyper-parameters.
    """

    def __init__(
        self,
        config: RegnetConfig,
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_features = config.widths[-1]
        self.stem = nn.Sequential(
            Conv2D(in_channels, config.stem_width, kernel_size=3, stride=2, padding=1, bias=False),
            BatchNorm2D(config.stem_width),
            nn.ReLU(),
        )
        before = (config.stem_width, *config.widths[:-1])
        rates = drop_path_rates(drop_path_rate, sum(config.depth))
        ends = list(accumulate(config.depth))
        self.stages = nn.LayerList(
            Stage(narrow, wide, config, rates[end - depth : end])
            for narrow, wide, depth, end in zip(before, config.widths, config.depth, ends, strict=True)
        )
        self.head = nn.Sequential(GlobalPooling(), Dropout(drop_rate), nn.Identity())
        self.reset_classifier(num_classes)
        _initialise(self)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that are exempt from weight decay, beside biases and norms: none."""
        return set()

    def get_classifier(self) -> nn.Layer:
        """The Linear of the head, which gives the logits."""
        return self.head[_FC]

    def reset_classifier(self, num_classes: int) -> None:
        """Replaces the head's Linear by a freshly initialised one.

        Args:
            num_classes: Columns of the head; 0 leaves the head out.

        Raises:
            ValueError: The class count is negative.
        """
        self.num_classes = check_classes(num_classes)
        self.head[_FC] = self._new_head(num_classes)

    def _new_head(self, num_classes: int) -> nn.Layer:
        if num_classes == 0:
            return nn.Identity()
        weight = self.stem[0].weight
        head = Linear(self.num_features, num_classes)
        head.training = self.training
        return head.to(device=weight.place, dtype=weight.dtype)

    def forward_intermediates(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The result of `forward`, and the map after every stage, `(batch, width, rows, columns)`."""
        maps = self._forward_stages(x)
        return self.head(maps[-1]), maps

    def forward_features(self, x: Tensor) -> Tensor:
        """Turns images `(batch, channels, height, width)` into a map `(batch, features, rows, columns)`."""
        return self._forward_stages(x)[-1]

    def _forward_stages(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        return [x := stage(x) for stage in self.stages]

    def forward(self, x: Tensor) -> Tensor:
        """Turns images `(batch, channels, height, width)` of any size into logits `(batch, classes)`."""
        return self.head(self.forward_features(x))


def create(
    name: str,
    *,
    image_size: int | tuple[int, int] = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> RegNet:
    """A published model, freshly initialised, in training mode.

    Args:
        name: One of `CONFIGS`.
        image_size: Pixels; the model takes images of any size, and no tensor depends on it.
        num_classes: Columns of the head; 0 leaves the head out.
        in_channels: Channels of the input.
        drop_rate: Dropout rate before the head.
        drop_path_rate: Drop path rate that the blocks rise to, linearly from 0.

    Raises:
        ValueError: No model has this name, or the class count is negative.
    """
    return RegNet(config_of(name, CONFIGS), num_classes, in_channels, drop_rate, drop_path_rate)


def _initialise(model: nn.Layer) -> None:
    """Set timm's initial values: every block starts as its shortcut, since the last norm of its branch starts at 0."""
    for layer in model.sublayers():
        if isinstance(layer, nn.Conv2D):
            outputs, _, rows, columns = layer.weight.shape
            Normal(std=sqrt(2 * layer._groups / (rows * columns * outputs)))(layer.weight)
        elif isinstance(layer, nn.Linear):
            Normal(std=0.01)(layer.weight)
        elif isinstance(layer, Bottleneck):
            Constant(0.0)(layer.bn3.weight)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            Constant(0.0)(parameter)
