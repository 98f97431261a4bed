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
from alignment.selftest.results import Keys, correct_file, fault_file, is_done
from alignment.selftest.training_worker import Task, pair_of, right_name
from alignment.steps.training import TRAINING_STEPS
from alignment.training import sample_images
from alignment.training.configuring import configuration, needs_teacher, with_teacher
from porting.architectures import build
from porting.conversion import write_random
from recipe.loading import dump

_BATCH, _TRAIN, _VALIDATION = 4, 16, 21
"""Images of a batch, and of the two sets: two updates an epoch, and a last batch of one image."""
_MODULE = "alignment.selftest.training_worker"


def run(
    folder: Path, faults: Sequence[Fault], settings: Settings, progress: Progress | None, keys: Keys | None = None
) -> None:
    """Put faults into recipes, and leave a file of results for each, and one for each right recipe.

    Args:
        folder: Of the self-test; faults whose result is there are taken as done.
        faults: Those of training among them are run.
        settings: Interpreters.
        progress: Called as the sides report.
        keys: Of the results; of this code and the settings' interpreters by default.

    Raises:
        AlignmentError: A side could not run.
        FileError: What lies in the place of a result is none.
    """
    keys = keys or Keys.of(settings)
    rights = right_runs(faults)
    for recipe in RECIPES:
        own = [fault for fault in faults if fault.recipe == recipe]
        todo = [fault for fault in own if not is_done(fault_file(folder, fault), keys.of_fault(fault))]
        missing = {
            step
            for name, (of, step) in rights.items()
            if of == recipe and not is_done(correct_file(folder, name), keys.of_correct(name))
        }
        wanted = {fault.step for fault in todo} | missing
        if wanted:
            _run_recipe(folder, recipe, todo, wanted, keys, settings, progress)


def right_runs(faults: Sequence[Fault]) -> dict[str, tuple[str, str]]:
    """The recipes and check points that faults are put into, and that are run without them, by the results' names."""
    pairs = {(fault.recipe, fault.step): None for fault in faults if fault.place == "training"}
    return {right_name(recipe, step): (recipe, step) for recipe, step in pairs}


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
    steps = tuple(step for step in TRAINING_STEPS if step in wanted)
    halves = [faults[0::2], faults[1::2]] if len(faults) > 8 else [faults]
    tasks = [_task(work, "reference", Task(recipe, work, folder, (), steps), settings)]
    for number, half in enumerate(halves):
        names = tuple(fault.name for fault in half)
        task = Task(recipe, work, folder, names, steps if number == 0 else ())
        tasks.append(_task(work, "candidate", task, settings, number))
    run_all(tasks, progress)
    named = {fault.name: keys.of_fault(fault) for fault in faults}
    rights = {right_name(recipe, step): keys.of_correct(right_name(recipe, step)) for step in steps}
    task = Task(recipe, work, folder, tuple(named), steps, named | rights)
    run_all([_task(work, "judge", task, settings)], progress)


def _prepare(work: Path, recipe: str, settings: Settings) -> None:
    """Write the weights of both sides, the pictures, the teacher and the configuration."""
    pair, given = pair_of(recipe), RECIPES[recipe]
    for name in ("weights", "recordings"):
        (work / name).mkdir(parents=True, exist_ok=True)
    config = configuration(pair, settings, overrides=given.settings)
    weights_of(pair, ROLES, work / "weights", settings)
    size = config.model.image_size
    sample_images.write(
        work / "pictures", size=size, num_classes=given.classes, train=_TRAIN, validation=_VALIDATION, seed=0
    )
    config = replace(config, data=replace(config.data, path=str(work / "pictures"), format="auto"))
    if needs_teacher(config):
        path = work / "weights" / "teacher.safetensors"
        write_random(build(given.teacher, num_classes=given.classes), path, seed=1, overwrite=True)
        config = with_teacher(config, path)
    (work / "config.yaml").write_text(dump(config), encoding="utf-8")


def _task(work: Path, side: str, task: Task, settings: Settings, number: int = 0) -> Launch:
    path = work / f"task-{side}-{number}.json"
    task.write(path)
    pair = pair_of(task.recipe)
    framework = (pair.candidate if side == "candidate" else pair.reference).framework
    return Launch(
        name=f"{framework} {side} {number}" if number else f"{framework} {side}",
        python=settings.python(framework),
        module=_MODULE,
        arguments=(side, str(path)),
        log=path.with_suffix(".log"),
        environment=settings.environment(2),
    )
