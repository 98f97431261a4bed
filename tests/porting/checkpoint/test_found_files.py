"""Checkpoints as training tools write them: the weights that are meant are read, whatever is around them.

Each case is a file of one tool, with its source. In it `ONE` are the weights in training and `TWO` their average.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from porting.checkpoint import open_checkpoint
from porting.checkpoint.selection import Kind
from porting.errors import CheckpointError

SHAPES = {"conv.weight": (3, 2), "conv.bias": (3,), "bn.running_mean": (3,), "head.weight": (2, 3)}
PARAMETERS = [name for name in SHAPES if "running" not in name]
ONE, TWO = 1.0, 2.0


class Case(NamedTuple):
    """What a file holds, and what is expected of reading it.

    Attributes:
        saved: Makes the content; it gets a function that makes a state dict of one value.
        value: The value of the tensors that are read.
        weights: Whose they are.
        other: The value of the tensors that the other `--weights` reads; None if it is an error.
        envelope: What is unwrapped.
        where: Arguments of `open_checkpoint`.
    """

    saved: Callable[[Callable[..., Any]], Any]
    value: float = ONE
    weights: Kind | None = "model"
    other: float | None = None
    envelope: tuple[str, ...] = ()
    where: Mapping[str, Any] = {}


def lit_ema(sd: Any) -> dict[str, Any]:
    average = {f"model_ema.{name.replace('.', '')}": value for name, value in sd(TWO).items()}
    return {"state_dict": {**sd(ONE, "model."), **average, "model_ema.decay": sd(9)["conv.bias"][0]}, "global_step": 3}


def shadow_list(sd: Any) -> dict[str, Any]:
    return {"decay": 0.9, "num_updates": 3, "shadow_params": [sd(TWO)[name] for name in PARAMETERS], "collected": None}


CASES: dict[str, Case] = {
    # one set of weights
    "bare": Case(lambda sd: sd(ONE), weights=None),
    "pytorch-cifar": Case(lambda sd: {"net": sd(ONE), "acc": 93.0, "epoch": 2}, envelope=("net",)),
    "unknown key": Case(lambda sd: {"my_weights": sd(ONE), "epoch": 2}, envelope=("my_weights",)),
    "unknown nested": Case(lambda sd: {"data": {"payload": sd(ONE)}}, envelope=("data", "payload")),
    "detectron2": Case(
        lambda sd: {"model": sd(ONE), "optimizer": {"state": {0: sd(7)}}, "iteration": 9, "scheduler": {}},
        envelope=("model",),
    ),
    "mmcv": Case(
        lambda sd: {"meta": {"epoch": 1, "config": "x"}, "state_dict": sd(ONE), "optimizer": {"state": sd(7)}},
        envelope=("state_dict",),
    ),
    "fairseq": Case(
        lambda sd: {
            "args": None,
            "cfg": {"model": {"_name": "w2v"}},
            "model": sd(ONE),
            "extra_state": {"train_iterator": {}},
            "last_optimizer_state": {"state": {0: sd(7)}},
        },
        envelope=("model",),
    ),
    "fairseq with an average": Case(
        lambda sd: {"model": sd(ONE), "extra_state": {"ema": sd(TWO), "train_iterator": {}}},
        TWO, "ema", ONE, ("extra_state.ema",),
    ),
    "DeepSpeed": Case(
        lambda sd: {"module": sd(ONE), "param_shapes": [{}], "ds_config": {}, "ds_version": "0.14"},
        envelope=("module",),
    ),
    "Megatron": Case(
        lambda sd: {
            "model": {"language_model": {
                "conv": {"weight": sd(ONE)["conv.weight"], "bias": sd(ONE)["conv.bias"]},
                "bn": {"running_mean": sd(ONE)["bn.running_mean"]},
                "head": {"weight": sd(ONE)["head.weight"]},
            }},
            "optimizer": {"fp32": sd(7)},
            "rng_state": [{"torch": sd(7)["conv.bias"]}],
        },
        envelope=("model", "language_model"),
        where={"key": "model.language_model"},
    ),
    "FSDP": Case(
        lambda sd: {f"_fsdp_wrapped_module.{name.replace('.', '._fsdp_wrapped_module.')}": value
                    for name, value in sd(ONE).items()},
        weights=None, envelope=("_fsdp_wrapped_module.", "_fsdp_wrapped_module."),
    ),
    "compiled parts": Case(
        lambda sd: {name.replace("conv.", "conv._orig_mod."): value for name, value in sd(ONE).items()},
        weights=None, envelope=("_orig_mod.",),
    ),
    "DataParallel, compiled": Case(
        lambda sd: {"state_dict": sd(ONE, "module._orig_mod."), "epoch": 1},
        envelope=("state_dict", "module.", "_orig_mod."),
    ),
    "Lightning": Case(
        lambda sd: {"state_dict": sd(ONE, "model."), "pytorch-lightning_version": "2.6", "callbacks": {}, "loops": {}},
        envelope=("state_dict", "model."),
    ),
    "thop": Case(
        lambda sd: {**sd(ONE), "total_ops": sd(7)["conv.bias"], "conv.total_params": sd(7)["conv.bias"]},
        weights=None, where={"ignore": ["total_ops", "total_params"]},
    ),
    "loss beside the model": Case(
        lambda sd: {"state_dict": {**sd(ONE, "model."), "loss.weight": sd(7)["conv.bias"]}},
        envelope=("state_dict", "model."), where={"ignore": ["loss"]},
    ),
    "mean and std": Case(
        lambda sd: {**sd(ONE, "module."), "mean": sd(7)["conv.bias"], "std": sd(7)["conv.bias"]},
        weights=None, envelope=("module.",), where={"ignore": ["mean", "std"]},
    ),
    # several models
    "GAN": Case(
        lambda sd: {"generator": sd(ONE), "discriminator": sd(7), "epoch": 1},
        weights=None, envelope=("generator",), where={"key": "generator"},
    ),
    "GAN in a state dict": Case(
        lambda sd: {"state_dict": {"generator": sd(ONE), "discriminator": sd(7)}},
        weights=None, envelope=("state_dict", "generator"), where={"key": "state_dict.generator"},
    ),
    "keys with dots": Case(
        lambda sd: {"a.b": {"c.d": sd(ONE)}, "e": sd(7)},
        weights=None, envelope=("a.b", "c.d"), where={"key": "a.b.c.d"},
    ),
    "list of weights and a count": Case(lambda sd: [sd(ONE), 3], envelope=("0",)),
    "tuple with the optimizer": Case(
        lambda sd: ({"state": {0: sd(TWO)}, "param_groups": [{"lr": 0.1}]}, sd(ONE)), envelope=("1",)
    ),
    "list of models": Case(
        lambda sd: {"models": [sd(7), sd(ONE)]}, weights=None, envelope=("models", "1"), where={"key": "models.1"}
    ),
    "DINO": Case(
        lambda sd: {"student": sd(7, "module.backbone."), "teacher": sd(ONE, "backbone."), "dino_loss": {"center": 1}},
        weights=None, envelope=("teacher", "backbone."), where={"key": "teacher", "prefix": "backbone."},
    ),
    "PaddleClas, distilled": Case(
        lambda sd: {**sd(7, "Teacher."), **sd(ONE, "Student.")},
        weights=None, envelope=("Student.",), where={"prefix": "Student."},
    ),
    "prefix without its dot": Case(
        lambda sd: {**sd(7, "Teacher."), **sd(ONE, "Student.")},
        weights=None, envelope=("Student.",), where={"prefix": "Student"},
    ),
    "CLIP": Case(
        lambda sd: {"state_dict": {**sd(ONE, "module.visual."), **sd(7, "module.text.")}},
        envelope=("state_dict", "module.", "visual."), where={"prefix": "visual."},
    ),
    # averages
    "timm": Case(lambda sd: {"state_dict": sd(ONE), "state_dict_ema": sd(TWO)}, TWO, "ema", ONE, ("state_dict_ema",)),
    "YOLO": Case(lambda sd: {"model": sd(ONE), "ema": sd(TWO), "updates": 3}, TWO, "ema", ONE, ("ema",)),
    "RT-DETR": Case(
        lambda sd: {"model": sd(ONE), "ema": {"module": sd(TWO), "updates": 3}}, TWO, "ema", ONE, ("ema", "module")
    ),
    "AveragedModel": Case(
        lambda sd: {"model": sd(ONE), "ema_model": {"n_averaged": sd(9)["conv.bias"][0], **sd(TWO, "module.")}},
        TWO, "ema", ONE, ("ema_model", "module."),
    ),
    "SWA": Case(
        lambda sd: {"model_state_dict": sd(ONE), "swa_model_state_dict": sd(TWO, "module.")},
        TWO, "ema", ONE, ("swa_model_state_dict", "module."),
    ),
    "ema_state_dict of a script": Case(
        lambda sd: {"model_state_dict": sd(ONE), "ema_state_dict": sd(TWO), "epoch": 3},
        TWO, "ema", ONE, ("ema_state_dict",),
    ),
    "BasicSR": Case(lambda sd: {"params": sd(ONE), "params_ema": sd(TWO)}, TWO, "ema", ONE, ("params_ema",)),
    "StyleGAN": Case(
        lambda sd: {"g": sd(ONE), "d": sd(7), "g_ema": sd(TWO), "g_optim": {"state": sd(7)}},
        TWO, "ema", ONE, ("g_ema",),
    ),
    "icefall": Case(
        lambda sd: {"model": sd(ONE), "model_avg": sd(TWO), "sampler": {}}, TWO, "ema", ONE, ("model_avg",)
    ),
    "shadow": Case(
        lambda sd: {"model": sd(ONE), "ema": {"decay": 0.99, "shadow": sd(TWO), "backup": {}}},
        TWO, "ema", ONE, ("ema", "shadow"),
    ),
    "shadow of parameters alone": Case(
        lambda sd: {"model": {**sd(ONE), "bn.running_mean": sd(TWO)["bn.running_mean"]},
                    "ema": {name: sd(TWO)[name] for name in PARAMETERS}},
        TWO, "ema", None, ("ema",),
    ),
    "torch_ema": Case(
        lambda sd: {"model": {**sd(ONE), "bn.running_mean": sd(TWO)["bn.running_mean"]}, "ema": shadow_list(sd)},
        TWO, "ema", None, ("ema", "shadow_params"),
    ),
    "latent diffusion": Case(lit_ema, TWO, "ema", ONE, ("state_dict", "model_ema.*")),
    "ema-pytorch": Case(
        lambda sd: {**sd(ONE, "online_model."), **sd(TWO, "ema_model."), "initted": sd(9)["conv.bias"][0]},
        TWO, "ema", ONE, ("ema_model.*",),
    ),
    "ema-pytorch in a trainer": Case(
        lambda sd: {"model": sd(ONE), "ema": {**sd(ONE, "online_model."), **sd(TWO, "ema_model.")}, "step": 3},
        TWO, "ema", ONE, ("ema", "ema_model.*"),
    ),
    "Lightning's weight averaging": Case(
        lambda sd: {
            "state_dict": sd(TWO, "model."),
            "current_model_state": sd(ONE, "model."),
            "averaging_state": {"n_averaged": sd(9)["conv.bias"][0]},
            "pytorch-lightning_version": "2.6",
        },
        TWO, "ema", ONE, ("state_dict", "model."),
    ),
    "MMEngine's EMAHook": Case(
        lambda sd: {
            "meta": {"mmengine_version": "0.10.7"},
            "message_hub": {"log_scalars": {}},
            "state_dict": sd(TWO),
            "ema_state_dict": {"steps": sd(9)["conv.bias"][0], **sd(ONE, "module.")},
        },
        TWO, "ema", ONE, ("state_dict",),
    ),
    "AveragedModel in a Lightning module": Case(
        lambda sd: {"state_dict": {**sd(ONE, "model."), **sd(TWO, "model_ema.module."),
                                   "model_ema.n_averaged": sd(9)["conv.bias"][0]}},
        TWO, "ema", ONE, ("state_dict", "model_ema.*"),
    ),
    "average of a metric": Case(
        lambda sd: {"model": sd(ONE), "ema": {"loss": sd(7)["conv.bias"]}, "avg": {"acc": sd(7)["conv.bias"]}},
        envelope=("model",),
    ),
    "average within the weights": Case(lambda sd: {**sd(ONE), "ema": sd(TWO)}, TWO, "ema", ONE, ("ema",)),
    "whole training state": Case(
        lambda sd: {"state": {"model": sd(ONE), "ema": sd(TWO), "optimizer": {"m": sd(7)}}},
        TWO, "ema", ONE, ("state", "ema"),
    ),
}  # fmt: skip


def state_dict(make: Callable[[np.ndarray[Any, Any]], Any], value: float, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": make(np.full(shape, value, np.float32)) for name, shape in SHAPES.items()}


def read(path: Path, **where: Any) -> tuple[Any, dict[str, float]]:
    with open_checkpoint(path, **where) as checkpoint:
        values = {name: tensor.load() for name, tensor in checkpoint.tensors.items()}
        assert {name: value.shape for name, value in values.items()} == SHAPES
        assert all((value == value.flat[0]).all() for value in values.values())
        return checkpoint, {name: float(value.flat[0]) for name, value in values.items()}


def check(case: Case, path: Path) -> None:
    checkpoint, values = read(path, **case.where)
    assert set(values.values()) == {case.value}
    assert checkpoint.envelope == case.envelope
    assert checkpoint.weights == case.weights
    if case.weights == "ema":
        assert read(path, weights="ema")[1] == values
        if case.other is not None:
            assert set(read(path, weights="model")[1].values()) == {case.other}


@pytest.mark.parametrize("name", CASES)
def test_weights_of_a_torch_file_are_found(name: str, torch: Any, tmp_path: Path) -> None:
    case = CASES[name]
    torch.save(case.saved(lambda *of: state_dict(torch.from_numpy, *of)), tmp_path / "a.pth")
    check(case, tmp_path / "a.pth")


@pytest.mark.parametrize("name", [name for name in CASES if "averag" in name or name in ("YOLO", "GAN", "shadow")])
def test_weights_of_a_paddle_file_are_found(name: str, paddle: Any, tmp_path: Path) -> None:
    case = CASES[name]
    paddle.save(case.saved(lambda *of: state_dict(paddle.to_tensor, *of)), str(tmp_path / "a.pdparams"))
    check(case, tmp_path / "a.pdparams")


REFUSED: dict[str, tuple[Callable[[Any], Any], Mapping[str, Any], str]] = {
    "two models": (
        lambda sd: {"netG": sd(ONE), "netD": sd(ONE)}, {},
        r"holds several sets of tensors: netG \(4 tensors\), netD \(4 tensors\); choose one, such as --key netG",
    ),
    "averages of two models": (
        lambda sd: {"ema_generator": sd(ONE), "ema_encoder": sd(ONE)}, {}, "holds several sets of tensors",
    ),
    "key that is not there": (
        lambda sd: {"generator": sd(ONE), "discriminator": sd(ONE)}, {"key": "genrator"},
        r"there is no genrator in it \(--key\); keys with tensors under them: nearest: generator",
    ),
    "key of no weights": (
        lambda sd: {"model": sd(ONE), "epoch": 3}, {"key": "epoch"}, r"holds a int under epoch \(--key\), expected",
    ),
    "prefix that is not there": (
        lambda sd: {**sd(ONE, "Teacher."), **sd(ONE, "Student.")}, {"prefix": "Studnt."},
        r"no name begins with Studnt\. \(--prefix\); nearest: Student\.",
    ),
    "ignored name that is not there": (
        lambda sd: sd(ONE), {"ignore": ["conv.wieght"]},
        r"has no tensor conv\.wieght \(--ignore\); nearest: conv\.weight",
    ),
    "all ignored": (lambda sd: sd(ONE), {"ignore": ["*"]}, "no tensors are left of it"),
    "FSDP, flat": (
        lambda sd: {"layer._flat_param": sd(ONE)["conv.bias"]}, {}, r"FSDP has flattened.*FULL_STATE_DICT",
    ),
    "ZeRO 3": (
        lambda sd: {"module": {f"{at}.weight": sd(ONE)["conv.bias"][:0] for at in "ab"}, "ds_version": "0.14"}, {},
        r"ZeRO stage 3.*zero_to_fp32\.py",
    ),
    "object in place of a tensor": (
        lambda sd: {"model": {**sd(ONE), "head.bias": argparse.Namespace()}}, {},
        r"holds an object of the class argparse\.Namespace under head\.bias, expected a tensor;.*--ignore head\.bias",
    ),
    "object in place of a tensor of a bare dict": (
        lambda sd: {**sd(ONE), "head.bias": collections.deque()}, {},
        r"of the class collections\.deque under head\.bias",
    ),
    "packed parameters": (
        lambda sd: {**sd(ONE), "fc._packed_params._packed_params": (sd(ONE)["conv.weight"], None)}, {},
        r"fc\._packed_params\._packed_params, the packed weights of a quantised module.*before it was quantised",
    ),
    "packed parameters, their dtype first": (
        lambda sd: {"fc._packed_params.dtype": argparse.Namespace(), **sd(ONE)}, {}, "packed weights of a quantised",
    ),
    "two models in a tuple": (
        lambda sd: (sd(ONE), sd(TWO)), {},
        r"holds several sets of tensors: 0 \(4 tensors\), 1 \(4 tensors\); choose one, such as --key 0",
    ),
    "tensors without names": (lambda sd: [*sd(ONE).values()], {}, "holds a list of tensors without names, expected"),
    "average without names": (
        lambda sd: {"decay": 0.9, "shadow_params": [*sd(ONE).values()]}, {}, r"an average without names.*copy_to\(",
    ),
    "optimizer of DeepSpeed": (
        lambda sd: {"optimizer_state_dict": {"zero_stage": 2, "state": {0: sd(ONE)}}, "ds_version": "0.14"}, {},
        "holds the state of an optimizer, not weights",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_file_is_refused_with_what_to_do(name: str, torch: Any, tmp_path: Path) -> None:
    saved, where, message = REFUSED[name]
    torch.save(saved(lambda *of: state_dict(torch.from_numpy, *of)), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(tmp_path / "a.pth", **where)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_told_where_it_is_not_required(torch: Any, tmp_path: Path) -> None:
    torch.save(state_dict(torch.from_numpy, ONE), tmp_path / "a.pth")
    checkpoint, _ = read(tmp_path / "a.pth", key="a", prefix="b.", ignore=["c"], required=False)
    assert [problem.partition(" (")[2].partition(")")[0] for problem in checkpoint.absent] == [
        "--key", "--prefix", "--ignore",
    ]  # fmt: skip


def test_list_of_averages_that_does_not_fit_is_not_guessed(torch: Any, tmp_path: Path) -> None:
    sd = state_dict(torch.from_numpy, ONE)
    averages = {"shadow_params": [sd["conv.weight"], sd["conv.bias"]], "num_updates": 3}
    torch.save({"model": sd, "ema": averages}, tmp_path / "a.pth")
    checkpoint, _ = read(tmp_path / "a.pth")
    assert checkpoint.weights == "model"
    with pytest.raises(CheckpointError, match="holds no ema weights"):
        open_checkpoint(tmp_path / "a.pth", weights="ema")


def test_buffers_that_an_average_lacks_are_told(torch: Any, tmp_path: Path) -> None:
    sd = state_dict(torch.from_numpy, ONE)
    torch.save({"model": sd, "ema": {name: sd[name] for name in PARAMETERS}}, tmp_path / "a.pth")
    checkpoint, _ = read(tmp_path / "a.pth")
    assert "bn.running_mean: taken from model, since the average does not hold them" in checkpoint.notes


def test_second_set_of_mmcv_is_left_out(torch: Any, tmp_path: Path) -> None:
    sd = state_dict(torch.from_numpy, ONE)
    second = {f"ema_{name.replace('.', '_')}": value for name, value in state_dict(torch.from_numpy, TWO).items()}
    torch.save({"meta": {}, "state_dict": sd | second}, tmp_path / "a.pth")
    checkpoint, values = read(tmp_path / "a.pth")
    assert set(values.values()) == {ONE}
    assert any("4 buffers left out" in note for note in checkpoint.notes)


def test_readings_take_one_shared_part_after_the_other_off(torch: Any, tmp_path: Path) -> None:
    torch.save(state_dict(torch.from_numpy, ONE, "network.timm_model."), tmp_path / "a.pth")
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        readings = list(checkpoint.readings())
    assert [next(iter(reading.tensors)) for reading in readings] == [
        "network.timm_model.conv.weight", "timm_model.conv.weight", "conv.weight",
    ]  # fmt: skip
    assert readings[-1].envelope == ("network.", "timm_model.")
