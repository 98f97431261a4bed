"""ClassyVision's and vissl's state dicts: trunk and heads as one, under torchvision's names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

_MAX_HEAD_DEPTH, _MAX_HEADS = 3, 10_000
_CLASSY_TO_TORCHVISION = (
    (r"^_feature_blocks\.conv1\.stem\.", "stem."),
    (r"^stem\.stem\.", "stem."),
    (r"^_feature_blocks\.res\d\.(block(\d)-)", r"trunk_output.block\2.\1"),
    (r"^(trunk_output\..*)\.proj\.(?!\d)", r"\1.proj.0."),
    (r"^(trunk_output\.block\d\.block\d-\d+)\.bn\.", r"\1.proj.1."),
    (r"^(trunk_output\..*)\.f\.se\.excitation\.0\.", r"\1.f.se.fc1."),
    (r"^(trunk_output\..*)\.f\.se\.excitation\.2\.", r"\1.f.se.fc2."),
    (r"^(trunk_output\..*)\.f\.c\.(?!\d)", r"\1.f.c.0."),
    (r"^(trunk_output\..*)\.f\.final_bn\.", r"\1.f.c.1."),
    (r"^0\.clf\.0\.", "fc."),
)
"""Starts of names of ClassyVision's RegNet, and torchvision's for them, replaced one after the other.

torchvision's RegNet descends from ClassyVision's. Sources: `models/{anynet,squeeze_and_excitation_layer}.py` of
ClassyVision and `models/trunks/regnet.py` of vissl, whose trunk puts the stages under `_feature_blocks.res2` to `res5`
and whose linear head is `0.clf.0`.
"""


def join_classy(saved: Mapping[object, object]) -> dict[object, object]:
    """Return trunk and heads of ClassyVision, and of vissl, which is built on it, as one state dict.

    A head that ClassyVision attached to a block, `{block: {head: {name: tensor}}}`, keeps only the names within it if
    it is the only one. A dict without a trunk is returned as it is.
    """
    trunk, heads = saved.get("trunk"), saved.get("heads")
    if not isinstance(trunk, dict):
        return dict(saved)
    joined = dict(trunk)
    for _ in range(_MAX_HEAD_DEPTH):
        if isinstance(heads, dict) and len(heads) == 1 and isinstance(next(iter(heads.values())), dict):
            heads = next(iter(heads.values()))
    for name, value in islice(_flat(heads, _MAX_HEAD_DEPTH), _MAX_HEADS):
        joined.setdefault(name, value)
    return {_in_torchvision(name) if isinstance(name, str) else name: value for name, value in joined.items()}


def _flat(value: object, depth: int, *names: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _flat(inner, depth - 1, *names, key)
    elif names:
        yield ".".join(names), value


def _in_torchvision(name: str) -> str:
    for pattern, replacement in _CLASSY_TO_TORCHVISION:
        name = re.sub(pattern, replacement, name)
    return name
