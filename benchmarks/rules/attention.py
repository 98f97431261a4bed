"""Attention, MLPs and experts, in the ways that people write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.rules.leaves import fused, layer_norm, linear
from benchmarks.rules.sides import Array, Bare, Constant, Parts, Side


def mlp(side: Side, key: str, width: int, hidden: int) -> Any:
    """Two Linears."""
    hidden = side.width(hidden)
    parts = {"fc1": linear(side, f"{key}.fc1", width, hidden), "fc2": linear(side, f"{key}.fc2", hidden, width)}
    return side.module("Mlp", parts, lambda m, x: m.fc2(side.kit.gelu(m.fc1(x))))


def gated(side: Side, key: str, width: int, hidden: int) -> Any:
    """A gate, what it lets through, and the way back; gate and up are one matrix or two."""
    hidden = side.width(hidden)
    way = side.choose("gate", "two", "gate_up", "up_gate")
    parts: dict[str, Any] = {"down": linear(side, f"{key}.down", hidden, width, bias=False)}
    if way == "two":
        parts["gate"] = linear(side, f"{key}.gate", width, hidden, bias=False)
        parts["up"] = linear(side, f"{key}.up", width, hidden, bias=False)
    else:
        pair = [(f"{key}.{name}", hidden) for name in way.split("_")]
        parts["gate_up"] = fused(side, pair, width, bias=False)

    def forward(m: Parts, x: Any) -> Any:
        if way == "two":
            gate, up = m.gate(x), m.up(x)
        else:
            halves = side.kit.split(m.gate_up(x), (hidden, hidden), -1)
            gate, up = halves if way == "gate_up" else (halves[1], halves[0])
        return m.down(side.kit.silu(gate) * up)

    return side.module("GatedMlp", parts, forward)


def mixture(side: Side, key: str, width: int, hidden: int) -> Any:
    """Experts, each a module or all in one tensor, and a router that weighs them."""
    count, hidden = 3, side.width(hidden)
    way = side.choose("experts", "modules", "out_first", "into_first")
    parts: dict[str, Any] = {"router": linear(side, f"{key}.router", width, count, bias=False)}
    sizes = {"w_in": (width, hidden), "w_out": (hidden, width)}
    if way == "modules":
        for role, (into, out) in sizes.items():
            parts[role] = [linear(side, f"{key}.{role}.{n}", into, out, bias=False) for n in range(count)]
    else:
        for role, (into, out) in sizes.items():
            parts[role] = _stacked(side, [f"{key}.{role}.{n}" for n in range(count)], into, out, way == "into_first")

    def forward(m: Parts, x: Any) -> Any:
        share, silu = side.kit.softmax(m.router(x)), side.kit.silu
        if way == "modules":
            results = [b(silu(a(x))) for a, b in zip(m.w_in, m.w_out, strict=True)]
        else:
            turn = (lambda w: w) if way == "into_first" else (lambda w: side.kit.permute(w, (0, 2, 1)))
            first, last = turn(m.w_in.table), turn(m.w_out.table)
            results = [silu(x @ first[n]) @ last[n] for n in range(count)]
        return sum(share[..., n : n + 1] * results[n] for n in range(count))

    return side.module("Experts", parts, forward)


def _stacked(side: Side, keys: list[str], into: int, out: int, into_first: bool) -> Any:
    """A module that holds the matrices of all experts in one tensor, `table`."""
    for key in keys:
        side.want(f"{key}.weight", (out, into))

    def of(weights: Any) -> Array:
        return np.stack([weights[f"{key}.weight"].T if into_first else weights[f"{key}.weight"] for key in keys])

    module = side.kit.own(side.names.kind("Stack"), lambda m, x: x)
    shape = (len(keys), into, out) if into_first else (len(keys), out, into)
    side.kit.parameter(module, "table", np.random.default_rng(0).normal(size=shape) * 0.02)
    side.made(module, "table", [f"{key}.weight" for key in keys], of)
    return module


def attention(
    side: Side,
    key: str,
    width: int,
    heads: int,
    *,
    groups: int = 0,
    bias: bool = True,
    rotary: bool = False,
    causal: bool = False,
    qk_norm: bool = False,
    more: dict[str, Any] | None = None,
) -> Any:
    """Attention over `(batch, tokens, width)`.

    Args:
        side: Who builds it.
        key: Of its weights.
        width: Of what goes in and comes out.
        heads: Number of heads of the queries.
        groups: Number of heads of keys and values; 0 for as many.
        bias: Of queries, keys and values.
        rotary: Positions by rotation of queries and keys.
        causal: No look ahead.
        qk_norm: A layer norm of every head's queries and keys.
        more: Further parts; `scores` among them is a function of the `Parts` whose result is added to the scores.
    """
    groups, size, more = groups or heads, width // heads, dict(more or {})
    scores = more.pop("scores", None)
    pairs = rotary and side.choose("rotary", "halves", "pairs") == "pairs"
    parts, project = _projections(side, key, width, (heads, groups, size), bias, pairs)
    if bias and not rotary and not qk_norm:
        side.silent.add(f"{key}.k.bias")
    if rotary:
        parts |= {name: side.constant(name, _angles(size, turn)) for name, turn in (("cos", np.cos), ("sin", np.sin))}
    if qk_norm:
        parts |= {f"{name}_norm": layer_norm(side, f"{key}.{name}_norm", size) for name in "qk"}
    parts |= {"proj": linear(side, f"{key}.proj", width, width, bias=bias), **more}
    kit = side.kit

    def forward(m: Parts, x: Any) -> Any:
        q, k, v = project(m, x)
        if qk_norm:
            q, k = m.q_norm(q), m.k_norm(k)
        if rotary:
            q, k = (_rotate(side, y, m.constant("cos", y), m.constant("sin", y), pairs) for y in (q, k))
        k, v = _repeat(kit, k, heads // groups), _repeat(kit, v, heads // groups)
        mask = np.triu(np.full((x.shape[1],) * 2, -1e4, np.float32), 1) if causal else None
        y = _attended(kit, (q, k, v), lambda weights: scores(m, weights) if scores else 0, mask)
        return m.proj(y.reshape([-1, x.shape[1], width]))

    return side.module("Attention", parts, forward)


def _attended(kit: Any, tensors: Sequence[Any], scores: Callable[[Any], Any], mask: Array | None) -> Any:
    """Values weighed by the products of queries and keys, all `(batch, tokens, heads, size)`."""
    q, k, v = (kit.permute(tensor, (0, 2, 1, 3)) for tensor in tensors)
    weights = q @ kit.permute(k, (0, 1, 3, 2)) * q.shape[-1] ** -0.5
    weights = weights + scores(weights)
    weights = weights if mask is None else weights + kit.constant(mask, weights)
    return kit.permute(kit.softmax(weights) @ v, (0, 2, 1, 3))


def _repeat(kit: Any, x: Any, times: int) -> Any:
    """Each head of keys or values for its queries."""
    if times == 1:
        return x
    batch, length, heads, size = x.shape
    x = kit.expand(x.reshape([batch, length, heads, 1, size]), (batch, length, heads, times, size))
    return x.reshape([batch, length, heads * times, size])


def _angles(size: int, function: Any) -> Array:
    angles = np.outer(np.arange(8), 100.0 ** (-2 * np.arange(size // 2) / size))
    return function(angles)[None, :, None].astype(np.float32)


def _rotate(side: Side, x: Any, cos: Any, sin: Any, pairs: bool) -> Any:
    kit, size = side.kit, x.shape[-1]
    if pairs:
        x = x.reshape([*x.shape[:-1], size // 2, 2])
        a, b = x[..., 0], x[..., 1]
        y = kit.stack((a * cos - b * sin, b * cos + a * sin), -1)
        return y.reshape([*y.shape[:-2], size])
    a, b = kit.split(x, (size // 2, size // 2), -1)
    return kit.cat((a * cos - b * sin, b * cos + a * sin), -1)


def _paired(heads: int, size: int) -> Array:
    """Order of rows by which halves become pairs, head by head."""
    one = np.arange(size).reshape(2, size // 2).T.reshape(-1)
    return (np.arange(heads)[:, None] * size + one).reshape(-1)


def _projections(
    side: Side, key: str, width: int, sizes: tuple[int, int, int], bias: bool, pairs: bool
) -> tuple[dict[str, Any], Any]:
    """Parts that make queries, keys and values, and the function that does it."""
    heads, groups, size = sizes
    lengths = {"q": heads * size, "k": groups * size, "v": groups * size}
    rows = {name: np.arange(length) for name, length in lengths.items()}
    if pairs:
        rows |= {"q": _paired(heads, size), "k": _paired(groups, size)}
    way = side.choose("qkv", "three", "qkv", "qkv", "by_head", "q_kv", "kqv", share=0.6)
    if way == "three":
        parts = {n: linear(side, f"{key}.{n}", width, lengths[n], bias=bias, rows=rows[n]) for n in "qkv"}
        return parts, lambda m, x: _heads([m.q(x), m.k(x), m.v(x)], sizes)
    if way == "q_kv":
        parts = {
            "q": linear(side, f"{key}.q", width, lengths["q"], bias=bias, rows=rows["q"]),
            "kv": _joined(side, key, "kv", width, lengths, rows, bias),
        }
        cut = (lengths["k"], lengths["v"])
        return parts, lambda m, x: _heads([m.q(x), *side.kit.split(m.kv(x), cut, -1)], sizes)
    if way == "by_head":
        return _by_head(side, key, width, sizes, rows, bias)
    parts = {"qkv": _joined(side, key, way, width, lengths, rows, bias)}
    sizes_in_order = tuple(lengths[name] for name in way)

    def project(m: Parts, x: Any) -> Any:
        made = dict(zip(way, side.kit.split(m.qkv(x), sizes_in_order, -1), strict=True))
        return _heads([made[name] for name in "qkv"], sizes)

    return parts, project


def _joined(
    side: Side, key: str, order: str, width: int, lengths: dict[str, int], rows: dict[str, Array], bias: bool
) -> Any:
    starts = np.cumsum([0, *(lengths[name] for name in order)])
    joined = np.concatenate([start + rows[name] for start, name in zip(starts, order, strict=False)])
    return fused(side, [(f"{key}.{name}", lengths[name]) for name in order], width, bias=bias, rows=joined)


def _by_head(
    side: Side, key: str, width: int, sizes: tuple[int, int, int], rows: dict[str, Array], bias: bool
) -> tuple[dict[str, Any], Any]:
    """One matrix in which each group has its queries, its key and its value."""
    heads, groups, size = sizes
    shared = heads // groups
    starts = {"q": 0, "k": heads * size, "v": (heads + groups) * size}
    by_group = [(starts[n] + rows[n]).reshape(groups, -1, size) for n in "qkv"]
    order = np.concatenate(by_group, axis=1).reshape(-1)
    lengths = [(f"{key}.{n}", len(rows[n])) for n in "qkv"]

    def project(m: Parts, x: Any) -> Any:
        y = m.qkv(x).reshape([-1, x.shape[1], groups, shared + 2, size])
        q, k, v = side.kit.split(y, (shared, 1, 1), 3)
        return [z.reshape([-1, x.shape[1], n, size]) for z, n in ((q, heads), (k, groups), (v, groups))]

    return {"qkv": fused(side, lengths, width, bias=bias, rows=order)}, project


def _heads(parts: list[Any], sizes: tuple[int, int, int]) -> list[Any]:
    heads, groups, size = sizes
    counts = (heads, groups, groups)
    return [y.reshape([-1, y.shape[1], n, size]) for y, n in zip(parts, counts, strict=True)]


def window_attention(side: Side, key: str, width: int, heads: int, windows: int) -> Any:
    """Attention within windows of 2 x 2 of a map of `2 * windows` rows and columns, channels last."""
    side.want(f"{key}.table", (9, heads))
    steps = np.array([(row, column) for row in (0, 1) for column in (0, 1)])
    index = (steps[:, None] - steps[None] + 1) @ np.array([3, 1])
    constant: Constant = side.constant("relative_position_index", index.astype(np.int64))
    kit = side.kit

    def scores(m: Parts, like: Any) -> Any:
        found = kit.take(m.relative_table, m.constant("index", like))
        return kit.permute(found, (2, 0, 1)).reshape([1, heads, 4, 4])

    more = {"relative_table": Bare(f"{key}.table", (9, heads)), "index": constant, "scores": scores}
    inner = attention(side, key, width, heads, more=more)

    def forward(m: Parts, x: Any) -> Any:
        x = x.reshape([-1, windows, 2, windows, 2, width])
        x = kit.permute(x, (0, 1, 3, 2, 4, 5)).reshape([-1, 4, width])
        y = m.attn(x).reshape([-1, windows, windows, 2, 2, width])
        return kit.permute(y, (0, 1, 3, 2, 4, 5)).reshape([-1, 2 * windows, 2 * windows, width])

    return side.module("WindowAttention", {"attn": inner}, forward)
