"""Prepares a run: its folder, the batch, the weights of each side, and the processes to start."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from alignment.errors import AlignmentError, FileError, NothingComparedError
from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair, Role
from alignment.pair import inputs as batches
from alignment.pair.constants import remarks
from alignment.pair.inputs import Inputs
from alignment.processes.processes import Launch, started
from alignment.processes.settings import Settings
from alignment.results.findings import DIAGNOSIS_FILE
from alignment.rules.settle import CONTRACT_FILE
from alignment.running.request import Request
from alignment.running.weights import WeightFile, prepare
from alignment.steps import STEPS, hindrances

REPORT_FILE = "report.json"


RECORDINGS = "recordings"


_FOLDERS = (RECORDINGS, "weights", "workers")


_FILES = (REPORT_FILE, DIAGNOSIS_FILE, "inputs.safetensors", "*_torch.npy", "*_paddle.npy", "*_diff.log")


def batch_of(pair: Pair, settings: Settings) -> Inputs:
    """What both sides are fed with."""
    classes, seed = pair.architecture.num_classes, settings.seed
    output = None if pair.contract is None or pair.classifies else pair.contract.output
    if settings.inputs is not None:
        return batches.read_images(
            settings.inputs, pair.input_shape, classes, seed=seed, tokens=pair.tokens, output=output
        )
    if not pair.own:
        return batches.draw(pair.input_shape, classes, batch_size=settings.batch_size, seed=seed)
    given = batches.random_inputs(pair.input_shape, settings.batch_size, pair.tokens, seed=seed)
    if output is not None:
        return batches.for_outputs(given, output(settings.batch_size), seed=seed)
    labels = np.random.default_rng((seed, 2)).integers(0, classes, settings.batch_size)
    return batches.complete(given, labels, classes, seed=seed)


def weights_of(pair: Pair, roles: Sequence[Role], folder: Path, settings: Settings) -> dict[Role, WeightFile]:
    """Each side's weight file; the candidate's is a port of the reference's unless it has its own."""
    files: dict[Role, WeightFile] = {}
    source: str | os.PathLike[str] | None = settings.weights or pair.weights or None
    for role in roles:
        shipped = role == "candidate" and settings.candidate_weights is not None
        files[role] = prepare(
            pair,
            role,
            folder,
            source=settings.candidate_weights if shipped else source,
            seed=settings.seed,
            which=settings.which,
            shipped=shipped,
        )
        source = source if files[role].empty else files[role].path
    return files


def launch_of(
    pair: Pair,
    role: Role,
    folder: Path,
    settings: Settings,
    batch: Inputs,
    weights: WeightFile,
    sides: int,
    command: str,
    *,
    module: str = "alignment.running.worker",
    arguments: tuple[str, ...] = (),
) -> Launch:
    """The process of one side.

    Args:
        pair: What is aligned.
        role: The side.
        folder: Where the run writes.
        settings: How to run.
        batch: The inputs, which `folder/inputs.safetensors` holds.
        weights: The side's weights.
        sides: How many run at the same time.
        command: The command line, for the manifests.
        module: What runs; it is given the path of the request.
        arguments: What it is given beside.

    Raises:
        AlignmentError: A worker could not find the pair, or runs in none of the precisions.
    """
    if pair.origin is None:
        raise AlignmentError(
            f"{pair.name}: the workers cannot find this pair; take it from alignment.build_pair, or declare it in a "
            "file and take it from alignment.pair.load_pair"
        )
    label, framework, remark = pair.label(role), pair.side(role).framework, pair.side(role).remark
    steps, notes = _applicable(pair, settings.steps)
    dtypes = [dtype for dtype in settings.dtypes if dtype in FRAMEWORKS[framework].dtypes]
    if not dtypes:
        known = ", ".join(FRAMEWORKS[framework].dtypes)
        raise AlignmentError(f"the {framework} side runs in {known} only: leave out --dtype {settings.dtypes[0]}")
    if dtypes != list(settings.dtypes):
        notes.append(f"the {framework} side runs in {', '.join(dtypes)} only, and is held against the other's float64")
    drawn = not (settings.weights or settings.candidate_weights or pair.weights)
    if pair.contract is not None:
        notes += remarks(pair.contract, of_file=not drawn)
    request = Request(
        target=pair.origin.target,
        arguments=pair.origin.arguments,
        role=role,
        label=label,
        steps=steps,
        dtypes=dtypes,
        device=settings.device,
        threads=settings.threads_of(sides),
        deterministic=settings.deterministic,
        tf32=settings.tf32,
        seed=settings.seed,
        perturbations=settings.perturbations,
        weights="" if weights.empty else str(weights.path),
        drawn=drawn,
        weights_digest=weights.digest,
        inputs=str(folder / "inputs.safetensors"),
        inputs_digest=batch.digest,
        folder=str(folder / RECORDINGS),
        command=command,
        notes=[*notes, remark] if remark else notes,
    )
    path = folder / "workers" / f"{label}.json"
    request.write(path)
    return Launch(
        name=label,
        python=settings.python(framework),
        module=module,
        arguments=(str(path), *arguments),
        log=path.with_suffix(".log"),
        environment=settings.environment(sides),
    )


