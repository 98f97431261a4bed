"""Every yaml file and every documented command of the other projects runs, but for the program's name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cli
from paddle_impl.training import run as run_module
from paddle_impl.training.evaluation import Evaluation
from paddle_impl.training.starting import create_model
from porting.architectures import build
from porting.conversion import write_random
from recipe.config import Config
from recipe.loading import load
from tests.recipe.dialects import peers

SMALL = (
    *("data.workers=0", "model.num_classes=2", "model.image_size=32"),
    *("schedule.epochs=1", "schedule.warmup_epochs=0", "schedule.cooldown_epochs=0"),
)
"""What makes a run of a file small: the images, the classes, the length."""
SHAPE = ("TRANS", "PATCH_SIZE", "STRIDE", "BASE_DIMS", "DEPTH", "HEADS", "NUM_HEADS")
"""Keys of a model's shape, which the smallest model does not have."""
FILES = {
    **peers.deit_files(),
    **peers.mindcv_files(),
    "pit_ti.yaml": peers.HATIMWEN,
    "paddlevit_pit_ti.yaml": peers.PADDLEVIT_PIT,
}


class Asked(NamedTuple):
    """What the program was asked for."""

    what: str
    config: Config
    resume: Any = None
    last_epoch: int | None = None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with every file, and the checkpoints that the commands name."""
    for place in ("configs", "configs/pit", "output", "images"):
        (tmp_path / place).mkdir(exist_ok=True)
    for name, text in FILES.items():
        (tmp_path / "configs" / ("pit" if name.endswith("_ascend.yaml") else "") / name).write_text(text)
    (tmp_path / "regnety_160.pdparams").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the stand-ins of training and evaluation were called with."""
    calls: list[Asked] = []

    def train(config: Config, resume: Any = None, last_epoch: int | None = None) -> Any:
        calls.append(Asked("train", config, resume, last_epoch))
        return type("Done", (), {"exit_code": 0, "stopped": None})

    def evaluate(config: Config) -> Evaluation:
        calls.append(Asked("eval", config))
        return Evaluation(2, 0.5, 1.0, 2, 0.7)

    monkeypatch.setattr(run_module, "train", train)
    monkeypatch.setattr(run_module, "evaluate", evaluate)
    return calls


def pit_train(line: str, *more: str) -> Result:
    return CliRunner().invoke(cli.pit_train, [*line.split(), *more], prog_name="pit-train")


DISTILLED = "-cfg=./configs/deit_tiny_distilled_patch16_224.yaml"
DEIT = "-dataset=imagenet2012 -batch_size=256 -data_path=/dataset/imagenet"
HATIMWEN = "-cfg=configs/pit_ti.yaml -dataset=imagenet2012 -data_path=datasets/ImageNet1K"
TRAINING = [
    (f"main_multi_gpu_distill.py {DISTILLED} {DEIT} -amp", "deit_tiny_distilled"),
    (f"main_multi_gpu_no_distill.py -cfg=./configs/deit_tiny_patch16_224.yaml {DEIT} -amp", "deit_tiny"),
    (
        "main_multi_gpu_distill.py -cfg=./configs/deit_base_distilled_patch16_384.yaml -dataset=imagenet2012 "
        "-batch_size=16 -data_path=/dataset/imagenet -pretrained=./deit_base_distilled_patch16_224.pdparams -amp",
        "deit_base_distilled",
    ),
    (
        "main_single_gpu.py -cfg=./configs/deit_base_patch16_224.yaml -dataset=imagenet2012 -batch_size=4 "
        "-data_path=/dataset/imagenet -teacher_model=./regnety_160 -amp",
        "deit_base_distilled",
    ),
    ("main_multi_gpu.py -cfg=./configs/paddlevit_pit_ti.yaml -dataset=imagenet2012 -data_path=/imagenet", "pit_ti"),
    (f"main_multi_gpu.py {HATIMWEN} -batch_size=256 -save_path=output", "pit_ti"),
    (f"main_single_gpu.py {HATIMWEN} -batch_size=256 -save_path=output -ngpus=4", "pit_ti"),
    (f"main_multi_gpu.py {HATIMWEN} -resume=output/PiT-Latest -last_epoch=3", "pit_ti"),
    ("train.py --config configs/pit/pit_xs_ascend.yaml --data_dir /path/to/imagenet", "pit_xs"),
    ("train.py --config configs/pit/pit_xs_ascend.yaml --data_dir /path/to/dataset --distribute False", "pit_xs"),
    ("train.py -c configs/pit/pit_b_ascend.yaml --distribute", "pit_b"),
    ("main.py --model deit_small_patch16_224 --batch-size 256 --data-path /i --output_dir /path/to/save", "deit_small"),
    ("run_with_submitit.py --model deit_base_patch16_224 --data-path /path/to/imagenet", "deit_base"),
    (
        "main.py --model deit_base_distilled_patch16_224 --distillation-type hard --teacher-model regnety_160 "
        "--teacher-path regnety_160.pdparams",
        "deit_base_distilled",
    ),
    (
        "main.py --model deit_base_patch16_384 --batch-size 32 --finetune deit_base.pth --input-size 384 --lr 5e-6 "
        "--weight-decay 1e-8 --epochs 30 --min-lr 5e-6",
        "deit_base",
    ),
]  # fmt: skip
EVALUATION = [
    (f"main_multi_gpu_distill.py {DISTILLED} {DEIT} -eval -amp", "deit_tiny_distilled"),
    (f"main_multi_gpu_no_distill.py -cfg=./configs/deit_tiny_patch16_224.yaml {DEIT} -eval -amp", "deit_tiny"),
    (f"main_multi_gpu.py -cfg=./configs/deit_tiny_patch16_224.yaml {DEIT} -eval -amp", "deit_tiny"),
    (f"main_eval_regnet_multi_gpu.py -cfg=./configs/regnety_160.yaml {DEIT} -eval -ngpus=4", "regnety_160"),
    ("-cfg=./configs/paddlevit_pit_ti.yaml -dataset=imagenet2012 -batch_size=16 -data_path=/i -eval", "pit_ti"),
    (f"main_multi_gpu.py {HATIMWEN} -batch_size=128 -eval", "pit_ti"),
    ("validate.py -c configs/pit/pit_xs_ascend.yaml --data_dir /path/to/imagenet", "pit_xs"),
    ("main.py --eval --model deit_tiny_patch16_224 --data-path /path/to/imagenet", "deit_tiny"),
    ("main.py --eval --model deit_base_distilled_patch16_384 --input-size 384", "deit_base_distilled"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "model"), TRAINING)
