"""PiT's published layouts, each from the canonical one of naver-ai/pit.

The names were read from naver-ai/pit `pit.py`, timm `models/pit.py` (0.4 to 0.8, and 0.9 onwards) and PaddleViT
`image_classification/PiT/pit.py`.
"""

from __future__ import annotations

from porting.rules import affine, linear, same, table

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
)

TABLES = (CANONICAL, TIMM, TIMM_LEGACY, PADDLEVIT)
