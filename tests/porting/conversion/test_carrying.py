"""`convert(..., with_optimizer=True)`: files of one framework become files that the other's program resumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.architectures import build
from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.formats.nested import Nested
from porting.checkpoint.whole import Whole
from porting.conversion import convert
from porting.converters import specs_in
from porting.errors import CheckpointError, PlanError
from porting.operations import Transpose
from porting.rules import rule
from porting.saved_rules import SavedSide, SavedTable
from porting.saved_rules.tensors import TensorInfo
from porting.training_state.runs import Run, write_run
from porting.training_state.state import Group, OptimizerState

MICRO = build("pit_micro", image_size=32, num_classes=10)


def drawn(specs: Any, seed: int) -> dict[str, LazyTensor]:
    draws = np.random.default_rng(seed)
    return {name: LazyTensor.of(draws.random(spec.shape, np.float32)) for name, spec in specs.items()}


def groups_of(names: list[str], shapes: dict[str, tuple[int, ...]]) -> tuple[Group, ...]:
    """timm's two groups: without decay first."""
    exempt = tuple(n for n in names if len(shapes[n]) == 1 or n in ("pos_embed", "cls_token"))
    settings = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8}
    rest = tuple(name for name in names if name not in exempt)
    return Group(exempt, {**settings, "weight_decay": 0.0}), Group(rest, {**settings, "weight_decay": 0.05})


def write(path: Path, format_name: str, model: Any = MICRO, layout: str = "canonical") -> dict[str, LazyTensor]:
    """Write a run after nine updates, with an average; return its first moments."""
    specs = specs_in(model, layout)
    moments = drawn(specs, 1)
    both = {name: {"exp_avg": moment, "exp_avg_sq": moment} for name, moment in moments.items()}
    groups = groups_of(list(specs), {name: spec.shape for name, spec in specs.items()})
    state = OptimizerState(both, dict.fromkeys(specs, 9), groups, 4, 1e-3)
    write_run(path, format_name, drawn(specs, 0), Run(state, drawn(specs, 2)))
    return moments


def without_names(path: Path) -> None:
    """Write a file once more as torch does that was given `model.parameters()`."""
    from porting.checkpoint.file.writer import publishing
    from porting.checkpoint.formats.torch_zip import write_tree

    with Whole(path) as whole:
        for group in whole.tree["optimizer"]["param_groups"]:
            del group["param_names"]
        with publishing(path, overwrite=True) as output:
            write_tree(output, whole.tree)


@pytest.mark.parametrize("named", [True, False])
def test_run_of_torch_comes_back_from_paddle_bit_for_bit(named: bool, tmp_path: Path) -> None:
    start, there, back = (tmp_path / name for name in ("a.pth", "b.pdparams", "c.pth"))
    moments = write(start, "torch-zip")
    if not named:
        without_names(start)
    report = convert(start, there, with_optimizer=True)
    assert report.training[:3] == (
        "AdamW after 9 updates: exp_avg, exp_avg_sq of 88 weights",
        "4 epochs done",
        "2 groups: 58 with weight decay 0.0, 30 with weight decay 0.05",
    )
    with Nested(there) as paddle:
        tree: Any = paddle.tree
        np.testing.assert_array_equal(
            tree["optimizer"]["moment1/head.weight"].load(), moments["head.weight"].load().transpose()
        )
        assert tree["epoch"] == 4
    convert(there, back, with_optimizer=True)
    with Whole(start) as before, Whole(back) as after:
        assert (
            before.tree["optimizer"]["param_groups"][0]["params"]
            == after.tree["optimizer"]["param_groups"][0]["params"]
        )
        for number, entry in before.tree["optimizer"]["state"].items():
            for kind in ("exp_avg", "exp_avg_sq", "step"):
                other = after.tree["optimizer"]["state"][number][kind]
                np.testing.assert_array_equal(entry[kind].load(), other.load())
        assert after.tree["epoch"] == before.tree["epoch"] == 3
    for weights in ("model", "ema"):
        with open_checkpoint(start, weights=weights) as one, open_checkpoint(back, weights=weights) as two:
            assert all(np.array_equal(one.tensors[name].load(), two.tensors[name].load()) for name in one.tensors)


