"""A ResNet in Paddle, written from the paper: its own names, and the shortcut before the convolutions."""

from __future__ import annotations

from itertools import pairwise

from paddle import Tensor, nn
from paddle.nn import functional

from paddle_impl.norms import BatchNorm2D as TorchBatchNorm2D


class Block(nn.Layer):  # type: ignore[misc] # Paddle has no types
    """Two 3 x 3 convolutions beside a shortcut.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        stride: Stride of the first convolution and of the shortcut.
        norm: Class of the batch normalisation.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: type[nn.Layer]) -> None:
        super().__init__()
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2D(inputs, outputs, 1, stride, bias_attr=False), norm(outputs))
        self.first = nn.Conv2D(inputs, outputs, 3, stride, 1, bias_attr=False)
        self.first_norm = norm(outputs)
        self.second = nn.Conv2D(outputs, outputs, 3, 1, 1, bias_attr=False)
        self.second_norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, height / stride, width / stride)`."""
        shortcut = self.shortcut(x)
        x = functional.relu(self.first_norm(self.first(x)))
        x = self.second_norm(self.second(x))
        return functional.relu(x + shortcut)


class ResNet(nn.Layer):  # type: ignore[misc] # Paddle has no types
    """A small and narrow ResNet: a stem, four blocks, a classifier.

    Args:
        classes: Columns of the classifier.
        norm: Class of the batch normalisation.
    """

    def __init__(self, classes: int, norm: type[nn.Layer] = nn.BatchNorm2D) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2D(3, 64, 7, 2, 3, bias_attr=False), norm(64), nn.ReLU(), nn.MaxPool2D(3, 2, 1)
        )
        widths = (64, 64, 96, 128, 160)
        pairs = pairwise(widths)
        self.blocks = nn.Sequential(*(Block(one, two, 1 if one == two else 2, norm) for one, two in pairs))
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, 3, height, width)` to logits, `(batch, classes)`."""
        return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))


def as_written() -> ResNet:
    """The model with Paddle's own batch normalisation."""
    return ResNet(classes=10)


def mended() -> ResNet:
    """The model with a batch normalisation that has PyTorch's running statistics."""
    return ResNet(classes=10, norm=TorchBatchNorm2D)


def mistaken() -> ResNet:
    """The model with a mistake: the third block's shortcut has another eps than the reference's."""
    model = mended()
    model.blocks[2].shortcut[1]._epsilon = 1e-3
    return model
