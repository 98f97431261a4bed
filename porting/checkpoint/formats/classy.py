"""ClassyVision's checkpoints, and those of vissl, which is built on it: a trunk and heads, saved apart.

torchvision's RegNet descends from ClassyVision's, so the names become torchvision's. They were read from ClassyVision
`models/{anynet,squeeze_and_excitation_layer}.py` and vissl `models/trunks/regnet.py`, whose trunk puts the stages under
`_feature_blocks.res2` to `res5` and whose linear head is `0.clf.0`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

_PARTS = ("trunk", "heads")
_MAX_DEPTH = 3
_MAX_HEADS = 10_000
_RENAMED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"_feature_blocks\.conv1\.stem\.", "stem."),
        (r"stem\.stem\.", "stem."),
        (r"_feature_blocks\.res\d\.(block(\d)-)", r"trunk_output.block\2.\1"),
        (r"(trunk_output\..*)\.proj\.(?!\d)", r"\1.proj.0."),
        (r"(trunk_output\.block\d\.block\d-\d+)\.bn\.", r"\1.proj.1."),
        (r"(trunk_output\..*)\.f\.se\.excitation\.0\.", r"\1.f.se.fc1."),
        (r"(trunk_output\..*)\.f\.se\.excitation\.2\.", r"\1.f.se.fc2."),
        (r"(trunk_output\..*)\.f\.c\.(?!\d)", r"\1.f.c.0."),
        (r"(trunk_output\..*)\.f\.final_bn\.", r"\1.f.c.1."),
        (r"0\.clf\.0\.", "fc."),
    )
)
"""Starts of names, and what they become, one after the other."""


def joined(saved: Mapping[object, object]) -> dict[object, object]:
    """Trunk and heads as one state dict; a dict without a trunk as it is.

    A head that ClassyVision attached to a block, `{block: {head: {name: tensor}}}`, goes by the names within it where
    it is the only one.
    """
    trunk, heads = (saved.get(part) for part in _PARTS)
    if not isinstance(trunk, dict):
        return dict(saved)
    found = dict(trunk)
    for _ in range(_MAX_DEPTH):
        if isinstance(heads, dict) and len(heads) == 1 and isinstance(next(iter(heads.values())), dict):
            heads = next(iter(heads.values()))
    for name, value in islice(_flat(heads, _MAX_DEPTH), _MAX_HEADS):
        found.setdefault(name, value)
    return {_renamed(name) if isinstance(name, str) else name: value for name, value in found.items()}


def _flat(value: object, depth: int, *names: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _flat(inner, depth - 1, *names, key)
    elif names:
        yield ".".join(names), value


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name, count=1) if pattern.match(name) else name
    return name
