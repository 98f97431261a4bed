from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_impl.training.parts import Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.run import Result
from paddle_impl.training.state import Best, Progress, capture, restore
from porting.checkpoint import open_checkpoint
from porting.checkpoint.formats.nested import Nested, write_nested
from recipe.errors import TrainingError
from tests.paddle_impl.training.engine.tiny_run import step, tensors

Run = Callable[..., Result]


@pytest.mark.parametrize("steps", [0, 2])
def test_restored_parts_equal_the_captured_ones_in_any_process(
    parts: Callable[[], Parts], tmp_path: Path, steps: int
) -> None:
    first = parts()
    for _ in range(steps):
        step(first)
    progress = Progress(3, 5, 1.25, 2, 1e-3, Best(2, 0.5, "ema"), ({"epoch": 2, "top1": 0.5},))
    write_nested(tmp_path / "state.pdparams", capture(first, Precision(), progress, {"config": {}}))
    second = parts()
    step(second)
    with Nested(tmp_path / "state.pdparams") as checkpoint:
        assert restore(checkpoint, second, Precision()) == progress
    if steps:
        assert tensors(second) == tensors(first)
        step(first)
        step(second)
        assert tensors(second) == tensors(first)


def test_checkpoints_are_read_by_paddle_and_by_porting(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny()
    path = tmp_path / "run" / "latest.pdparams"
    saved = paddle.load(str(path), return_numpy=True)
    assert saved["epoch"] == 3
    assert saved["config"]["run"]["seed"] == 0
    for kind, key in (("model", "model"), ("ema", "model_ema")):
        # A kind from the parameters of the test.
        with open_checkpoint(path, weights=kind) as checkpoint:  # type: ignore[arg-type]
            assert checkpoint.envelope == (key,)
            assert {name: tensor.load().tobytes() for name, tensor in checkpoint.tensors.items()} == {
                name: array.tobytes() for name, array in saved[key].items()
            }


def test_checkpoint_has_command_and_versions_but_no_host_or_home(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny()
    with Nested(tmp_path / "run" / "latest.pdparams") as checkpoint:
        tree: Any = checkpoint.tree
    assert {"python", "paddlepaddle", "numpy"} <= set(tree["provenance"][0]["versions"])
    assert tree["provenance"][0]["command"]
    text = json.dumps({key: tree[key] for key in ("provenance", "global_batch", "progress")})
    assert socket.gethostname() not in text
    assert str(Path.home()) + "/" not in text


_PADDLE_VIT = """
import sys, paddle, numpy as np
paddle.set_device("cpu")
paddle.nn.Linear(1, 1)  # so that Paddle's counters differ
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("tiny_run", sys.argv[1])
tiny_run = module_from_spec(spec); sys.modules["tiny_run"] = tiny_run; spec.loader.exec_module(tiny_run)
paddle.seed(7)
model = tiny_run.Net()
scheduler = paddle.optimizer.lr.CosineAnnealingDecay(1e-2, 10)
optimizer = paddle.optimizer.AdamW(scheduler, parameters=model.parameters())
for _ in range(2):
    model(paddle.ones([2, 3, 8, 8])).square().sum().backward()
    optimizer.step(); optimizer.clear_grad()
saved = {"model": model.state_dict(), "model_ema": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 2,
         "lr_scheduler": scheduler.state_dict(), "amp_grad_scaler": None}
paddle.save(saved, sys.argv[2])
paddle.save(model.state_dict(), sys.argv[3])
"""


@pytest.fixture(scope="module")
def paddle_vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A combined checkpoint as PaddleViT saves them, from another process, and flat weights."""
    folder = tmp_path_factory.mktemp("paddlevit")
    combined, flat = folder / "combined.pdparams", folder / "flat.pdparams"
    program = str(Path(__file__).with_name("tiny_run.py"))
    command = [sys.executable, "-W", "ignore", "-c", _PADDLE_VIT, program, str(combined), str(flat)]
    subprocess.run(command, check=True, capture_output=True)
    return combined, flat


def test_combined_checkpoint_of_paddlevit_is_restored(
    parts: Callable[[], Parts], paddle_vit: tuple[Path, Path]
) -> None:
    own = parts()
    with Nested(paddle_vit[0]) as checkpoint:
        assert restore(checkpoint, own, Precision()) == Progress(epoch=2)
    saved = paddle.load(str(paddle_vit[0]), return_numpy=True)
    for name, tensor in own.model.state_dict().items():
        array = saved["model"][name]
        np.testing.assert_array_equal(tensor.numpy(), array[1] if isinstance(array, tuple) else array)
    state = own.optimizer.named_state()
    moments = {key: array for key, array in saved["optimizer"].items() if "moment" in key}
    assert len(state) == 4 * 4
    assert sorted(float(np.abs(tensor.numpy()).sum()) for name, tensor in state.items() if "moment" in name) == sorted(
        float(np.abs(array).sum()) for array in moments.values()
    )
    assert all(float(tensor.numpy()[0]) == pytest.approx(0.9**3) for name, tensor in state.items() if "beta1" in name)


def test_run_resumes_from_a_checkpoint_of_paddlevit(run_tiny: Run, paddle_vit: tuple[Path, Path]) -> None:
    result = run_tiny(resume=paddle_vit[0])
    assert [entry["epoch"] for entry in result.history] == [2, 2]


def test_flat_weights_are_refused_as_state_of_a_run(parts: Callable[[], Parts], paddle_vit: tuple[Path, Path]) -> None:
    with (
        Nested(paddle_vit[1]) as checkpoint,
        pytest.raises(TrainingError, match=r"to start from its weights, give it as model\.weights"),
    ):
        restore(checkpoint, parts(), Precision())


def test_resumed_run_has_the_epoch_and_the_update_of_its_checkpoint(parts: Callable[[], Parts], tmp_path: Path) -> None:
    tree = capture(parts(), Precision(), Progress(epoch=3, update=5), {})
    write_nested(tmp_path / "state.pdparams", tree)
    with Nested(tmp_path / "state.pdparams") as checkpoint:
        progress = restore(checkpoint, parts(), Precision())
    assert (progress.epoch, progress.update) == (3, 5)


def test_checkpoint_without_its_progress_is_refused(parts: Callable[[], Parts], tmp_path: Path) -> None:
    tree = capture(parts(), Precision(), Progress(epoch=3, update=5), {})
    del tree["progress"], tree["epoch"]
    write_nested(tmp_path / "state.pdparams", tree)
    with (
        Nested(tmp_path / "state.pdparams") as checkpoint,
        pytest.raises(TrainingError, match=r"does not tell how far its run had come \(epoch\)"),
    ):
        restore(checkpoint, parts(), Precision())


def test_checkpoint_of_another_model_is_refused_with_every_difference(
    parts: Callable[[], Parts], tmp_path: Path
) -> None:
    one = parts()
    tree: Any = deepcopy(dict(capture(one, Precision(), Progress(), {})))
    tree["model"]["head.extra"] = tree["model"].pop("head.bias")
    tree["model"]["head.weight"] = tree["model"]["hidden.bias"]
    write_nested(tmp_path / "other.pdparams", tree)
    with Nested(tmp_path / "other.pdparams") as checkpoint, pytest.raises(TrainingError) as caught:
        restore(checkpoint, one, Precision())
    assert caught.value.details == (
        "head.bias: not in the checkpoint",
        "head.extra: not in the model",
        "head.weight: float32 (16,) in the checkpoint, float32 (16, 3) in the model",
    )


def test_checkpoint_of_another_dtype_is_refused(parts: Callable[[], Parts], tmp_path: Path) -> None:
    one = parts()
    one.model.head.to(dtype="float64")
    write_nested(tmp_path / "wide.pdparams", capture(one, Precision(), Progress(), {}))
    with Nested(tmp_path / "wide.pdparams") as checkpoint, pytest.raises(TrainingError) as caught:
        restore(checkpoint, parts(), Precision())
    assert sorted(caught.value.details) == [
        "head.bias: float64 (3,) in the checkpoint, float32 (3,) in the model",
        "head.weight: float64 (16, 3) in the checkpoint, float32 (16, 3) in the model",
    ]


def test_checkpoint_has_epoch_and_rate_under_paddlevits_keys(parts: Callable[[], Parts], tmp_path: Path) -> None:
    tree = capture(parts(), Precision(), Progress(epoch=3, rate=1e-3), {})
    assert (tree["epoch"], tree["lr_scheduler"]) == (3, {"last_epoch": 3, "last_lr": 1e-3})


def test_optimizer_tensors_without_names_of_parameters_are_refused(parts: Callable[[], Parts], tmp_path: Path) -> None:
    tree: Any = capture(parts(), Precision(), Progress(), {})
    tree["optimizer"] = {"linear_0.w_0_moment1_0": tree["model"]["head.weight"]}
    write_nested(tmp_path / "unnamed.pdparams", tree)
    with (
        Nested(tmp_path / "unnamed.pdparams") as checkpoint,
        pytest.raises(TrainingError, match="does not tell whose the optimizer's tensors are; give it as"),
    ):
        restore(checkpoint, parts(), Precision())


def test_optimizer_tensor_of_no_parameter_is_refused(parts: Callable[[], Parts], tmp_path: Path) -> None:
    own, path = parts(), str(tmp_path / "other.pdparams")
    model = own.model.state_dict()
    paddle.save({"model": model, "model_ema": model, "optimizer": {"other.w_0_moment1_0": paddle.ones([2])}}, path)
    with (
        Nested(tmp_path / "other.pdparams") as checkpoint,
        pytest.raises(TrainingError, match=r"optimizer's other\.w_0_moment1_0 belongs to no parameter of its model"),
    ):
        restore(checkpoint, own, Precision())


class _Scaler:
    """Has the state of Paddle's, which is empty on a CPU."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {
            "scale": np.array([1024.0], np.float32),
            "incr_ratio": 2.0,
            "incr_count": 3,
            "use_dynamic_loss_scaling": True,
        }

    def state_dict(self) -> dict[str, Any]:
        """As Paddle's."""
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As Paddle's."""
        self.state = state


def test_loss_scaler_is_saved_and_restored(parts: Callable[[], Parts], tmp_path: Path) -> None:
    first, second = _Scaler(), _Scaler()
    second.state = {}
    half = Precision("float32", "float16", first)
    write_nested(tmp_path / "state.pdparams", capture(parts(), half, Progress(), {}))
    with Nested(tmp_path / "state.pdparams") as checkpoint:
        restore(checkpoint, parts(), Precision("float32", "float16", second))
    assert second.state == first.state
    assert second.state["scale"].dtype == np.float32
