"""RegNetY-160's published layouts, each from the canonical one of timm, which is facebook's `regnety_160-a5fe301d.pth`.

The names were read from PaddleViT `image_classification/DeiT/regnet.py` (whose third convolution has a bias that its
BatchNorm makes useless), torchvision `models/regnet.py`, pycls `pycls/models/{blocks,anynet}.py` and MindCV 0.3
`models/regnet.py`, whose parameters were listed.
"""

from __future__ import annotations

from collections.abc import Iterator

from porting.operations import ZeroBias
from porting.rules import Rule, affine, drop, linear, rule, scaled, table

_BLOCK = "s{stage}.b{block}"
_COUNTER = "a counter that only training with a cumulative average reads"


def _norm(source: str, target: str) -> Iterator[Rule]:
    """A BatchNorm whose statistics keep torch's names."""
    yield from affine(source, target)
    for statistic in ("running_mean", "running_var", "num_batches_tracked"):
        yield rule(f"{source}.{statistic}", f"{target}.{statistic}")


def _paddle_norm(source: str, target: str) -> Iterator[Rule]:
    """A BatchNorm with Paddle's names, which counts no batches."""
    yield from affine(source, target)
    yield rule(f"{source}.running_mean", f"{target}._mean")
    yield rule(f"{source}.running_var", f"{target}._variance")
    yield drop(f"{source}.num_batches_tracked", _COUNTER)


def _paddle_norm_after_bias(source: str, target: str, bias: str) -> Iterator[Rule]:
    """A BatchNorm with Paddle's names after a convolution whose bias is zero in every port."""
    yield from affine(source, target)
    yield rule(f"{source}.running_mean", (bias, f"{target}._mean"), ZeroBias())
    yield rule(f"{source}.running_var", f"{target}._variance")
    yield drop(f"{source}.num_batches_tracked", _COUNTER)


def _conv(source: str, target: str) -> Rule:
    return rule(f"{source}.weight", f"{target}.weight")


CANONICAL = table(
    "canonical",
    _conv("stem.conv", "stem.conv"),
    _norm("stem.bn", "stem.bn"),
    _conv(f"{_BLOCK}.{{conv:conv1|conv2|conv3|downsample}}.conv", f"{_BLOCK}.{{conv}}.conv"),
    _norm(f"{_BLOCK}.{{conv:conv1|conv2|conv3|downsample}}.bn", f"{_BLOCK}.{{conv}}.bn"),
    affine(f"{_BLOCK}.se.{{fc:fc1|fc2}}", f"{_BLOCK}.se.{{fc}}"),
    affine("head.fc", "head.fc"),
    published_by="timm, facebook's regnety_160-a5fe301d.pth",
)

_PADDLEVIT = "stages.{stage-1}.blocks.{block-1}"
PADDLEVIT = table(
    "paddlevit",
    _conv("stem.conv", "stem.0"),
    _paddle_norm("stem.bn", "stem.1"),
    _conv(f"{_BLOCK}.conv1.conv", f"{_PADDLEVIT}.conv1"),
    _paddle_norm(f"{_BLOCK}.conv1.bn", f"{_PADDLEVIT}.bn1"),
    _conv(f"{_BLOCK}.conv2.conv", f"{_PADDLEVIT}.conv2"),
    _paddle_norm(f"{_BLOCK}.conv2.bn", f"{_PADDLEVIT}.bn2"),
    affine(f"{_BLOCK}.se.fc1", f"{_PADDLEVIT}.se.conv1_1x1"),
    affine(f"{_BLOCK}.se.fc2", f"{_PADDLEVIT}.se.conv2_1x1"),
    _conv(f"{_BLOCK}.conv3.conv", f"{_PADDLEVIT}.conv3"),
    _paddle_norm_after_bias(f"{_BLOCK}.conv3.bn", f"{_PADDLEVIT}.bn3", f"{_PADDLEVIT}.conv3.bias"),
    _conv(f"{_BLOCK}.downsample.conv", f"{_PADDLEVIT}.downsample.conv1x1"),
    _paddle_norm(f"{_BLOCK}.downsample.bn", f"{_PADDLEVIT}.downsample.bn"),
    linear("head.fc", "head.2"),
    published_by="PaddleViT, hatimwen/paddle_pit, Paddle-Team-7",
    framework="paddle",
)

