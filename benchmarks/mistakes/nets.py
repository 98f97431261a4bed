"""A net that resizes, normalises and takes a loss by functions, in torch and in Paddle, and the pairs of all nets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alignment.pair import Mask, Pair, Side, Tokens
from porting.rules import rule
from tests.models import named_pairs, references

_HERE = "benchmarks.mistakes.nets"


def decoder() -> Any:
    """A small segmenter: a descriptor of unit length for each pixel, standardised, and the mean over what counts."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
            self.norm, self.head = nn.GroupNorm(4, 8), nn.Conv2d(8, 7, 1)
            self.scale = Standardise()
            self.grow, self.unit, self.loss = Grow(), Unit(), Loss()

        def forward(self, x: Any) -> Any:
            x = self.grow(self.norm(self.down(x)))
            return self.loss(self.head(self.scale(self.unit(F.leaky_relu(self.up(x), 0.2)))))

    class Grow(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    class Unit(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.normalize(x, dim=1)

    class Standardise(nn.Module):
        def forward(self, x: Any) -> Any:
            return x / (x.std((2, 3), unbiased=False, keepdim=True) + 0.1)

    class Loss(nn.Module):
        def forward(self, x: Any) -> Any:
            labels = (torch.arange(x[:, 0].numel()) % 7).reshape(x[:, 0].shape)
            return F.cross_entropy(x, labels, ignore_index=6).reshape(1, 1)

    return Decoder()


def llama() -> Any:
    """A tiny Llama, without a row of padding, of which torch stops the gradient only."""
    model = references.llama()
    model.model.embed_tokens.padding_idx = None
    return model


def resnet_torch() -> Any:
    """The first block of each of the first two stages of timm's ResNet-18: all kinds of modules, and fast."""
    from timm.models.resnet import resnet18
    from torch import nn

    model = resnet18(num_classes=10)
    model.layer1, model.layer2 = nn.Sequential(model.layer1[0]), nn.Sequential(model.layer2[0])
    model.layer3, model.layer4, model.fc = nn.Identity(), nn.Identity(), nn.Linear(128, 10)
    return model


def resnet_paddle() -> Any:
    """The same of the one in `paddle.vision`, which is the port."""
    from paddle import nn
    from paddle.vision.models.resnet import resnet18

    model = resnet18(num_classes=10)
    model.layer1, model.layer2 = nn.Sequential(model.layer1[0]), nn.Sequential(model.layer2[0])
    model.layer3, model.layer4, model.fc = nn.Identity(), nn.Identity(), nn.Linear(128, 10)
    return model


def mobilenet_torch() -> Any:
    """MobileNetV3 of timm with the norms of the port, without most of the blocks that keep their size."""
    from timm.models.mobilenetv3 import mobilenetv3_small_100
    from torch import nn

    model = mobilenetv3_small_100(num_classes=10, bn_eps=1e-3, bn_momentum=0.01)
    model.classifier = nn.Sequential(nn.Dropout(0.2), model.classifier)
    for stage in (2, 3, 4):
        model.blocks[stage] = nn.Sequential(model.blocks[stage][0])
    return model


def mobilenet_paddle() -> Any:
    """The same of the one in `paddle.vision`, which is the port."""
    from paddle import nn
    from paddle.vision.models.mobilenetv3 import mobilenet_v3_small

    model = mobilenet_v3_small(num_classes=10)
    model.blocks = nn.Sequential(*(model.blocks[place] for place in (0, 1, 2, 3, 6, 8)))
    return model


def scorer() -> Any:
    """Scores of which every second one is filled in; an activation in place changes what a shortcut sees."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.conv = nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return x + self.conv(self.act(x))

    class Scorer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.fc, self.far = Block(), nn.Linear(48, 12), nn.Linear(48, 12)

        def forward(self, x: Any) -> Any:
            x = self.block(x * 1.0).flatten(1)
            even = torch.arange(12) % 2 == 0
            return self.fc(x).masked_fill(even, -1e9), self.far(x).masked_fill(even, -1e12)

    return Scorer()


def _sides(name: str) -> tuple[Side, Side]:
    """A net of `benchmarks.mistakes.ports` and its port."""
    ports = "benchmarks.mistakes.ports"
    return Side("torch", f"{ports}.{name}_torch:{name}"), Side("paddle", f"{ports}.{name}_paddle:{name}")


NET_PAIRS: dict[str, Pair] = {
    "resnet": Pair(
        "resnet18",
        Side("torch", f"{_HERE}:resnet_torch"),
        Side("paddle", f"{_HERE}:resnet_paddle"),
        input_shape=(3, 32, 32),
        rules="auto",
    ),
    "mobilenet": Pair(
        "mobilenet_v3_small",
        Side("torch", f"{_HERE}:mobilenet_torch"),
        Side("paddle", f"{_HERE}:mobilenet_paddle"),
        input_shape=(3, 32, 32),
        rules="auto",
    ),
    "vit": replace(named_pairs.VIT, name="vit"),
    "bert": replace(named_pairs.BERT, name="bert"),
    "llama": replace(
        named_pairs.LLAMA,
        name="llama",
        reference=Side("torch", f"{_HERE}:llama", call={"use_cache": False}),
    ),
    "decoder": Pair(
        "decoder",
        Side("torch", f"{_HERE}:decoder"),
        Side("paddle", "benchmarks.mistakes.decoder_paddle:decoder"),
        input_shape=(3, 12, 12),
        rules="auto",
    ),
    "scorer": Pair(
        "scorer",
        Side("torch", f"{_HERE}:scorer"),
        Side("paddle", "benchmarks.mistakes.scorer_paddle:scorer"),
        input_shape=(3, 4, 4),
        rules="auto",
    ),
    "unet": Pair("unet", *_sides("unet"), input_shape=(3, 16, 16), rules="auto"),
    "convnet": Pair("convnet", *_sides("convnet"), input_shape=(3, 32, 32), rules="auto"),
    "translator": Pair(
        "translator",
        *_sides("translator"),
        inputs={
            "input_ids": Tokens(31, (9,), special=(0, 1)),
            "attention_mask": Mask((9,)),
            "decoder_input_ids": Tokens(31, (7,), special=(0, 1)),
        },
        rules="auto",
    ),
    "reader": Pair(
        "reader",
        *_sides("reader"),
        input_shape=(1, 8, 12),
        rules=("auto", rule("decoder.h0", "writer.first_h"), rule("decoder.c0", "writer.first_c")),
    ),
}
RESNET, MOBILENET, VIT, BERT, LLAMA, DECODER, SCORER, UNET, CONVNET, TRANSLATOR, READER = NET_PAIRS.values()
