"""The command that runs correct pairs: its pairs, and the table that it prints."""

from __future__ import annotations

import pytest

from alignment.recordings.kernels import CAST, Kernel
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row
from benchmarks.right_models import PAIRS, declared
from benchmarks.right_pairs import _outcome, table


def test_pairs_are_declared_at_the_size_that_is_asked_for() -> None:
    assert len([name for name, pair in PAIRS.items() if pair.framework == "paddle"]) >= 30
    assert declared("resnet18", 224).input_shape == (3, 224, 224)
    assert declared("bert", 128).inputs["input_ids"].shape == (128,)
    assert declared("timm_resnet18", 64).rules in ("auto", ("auto",))


@pytest.mark.parametrize("name", ["googlenet", "squeezenet1_0", "shufflenet_v2_swish"])
def test_models_that_really_differ_are_no_correct_pairs(name: str) -> None:
    assert name not in PAIRS


def test_table_has_verdict_largest_errors_and_what_is_the_frameworks_own() -> None:
    rows = (
        Row("forward/logits", "forward", "output", "float64", 0, 0, 1e-12, SAME_FUNCTION, "", 1e-12, None, 0.01, 1e-10),
        Row("bp/gradient/b", "bp", "gradient", "float64", 0, 0, 2.0, SAME_FUNCTION, "", 2.0, 1.0, 2.0, 4.0),
        Row("forward/logits", "forward", "output", "float32", 0, 0, 1e-7, SAME_FUNCTION, "", 1e-7, 1e-7, 1.0, 4.0),
    )
    kernels = (Kernel("paddle.nn.functional.selu", 3), Kernel(f"{CAST}net.py:7", 2), Kernel("paddle.pow", 0, 0.1, 1))
    right = _outcome("net", 64, Report(SAME_FUNCTION, "net", ("forward",), rows, kernels=kernels), 7.4)
    assert table([right]).splitlines()[-1] == (
        f"| net | 64 | 0 | same function | 1.0e-12 | 0.25 | selu (3), {CAST}net.py:7 (2), "
        "paddle.pow: not used in 1 calls | 7 |"
    )
    wrong = _outcome("net", 64, Report(DIVERGENCE, "net", ("forward",), rows), 7.4)
    assert wrong.exit == 1
