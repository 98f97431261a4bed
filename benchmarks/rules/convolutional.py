"""Convolutional architectures, over images of `(batch, 3, 16, 16)`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from benchmarks.rules.leaves import batch_norm, conv, conv_transpose, group_norm, layer_norm, linear
from benchmarks.rules.sides import Parts, Side

CLASSES = 5


def plain(side: Side, draw: random.Random) -> Any:
    """A stack of convolutions with batch norms or biases, and two Linears at its end."""
    widths = [draw.choice((8, 12, 16)) for _ in range(draw.randint(2, 5))]
    normed, activation = draw.random() < 0.7, draw.choice(("relu", "gelu", "silu"))
    blocks, into = [], 3
    for index, drawn in enumerate(widths):
        width = side.width(drawn)
        norm = batch_norm(side, f"{index}.norm", width) if normed else None
        parts = {"conv1": conv(side, f"{index}.conv", into, width, 3, padding=1, bias=not normed), "norm1": norm}
        blocks.append(_block(side, "ConvBlock", parts, activation))
        into = width
    return _classifier(side, blocks, into, draw.choice((0, 16)), pool=True)


def _block(side: Side, kind: str, parts: dict[str, Any], activation: str) -> Any:
    active = side.kit.ACTIVATIONS[activation]

    def forward(m: Parts, x: Any) -> Any:
        x = m.conv1(x)
        return active(m.norm1(x) if m.has("norm1") else x)

    return side.module(kind, parts, forward)


def _classifier(side: Side, blocks: list[Any], width: int, hidden: int, *, pool: bool = False, **parts: Any) -> Any:
    """A stem, blocks, the mean over the image, and one or two Linears."""
    heads = {"head": linear(side, "head", hidden or width, CLASSES)}
    if hidden:
        heads["hidden"] = linear(side, "hidden", width, hidden)

    def forward(m: Parts, x: Any) -> Any:
        x = m.stem(x) if m.has("stem") else x
        for index, block in enumerate(m.blocks):
            x = block(x)
            x = side.kit.max_pool(x) if pool and index < 2 else x
        x = m.norm(x) if m.has("norm") else x
        x = x.mean(axis=(2, 3))
        return m.head(side.kit.relu(m.hidden(x)) if m.has("hidden") else x)

    return side.module("Net", {**parts, "blocks": blocks, **heads}, forward)


def bottlenecks(side: Side, draw: random.Random) -> Any:
    """A ResNet of bottlenecks, whose first blocks have a shortcut of their own."""
    width, basic, attended = draw.choice((4, 8)), draw.random() < 0.3, draw.random() < 0.3
    stem = _block(
        side,
        "Stem",
        {"conv1": conv(side, "stem.conv", 3, width, 3, padding=1), "norm1": batch_norm(side, "stem.norm", width)},
        "relu",
    )
    blocks, into = [], width
    depths = [draw.randint(1, 3) for _ in range(2)]
    for stage, drawn in enumerate(depths):
        for index in range(side.depth(drawn)):
            out = width * (1 if basic else 2) * 2**stage
            key = f"stage{stage}.{index}"
            stride = 2 if stage and not index else 1
            blocks.append(_residual(side, key, (into, width * 2**stage, out), stride, basic, attended))
            into = out
    return _classifier(side, blocks, into, 0, stem=stem)


def _residual(side: Side, key: str, widths: tuple[int, int, int], stride: int, basic: bool, attended: bool) -> Any:
    into, middle, out = widths[0], side.width(widths[1]), widths[2]
    parts: dict[str, Any] = {}
    if basic:
        parts["conv1"] = conv(side, f"{key}.conv1", into, middle, 3, stride=stride, padding=1)
        parts["conv2"] = conv(side, f"{key}.conv2", middle, out, 3, padding=1)
    else:
        parts["conv1"] = linear(side, f"{key}.conv1", into, middle, bias=False, channels=True)
        parts["conv2"] = conv(side, f"{key}.conv2", middle, middle, 3, stride=stride, padding=1)
        parts["conv3"] = linear(side, f"{key}.conv3", middle, out, bias=False, channels=True)
    lengths = (middle, out) if basic else (middle, middle, out)
    parts |= {f"bn{place + 1}": batch_norm(side, f"{key}.bn{place + 1}", n) for place, n in enumerate(lengths)}
    if into != out or stride > 1:
        shortcut = conv(side, f"{key}.shortcut", into, out, 1, stride=stride)
        norm = batch_norm(side, f"{key}.shortcut_bn", out)
        parts["shortcut"] = side.module("Shortcut", {"conv": shortcut, "bn": norm}, lambda m, x: m.bn(m.conv(x)))
    if attended:
        parts["se"] = excite(side, f"{key}.se", out, max(2, out // 4))

    def forward(m: Parts, x: Any) -> Any:
        relu, y = side.kit.relu, m.bn1(m.conv1(x))
        y = m.bn2(m.conv2(relu(y)))
        y = y if basic else m.bn3(m.conv3(relu(y)))
        y = m.se(y) if m.has("se") else y
        return relu(y + (m.shortcut(x) if m.has("shortcut") else x))

    return side.module("Basic" if basic else "Bottleneck", parts, forward)


def excite(side: Side, key: str, width: int, reduced: int) -> Any:
    """Squeeze-and-excite, by Linears or by convolutions of 1 x 1."""
    channels = side.choose("squeeze", "channels", "rows") == "channels"
    parts = {
        "fc1": linear(side, f"{key}.squeeze", width, reduced, channels=channels),
        "fc2": linear(side, f"{key}.excite", reduced, width, channels=channels),
    }

    def forward(m: Parts, x: Any) -> Any:
        y = x.mean(axis=(2, 3), keepdim=True) if channels else x.mean(axis=(2, 3))
        y = side.kit.sigmoid(m.fc2(side.kit.relu(m.fc1(y))))
        return x * (y if channels else y.reshape([-1, width, 1, 1]))

    return side.module("SqueezeExcite", parts, forward)


def inverted(side: Side, draw: random.Random) -> Any:
    """Inverted bottlenecks with depthwise convolutions and squeeze-and-excite."""
    width, factor, active = draw.choice((8, 12)), draw.choice((2, 3)), draw.choice(("silu", "relu"))
    stem = _block(
        side,
        "Stem",
        {
            "conv1": conv(side, "stem.conv", 3, width, 3, stride=2, padding=1),
            "norm1": batch_norm(side, "stem.bn", width),
        },
        active,
    )
    blocks = []
    for index in range(side.depth(draw.randint(2, 4))):
        key, hidden = f"blocks.{index}", side.width(width * factor)
        parts = {
            "conv1": linear(side, f"{key}.expand", width, hidden, bias=False, channels=True),
            "bn1": batch_norm(side, f"{key}.bn1", hidden),
            "conv2": conv(side, f"{key}.depthwise", hidden, hidden, 3, padding=1, groups=hidden),
            "bn2": batch_norm(side, f"{key}.bn2", hidden),
            "se": excite(side, f"{key}.se", hidden, 4),
            "conv3": linear(side, f"{key}.project", hidden, width, bias=False, channels=True),
            "bn3": batch_norm(side, f"{key}.bn3", width),
        }
        blocks.append(side.module("InvertedResidual", parts, _inverted(side.kit.ACTIVATIONS[active])))
    return _classifier(side, blocks, width, 0, stem=stem)


def _inverted(active: Callable[[Any], Any]) -> Callable[..., Any]:
    def forward(m: Parts, x: Any) -> Any:
        y = active(m.bn2(m.conv2(active(m.bn1(m.conv1(x))))))
        return x + m.bn3(m.conv3(m.se(y)))

    return forward


def convnext(side: Side, draw: random.Random) -> Any:
    """Depthwise convolutions, layer norms over channels, pointwise layers and a factor for each channel."""
    width, scaled = draw.choice((8, 16)), draw.random() < 0.7
    last = side.choose("channels last", "last", "first") == "last"
    blocks = []
    for index in range(side.depth(draw.randint(2, 4))):
        key, hidden = f"blocks.{index}", side.width(2 * width)
        parts = {
            "dwconv": conv(side, f"{key}.dw", width, width, 3, padding=1, groups=width, bias=True),
            "norm1": layer_norm(side, f"{key}.norm", width, channels=not last),
            "fc1": linear(side, f"{key}.fc1", width, hidden, channels=not last),
            "fc2": linear(side, f"{key}.fc2", hidden, width, channels=not last),
            "scale": side.bare(f"{key}.scale", (width,), 1.0) if scaled else None,
        }

        def forward(m: Parts, x: Any) -> Any:
            y = m.dwconv(x)
            y = side.kit.permute(y, (0, 2, 3, 1)) if last else y
            y = m.fc2(side.kit.gelu(m.fc1(m.norm1(y))))
            if m.has("scale"):
                y = y * m.scale.reshape([width] if last else [width, 1, 1])
            return x + (side.kit.permute(y, (0, 3, 1, 2)) if last else y)

        blocks.append(side.module("ConvNeXtBlock", parts, forward))
    stem = conv(side, "stem", 3, width, 4, stride=4, bias=True)
    return _classifier(side, blocks, width, 0, stem=stem, norm=layer_norm(side, "norm", width, channels=True))


def unet(side: Side, draw: random.Random) -> Any:
    """A U-Net whose way up is joined with the way down."""
    width, grouped = draw.choice((4, 8)), draw.random() < 0.4
    widths = [width, 2 * width, 2 * width]

    def double(key: str, into: int, out: int) -> Any:
        middle = side.width(out)
        parts: dict[str, Any] = {
            "conv1": conv(side, f"{key}.conv1", into, middle, 3, padding=1, bias=True),
            "norm1": group_norm(side, f"{key}.n1", 2, middle) if grouped else batch_norm(side, f"{key}.n1", middle),
            "conv2": conv(side, f"{key}.conv2", middle, out, 3, padding=1, bias=True),
            "norm2": group_norm(side, f"{key}.n2", 2, out) if grouped else batch_norm(side, f"{key}.n2", out),
        }
        relu = side.kit.relu
        return side.module("DoubleConv", parts, lambda m, x: relu(m.norm2(m.conv2(relu(m.norm1(m.conv1(x)))))))

    downs = [
        double(f"down{place}", into, out) for place, (into, out) in enumerate(zip((3, *widths), widths, strict=False))
    ]
    ups = [double(f"up{place}", 2 * widths[place], widths[place]) for place in (1, 0)]
    wider = [conv_transpose(side, f"wider{place}", widths[place + 1], widths[place]) for place in (1, 0)]
    parts = {"downs": downs, "ups": ups, "wider": wider, "head": conv(side, "head", width, 2, 1, bias=True)}

    def forward(m: Parts, x: Any) -> Any:
        kept = []
        for place, down in enumerate(m.downs):
            x = down(x)
            if place < 2:
                kept.append(x)
                x = side.kit.max_pool(x)
        for up, wide in zip(m.ups, m.wider, strict=True):
            x = up(side.kit.cat((kept.pop(), wide(x)), 1))
        return m.head(x)

    return side.module("UNet", parts, forward)


def siamese(side: Side, draw: random.Random) -> Any:
    """Two towers over one image, one of weights or two, joined by a difference, a product or a concatenation."""
    width, shared, joined = draw.choice((8, 12)), draw.random() < 0.4, draw.choice(("minus", "times", "cat"))

    def tower(key: str) -> Any:
        middle = side.width(width)
        parts = {
            "conv1": conv(side, f"{key}.conv1", 3, middle, 3, stride=2, padding=1, bias=True),
            "conv2": conv(side, f"{key}.conv2", middle, width, 3, stride=2, padding=1, bias=True),
            "fc": linear(side, f"{key}.fc", width, width),
        }
        kit = side.kit
        # One of several forms, side by side.
        forward = lambda m, x: m.fc(kit.relu(m.conv2(kit.relu(m.conv1(x)))).mean(axis=(2, 3)))  # noqa: E731
        return side.module("Tower", parts, forward)

    parts = {
        "left": tower("left"),
        "right": None if shared else tower("right"),
        "head": linear(side, "head", width * (2 if joined == "cat" else 1), CLASSES),
    }

    def forward(m: Parts, x: Any) -> Any:
        tanh = side.kit.tanh
        left, right = m.left(x), (m.left if shared else m.right)(x[:, :, :8] * 0.5)
        both = {"minus": lambda: tanh(left) - right, "times": lambda: tanh(left) * right}
        return m.head(both[joined]() if joined != "cat" else side.kit.cat((left, right), 1))

    return side.module("Siamese", parts, forward)
