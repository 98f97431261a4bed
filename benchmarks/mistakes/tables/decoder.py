"""Mistakes in a net that resizes, normalises and takes a loss by functions."""

from __future__ import annotations

from functools import partial

from benchmarks.mistakes.mistake import Mistake

_planted = partial(Mistake, net="decoder")
_RESIZE = 'mode="bilinear", align_corners=False)'

DECODER: tuple[Mistake, ...] = (
    _planted(
        "align_corners",
        old=_RESIZE,
        new='mode="bilinear", align_corners=True)',
        guilty="grow",
        cause="align_corners=True, not",
    ),
    _planted(
        "align_mode",
        old=_RESIZE,
        new='mode="bilinear", align_corners=False, align_mode=1)',
        guilty="grow",
        cause="align_mode=1, not",
    ),
    _planted(
        "bicubic for bilinear",
        old=_RESIZE,
        new='mode="bicubic", align_corners=False)',
        guilty="grow",
        cause="bicubic.*bilinear",
    ),
    _planted("nearest for bilinear", old=_RESIZE, new='mode="nearest")', guilty="grow", cause="nearest.*bilinear"),
    _planted(
        "eps of normalize",
        old="F.normalize(x, axis=1)",
        new="F.normalize(x, axis=1, epsilon=0.5)",
        guilty="unit",
        cause="epsilon of its normalize is 0.5, not 1e-12",
    ),
    _planted(
        "axis of normalize",
        old="F.normalize(x, axis=1",
        new="F.normalize(x, axis=2",
        guilty="unit",
        cause="axis 2, not 1",
    ),
    _planted("unbiased std", old="unbiased=False, ", new="", guilty="scale", cause="unbiased one, not the biased"),
    _planted(
        "ignore_index forgotten", old=", ignore_index=6", new="", guilty="loss", cause="ignore_index is -100, not 6"
    ),
    _planted(
        "ignored labels in the mean",
        old="labels, ignore_index=6).reshape",
        new='labels, ignore_index=6, reduction="none").mean().reshape',
        guilty="loss",
        cause="mean counts all",
    ),
    _planted(
        "a negative ignore_index, with which Paddle divides by all",
        old="labels, ignore_index=6)",
        new="paddle.where(labels == 6, -labels // 6, labels), ignore_index=-1)",
        guilty="loss",
        cause="divides by all",
    ),
    _planted(
        "slope of a leaky ReLU as a function", old=", 0.2)", new=")", guilty="", cause="negative_slope is 0.01, not 0.2"
    ),
    _planted(
        "groups of the norm", old="nn.GroupNorm(4, 8)", new="nn.GroupNorm(2, 8)", guilty="norm", cause="2 groups, not 4"
    ),
)