def test_documented_training_command_runs(line: str, model: str, folder: Path, asked: list[Asked]) -> None:
    done = pit_train(line)
    assert done.exit_code == 0, done.output
    assert [(call.what, call.config.model.name) for call in asked] == [("train", model)]
    assert asked[0].last_epoch == (3 if "-last_epoch" in line else None)
    assert asked[0].resume == ("output/PiT-Latest.pdparams" if "-resume" in line else None)


@pytest.mark.parametrize(("line", "model"), EVALUATION)
def test_documented_evaluation_command_runs(line: str, model: str, folder: Path, asked: list[Asked]) -> None:
    write_random(build("pit_micro"), folder / "w.pdparams")
    done = pit_train(line, f"model.weights={folder / 'w.pdparams'}")
    assert done.exit_code == 0, done.output
    assert [(call.what, call.config.model.name) for call in asked] == [("eval", model)]


@pytest.mark.parametrize("name", FILES)
def test_file_is_carried_out(name: str, folder: Path, asked: list[Asked]) -> None:
    """The file, its model built at 32 pixels where it is small, and its settings passed on."""
    path = next((folder / "configs").rglob(name))
    more = ["model.weights=w.pdparams"] if name == "regnety_160.yaml" else []
    if more:
        write_random(build("pit_micro"), folder / "w.pdparams")
    done = pit_train(f"train --config {path}", *more)
    assert done.exit_code == 0, done.output
    (call,) = asked
    assert call.what == ("eval" if more else "train")
    if call.config.model.name.startswith(("pit_ti", "deit_tiny")):
        assert create_model(replace(call.config.model, image_size=32, num_classes=2)).parameters()


@pytest.mark.parametrize(
    "line",
    [
        "-cfg=configs/deit_tiny_patch16_224.yaml -teacher_model=./nothere",
        "-cfg=configs/pit_ti.yaml -teacher_model=./nothere",
        "-cfg=configs/deit_tiny_distilled_patch16_224.yaml -teacher_model_path=./nothere",
        "train --config pit_ti_224 distillation.weights=nothere",
    ],
)
def test_missing_teacher_exits_3_before_anything_is_trained(line: str, folder: Path, asked: list[Asked]) -> None:
    done = pit_train(line)
    assert done.exit_code == 3, done.output
    assert "there is no such checkpoint of a teacher" in done.stderr
    assert not asked


def test_default_teacher_that_is_missing_exits_3_before_images_are_read(folder: Path) -> None:
    (folder / "regnety_160.pdparams").unlink()
    done = pit_train("-cfg=configs/deit_tiny_distilled_patch16_224.yaml -data_path=nowhere -output=out")
    assert done.exit_code == 3, done.output
    assert "./regnety_160.pdparams: there is no such checkpoint of a teacher" in done.stderr
    assert not (folder / "out").exists()


def test_evaluation_and_resume_of_a_file_are_carried_out(folder: Path, asked: list[Asked]) -> None:
    text = peers.HATIMWEN.replace("    TRANS:", "    RESUME: ./output/PiT-Latest\n    TRANS:")
    (folder / "r.yaml").write_text(f"{text}TRAIN: {{LAST_EPOCH: 5}}\n")
    assert pit_train("train --config r.yaml").exit_code == 0
    assert asked[-1][2:] == ("./output/PiT-Latest.pdparams", 5)
    write_random(build("pit_ti", num_classes=2), folder / "output" / "PiT-Latest.pdparams")
    (folder / "e.yaml").write_text(f"{text}EVAL: true\n")
    done = pit_train("train --config e.yaml")
    assert done.exit_code == 0, done.output
    assert asked[-1].what == "eval"
    assert asked[-1].config.model.weights == "./output/PiT-Latest.pdparams"
    assert "top-1 50.00%" in done.stdout


