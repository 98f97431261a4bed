"""JSON from untrusted files, read strictly: each key once, and of a size that cannot fill the memory."""

from __future__ import annotations

from porting.checkpoint.tensor import Malformed

MAX_BYTES = 2**22
"""Bytes of a text: a checkpoint of ten thousand tensors takes a quarter of it. The safetensors package's own limit of
100 MB would let a file of nothing but brackets take 2.5 GB once it is parsed."""
_MAX_BRACKETS, _MAX_COLONS = 2**17, 2**18
"""What takes most memory for a byte of text; ten thousand tensors have a quarter of them."""
NO_JSON = "is no JSON"


def require_modest(data: bytes) -> None:
    """Raise `Malformed` if a text could fill the memory."""
    if len(data) > MAX_BYTES:
        raise Malformed(f"takes {len(data)} bytes, expected {MAX_BYTES} at most")
    if data.count(b"[") + data.count(b"{") > _MAX_BRACKETS or data.count(b":") > _MAX_COLONS:
        raise Malformed("has more brackets or colons than any checkpoint needs")


def parse(data: bytes) -> object:
    """Return the value; raise `Malformed` if it is no JSON, too large, has a key twice or nests too deep."""
    import json  # here, since hardly any file holds some

    require_modest(data)
    try:
        return json.loads(str(data, "utf-8"), object_pairs_hook=_unique, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise Malformed(NO_JSON) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in pairs:
        if name in values:
            raise Malformed(f"names {name:.100} twice")
        values[name] = value
    return values


def _refused(name: str) -> object:
    raise ValueError(name)
