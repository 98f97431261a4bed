"""Checkpoints in several files: an index, `model.safetensors.index.json`, says which shard holds which tensor.

Source: what transformers and huggingface_hub write, `{"metadata": {"total_size": ...}, "weight_map": {tensor: shard}}`,
beside the shards, `model-00001-of-00003.safetensors`. `pytorch_model.bin.index.json` is the same for files of torch,
and `model_state.pdparams.index.json` is PaddleNLP's (`shard_checkpoint` in `paddlenlp/transformers/model_utils.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from porting.checkpoint.containers import json_text
from porting.checkpoint.file.source import Source
from porting.checkpoint.format_names import INDEX
from porting.checkpoint.tensor import LazyTensor, Malformed
from porting.names import fold

_WEIGHT_MAP = "weight_map"
MAX_SHARDS = 1000
"""Most shards of a set; each keeps two files open while the set is read."""
_NUMBERED = r"(?P<stem>.+)-\d{5}-of-\d{5}(?P<suffix>\.[A-Za-z0-9]+)"


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
        if not is_plain(shard):
            raise Malformed(f"places tensors in {shard!r:.100}, expected the name of a file beside it")
    if len(shards) > MAX_SHARDS:
        raise Malformed(f"names {len(shards)} shards, expected {MAX_SHARDS} at most")
    return weight_map


def is_plain(name: str) -> bool:
    """Return True for the name of a file in the same folder, which every file system can have."""
    plain = name.isprintable() and not set(name) & set('/\\:<>|?*"')
    return plain and 0 < len(name) < 200 and not name.startswith((".", "~"))


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


def shard_names(name: str, count: int) -> list[str]:
    """Return the names of the shards of a file: `model.safetensors` gives `model-00001-of-00003.safetensors`, ..."""
    path = PurePath(name)
    return [f"{path.stem}-{number:05d}-of-{count:05d}{path.suffix}" for number in range(1, count + 1)]


def whole_name(shard: str) -> str | None:
    """Return the name of the file that a shard is a part of, `model.safetensors`; None if it is not named as one."""
    match = re.fullmatch(_NUMBERED, shard)
    return match["stem"] + match["suffix"] if match else None


def index_name(name: str) -> str:
    """Return the name of the index of a file's shards."""
    return f"{name}{INDEX}"


def divided(name: str, tensors: Mapping[str, LazyTensor], limit: int) -> dict[str, dict[str, LazyTensor]]:
    """Return the tensors of each file, in order, by the file's name.

    A file takes tensors as long as their data has at most `limit` bytes together; a larger tensor has a file of its
    own. Tensors that fit into one file are that file, `name`, without a number.
    """
    parts: list[dict[str, LazyTensor]] = [{}]
    room = limit
    for key, tensor in tensors.items():
        if parts[-1] and tensor.nbytes > room:
            parts.append({})
            room = limit
        parts[-1][key] = tensor
        room -= tensor.nbytes
    names = shard_names(name, len(parts)) if len(parts) > 1 else [name]
    return dict(zip(names, parts, strict=True))


def index_text(shards: Mapping[str, Iterable[str]], total_size: int) -> bytes:
    """Return the text of an index, byte by byte as transformers writes it.

    Args:
        shards: The names of the tensors of each shard, by its file name.
        total_size: Bytes of all tensors.

    Raises:
        Malformed: It would be larger than an index that is read.
    """
    import json  # here, since hardly any file has shards

    weight_map = {name: shard for shard, names in shards.items() for name in names}
    content = {"metadata": {"total_size": total_size}, _WEIGHT_MAP: weight_map}
    text = (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
    json_text.require_modest(text)
    return text
