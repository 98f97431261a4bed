"""PaddleViT's files and options under their earlier import path; `recipe.dialects` has them."""

from __future__ import annotations

from recipe.dialects.base import Invocation, Translation, with_suffix
from recipe.dialects.single_dash import is_option, translate_arguments
from recipe.dialects.yacs import read, recognises, translate

PRESET = "paddlevit"
"""The shipped configuration that stands for the defaults of PaddleViT's PiT."""

__all__ = [
    "PRESET",
    "Invocation",
    "Translation",
    "is_option",
    "read",
    "recognises",
    "translate",
    "translate_arguments",
    "with_suffix",
]
