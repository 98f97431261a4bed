"""A pair of models that this toolkit does not know: timm's ResNet and one in Paddle; see docs/your-own-pair.md."""

from dataclasses import replace
from typing import Any

from alignment.pair import Pair, Side


def reference() -> Any:
    """A narrow ResNet of four blocks; the import is inside, since each process has one framework only."""
    from timm.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, channels=(64, 96, 128, 160))


AS_WRITTEN = Pair(
    name="resnet10",
    reference=Side("torch", "resnet_pair.py:reference"),
    candidate=Side("paddle", "resnet_paddle.py:as_written"),
    input_shape=(3, 64, 64),
    rules="auto",
)
PAIR = replace(AS_WRITTEN, candidate=Side("paddle", "resnet_paddle.py:mended"))
MISTAKEN = replace(AS_WRITTEN, candidate=Side("paddle", "resnet_paddle.py:mistaken"))
RESNET18 = replace(
    AS_WRITTEN,
    name="resnet18",
    reference=Side("torch", "timm.models.resnet:resnet18"),
    candidate=Side("paddle", "paddle.vision.models:resnet18"),
)

if __name__ == "__main__":  # writes a checkpoint of the reference, such as training gives
    import sys

    import torch

    from reference_torch.compat import prepare_timm

    prepare_timm()  # timm imports where torchvision does not fit torch
    torch.save(reference().state_dict(), sys.argv[1])