def _applicable(pair: Pair, steps: Sequence[str]) -> tuple[list[str], list[str]]:
    """The steps that apply to a pair, and what a reader of the report must know of what is not compared.

    Raises:
        NothingComparedError: None applies; the reasons are named.
    """
    hindered = hindrances(STEPS, steps, pair)
    notes = [f"the step {step} does not apply: {reason}" for step, reason in hindered.items()]
    remaining = [step for step in steps if step not in hindered]
    if not remaining:
        raise NothingComparedError(f"nothing to compare: {'; '.join(notes)}")
    if pair.contract is not None and pair.contract.table.outputs:
        notes.append(f"weights mapped by workers/{CONTRACT_FILE}: {pair.contract.summary}")
    if pair.contract is not None and pair.contract.reference.zeros:
        notes.append("the reference gives nothing but zeros for random inputs, so that agreement says little")
    if counters := pair.architecture.counters:
        kind = counters[0].rpartition(".")[2]
        notes.append(
            f"{len(counters)} counters ({kind}) are not compared: they take no part in the function, and not every "
            "layout keeps them"
        )
    return remaining, notes


@contextmanager
def reprod_files(pair: Pair, folder: Path, settings: Settings) -> Iterator[list[str]]:
    """Write the official reprod_log files meanwhile, for those who exchange them; they decide nothing.

    Yields:
        A list that holds, once the context is left, why they were not written.
    """
    problems: list[str] = []
    if "paddle" not in [pair.side(role).framework for role in ROLES]:
        yield ["no reprod_log files were written: reprod_log needs Paddle, which neither side runs on"]
        return
    sides = [f"{label}={folder / RECORDINGS / f'{label}-{settings.dtypes[0]}'}" for label in map(pair.label, ROLES)]
    launch = Launch(
        name="reprod_log",
        python=settings.python("paddle"),
        module="alignment.recordings.reprod_write",
        arguments=("--pair", sides[0], "--pair", sides[1], "--out", str(folder)),
        log=folder / "workers" / "reprod_log.log",
        environment={},
    )
    with started([launch]) as wait:
        yield problems
        try:
            wait()
        except AlignmentError as error:
            problems.append(f"no reprod_log files were written: {' '.join((error.summary, *error.details[-1:]))}")


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """The folder, emptied of what an earlier run left, and held against a second run at the same time.

    Raises:
        FileError: It cannot be written, or another run holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileError(folder, "another run is writing here; wait for it or name another --out") from None
            _clear(folder)
            yield folder
    except OSError as error:
        raise FileError(folder, f"cannot be written: {error.strerror or error}") from error


def _clear(folder: Path) -> None:
    for pattern in _FILES:
        for path in folder.glob(pattern):
            path.unlink()
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
