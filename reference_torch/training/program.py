"""The program behind `pit-train --framework torch`: a request on standard input, carried out with timm's parts."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from porting.errors import ExpectedError
from recipe.classes import CLASSES, read_classes
from recipe.config import Config
from recipe.errors import ConfigError, DataError, TrainingError
from recipe.loading import load
from recipe.predictions import class_names, classify, report
from recipe.programs import Request, read_request
from recipe.samples import check, find
from recipe.weights import require_teacher
from reference_torch.training.data import EvalLoader, eval_transform
from reference_torch.training.run import Evaluation, Run, evaluate_model
from reference_torch.training.starting import start

LATEST, BEST = "latest.pth", "best.pth"
"""The state after the last epoch, and the best by top-1: DeiT's keys `model`, `model_ema`, `optimizer`, `epoch`."""


def main(request: Request) -> None:
    """Carry out a request.

    Raises:
        ConfigError: The configuration cannot be carried out here.
        DataError: Images cannot be used.
        TrainingError: A checkpoint is of another model, or the output holds a run.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(request.config, encoding="utf-8")
        config = load(path)
    note = (lambda line: None) if request.quiet else (lambda line: print(line, file=sys.stderr, flush=True))
    {"train": _train, "eval": _evaluate, "predict": _predict}[request.action](request, config, note)


def _train(request: Request, config: Config, note: Callable[[str], None]) -> None:
    output = Path(config.run.output)
    if config.distillation.kind != "none" and config.distillation.weights is not None:
        require_teacher(config.distillation.weights)
    if request.resume is None and (output / LATEST).exists():
        raise TrainingError(
            f"{output}: holds a run, which a new one would overwrite; resume it, or choose another run.output"
        )
    images = find(config.data, "train")
    check(images, config.model.num_classes)
    run = Run(config, _device(config))
    output.mkdir(parents=True, exist_ok=True)
    if images.classes:
        (output / CLASSES).write_text("".join(f"{name}\n" for name in images.classes), encoding="utf-8")
    first = _resume(run, request.resume, output)
    for line in run.recipe.notes:
        note(line)
    best = -1.0
    for epoch in range(first, run.recipe.schedule.epochs):
        _one_epoch(run, epoch, output, note)
        top1 = _validated(run, epoch, output, note)
        _save(run, epoch, output / LATEST)
        if top1 is not None and top1 > best:
            best = top1
            _save(run, epoch, output / BEST)


def _one_epoch(run: Run, epoch: int, output: Path, note: Callable[[str], None]) -> None:
    epochs, updates, every = run.recipe.schedule.epochs, run.training.updates, run.config.run.log_every
    for step in run.epoch(epoch):
        if not np.isfinite(step.loss):
            raise TrainingError(f"the loss is {step.loss} in epoch {epoch}, at update {step.update + 1}")
        if (step.update + 1) % every == 0 or step.update + 1 == updates:
            _log(output, {"event": "train", **asdict(step)})
            place = f"epoch {epoch + 1}/{epochs}, update {step.update + 1}/{updates}"
            note(f"{place}: loss {step.loss:.4f}, rate {step.rate:.3g}")


def _validated(run: Run, epoch: int, output: Path, note: Callable[[str], None]) -> float | None:
    """The best top-1 of the model and its average after an epoch; None where it is not evaluated."""
    every, epochs = run.config.run.validate_every, run.recipe.schedule.epochs
    if not every or not ((epoch + 1) % every == 0 or epoch + 1 == epochs):
        return None
    results = {weights: run.evaluate(weights) for weights in ("model", "ema") if weights == "model" or run.recipe.ema}
    for weights, result in results.items():
        _log(output, {"event": "evaluate", "epoch": epoch, "weights": weights, **asdict(result)})
        note(f"epoch {epoch + 1}/{epochs}: {weights} {_summary(result)}")
    return max(result.top1 for result in results.values())


def _evaluate(request: Request, config: Config, note: Callable[[str], None]) -> None:
    model = _loaded(config, note)
    held_out = find(config.data, "validation")
    check(held_out, config.model.num_classes)
    result = evaluate_model(model.to(_device(config)), EvalLoader(config, held_out), config, _device(config))
    if request.as_json:
        print(json.dumps(asdict(result)))
    elif not request.quiet:
        print(_summary(result))


def _predict(request: Request, config: Config, note: Callable[[str], None]) -> None:
    model, transform = _loaded(config, note).to(device := _device(config)), eval_transform(config)
    names = class_names(config.model, read_classes(Path(request.classes)) if request.classes else None)

    def prepare(image: Any) -> npt.NDArray[np.float32]:
        pixels: npt.NDArray[np.float32] = transform(image).numpy()
        return pixels

    @torch.no_grad()
    def shares(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        logits = model(torch.from_numpy(images).to(device, next(model.parameters()).dtype))
        probabilities: npt.NDArray[Any] = logits.double().softmax(dim=1).cpu().numpy()
        return probabilities

    predictions = classify(map(Path, request.images), prepare, shares, names, request.top)
    for line in report(predictions, as_json=request.as_json):
        if request.as_json or not request.quiet:
            print(line)


def _loaded(config: Config, note: Callable[[str], None]) -> nn.Module:
    """The model in evaluation mode, with every tensor from the weights that the configuration names."""
    if config.model.weights is None:
        raise ConfigError("an evaluation needs weights: set model.weights to a checkpoint")
    begun = start(config)
    if begun.fresh:
        raise DataError(
            f"{config.model.weights}: has no head for {config.model.num_classes} classes; set model.num_classes to "
            "the checkpoint's"
        )
    for line in begun.notes:
        note(line)
    return begun.model.eval()


def _save(run: Run, epoch: int, path: Path) -> None:
    """Write the state after an epoch; the file appears whole or not at all."""
    recipe, draft = run.recipe, path.with_name(f".{path.name}.part")
    average = {} if recipe.ema is None else {"model_ema": recipe.ema.module.state_dict()}
    state = {"model": recipe.model.state_dict(), **average, "optimizer": recipe.optimizer.state_dict(), "epoch": epoch}
    torch.save({**state, "config": asdict(run.config)}, draft)
    draft.replace(path)


def _resume(run: Run, resume: str | None, output: Path) -> int:
    """Bring a run to the place after the last epoch of a checkpoint; return the epoch to go on with."""
    path = output / LATEST if resume == "auto" else Path(resume or "")
    if resume is None or (resume == "auto" and not path.exists()):
        return 0
    path = path / LATEST if path.is_dir() else path
    try:
        saved = torch.load(path, map_location=run.device, weights_only=True)
        run.recipe.model.load_state_dict(saved["model"])
        if run.recipe.ema is not None:
            run.recipe.ema.module.load_state_dict(saved["model_ema"])
        run.recipe.optimizer.load_state_dict(saved["optimizer"])
        epoch = int(saved["epoch"])
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # whatever torch finds wrong with a file or a state
        raise TrainingError(f"{path}: is no state of this run: {str(error).splitlines()[0]}") from None
    run.recipe.schedule.finish_epoch(epoch)
    return epoch + 1


def _device(config: Config) -> str:
    gpu = config.run.device == "gpu" or (config.run.device == "auto" and torch.cuda.is_available())
    return "cuda" if gpu else "cpu"


def _log(output: Path, event: dict[str, Any]) -> None:
    with (output / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(event) + "\n")


def _summary(result: Evaluation) -> str:
    shares = f"top-1 {result.top1:.2%}  top-{result.k} {result.top5:.2%}"
    return f"{shares}  loss {result.loss:.4f}  {result.images} images"


if __name__ == "__main__":
    try:
        main(read_request(sys.stdin.read()))
    except ExpectedError as error:
        print(f"pit-train: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
