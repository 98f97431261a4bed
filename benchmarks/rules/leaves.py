"""Modules that hold weights, each written in one of several ways that compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.rules.sides import Array, Bare, Parts, Side, Weights


def linear(
    side: Side, key: str, into: int, out: int, *, bias: bool = True, channels: bool = False, rows: Array | None = None
) -> Any:
    """A Linear, a convolution of 1 x 1, or a matrix in a class of the side's own; see `fused`."""
    return fused(side, [(key, out)], into, bias=bias, channels=channels, rows=rows)


def fused(
    side: Side,
    parts: Sequence[tuple[str, int]],
    into: int,
    *,
    bias: bool = True,
    channels: bool = False,
    rows: Array | None = None,
) -> Any:
    """One matrix of several weights.

    Args:
        side: Who builds it.
        parts: Keys and lengths of the weights, each `(length, into)`.
        into: Length of the axis that goes in.
        bias: Whether there is one.
        channels: Whether the axis that goes in is the second, not the last.
        rows: Order of the rows of all weights together; None as they come.
    """
    bias = bias != side.planted("bias")
    keys, out = [key for key, _ in parts], sum(length for _, length in parts)
    for key, length in parts:
        side.want(f"{key}.weight", (length, into))
        if bias:
            side.want(f"{key}.bias", (length,))
    others = ("native",) if channels else ("into_first", "out_first", "conv")
    way = side.choose(f"matrix/{keys[0].rpartition('.')[2]}", "conv" if channels else "native", *others)
    module = _MATRICES[way](side, into, out, bias, channels)
    _store(side, module, keys, way, bias, rows)
    return _with_norm(side, module, keys[0], out, channels)


def _store(side: Side, module: Any, keys: Sequence[str], way: str, bias: bool, rows: Array | None) -> None:
    """Remember what the module's tensors are made of."""

    def whole(what: str, weights: Weights) -> Array:
        joined = np.concatenate([weights[f"{key}.{what}"] for key in keys])
        return joined if rows is None else joined[rows]

    def weight(weights: Weights) -> Array:
        matrix = whole("weight", weights)
        matrix = matrix.T if turned else matrix
        return matrix[..., None, None] if way == "conv" else matrix

    native = way in ("native", "conv")
    turned = way == "into_first" or (way == "native" and side.kit.INTO_FIRST)
    name = "weight" if native else side.choose("matrix names", "weight", "kernel", "w")
    side.made(module, name, [f"{key}.weight" for key in keys], weight)
    if bias:
        own = "bias" if native else side.choose("bias names", "bias", "b")
        side.made(module, own, [f"{key}.bias" for key in keys], lambda weights: whole("bias", weights))


def _with_norm(side: Side, module: Any, key: str, out: int, channels: bool) -> Any:
    """The module, followed by a norm where that is the planted difference."""
    if not side.planted("norm"):
        return module
    norm = batch_norm(side, f"{key}.planted", out) if channels else layer_norm(side, f"{key}.planted", out)
    return side.module("Normed", {"inner": module, "norm": norm}, lambda m, x: m.norm(m.inner(x)))


def _native(side: Side, into: int, out: int, bias: bool, channels: bool) -> Any:
    return (side.kit.channels_linear if channels else side.kit.linear)(into, out, bias)


def _conv(side: Side, into: int, out: int, bias: bool, channels: bool) -> Any:
    return side.kit.conv(into, out, 1, bias=bias) if channels else side.kit.rows_conv(into, out, bias)


def _own(side: Side, into: int, out: int, bias: bool, into_first: bool) -> Any:
    """A class of the side's own with a matrix of its own."""
    name, own = side.choose("matrix names", "weight", "kernel", "w"), side.choose("bias names", "bias", "b")

    def forward(module: Any, x: Any) -> Any:
        matrix = getattr(module, name)
        y = x @ (matrix if into_first else side.kit.permute(matrix, (1, 0)))
        return y + getattr(module, own) if bias else y

    module = side.kit.own(side.names.kind("Conv1D" if into_first else "Projection"), forward)
    shape = (into, out) if into_first else (out, into)
    side.kit.parameter(module, name, np.random.default_rng(0).normal(size=shape) * 0.02)
    if bias:
        side.kit.parameter(module, own, np.zeros(out))
    return module


_MATRICES = {
    "native": _native,
    "conv": _conv,
    "into_first": lambda side, into, out, bias, _: _own(side, into, out, bias, True),
    "out_first": lambda side, into, out, bias, _: _own(side, into, out, bias, False),
}


