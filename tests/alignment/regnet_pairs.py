"""A small RegNetY of the teacher's class, right and with the mistakes that ports make: loaded by the workers."""

from typing import Any

from alignment.pair import Pair, Side
from porting.architectures.regnet import RegnetConfig, architecture

_SMALL = {"widths": (24, 56, 152, 368), "depth": (1, 1, 4, 7), "group_width": 8}
_ARCHITECTURE = architecture("regnety_002", RegnetConfig(**_SMALL, image_size=(64, 64), num_classes=10))


def reference(**options: Any) -> Any:
    from timm.models.regnet import model_cfgs

    from reference_torch.regnet import RegNet

    return RegNet(model_cfgs["regnety_002"], **options)


def candidate(**options: Any) -> Any:
    from paddle_impl.regnet import RegNet
    from paddle_impl.regnet import RegnetConfig as PaddleConfig

    return RegNet(PaddleConfig(**_SMALL), **options)


RIGHT = Pair(
    name="regnety_002",
    reference=Side("torch", "regnet_pairs.py:reference", "canonical", {"num_classes": 10}),
    candidate=Side("paddle", "regnet_pairs.py:candidate", "paddlevit", {"num_classes": 10}),
    architecture=_ARCHITECTURE,
    input_shape=(3, 64, 64),
)
