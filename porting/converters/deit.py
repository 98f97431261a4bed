"""DeiT's published layouts, each from the canonical one of facebookresearch/deit, which is timm's.

The names were read from PaddleClas `ppcls/arch/backbone/model_zoo/distilled_vision_transformer.py`, PaddleViT
`image_classification/DeiT/deit.py` and Paddle-Team-7 `PiT-Paddle-master`.
"""

from __future__ import annotations

from porting.rules import affine, linear, rule, same, table

CANONICAL = table(
    "canonical",
    same("cls_token", "pos_embed", "dist_token"),
    affine("patch_embed.proj", "patch_embed.proj"),
    affine("blocks.{block}.norm1", "blocks.{block}.norm1"),
    affine("blocks.{block}.attn.qkv", "blocks.{block}.attn.qkv"),
    affine("blocks.{block}.attn.proj", "blocks.{block}.attn.proj"),
    affine("blocks.{block}.norm2", "blocks.{block}.norm2"),
    affine("blocks.{block}.mlp.fc1", "blocks.{block}.mlp.fc1"),
    affine("blocks.{block}.mlp.fc2", "blocks.{block}.mlp.fc2"),
    affine("norm", "norm"),
    affine("head", "head"),
    affine("head_dist", "head_dist"),
    published_by="facebookresearch/deit, timm",
)

PADDLECLAS = table(
    "paddleclas",
    same("cls_token", "pos_embed", "dist_token"),
    affine("patch_embed.proj", "patch_embed.proj"),
    affine("blocks.{block}.norm1", "blocks.{block}.norm1"),
    linear("blocks.{block}.attn.qkv", "blocks.{block}.attn.qkv"),
    linear("blocks.{block}.attn.proj", "blocks.{block}.attn.proj"),
    affine("blocks.{block}.norm2", "blocks.{block}.norm2"),
    linear("blocks.{block}.mlp.fc1", "blocks.{block}.mlp.fc1"),
    linear("blocks.{block}.mlp.fc2", "blocks.{block}.mlp.fc2"),
    affine("norm", "norm"),
    linear("head", "head"),
    linear("head_dist", "head_dist"),
    published_by="PaddleClas",
    framework="paddle",
)

PADDLEVIT = table(
    "paddlevit",
    same("cls_token", "dist_token"),
    rule("pos_embed", "position_embedding"),
    affine("patch_embed.proj", "patch_embedding.patch_embedding"),
    affine("blocks.{block}.norm1", "encoder.layers.{block}.attn_norm"),
    linear("blocks.{block}.attn.qkv", "encoder.layers.{block}.attn.qkv"),
    linear("blocks.{block}.attn.proj", "encoder.layers.{block}.attn.out"),
    affine("blocks.{block}.norm2", "encoder.layers.{block}.mlp_norm"),
    linear("blocks.{block}.mlp.fc1", "encoder.layers.{block}.mlp.fc1"),
    linear("blocks.{block}.mlp.fc2", "encoder.layers.{block}.mlp.fc2"),
    affine("norm", "encoder.encoder_norm"),
    linear("head", "classifier"),
    linear("head_dist", "classifier_dist"),
    published_by="PaddleViT",
    framework="paddle",
)

TEAM7 = table(
    "team7",
    rule("cls_token", "class_token"),
    rule("dist_token", "distill_token"),
    same("pos_embed"),
    affine("patch_embed.proj", "patch_embed.proj"),
    affine("blocks.{block}.norm1", "layers.{block}.norm1"),
    linear("blocks.{block}.attn.qkv", "layers.{block}.attn.qkv"),
    linear("blocks.{block}.attn.proj", "layers.{block}.attn.proj"),
    affine("blocks.{block}.norm2", "layers.{block}.norm2"),
    linear("blocks.{block}.mlp.fc1", "layers.{block}.mlp.fc1"),
    linear("blocks.{block}.mlp.fc2", "layers.{block}.mlp.fc2"),
    affine("norm", "norm"),
    linear("head", "head"),
    linear("head_dist", "head_distill"),
    published_by="Paddle-Team-7",
    framework="paddle",
)

TABLES = (CANONICAL, PADDLECLAS, PADDLEVIT, TEAM7)
MISTAKES = ()
