"""Layers of torch as MindSpore has them: a function for each, which takes torch's arguments and gives MindSpore's text.

Every argument is written out where the defaults differ: MindSpore's pooling moves by 1, its convolution pads `same` and
has no bias, `GELU` is the approximate one, and `LeakyReLU` has a slope of 0.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Text = Callable[..., str]


def call(name: str, *args: object, **named: object) -> str:
    """Return the text of a call: `nn.Dense(5, 3, has_bias=False)`."""
    words = [*map(repr, args), *(f"{key}={value!r}" for key, value in named.items())]
    return f"{name}({', '.join(words)})"


def _given(**named: tuple[object, object]) -> dict[str, object]:
    """The arguments that are not what both frameworks take by default: name to value and default."""
    return {name: value for name, (value, default) in named.items() if value != default}


def plain(name: str, **renamed: str) -> Text:
    """Return the function of a layer that takes torch's arguments, some of them under another name."""

    def text(*args: object, **named: object) -> str:
        return call(f"nn.{name}", *args, **{renamed.get(key, key): value for key, value in named.items()})

    return text


def _both_ends(padding: Any) -> Any:
    """The padding of each axis at its beginning and its end: MindSpore tells them apart."""
    return tuple(size for axis in padding for size in (axis, axis)) if isinstance(padding, tuple) else padding


def _convolution(name: str) -> Text:
    def text(
        into: int,
        out: int,
        kernel: object,
        stride: object = 1,
        padding: object = 0,
        dilation: object = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> str:
        if padding_mode != "zeros":
            return ""
        named = padding if isinstance(padding, str) else "pad"
        widths = {} if isinstance(padding, str) else _given(padding=(_both_ends(padding), 0))
        more = _given(dilation=(dilation, 1), group=(groups, 1))
        return call(f"nn.{name}", into, out, kernel, stride, pad_mode=named, **widths, **more, has_bias=bias)

    return text


def _transposed(name: str, *, widens: bool = True) -> Text:
    def text(
        into: int,
        out: int,
        kernel: object,
        stride: object = 1,
        padding: object = 0,
        output_padding: object = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: object = 1,
    ) -> str:
        if output_padding and not widens:
            return ""
        more = _given(
            padding=(padding, 0), output_padding=(output_padding, 0), dilation=(dilation, 1), group=(groups, 1)
        )
        return call(f"nn.{name}", into, out, kernel, stride, pad_mode="pad", **more, has_bias=bias)

    return text


def _max_pool(name: str) -> Text:
    def text(
        kernel: object,
        stride: object = None,
        padding: object = 0,
        dilation: object = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> str:
        more = _given(dilation=(dilation, 1), return_indices=(return_indices, False), ceil_mode=(ceil_mode, False))
        return call(f"nn.{name}", kernel, stride or kernel, "pad", padding, **more)

    return text


def _average_pool(name: str) -> Text:
    def text(
        kernel: object,
        stride: object = None,
        padding: object = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: object = None,
    ) -> str:
        more = _given(
            ceil_mode=(ceil_mode, False),
            count_include_pad=(count_include_pad, True),
            divisor_override=(divisor_override, None),
        )
        return call(f"nn.{name}", kernel, stride or kernel, "pad", padding, **more)

    return text


def _batch_norm(name: str) -> Text:
    def text(
        features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True, track_running_stats: bool = True
    ) -> str:
        kept = {} if track_running_stats else {"use_batch_statistics": True}
        return call(f"nn.{name}", features, eps, 1 - momentum, affine, **kept)

    return text


def _layer_norm(shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True) -> str:
    if isinstance(shape, tuple) or not (elementwise_affine and bias):
        return ""
    return call("nn.LayerNorm", (shape,), -1, -1, epsilon=eps)


def _group_norm(groups: int, channels: int, eps: float = 1e-5, affine: bool = True) -> str:
    return call("nn.GroupNorm", groups, channels, eps, affine)


def _instance_norm(name: str) -> Text:
    def text(features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False) -> str:
        return call(f"nn.{name}", features, eps, momentum, affine)

    return text


def _embedding(count: int, width: int, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> str:
    padding = {} if padding_idx is None else {"padding_idx": padding_idx % count}
    return "" if scale_grad_by_freq else call("nn.Embedding", count, width, **padding)


def _softplus(beta: float = 1, threshold: float = 20) -> str:
    return f"ops.softplus(x, {beta}, {threshold})"


def _smooth(beta: float = 1.0, reduction: str = "mean") -> str:
    return call("nn.SmoothL1Loss", beta, reduction)


LAYERS: dict[str, Text] = {
    "Linear": plain("Dense", bias="has_bias"),
    "Bilinear": plain("BiDense"),
    **{f"Conv{n}d": _convolution(f"Conv{n}d") for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": _transposed(f"Conv{n}dTranspose", widens=n > 1) for n in (1, 2, 3)},
    **{f"MaxPool{n}d": _max_pool(f"MaxPool{n}d") for n in (1, 2, 3)},
    **{f"AvgPool{n}d": _average_pool(f"AvgPool{n}d") for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": _batch_norm(f"BatchNorm{n}d") for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": _instance_norm(f"InstanceNorm{n}d") for n in (1, 2, 3)},
    "LayerNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "GELU": lambda approximate="none": call("nn.GELU", approximate == "tanh"),
    "Hardswish": plain("HSwish"),
    "Hardsigmoid": plain("HSigmoid"),
    "Hardshrink": plain("HShrink"),
    "Softshrink": plain("SoftShrink"),
    "SELU": plain("SeLU"),
    "LeakyReLU": lambda slope=0.01: call("nn.LeakyReLU", slope),
    "RReLU": lambda lower=1 / 8, upper=1 / 3: call("nn.RReLU", lower, upper),
    "Softplus": _softplus,
    "Softsign": lambda: "ops.softsign(x)",
    "SmoothL1Loss": _smooth,
    "MultiLabelMarginLoss": plain("MultilabelMarginLoss"),
    "Embedding": _embedding,
    "CosineSimilarity": lambda dim=1, eps=1e-8: f"ops.cosine_similarity(x, y, {dim}, {eps})",
    "RNN": plain("RNN"),
    "LSTM": plain("LSTM"),
    "GRU": plain("GRU"),
    "MultiheadAttention": plain("MultiheadAttention"),
    "Dropout": lambda p=0.5: call("nn.Dropout", p=p),
}
"""Class of torch to the function that gives MindSpore's text; empty where MindSpore has no such layer."""
SAME = (
    "ReLU", "ReLU6", "SiLU", "Mish", "Hardtanh", "Tanhshrink", "PReLU", "ELU", "CELU", "Sigmoid", "LogSigmoid", "Tanh",
    "Threshold", "Softmax", "Softmax2d", "LogSoftmax", "GLU", "ConstantPad1d", "ConstantPad2d", "ZeroPad2d",
    "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad2d", "ReplicationPad3d", "PixelShuffle", "PixelUnshuffle",
    "ChannelShuffle", "Flatten", "Unflatten", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "LPPool1d", "LPPool2d", "Upsample", "RNNCell",
    "GRUCell", "Dropout2d", "CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss", "HuberLoss",
    "PoissonNLLLoss", "GaussianNLLLoss", "MarginRankingLoss", "HingeEmbeddingLoss", "CosineEmbeddingLoss",
    "TripletMarginLoss", "SoftMarginLoss", "MultiMarginLoss", "MultiLabelSoftMarginLoss",
)  # fmt: skip
"""Classes that have the same name and the same arguments on both sides."""
LAYERS |= {name: plain(name) for name in SAME}
