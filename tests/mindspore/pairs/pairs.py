"""Pairs of a torch net and its counterpart in MindSpore, in both directions."""

from __future__ import annotations

from alignment.pair import Pair, Side, Tokens

_TORCH = Side("torch", "torch_nets.py:Transformer")


def _ported(name: str) -> Pair:
    candidate = Side("mindspore", f"mindspore_nets.py:{name}")
    return Pair("net", reference=_TORCH, candidate=candidate, rules="auto", inputs={"ids": Tokens(20, (9,))})


RIGHT, OTHER, CHECKED = _ported("Transformer"), _ported("FirstToken"), _ported("Checked")
BACK = Pair("net", reference=RIGHT.candidate, candidate=_TORCH, rules="auto", inputs={"ids": Tokens(20, (9,))})


def _of_floats(reference: str, candidate: str, shape: tuple[int, ...]) -> Pair:
    sides = Side("torch", f"torch_nets.py:{reference}"), Side("mindspore", f"mindspore_nets.py:{candidate}")
    return Pair(reference.lower(), *sides, rules="auto", input_shape=shape)


GATED, OTHER_FACTOR = _of_floats("Gated", "Gated", (5, 8)), _of_floats("Gated", "OtherFactor", (5, 8))
SIGNAL = _of_floats("Signal", "Signal", (3, 32))
