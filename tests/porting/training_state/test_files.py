"""The state of AdamW in torch's, Paddle's and MindSpore's files: read, written, and refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError, PlanError, UnknownNameError
from porting.training_state.mindspore_files import mindspore_entries, read_mindspore
from porting.training_state.paddle_files import moment_of, named_state, paddle_tree, read_paddle
from porting.training_state.runs import parse_settings
from porting.training_state.state import Group, OptimizerState, powers
from porting.training_state.torch_files import lacking, read_torch, torch_tree

FILE = Path("run.file")
SHAPES = {"a.weight": (2, 2), "a.bias": (2,), "b.weight": (3, 2)}
Change = Callable[[dict[Any, Any]], object]


def tensor(shape: tuple[int, ...], fill: float = 1.0, dtype: str = "float32") -> LazyTensor:
    return LazyTensor.of(np.full(shape, fill, dtype))


WEIGHTS = {name: tensor(shape) for name, shape in SHAPES.items()}


def torch_content(change: Change = lambda optimizer: None) -> dict[str, Any]:
    """What `torch.save` has of two groups, vectors first, after seven updates; `b.weight` was never used."""
    entries = {
        number: {"step": tensor((), 7.0), "exp_avg": tensor(shape, number), "exp_avg_sq": tensor(shape, number + 0.5)}
        for number, shape in enumerate([(2,), (2, 2)])
    }
    settings: dict[str, Any] = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8}
    groups = [
        {**settings, "weight_decay": 0.0, "params": [0]},
        {**settings, "weight_decay": 0.05, "params": [1, 2]},
    ]
    optimizer: dict[str, Any] = {"state": entries, "param_groups": groups}
    change(optimizer)
    return {"model": {}, "optimizer": optimizer, "epoch": 4}


def test_torchs_numbers_become_names() -> None:
    state = read_torch(FILE, torch_content(), SHAPES)
    assert {name: float(kinds["exp_avg"].load().flat[0]) for name, kinds in state.moments.items()} == {
        "a.bias": 0.0,
        "a.weight": 1.0,
    }
    assert state.steps == {"a.bias": 7, "a.weight": 7}
    assert [group.names for group in state.groups] == [("a.bias",), ("a.weight", "b.weight")]
    assert (state.epochs, state.rate, state.betas) == (5, 1e-3, (0.9, 0.999))


def _group_step(optimizer: dict[Any, Any]) -> None:
    for entry in optimizer["state"].values():
        del entry["step"]
    for group in optimizer["param_groups"]:
        group["step"] = 7


def _listed(optimizer: dict[Any, Any]) -> None:
    optimizer["param_groups"][0]["param_names"] = ["module.a.bias"]
    optimizer["param_groups"][1]["param_names"] = ["module.a.weight", "module.b.weight"]


@pytest.mark.parametrize("change", [_group_step, _listed])
def test_step_of_a_group_and_names_that_are_listed_are_read(change: Change) -> None:
    assert read_torch(FILE, torch_content(change), SHAPES).steps == {"a.bias": 7, "a.weight": 7}


def test_amsgrads_moment_is_carried_by_name() -> None:
    def change(optimizer: dict[Any, Any]) -> None:
        optimizer["state"][1]["max_exp_avg_sq"] = tensor((2, 2), 9)

    state = read_torch(FILE, torch_content(change), SHAPES)
    assert "moment2_max/a.weight" in dict(named_state(state))
    with pytest.raises(CheckpointError, match="no place for amsgrad"):
        mindspore_entries(WEIGHTS, None, state, FILE)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda o: o["state"][0].update(momentum_buffer=tensor((2,))), "keeps momentum_buffer for parameter 0"),
        (lambda o: o["state"][1].pop("exp_avg_sq"), "lacks exp_avg_sq for parameter 1"),
        (lambda o: o["state"][0].pop("step"), "does not tell how many updates are done"),
        (lambda o: o["state"][0].update(step=2.5), r"step is 2\.5"),
        (lambda o: o["param_groups"][0].update(params=[0, 0]), "by number, each once"),
        (lambda o: o["param_groups"][0].update(betas=[0.9, 0.95]), "several betas"),
        (lambda o: o["param_groups"].pop(), "nothing says which are left out"),
        (lambda o: o.pop("state"), "holds no state of an optimizer"),
    ],
)
def test_what_is_not_adamws_is_refused_in_words(change: Change, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem):
        read_torch(FILE, torch_content(change), SHAPES)


def test_several_optimizers_are_refused() -> None:
    content = torch_content()
    with pytest.raises(CheckpointError, match="several optimizers"):
        read_torch(FILE, {**content, "optimizers": [content["optimizer"]]}, SHAPES)


def test_torchs_tree_is_read_back() -> None:
    state = read_torch(FILE, torch_content(), SHAPES)
    tree = torch_tree(WEIGHTS, None, state, timm=False)
    again = read_torch(FILE, tree, SHAPES)
    assert (again.steps, again.epochs, again.rate) == (state.steps, state.epochs, state.rate)
    assert [group.names for group in again.groups] == [group.names for group in state.groups]
    assert set(torch_tree(WEIGHTS, WEIGHTS, state, timm=True)) >= {"state_dict", "state_dict_ema", "version"}


def test_settings_that_torch_needs_are_named() -> None:
    assert lacking((Group(("a",), {"lr": 1e-3}),)) == ["weight_decay"]


PARAMETERS = {"linear_0.w_0": "a.weight", "linear_0.b_0": "a.bias", "linear_1.w_0": "b.weight"}


def paddle_content(step: int = 7, beta: float = 0.999) -> dict[str, Any]:
    """What Paddle's optimizer keeps after so many updates."""
    content: dict[str, Any] = {}
    for parameter, name in PARAMETERS.items():
        content |= {f"{parameter}_moment{kind}_0": tensor(SHAPES[name], kind) for kind in (1, 2)}
        content[f"{parameter}_beta1_pow_acc_0"] = tensor((1,), powers(0.9, step + 1))
        content[f"{parameter}_beta2_pow_acc_0"] = tensor((1,), powers(beta, step + 1))
    return content


