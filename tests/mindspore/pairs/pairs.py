"""Pairs of a torch net and its counterpart in MindSpore, in both directions."""

from __future__ import annotations

from alignment.pair import Pair, Side, Tokens

_TORCH = Side("torch", "torch_nets.py:Transformer")


def _ported(name: str) -> Pair:
    candidate = Side("mindspore", f"mindspore_nets.py:{name}")
    return Pair("net", reference=_TORCH, candidate=candidate, rules="auto", inputs={"ids": Tokens(20, (9,))})


RIGHT, OTHER, CHECKED = _ported("Transformer"), _ported("FirstToken"), _ported("Checked")
BACK = Pair("net", reference=RIGHT.candidate, candidate=_TORCH, rules="auto", inputs={"ids": Tokens(20, (9,))})


def _gated(name: str) -> Pair:
    sides = Side("torch", "torch_nets.py:Gated"), Side("mindspore", f"mindspore_nets.py:{name}")
    return Pair("gated", *sides, rules="auto", input_shape=(5, 8))


GATED, OTHER_FACTOR = _gated("Gated"), _gated("OtherFactor")