def conv(side: Side, key: str, into: int, out: int, size: int, *, bias: bool = False, **options: int) -> Any:
    """A convolution."""
    bias = bias != side.planted("bias")
    side.want(f"{key}.weight", (out, into // options.get("groups", 1), size, size))
    module = side.kit.conv(into, out, size, bias=bias, **options)
    _keep(side, module, key, "weight")
    if bias:
        side.want(f"{key}.bias", (out,))
        _keep(side, module, key, "bias")
    return _with_norm(side, module, key, out, True)


def conv_transpose(side: Side, key: str, into: int, out: int) -> Any:
    """A transposed convolution that doubles height and width."""
    side.want(f"{key}.weight", (into, out, 2, 2))
    side.want(f"{key}.bias", (out,))
    module = side.kit.conv_transpose(into, out, True)
    _keep(side, module, key, "weight", "bias")
    return module


def _keep(side: Side, module: Any, key: str, *names: str) -> None:
    """Tensors that are the weights of these names."""
    for name in names:
        _same(side, module, name, f"{key}.{name}")


def _same(side: Side, module: Any, name: str, key: str) -> None:
    side.made(module, name, [key], lambda weights: weights[key])


def _affine(side: Side, module: Any, key: str, names: Mapping[str, str], width: int) -> None:
    """Tensors of one number a channel, by what they are for."""
    for role, name in names.items():
        side.want(f"{key}.{role}", (width,))
        _same(side, module, name, f"{key}.{role}")


def embedding(side: Side, key: str, count: int, width: int) -> Any:
    """An embedding."""
    side.want(f"{key}.weight", (count, width))
    module = side.kit.embedding(count, width)
    _keep(side, module, key, "weight")
    return module


def tied_linear(side: Side, table: Any, key: str, width: int, count: int) -> Any:
    """A Linear whose weight is that of an embedding."""
    module = side.kit.linear(width, count, False)
    module.weight = table.weight
    _keep(side, module, key, "weight")
    return module


def batch_norm(side: Side, key: str, width: int) -> Any:
    """A batch norm."""
    module = side.kit.batch_norm(width)
    mean, variance = side.kit.STATISTICS
    _affine(side, module, key, {"scale": "weight", "bias": "bias", "mean": mean, "var": variance}, width)
    return module


def layer_norm(side: Side, key: str, width: int, *, channels: bool = False) -> Any:
    """A layer norm, the framework's or written by hand, over the last axis or over channels, which come second."""
    if not channels and side.choose("layer norm", "native", "own") == "native":
        module = side.kit.layer_norm(width)
        names = ("weight", "bias")
    else:
        names = ("gamma", "beta") if side.choose("norm names", "weight", "gamma") == "gamma" else ("weight", "bias")
        module = _own_norm(side, width, names, channels)
    _affine(side, module, key, dict(zip(("scale", "bias"), names, strict=True)), width)
    return module


def _own_norm(side: Side, width: int, names: Sequence[str], channels: bool) -> Any:
    axis, shape = (1, [-1, 1, 1]) if channels else (-1, [-1])

    def forward(module: Any, x: Any) -> Any:
        centred = x - x.mean(axis=axis, keepdim=True)
        normed = centred * side.kit.rsqrt((centred * centred).mean(axis=axis, keepdim=True) + 1e-6)
        scale, shift = (getattr(module, name).reshape(shape) for name in names)
        return normed * scale + shift

    module = side.kit.own(side.names.kind("LayerNorm2d" if channels else "LayerNormByHand"), forward)
    for name, value in zip(names, (1.0, 0.0), strict=True):
        side.kit.parameter(module, name, np.full(width, value))
    return module


def group_norm(side: Side, key: str, groups: int, width: int) -> Any:
    """A group norm."""
    module = side.kit.group_norm(groups, width)
    _affine(side, module, key, {"scale": "weight", "bias": "bias"}, width)
    return module


def rms_norm(side: Side, key: str, width: int) -> Any:
    """A root mean square norm, by hand on both sides."""

    def forward(m: Parts, x: Any) -> Any:
        return x * side.kit.rsqrt((x * x).mean(axis=-1, keepdim=True) + 1e-6) * m.scale

    return side.module("RMSNorm", {"scale": side.bare(f"{key}.scale", (width,), 1.0)}, forward)


def layer_scale(side: Side, key: str, width: int) -> Bare:
    """A factor for each channel."""
    return side.bare(f"{key}.scale", (width,), 1.0, ones=True)
