"""JSON from files of strangers: strictly, once a key, and of a size that cannot fill the memory."""

from __future__ import annotations

import json

from porting.checkpoint.machine import Malformed

MAX_BYTES = 2**21
"""Bytes of a text: a checkpoint of ten thousand tensors takes half of it, and parsed it takes 25 times as much. The
safetensors package's own limit of 100 MB would let a file of nothing but brackets take 2.5 GB."""
NO_JSON = "is no JSON"


def parse(data: bytes) -> object:
    """The value; raises `Malformed` where it is no JSON, has a key twice or nests too deep."""
    if len(data) > MAX_BYTES:
        raise Malformed(f"is described in {len(data)} bytes of JSON, more than any checkpoint needs")
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise Malformed(NO_JSON) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise Malformed(f"names {name:.100} twice")
        found[name] = value
    return found


def _refused(name: str) -> object:
    raise ValueError(name)