def test_another_framework_gets_the_same_configuration(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Any] = []

    def run_program(*words: Any) -> int:
        requests.append(words)
        return 4

    monkeypatch.setattr("recipe.programs.run_program", run_program)
    monkeypatch.setenv("PIT_TORCH_PYTHON", "python-with-torch")
    done = pit_train(f"main_multi_gpu.py {HATIMWEN} --framework torch -batch_size=16")
    assert done.exit_code == 4, done.output
    ((framework, request, python),) = requests
    assert (framework, request.action, python) == ("torch", "train", "python-with-torch")
    (folder / "again.yaml").write_text(request.config)
    config = load(folder / "again.yaml")
    assert (config.data.batch_size, config.schedule.ahead, config.optimizer.clip) == (16, 1, 5.0)
    refused = pit_train("train --config pit_ti_224 --framework torch --last-epoch 3")
    assert refused.exit_code == 2
    assert "a checkpoint of torch knows its epoch" in refused.stderr


def test_weights_decide_which_of_two_models_is_evaluated(folder: Path, asked: list[Asked]) -> None:
    write_random(build("deit_tiny_distilled", image_size=32, num_classes=2), folder / "w.pdparams")
    done = pit_train("-cfg=configs/deit_tiny_patch16_224.yaml -eval -pretrained=./w")
    assert done.exit_code == 0, done.output
    assert asked[0].config.model.name == "deit_tiny_distilled"
    assert "holds deit_tiny_distilled, which is evaluated" in done.stderr
    Image.new("RGB", (32, 32)).save(folder / "images" / "a.png")
    small = ("model.image_size=32", "model.num_classes=2", "run.device=cpu")
    done = pit_train(
        "predict.py -cfg=configs/deit_tiny_patch16_224.yaml -pretrained=./w -img_path=images/a.png", *small
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.count("%") == 2


def test_dialect_that_cannot_be_told_exits_2_and_an_option_decides(folder: Path, asked: list[Asked]) -> None:
    (folder / "a.yaml").write_text("MODEL: {NAME: pit_ti}\n")
    refused = pit_train("-cfg=a.yaml")
    assert refused.exit_code == 2
    assert "schedule.warmup_epochs: 5 as paddlevit's, 20 as hatimwen's" in refused.stderr
    for line, epochs in (("-cfg=a.yaml -save_path=out", 20), ("train --config a.yaml --dialect paddlevit", 5)):
        assert pit_train(line).exit_code == 0
        assert asked[-1].config.schedule.warmup_epochs == epochs


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images each of two classes."""
    folder: Path = tmp_path_factory.mktemp("images")
    for at, (split, label) in enumerate((split, label) for split in ("train", "val") for label in ("3", "7")):
        (folder / split / label).mkdir(parents=True)
        for count in range(4):
            pixels = np.random.default_rng(4 * at + count).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / split / label / f"{count}.png")
    return folder


@pytest.fixture
def _no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "draw_curves", lambda entries, path: None)


@pytest.mark.usefixtures("_no_curves")
def test_deit_is_distilled_and_its_weights_are_evaluated(folder: Path, images: Path) -> None:
    write_random(build("pit_micro", image_size=32, num_classes=2), folder / "teacher.pdparams")
    cfg = f"-cfg=configs/deit_tiny_distilled_patch16_224.yaml -batch_size=4 -data_path={images} -amp"
    small = (*SMALL, "distillation.teacher=pit_micro", "run.save_every=0")
    done = pit_train(f"main_multi_gpu_distill.py {cfg} -teacher_model_path=teacher -output=out", *small)
    assert done.exit_code == 0, done.output
    assert "deit_tiny_distilled, hard distillation" in done.stderr
    done = pit_train(f"{cfg} -eval -pretrained=out/latest", *SMALL)
    assert done.exit_code == 0, done.output
    assert "8 images" in done.stdout


@pytest.mark.usefixtures("_no_curves")
@pytest.mark.parametrize(
    ("name", "dialect"),
    [("pit_ti_ascend.yaml", "mindcv"), ("pit_ti.yaml", "hatimwen"), ("paddlevit_pit_ti.yaml", "paddlevit")],
)
def test_one_epoch_of_a_file_at_micro_size(name: str, dialect: str, folder: Path, images: Path) -> None:
    path = next((folder / "configs").rglob(name))
    kept = [line for line in path.read_text().splitlines() if line.strip().split(":")[0] not in SHAPE]
    path.write_text("\n".join(kept).replace("pit_ti", "pit_micro"))
    more = (f"data.path={images}", "data.batch_size=4", "run.output=out", "run.save_every=0", f"--dialect={dialect}")
    done = pit_train(f"train --config {path}", *SMALL, *more)
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]
    assert any(event["event"] == "train" for event in events)
