"""Multiply-accumulates by both conventions, and published accuracies."""

from __future__ import annotations

import pytest

from porting import tables
from porting.architectures import NAMES, build
from porting.architectures.figures import accuracies, macs

TABLE = {
    "pit_ti": (0.498, 0.699), "pit_xs": (1.093, 1.395), "pit_s": (2.418, 2.871), "pit_b": (10.540, 12.402),
    "pit_ti_distilled": (0.503, 0.705), "pit_xs_distilled": (1.103, 1.407), "pit_s_distilled": (2.441, 2.897),
    "pit_b_distilled": (10.613, 12.482), "deit_tiny": (1.075, 1.254), "deit_small": (4.241, 4.599),
    "deit_base": (16.849, 17.564), "deit_tiny_distilled": (1.080, 1.261), "deit_small_distilled": (4.263, 4.624),
    "deit_base_distilled": (16.934, 17.657),
}  # fmt: skip
"""Billions, of convolutions and linears, and with attention, at 224 pixels."""


@pytest.mark.parametrize("name", TABLE)
def test_both_conventions_equal_the_published_tables(name: str) -> None:
    figures = macs(build(name))
    assert figures is not None
    assert (round(figures.layers / 1e9, 3), round(figures.with_attention / 1e9, 3)) == TABLE[name]


def test_another_image_size_is_counted_at_its_own_size() -> None:
    figures = macs(build("deit_base_distilled", image_size=384))
    assert figures is not None
    assert (round(figures.layers / 1e9, 3), round(figures.with_attention / 1e9, 3)) == (49.434, 55.591)


def test_convolutional_teacher_has_no_attention() -> None:
    figures = macs(build("regnety_160"))
    assert figures is not None
    assert figures.layers == figures.with_attention
    assert 15.9e9 < figures.layers < 16.0e9  # timm and torchvision: 15.96 billion


def test_model_without_a_head_counts_its_layers() -> None:
    whole, without = (macs(build("pit_ti", num_classes=count)) for count in (1000, 0))
    assert whole is not None
    assert without is not None
    assert whole.layers - without.layers == 1000 * 256


def test_models_of_the_library_have_no_figures() -> None:
    assert macs(tables.build(next(iter(tables.models())))) is None


def test_accuracies_have_their_source() -> None:
    assert [(one.top1, one.source.partition(",")[0]) for one in accuracies("pit_ti")] == [
        (73.0, "naver-ai/pit"),
        (72.91, "BR-IDL/PaddleViT"),
        (73.01, "hatimwen/paddle_pit"),
        (73.26, "mindspore-lab/mindcv"),
    ]
    assert [(one.top1, one.image_size) for one in accuracies("deit_base_distilled")] == [(83.32, 224), (85.43, 384)]
    assert {name for name in NAMES if accuracies(name)} >= set(TABLE) - {"deit_tiny", "deit_small", "deit_base"}
