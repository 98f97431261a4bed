"""The training part of the self-test: faults of the check points of training, put into small recipes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from alignment.pair import ROLES
from alignment.processes.processes import Launch, Progress, run_all
from alignment.processes.settings import Settings
from alignment.running.prepare import weights_of
from alignment.selftest.faults import Fault
from alignment.selftest.faults.training import RECIPES
from alignment.selftest.results import Keys, correct_file, is_done
from alignment.selftest.training_worker import Task, correct_name, pair_of
from alignment.steps.training import TRAINING_STEPS
from alignment.training import sample_images
from alignment.training.configuring import configuration, needs_teacher, with_teacher
from porting.architectures import build
from porting.conversion import write_random
from recipe.loading import dump

_BATCH, _TRAIN, _VALIDATION = 4, 16, 21
"""Images of a batch, and of the two sets: two updates an epoch, and a last batch of one image."""
_FEW = 8
_MODULE = "alignment.selftest.training_worker"


def run(
    folder: Path, faults: Sequence[Fault], settings: Settings, progress: Progress | None, keys: Keys | None = None
) -> None:
    """Put faults into recipes; write a file of results for each, and one for each correct run of a check point.

    Args:
        folder: Folder of the self-test; faults that have a result there are not run again.
        faults: Faults, of which those of training are run.
        settings: The interpreters.
        progress: Called as the sides report.
        keys: Keys of the results; by default those of this code and the settings' interpreters.

    Raises:
        AlignmentError: A side could not run.
        FileError: A file in the place of a result is none.
    """
    keys = keys or Keys.of(settings)
    runs = correct_runs(faults)
    for recipe in RECIPES:
        todo = keys.pending(folder, [fault for fault in faults if fault.recipe == recipe])
        missing = {
            step
            for name, (other, step) in runs.items()
            if other == recipe and not is_done(correct_file(folder, name), keys.of_correct(name))
        }
        steps = {fault.step for fault in todo} | missing
        if steps:
            _run_recipe(folder, recipe, todo, steps, keys, settings, progress)


def correct_runs(faults: Sequence[Fault]) -> dict[str, tuple[str, str]]:
    """Return recipe and check point of the correct runs that belong to faults, by the names of their results."""
    pairs = {(fault.recipe, fault.step): None for fault in faults if fault.place == "training"}
    return {correct_name(recipe, step): (recipe, step) for recipe, step in pairs}


def halves(faults: Sequence[Fault]) -> list[Sequence[Fault]]:
    """Divide faults between two processes, unless they are few."""
    return [faults[0::2], faults[1::2]] if len(faults) > _FEW else [faults]


def launch(name: str, framework: str, module: str, arguments: tuple[str, ...], settings: Settings) -> Launch:
    """Return the process of a task, which is the file that the last argument names."""
    log = Path(arguments[-1]).with_suffix(".log")
    imports = settings.imports(framework)
    return Launch(name, settings.python(framework), module, arguments, log, settings.environment(2), imports=imports)


def _run_recipe(
    folder: Path,
    recipe: str,
    faults: Sequence[Fault],
    wanted: Collection[str],
    keys: Keys,
    settings: Settings,
    progress: Progress | None,
) -> None:
    settings = replace(settings, steps=("forward",), batch_size=_BATCH, seed=0, threads=1)
    work = folder / "work" / f"training-{recipe}"
    _prepare(work, recipe, settings)
    steps = [step for step in TRAINING_STEPS if step in wanted]
    launches = [_task(work, "reference", Task(recipe, str(work), str(folder), steps=steps), settings)]
    for number, half in enumerate(halves(faults)):
        names = [fault.name for fault in half]
        task = Task(recipe, str(work), str(folder), names, [] if number else steps)
        launches.append(_task(work, "candidate", task, settings, number))
    run_all(launches, progress)
    named = {fault.name: keys.of_fault(fault) for fault in faults}
    correct = {name: keys.of_correct(name) for name in (correct_name(recipe, step) for step in steps)}
    task = Task(recipe, str(work), str(folder), list(named), steps, named | correct)
    run_all([_task(work, "judge", task, settings)], progress)


def _prepare(work: Path, recipe: str, settings: Settings) -> None:
    """Write the weights of both sides, the images, the teacher and the configuration."""
    pair, options = pair_of(recipe), RECIPES[recipe]
    for name in ("weights", "recordings"):
        (work / name).mkdir(parents=True, exist_ok=True)
    config = configuration(pair, settings, overrides=options.settings)
    weights_of(pair, ROLES, work / "weights", settings)
    size = config.model.image_size
    sample_images.write(
        work / "pictures", size=size, num_classes=options.classes, train=_TRAIN, validation=_VALIDATION, seed=0
    )
    config = replace(config, data=replace(config.data, path=str(work / "pictures"), format="auto"))
    if needs_teacher(config):
        path = work / "weights" / "teacher.safetensors"
        write_random(build(options.teacher, num_classes=options.classes), path, seed=1, overwrite=True)
        config = with_teacher(config, path)
    (work / "config.yaml").write_text(dump(config), encoding="utf-8")


def _task(work: Path, side: str, task: Task, settings: Settings, number: int = 0) -> Launch:
    path = work / f"task-{side}-{number}.json"
    task.write(path)
    pair = pair_of(task.recipe)
    framework = (pair.candidate if side == "candidate" else pair.reference).framework
    name = f"{framework} {side} {number}" if number else f"{framework} {side}"
    return launch(name, framework, _MODULE, (side, str(path)), settings)