_TORCHVISION = "trunk_output.block{stage}.block{stage}-{block-1}"
TORCHVISION = table(
    "torchvision",
    _conv("stem.conv", "stem.0"),
    _norm("stem.bn", "stem.1"),
    _conv(f"{_BLOCK}.downsample.conv", f"{_TORCHVISION}.proj.0"),
    _norm(f"{_BLOCK}.downsample.bn", f"{_TORCHVISION}.proj.1"),
    _conv(f"{_BLOCK}.conv1.conv", f"{_TORCHVISION}.f.a.0"),
    _norm(f"{_BLOCK}.conv1.bn", f"{_TORCHVISION}.f.a.1"),
    _conv(f"{_BLOCK}.conv2.conv", f"{_TORCHVISION}.f.b.0"),
    _norm(f"{_BLOCK}.conv2.bn", f"{_TORCHVISION}.f.b.1"),
    affine(f"{_BLOCK}.se.fc1", f"{_TORCHVISION}.f.se.fc1"),
    affine(f"{_BLOCK}.se.fc2", f"{_TORCHVISION}.f.se.fc2"),
    _conv(f"{_BLOCK}.conv3.conv", f"{_TORCHVISION}.f.c.0"),
    _norm(f"{_BLOCK}.conv3.bn", f"{_TORCHVISION}.f.c.1"),
    affine("head.fc", "fc"),
    published_by="torchvision",
)

PYCLS = table(
    "pycls",
    _conv("stem.conv", "stem.conv"),
    _norm("stem.bn", "stem.bn"),
    _conv(f"{_BLOCK}.downsample.conv", f"{_BLOCK}.proj"),
    _norm(f"{_BLOCK}.downsample.bn", f"{_BLOCK}.bn"),
    _conv(f"{_BLOCK}.conv1.conv", f"{_BLOCK}.f.a"),
    _norm(f"{_BLOCK}.conv1.bn", f"{_BLOCK}.f.a_bn"),
    _conv(f"{_BLOCK}.conv2.conv", f"{_BLOCK}.f.b"),
    _norm(f"{_BLOCK}.conv2.bn", f"{_BLOCK}.f.b_bn"),
    affine(f"{_BLOCK}.se.fc1", f"{_BLOCK}.f.se.f_ex.0"),
    affine(f"{_BLOCK}.se.fc2", f"{_BLOCK}.f.se.f_ex.2"),
    _conv(f"{_BLOCK}.conv3.conv", f"{_BLOCK}.f.c"),
    _norm(f"{_BLOCK}.conv3.bn", f"{_BLOCK}.f.c_bn"),
    affine("head.fc", "head.fc"),
    published_by="pycls",
)


def _mindspore_norm(source: str, target: str) -> Iterator[Rule]:
    """A BatchNorm with MindSpore's names, which counts no batches."""
    yield from scaled(source, target)
    yield rule(f"{source}.running_mean", f"{target}.moving_mean")
    yield rule(f"{source}.running_var", f"{target}.moving_variance")
    yield drop(f"{source}.num_batches_tracked", _COUNTER)


def _mindcv_block(source: str, target: str) -> Iterator[Rule]:
    """A block, as pycls names its parts."""
    yield _conv(f"{source}.downsample.conv", f"{target}.proj")
    yield from _mindspore_norm(f"{source}.downsample.bn", f"{target}.bn")
    for conv, letter in (("conv1", "a"), ("conv2", "b"), ("conv3", "c")):
        yield _conv(f"{source}.{conv}.conv", f"{target}.f.{letter}")
        yield from _mindspore_norm(f"{source}.{conv}.bn", f"{target}.f.{letter}_bn")
    yield from affine(f"{source}.se.fc1", f"{target}.f.se.conv_reduce")
    yield from affine(f"{source}.se.fc2", f"{target}.f.se.conv_expand")


_MINDCV_ENDS = (
    _conv("stem.conv", "stem.conv"),
    *_mindspore_norm("stem.bn", "stem.bn"),
    *affine("head.fc", "head.fc"),
)

MINDCV = table(
    "mindcv",
    _MINDCV_ENDS,
    _mindcv_block("s1.b{block}", "0.blocks.{block-1}"),
    _mindcv_block("s{stage+2}.b{block}", "0.blocks.{stage+1}.blocks.{block-1}"),
    published_by="MindCV",
    framework="mindspore",
)
"""Names as MindSpore makes them: a CellList leaves its own name out, and what is appended to it later gets the start of
its first parameter's name as a prefix."""

MINDCV_ATTRIBUTES = table(
    "mindcv-attributes",
    _MINDCV_ENDS,
    _mindcv_block(_BLOCK, "stages.{stage-1}.blocks.{block-1}"),
    published_by="nobody; made by converters that take attribute paths for names",
    framework="mindspore",
    mistake="the paths of MindCV's attributes (stages.1.blocks.0.*) where the names of its parameters belong "
    "(0.blocks.1.blocks.0.*): MindSpore loads such a file without an error and leaves most of the model as it was",
)

TABLES = (CANONICAL, PADDLEVIT, TORCHVISION, PYCLS, MINDCV)
MISTAKES = (MINDCV_ATTRIBUTES,)