def test_fused_weights_split_their_moments_for_mindspore_which_lacks_settings(tmp_path: Path) -> None:
    start, there, back = (tmp_path / name for name in ("a.pdparams", "pit_ti.ckpt", "c.pdparams"))
    model = build("pit_ti", image_size=32, num_classes=3)
    moments = write(start, "pdparams", model, "paddlevit")
    convert(start, there, with_optimizer=True)
    with Whole(there) as whole:
        q, qkv = whole.tree["adam_m.0.blocks.0.attn.q.weight"], moments["transformers.0.blocks.0.attn.qkv.weight"]
        np.testing.assert_array_equal(q.load(), qkv.load().T[: q.shape[0]])
    convert(there, back, with_optimizer=True)
    with Nested(back) as paddle:
        tree: Any = paddle.tree
        assert all(np.array_equal(tree["optimizer"][f"moment1/{n}"].load(), m.load()) for n, m in moments.items())
        assert float(tree["optimizer"]["beta1_pow_acc/head.weight"].load()[0]) == pytest.approx(0.9**10, rel=1e-5)
    with pytest.raises(CheckpointError, match=r"give --optimizer-setting lr=\.\.\. --optimizer-setting weight_decay="):
        convert(there, tmp_path / "d.pth", with_optimizer=True)
    given = {"lr": 1e-3, "weight_decay": 0.05}
    report = convert(there, tmp_path / "d.pth", with_optimizer=True, optimizer_settings=given, dry_run=True)
    assert report.training[2].startswith("2 groups: ")


def test_rules_of_the_users_own_move_moments_too(tmp_path: Path) -> None:
    shapes = {"fc.weight": (3, 2), "fc.bias": (3,), "norm.running_mean": (3,)}
    infos = {name: TensorInfo(shape, buffer="running" in name) for name, shape in shapes.items()}
    other = {"lin.w": TensorInfo((2, 3)), "lin.b": TensorInfo((3,)), "norm._mean": TensorInfo((3,), buffer=True)}
    rules = (rule("fc.weight", "lin.w", Transpose()), rule("fc.bias", "lin.b"), rule("norm.running_mean", "norm._mean"))
    table = SavedTable(SavedSide("torch", infos), SavedSide("paddle", other), rules, proven=True)
    trained = {name: LazyTensor.of(np.full(shape, 2.0)) for name, shape in shapes.items() if "running" not in name}
    moments = {name: {"exp_avg": tensor, "exp_avg_sq": tensor} for name, tensor in trained.items()}
    group = Group(tuple(trained), {"lr": 0.1, "weight_decay": 0.0})
    weights = {**trained, "norm.running_mean": LazyTensor.of(np.zeros(3))}
    start, there, back = (tmp_path / name for name in ("a.pth", "b.pdparams", "c.pth"))
    write_run(start, "torch-zip", weights, Run(OptimizerState(moments, dict.fromkeys(trained, 2), (group,), 1), None))
    assert "no average" in convert(start, there, with_optimizer=True, rules=table).training[-1]
    with Nested(there) as paddle:
        optimizer: Any = paddle.tree["optimizer"]
        assert optimizer["moment2/lin.w"].shape == (2, 3)
    convert(there, back, with_optimizer=True, rules=table)
    with Whole(back) as whole:
        assert whole.tree["optimizer"]["param_groups"][0]["param_names"] == ["fc.weight", "fc.bias"]


def _of_another(path: Path) -> None:
    write_checkpoint(path, drawn(specs_in(MICRO, "canonical"), 0))


@pytest.mark.parametrize(
    ("make", "target", "options", "problem"),
    [
        (_of_another, "b.pdparams", {}, "holds no state of an optimizer"),
        (_of_another, "b.safetensors", {}, "no place for the state of a run"),
        (_of_another, "b.pth", {"to": "paddlevit"}, "is paddle's and b.pth a file of torch"),
        (_of_another, "b.pdparams", {"dtype": "float16"}, "moments in float32 or float64"),
        (_of_another, "b.pdparams", {"weights": "ema"}, "omit --weights ema"),
        (_of_another, "b.pdparams", {"max_shard_size": "1MB"}, "is one file"),
    ],
)
def test_what_has_no_state_is_refused_and_nothing_written(
    make: Callable[[Path], None], target: str, options: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    make(tmp_path / "a.pth")
    options = {"target_layout" if name == "to" else name: value for name, value in options.items()}
    with pytest.raises((CheckpointError, PlanError), match=problem):
        convert(tmp_path / "a.pth", tmp_path / target, with_optimizer=True, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]
