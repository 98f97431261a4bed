"""PiT's published layouts, each from the canonical one of naver-ai/pit.

The names were read from naver-ai/pit `pit.py`, timm `models/pit.py` (0.4 to 0.8, and 0.9 onwards), PaddleViT
`image_classification/PiT/pit.py` and MindCV 0.3 `models/pit.py`, whose parameters were listed.
"""

from __future__ import annotations

from collections.abc import Iterator

from porting.operations import Split
from porting.rules import Rule, affine, linear, rule, same, scaled, table

_BLOCK = "transformers.{stage}.blocks.{block}"

_EMBEDDINGS = (
    *same("pos_embed", "cls_token"),
    *affine("patch_embed.conv", "patch_embed.conv"),
)
_HEADS = (
    *affine("norm", "norm"),
    *affine("head", "head"),
    *affine("head_dist", "head_dist"),
)
_BLOCKS = (
    *affine(f"{_BLOCK}.norm1", f"{_BLOCK}.norm1"),
    *affine(f"{_BLOCK}.attn.qkv", f"{_BLOCK}.attn.qkv"),
    *affine(f"{_BLOCK}.attn.proj", f"{_BLOCK}.attn.proj"),
    *affine(f"{_BLOCK}.norm2", f"{_BLOCK}.norm2"),
    *affine(f"{_BLOCK}.mlp.fc1", f"{_BLOCK}.mlp.fc1"),
    *affine(f"{_BLOCK}.mlp.fc2", f"{_BLOCK}.mlp.fc2"),
)

CANONICAL = table(
    "canonical",
    _EMBEDDINGS,
    _BLOCKS,
    affine("pools.{pool}.conv", "pools.{pool}.conv"),
    affine("pools.{pool}.fc", "pools.{pool}.fc"),
    _HEADS,
    published_by="naver-ai/pit",
)

TIMM = table(
    "timm",
    _EMBEDDINGS,
    _BLOCKS,
    affine("pools.{pool}.conv", "transformers.{pool+1}.pool.conv"),
    affine("pools.{pool}.fc", "transformers.{pool+1}.pool.fc"),
    _HEADS,
    published_by="timm 0.9 and later",
)

TIMM_LEGACY = table(
    "timm-legacy",
    _EMBEDDINGS,
    _BLOCKS,
    affine("pools.{pool}.conv", "transformers.{pool}.pool.conv"),
    affine("pools.{pool}.fc", "transformers.{pool}.pool.fc"),
    _HEADS,
    published_by="timm 0.4.7 to 0.8",
)

PADDLEVIT = table(
    "paddlevit",
    _EMBEDDINGS,
    affine(f"{_BLOCK}.norm1", f"{_BLOCK}.norm1"),
    linear(f"{_BLOCK}.attn.qkv", f"{_BLOCK}.attn.qkv"),
    linear(f"{_BLOCK}.attn.proj", f"{_BLOCK}.attn.proj"),
    affine(f"{_BLOCK}.norm2", f"{_BLOCK}.norm2"),
    linear(f"{_BLOCK}.mlp.fc1", f"{_BLOCK}.mlp.fc1"),
    linear(f"{_BLOCK}.mlp.fc2", f"{_BLOCK}.mlp.fc2"),
    affine("pools.{pool}.conv", "pools.{pool}.conv"),
    linear("pools.{pool}.fc", "pools.{pool}.fc"),
    affine("norm", "norm"),
    linear("head", "head"),
    linear("head_dist", "head_dist"),
    published_by="PaddleViT, hatimwen/paddle_pit, Paddle-Team-7",
    framework="paddle",
)


def _mindcv_block(source: str, target: str) -> Iterator[Rule]:
    """A block whose norms have gamma and beta, and whose q, k and v are layers of their own."""
    parts = tuple(f"{target}.attn.{part}.{{part}}" for part in "qkv")
    yield from scaled(f"{source}.norm1", f"{target}.norm1")
    yield rule(f"{source}.attn.qkv.{{part:weight|bias}}", parts, Split(3))
    yield from affine(f"{source}.attn.proj", f"{target}.attn.proj")
    yield from scaled(f"{source}.norm2", f"{target}.norm2")
    yield from affine(f"{source}.mlp.fc1", f"{target}.mlp.fc1")
    yield from affine(f"{source}.mlp.fc2", f"{target}.mlp.fc2")


_MINDCV_ENDS = (*_EMBEDDINGS, *scaled("norm", "norm"), *affine("head", "head"))
_ABSENT = {"*_distilled": "MindCV publishes no distilled PiT (--drop-head-dist makes a plain one)"}

MINDCV = table(
    "mindcv",
    _MINDCV_ENDS,
    _mindcv_block("transformers.0.blocks.{block}", "0.blocks.{block}"),
    _mindcv_block("transformers.{stage+1}.blocks.{block}", "0.blocks.{stage+1}.blocks.{block}"),
    affine("pools.{pool}.conv", "{pool}.conv"),
    affine("pools.{pool}.fc", "{pool}.fc"),
    published_by="MindCV",
    framework="mindspore",
    without=_ABSENT,
)
"""Names as MindSpore makes them: a CellList leaves its own name out, and what is appended to it later gets the start of
its first parameter's name as a prefix."""

MINDCV_ATTRIBUTES = table(
    "mindcv-attributes",
    _MINDCV_ENDS,
    _mindcv_block(_BLOCK, _BLOCK),
    affine("pools.{pool}.conv", "pools.{pool}.conv"),
    affine("pools.{pool}.fc", "pools.{pool}.fc"),
    published_by="nobody; made by converters that take attribute paths for names",
    framework="mindspore",
    without=_ABSENT,
    mistake="the paths of MindCV's attributes (transformers.1.blocks.0.*) where the names of its parameters belong "
    "(0.blocks.1.blocks.0.*): MindSpore loads such a file without an error and leaves most of the model as it was",
)

TABLES = (CANONICAL, TIMM, TIMM_LEGACY, PADDLEVIT, MINDCV)
MISTAKES = (MINDCV_ATTRIBUTES,)
