"""`pit-train --framework torch`: training, evaluation and prediction from a request."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recipe.errors import ConfigError, DataError, TrainingError
from recipe.loading import dump, load
from recipe.programs import Request, read_request, run_program
from reference_torch.training.program import StateRun, main

SMALL = (
    *("model.name=pit_micro", "model.image_size=32", "model.num_classes=2", "data.workers=0", "data.batch_size=4"),
    *("schedule.epochs=2", "schedule.warmup_epochs=0", "optimizer.base_batch=0", "run.device=cpu", "ema.decay=0.9"),
)


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


def _request(action: str, images: Path, *overrides: str) -> Request:
    return Request(action, dump(load("deit", [*SMALL, f"data.path={images}", *overrides])), as_json=True, top=2)


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs."""
    output: Path = tmp_path_factory.mktemp("run") / "out"
    main(_request("train", images, f"run.output={output}"))
    return output


def test_run_keeps_checkpoints_with_the_keys_of_deit(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {"latest.pth", "best.pth", "log.jsonl", "classes.txt", ".lock"}
    saved = torch.load(run / "latest.pth", weights_only=True)
    assert {"model", "model_ema", "optimizer", "epoch"} <= saved.keys()
    assert saved["epoch"] == 1
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", *["train", "evaluate", "evaluate"] * 2]


def test_resumed_run_equals_one_that_never_stopped(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = StateRun.save

    def save_all(of: StateRun, epoch: int, path: Path) -> None:
        save(of, epoch, path)
        shutil.copy(path, tmp_path / f"{epoch}.pth")

    monkeypatch.setattr(StateRun, "save", save_all)
    request = _request("train", images, f"run.output={tmp_path / 'out'}")
    main(replace(request, quiet=True))
    shutil.rmtree(tmp_path / "out")
    main(replace(request, resume=str(tmp_path / "0.pth")))
    resumed, whole = (torch.load(folder / "latest.pth", weights_only=True) for folder in (tmp_path / "out", run))
    for kind in ("model", "model_ema"):
        for name, tensor in whole[kind].items():
            torch.testing.assert_close(resumed[kind][name], tensor, rtol=0, atol=0)


def test_loss_scale_is_saved_and_restored(images: Path, tmp_path: Path) -> None:
    runs = [StateRun(load("deit", [*SMALL, f"data.path={images}"])) for _ in range(2)]
    for run, scale in zip(runs, (128.0, 64.0), strict=True):
        run.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        run.scaler.scale(torch.ones([]))  # which makes its scale a tensor
    runs[0].save(0, tmp_path / "state.pth")
    assert runs[1].restore(tmp_path / "state.pth") == 0
    assert runs[1].scaler is not None
    assert runs[1].scaler.get_scale() == 128.0


def test_another_recipe_or_other_images_do_not_go_on(run: Path, images: Path, tmp_path: Path) -> None:
    latest = str(run / "latest.pth")
    more = (f"run.output={tmp_path / 'o'}", "optimizer.weight_decay=0.3", "run.log_every=7")
    with pytest.raises(ConfigError, match="written by a run of another configuration") as caught:
        main(replace(_request("train", images, *more), resume=latest))
    assert caught.value.details == ("optimizer.weight_decay: 0.05 then, 0.3 now",)
    others = shutil.copytree(images, tmp_path / "others")
    (others / "train" / "3" / "0.png").rename(others / "train" / "3" / "x.png")
    with pytest.raises(ConfigError) as caught:
        main(replace(_request("train", others, f"run.output={tmp_path / 'o'}"), resume=latest))
    assert caught.value.details == ("the training images: other names, labels or order than then",)


def test_classes_to_evaluate_on_are_those_of_training(images: Path, tmp_path: Path) -> None:
    others = shutil.copytree(images, tmp_path / "others")
    (others / "val" / "3").rename(others / "val" / "8")
    with pytest.raises(DataError, match="its classes are not those of"):
        main(_request("train", others, f"run.output={tmp_path / 'o'}"))


def test_evaluation_prints_what_the_run_logged(run: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(_request("eval", images, f"model.weights={run / 'latest.pth'}"))
    result = json.loads(capsys.readouterr().out)
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert result["images"] == 4 * 2
    assert any(event.get("loss") == result["loss"] for event in events if event["event"] == "evaluate")


def test_prediction_names_the_classes_of_the_run(run: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(images / "val" / "3" / "0.png")
    main(replace(_request("predict", images, f"model.weights={run / 'latest.pth'}"), images=(path,)))
    record = json.loads(capsys.readouterr().out)
    assert record["path"] == path
    assert {entry["label"] for entry in record["classes"]} == {"3", "7"}
    assert sum(entry["probability"] for entry in record["classes"]) == pytest.approx(1)


def test_what_cannot_be_done_is_refused(run: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds a run, which a new one would overwrite"):
        main(_request("train", images, f"run.output={run}"))
    with pytest.raises(ConfigError, match="an evaluation needs weights"):
        main(_request("eval", images))
    refusal = r"has no head\.weight, head\.bias for 3 classes, .*; set model\.num_classes=2, or fine-tune"
    with pytest.raises(ConfigError, match=refusal):
        main(_request("eval", images, f"model.weights={run / 'latest.pth'}", "model.num_classes=3"))
    (tmp_path / "torn.pth").write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match=r"torn\.pth: is no state of this run"):
        main(replace(_request("train", images, f"run.output={tmp_path / 'o'}"), resume=str(tmp_path / "torn.pth")))
    more = ("model.name=pit_micro_distilled", "distillation.kind=hard", "distillation.weights=nowhere")
    with pytest.raises(TrainingError, match="there is no such checkpoint of a teacher"):
        main(_request("train", images, f"run.output={tmp_path / 'o'}", *more))


def test_request_passes_as_text_and_a_wrong_interpreter_is_named(tmp_path: Path) -> None:
    request = Request("predict", "model: {}", images=("a.jpg", "b.jpg"), top=3)
    assert read_request(json.dumps(asdict(request))) == request
    with pytest.raises(TrainingError, match="the interpreter cannot be started"):
        run_program("torch", request, str(tmp_path / "python"))