def test_paddles_names_become_those_of_the_weights() -> None:
    state = read_paddle(FILE, {**paddle_content(), "LR_Scheduler": {"last_epoch": 3, "last_lr": 0.1}}, PARAMETERS, {})
    assert state.steps == dict.fromkeys(SHAPES, 7)
    assert (state.epochs, state.rate) == (2, 0.1)
    assert moment_of("linear_0.w_0_fp32_master_0_moment1_0", PARAMETERS) == "fp32_master_0_moment1/a.weight"


def test_state_after_many_updates_is_read_although_the_first_power_shrinks_no_more() -> None:
    assert set(read_paddle(FILE, paddle_content(3000), PARAMETERS, {}).steps.values()) == {3000}


def test_weight_without_updates_has_no_moments_and_comes_back() -> None:
    state = read_paddle(FILE, paddle_content(0), PARAMETERS, {})
    assert (state.moments, state.steps) == ({}, {})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c.update(master_weights={"linear_0.w_0": tensor((2, 2))}), "float32 weights beside 1 half ones"),
        (lambda c: c.update({"linear_0.w_0_velocity_0": tensor((2, 2))}), "keeps velocity"),
        (lambda c: c.update({"conv_9.w_0_moment1_0": tensor((2, 2))}), "conv_9.w_0_moment1_0 belongs to no weight"),
        (lambda c: c.pop("linear_0.w_0_beta2_pow_acc_0"), r"how often a\.weight was updated"),
    ],
)
def test_paddles_state_that_cannot_be_carried_is_refused(change: Change, problem: str) -> None:
    content = paddle_content()
    change(content)
    with pytest.raises(CheckpointError, match=problem):
        read_paddle(FILE, content, PARAMETERS, {})


def test_other_betas_are_refused_until_they_are_given() -> None:
    content = paddle_content(beta=0.95)
    with pytest.raises(CheckpointError, match="--optimizer-setting betas"):
        read_paddle(FILE, content, PARAMETERS, {})
    assert set(read_paddle(FILE, content, PARAMETERS, {}, (0.9, 0.95)).steps.values()) == {7}


def test_state_within_an_epoch_is_refused() -> None:
    with pytest.raises(CheckpointError, match="saved within epoch 2"):
        read_paddle(FILE, paddle_content(), PARAMETERS, {"progress": {"epoch": 2, "update": 5}})


def test_paddles_tree_is_read_back_with_its_groups() -> None:
    state = read_torch(FILE, torch_content(), SHAPES)
    tree = paddle_tree(WEIGHTS, WEIGHTS, state)
    optimizer: Any = tree["optimizer"]
    again = read_paddle(FILE, optimizer, {}, tree)
    assert (again.steps, again.epochs, again.rate, again.betas) == (state.steps, 5, 1e-3, state.betas)
    assert again.groups == state.groups


def test_mindspores_entries_are_read_back() -> None:
    state = read_torch(FILE, torch_content(), SHAPES)
    entries = mindspore_entries(WEIGHTS, WEIGHTS, state, FILE)
    assert float(entries["adam_v.b.weight"].load().sum()) == 0  # never updated
    assert entries["ema.a.bias"] is WEIGHTS["a.bias"]
    again = read_mindspore(FILE, entries, FILE)
    assert again.steps == dict.fromkeys(SHAPES, 7)
    assert again.epochs == 5


def test_mindspore_counts_once_for_all_weights() -> None:
    state = read_torch(FILE, torch_content(lambda o: o["state"][0].update(step=5)), SHAPES)
    with pytest.raises(CheckpointError, match=r"counts updates once for all weights; these have \[5, 7\]"):
        mindspore_entries(WEIGHTS, None, state, FILE)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"a.weight": tensor((2, 2))}, "holds no moments of AdamW"),
        ({"moments.a.weight": tensor((2, 2))}, "keeps moments"),
        ({"adam_m.a.weight": tensor((2, 2))}, "nothing says how many updates are done"),
        (
            {"adam_m.a": tensor((2,)), "beta1_power": tensor((1,), 0.9), "beta2_power": tensor((1,), 0.998)},
            "betas are not 0.9 and 0.999",
        ),
    ],
)
def test_mindspores_files_without_adamw_are_refused(entries: dict[str, Any], problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem):
        read_mindspore(FILE, entries, FILE)


def test_epoch_of_a_file_of_mindcv_is_that_of_its_name() -> None:
    entries = {"adam_m.a": tensor((2,)), "adam_v.a": tensor((2,)), "global_step": tensor((1,), 12)}
    state: OptimizerState = read_mindspore(Path("optim_pit_ti.ckpt"), entries, Path("pit_ti-3_40.ckpt"))
    assert (state.epochs, state.steps) == (3, {"a": 12})


def test_settings_are_read_from_words() -> None:
    assert parse_settings(("lr=1e-3", "betas=0.9,0.95")) == {"lr": 1e-3, "betas": (0.9, 0.95)}
    with pytest.raises(UnknownNameError, match="weight_decay"):
        parse_settings(("weight_decey=0.1",))
    with pytest.raises(PlanError, match=r"expected betas=0\.9,0\.999"):
        parse_settings(("betas=0.9",))
