"""Checkpoints in several files: an index, `model.safetensors.index.json`, says which shard holds which tensor.

Source: what transformers and huggingface_hub write, `{"metadata": {...}, "weight_map": {tensor: shard}}`, beside the
shards; `pytorch_model.bin.index.json` is the same for files of torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from porting.checkpoint.containers import json_text
from porting.checkpoint.file.source import Source
from porting.checkpoint.tensor import Malformed
from porting.names import fold

_WEIGHT_MAP = "weight_map"
_MAX_SHARDS = 256
"""Each shard keeps a file open."""


def is_json(head: bytes) -> bool:
    """Return True if a file that starts so may be an index; a safetensors file has zero bytes in its first eight."""
    return head.lstrip().startswith(b"{") and b"\0" not in head[:8]


def read_index(source: Source) -> dict[str, str] | None:
    """Return the file name of each tensor's shard, by the tensor's name; None for JSON that is no index.

    Raises:
        CheckpointError: A shard is named by a path, or nothing is in the index.
    """
    data = source.read(0, min(source.size, json_text.MAX_BYTES))
    if len(data) < source.size or f'"{_WEIGHT_MAP}"'.encode() not in data:
        return None
    try:
        index = json_text.parse(data)
        weight_map = index.get(_WEIGHT_MAP) if isinstance(index, dict) else None
        return None if weight_map is None else _shards(weight_map)
    except Malformed as problem:
        if str(problem) == json_text.NO_JSON:
            return None
        raise source.error(f"is an index that {problem}; fetch or save it again") from None


def _shards(weight_map: object) -> dict[str, str]:
    if not isinstance(weight_map, dict) or not weight_map:
        raise Malformed(f"has a {_WEIGHT_MAP} of another form than {{tensor: file}}")
    shards = list(dict.fromkeys(value if isinstance(value, str) else "" for value in weight_map.values()))
    for shard in shards:
        plain = shard.isprintable() and not set(shard) & set('/\\:<>|?*"')
        if not plain or not 0 < len(shard) < 200 or shard.startswith((".", "~")):
            raise Malformed(f"places tensors in {shard!r:.100}, expected the name of a file beside it")
    if len(shards) > _MAX_SHARDS:
        raise Malformed(f"names {len(shards)} shards, expected {_MAX_SHARDS} at most")
    return weight_map


def joined(source: Source, weight_map: Mapping[str, str], shards: Mapping[str, object]) -> dict[str, object]:
    """Return the tensors of all shards as one dict, in the order of the index.

    Args:
        source: The index.
        weight_map: The shard of each tensor.
        shards: The content of each shard.

    Raises:
        CheckpointError: Index and shards do not agree; every tensor concerned is named.
    """
    saved = {shard: content if isinstance(content, dict) else {} for shard, content in shards.items()}
    missing = [f"{name} is not in {shard}" for name, shard in weight_map.items() if name not in saved[shard]]
    beyond = [
        f"{name} is in {shard}, which the index does not say"
        for shard, content in saved.items()
        for name in content
        if isinstance(name, str) and weight_map.get(name) != shard
    ]
    if missing or beyond:
        count = len(missing) + len(beyond)
        details = fold([*missing, *beyond][:1000])[:50]
        raise source.error(f"does not agree with its shards in {count} tensors; fetch index and shards again", details)
    return {name: saved[shard][name] for name, shard in weight_map.items()}
