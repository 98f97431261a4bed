"""A run before it starts: its folder, the batch, the weights of each side, the requests and the processes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alignment.arrays import HALVES
from alignment.errors import AlignmentError, FileError, HeldError, NothingComparedError
from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair, Role
from alignment.pair import inputs as batches
from alignment.pair.constants import remarks
from alignment.pair.contract import Contract
from alignment.pair.inputs import Inputs
from alignment.pair.telling import telling_batch
from alignment.processes.needs import require
from alignment.processes.processes import Launch, Progress, run_all
from alignment.processes.settings import Settings
from alignment.results.findings import DIAGNOSIS, DIAGNOSIS_FILE
from alignment.rules.settle import CONTRACT_FILE, settle
from alignment.running.request import Request
from alignment.running.weights import WeightFile, write_weights
from alignment.steps import STEPS, Step, hindrances

WORKER = "alignment.running.worker"
"""The program of one side of an alignment."""
REPORT_FILE, RECORDINGS, EXACT = "report.json", "recordings", "exact"
CELL_FILE = "cell.json"
"""What `pit-align matrix` notes of a run beside its report."""
INPUTS = "inputs.safetensors"
_FOLDERS = (RECORDINGS, EXACT, "weights", "workers")
_FILES = (REPORT_FILE, CELL_FILE, DIAGNOSIS_FILE, INPUTS, "*_torch.npy", "*_paddle.npy", "*_diff.log")


def batch_of(pair: Pair, settings: Settings) -> Inputs:
    """The batch that both sides are given: read, or drawn from the settings' seed."""
    classes, seed = pair.architecture.num_classes, settings.seed
    if settings.inputs is not None and pair.inputs:
        batch, labels = batches.read_batch(settings.inputs, pair)
        return batches.finished(pair, batch, labels, seed=seed)
    if settings.inputs is not None:
        output = None if pair.contract is None or pair.classifies else pair.contract.output
        read = batches.read_images(
            settings.inputs, pair.input_shape, classes, seed=seed, tokens=pair.tokens, output=output
        )
        return batches.finished(pair, read.images, read.labels, seed=seed) if pair.own else read
    if not pair.own:
        return batches.draw(pair.input_shape, classes, batch_size=settings.batch_size, seed=seed)
    return batches.finished(pair, telling_batch(pair, settings.batch_size, seed=seed), seed=seed)


def weights_of(pair: Pair, roles: Sequence[Role], folder: Path, settings: Settings) -> dict[Role, WeightFile]:
    """Each side's weight file; the candidate's is a port of the reference's unless it has its own."""
    files: dict[Role, WeightFile] = {}
    source: str | os.PathLike[str] | None = settings.weights or pair.weights or None
    named: Role | None = None
    for role in roles:
        shipped = role == "candidate" and settings.candidate_weights is not None
        files[role] = write_weights(
            pair,
            role,
            folder,
            source=settings.candidate_weights if shipped else source,
            seed=settings.seed,
            selection=settings.selection,
            shipped=shipped,
            named=None if shipped else named,
        )
        if not files[role].empty:
            source, named = files[role].path, role
    return files


@dataclass(frozen=True)
class Prepared:
    """A run whose batch and weight files are written, ready for the requests and the processes of its sides.

    Attributes:
        pair: What is aligned, its rules settled.
        folder: Folder of the run.
        settings: How to run; its steps are those that apply to the pair.
        inputs_digest: Digest of the batch in `folder/inputs.safetensors`.
        weights: Weight file of each side that runs.
        sides: Number of processes that run at the same time and share the processors.
        notes: What the reader of a report must know, for the manifests.
        command: The command line, for the manifests.
        exact: `kernels` to run exact versions of kernels that lose precision, `statistics` to have running statistics
            as the other framework has them too; the recordings are in `folder/exact` then. Empty for an ordinary run.
    """

    pair: Pair
    folder: Path
    settings: Settings
    inputs_digest: str
    weights: Mapping[Role, WeightFile]
    sides: int
    notes: Sequence[str]
    command: str
    exact: str = ""

    def write_request(self, role: Role) -> Path:
        """Write what the worker of one side reads, and return its path.

        Raises:
            AlignmentError: A worker could not find the pair, or runs in none of the precisions.
        """
        path = self._request_file(role)
        self._request(role).write(path)
        return path

    def launch(self, role: Role, module: str = WORKER, arguments: Sequence[str] = ()) -> Launch:
        """The process of one side, to be started once its request is written.

        Args:
            role: The side.
            module: What runs; it is given the path of the request.
            arguments: What it is given beside.
        """
        path = self._request_file(role)
        return Launch(
            name=self.pair.label(role),
            python=self.settings.python(self.pair.side(role).framework),
            module=module,
            arguments=(str(path), *arguments),
            log=path.with_suffix(".log"),
            environment=self.settings.environment(self.sides),
            imports=self.settings.imports(self.pair.side(role).framework),
        )

    def run_sides(self, progress: Progress | None, module: str = WORKER, arguments: Sequence[str] = ()) -> None:
        """Write the requests of all sides and run them at the same time; arguments as those of `launch`.

        Raises:
            AlignmentError: A side could not run.
        """
        for role in self.weights:
            self.write_request(role)
        run_all([self.launch(role, module, arguments) for role in self.weights], progress)

    def recordings(self, role: Role) -> list[Path]:
        """Where the recordings of a side are, one a precision."""
        evidence = _evidence(self.pair, role, self.settings.dtypes)
        dtypes = (*self.settings.dtypes, *([evidence] if evidence else []))
        return [self.recorded / f"{self.pair.label(role)}-{dtype}" for dtype in dtypes]

    @property
    def recorded(self) -> Path:
        """Folder of the recordings."""
        return self.folder / (EXACT if self.exact else RECORDINGS)

    @property
    def _once(self) -> str:
        """The precision of what is recorded once: float64, unless a side does not have it."""
        known = [_known(self.pair.side(role).framework) for role in ROLES]
        common = [dtype for dtype in self.settings.dtypes if all(dtype in dtypes for dtypes in known)]
        return "float64" if "float64" in common else next(iter(common), "")

    def _peer(self, role: Role) -> str:
        """The framework of the other side."""
        return self.pair.side("candidate" if role == "reference" else "reference").framework

    def _request_file(self, role: Role) -> Path:
        return self.folder / "workers" / f"{self.pair.label(role)}{'-exact' if self.exact else ''}.json"

    def _request(self, role: Role) -> Request:
        pair, settings, weights = self.pair, self.settings, self.weights[role]
        if pair.origin is None:
            raise AlignmentError(
                f"{pair.name}: the workers cannot find this pair; take it from alignment.build_pair, or declare it in "
                "a file and take it from alignment.pair.load_pair"
            )
        dtypes, notes = _dtypes(pair.side(role).framework, settings.dtypes)
        evidence = _evidence(pair, role, settings.dtypes)
        drawn = not (settings.weights or settings.candidate_weights or pair.weights)
        if pair.contract is not None:
            notes += remarks(pair.contract, of_file=not drawn)
        if pair.side(role).remark:
            notes.append(pair.side(role).remark)
        return Request(
            target=pair.origin.target,
            arguments=pair.origin.arguments,
            role=role,
            label=pair.label(role),
            steps=list(settings.steps),
            dtypes=[*dtypes, *([evidence] if evidence else [])],
            device=settings.device,
            threads=settings.threads_of(self.sides),
            deterministic=settings.deterministic,
            tf32=settings.tf32,
            seed=settings.seed,
            perturbations=settings.perturbations,
            weights="" if weights.empty else str(weights.path),
            drawn=drawn,
            weights_digest=weights.digest,
            inputs=str(self.folder / INPUTS),
            inputs_digest=self.inputs_digest,
            folder=str(self.recorded),
            once=self._once,
            evidence=evidence,
            exact=self._peer(role) if self.exact == "statistics" else self.exact,
            command=self.command,
            notes=[*self.notes, *notes],
        )


def prepare(
    pair: Pair,
    folder: Path,
    settings: Settings,
    *,
    roles: Sequence[Role] = ROLES,
    sides: int | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Prepared:
    """Settle the rules of a pair, and write the batch and each side's weight file.

    Args:
        pair: What is aligned.
        folder: Where the run writes.
        settings: How to run.
        roles: The sides that run.
        sides: How many processes run at the same time; all sides by default.
        progress: Called as the models are described, where rules are derived from them.
        command: The command line, for the manifests.

    Raises:
        NothingComparedError: No step applies to the pair.
        AlignmentError: A framework or a file is missing, or the rules cannot be settled.
        PortingError: The weights or inputs cannot be read or do not fit the model.
    """
    for role in roles:
        _dtypes(pair.side(role).framework, settings.dtypes)  # refuses before anything is looked for
    require(pair, settings, roles)
    pair = settle(pair, folder, settings, progress)
    steps, notes = applicable(STEPS, settings.steps, pair)
    batch = batch_of(pair, settings)
    batch.write(folder / INPUTS)
    return Prepared(
        pair=pair,
        folder=folder,
        settings=replace(settings, steps=tuple(steps)),
        inputs_digest=batch.digest,
        weights=weights_of(pair, roles, folder / "weights", settings),
        sides=sides or len(roles),
        notes=[*notes, *_limits_of_comparison(pair), *_not_exercised(settings, steps)],
        command=command,
    )


def applicable(table: Mapping[str, Step[Any]], steps: Sequence[str], pair: Pair) -> tuple[list[str], list[str]]:
    """The steps that apply to a pair, in the order of their table, and a note with the reason for each that does not.

    Raises:
        NothingComparedError: None applies; the reasons are named.
    """
    hindered = hindrances(table, steps, pair)
    notes = [f"the step {step} does not apply: {reason}" for step, reason in hindered.items()]
    remaining = [step for step in table if step in steps and step not in hindered]
    if not remaining:
        raise NothingComparedError(f"nothing to compare: {'; '.join(notes)}")
    return remaining, notes


def _not_exercised(settings: Settings, steps: Sequence[str]) -> Iterator[str]:
    """What a run of several steps leaves out: steps that it was told to, and what is recorded in float64 only."""
    if len(settings.steps) > 1:
        left_out = [step for step in STEPS if step not in settings.steps]
        if left_out:
            yield f"not exercised: {', '.join(left_out)}, which this run leaves out"
    if "train_mode" in steps and "float64" not in settings.dtypes:
        yield "not exercised: training mode, which is compared in float64"
    halves = [dtype for dtype in settings.dtypes if dtype in HALVES]
    if halves and "bp" in steps:
        yield f"not exercised in {' and '.join(halves)}: updates, for which weights are kept in float32"


def _limits_of_comparison(pair: Pair) -> Iterator[str]:
    """What a reader of the report must know of weights and outputs that are mapped, trivial or left out."""
    contract, counters = pair.contract, pair.architecture.counters
    if contract is not None and contract.table.outputs:
        yield f"weights mapped by workers/{CONTRACT_FILE}: {contract.summary}"
    if contract is not None:
        if crosswise := contract.saved.crosswise:  # which plans the rules each time
            yield crosswise
        yield from _outputs_remarks(contract)
    if contract is not None and contract.reference.zeros:
        yield "the reference gives nothing but zeros for random inputs, so that agreement says little"
    if counters:
        yield (
            f"{len(counters)} counters ({counters[0].rpartition('.')[2]}) are not compared: they take no part in the "
            "function, and not every layout keeps them"
        )


def _outputs_remarks(contract: Contract) -> Iterator[str]:
    """Which outputs were matched by their places, and what the models give that is not compared."""
    for role in ROLES:
        model = contract.reference if role == "reference" else contract.candidate
        names = {own: name for own, name in contract.names(role).items() if own != name}
        if names:
            places = ", ".join(f"{own} is {name}" for own, name in names.items())
            yield f"outputs of the {role} matched by their places: {places}"
        if model.others:
            others = ", ".join(f"{name or 'its output'} ({kind})" for name, kind in model.others.items())
            yield f"the {role} gives beside tensors what is not compared: {others}"


def _dtypes(framework: str, dtypes: Sequence[str]) -> tuple[list[str], list[str]]:
    """The precisions that a framework has, and a note where that is not all of them.

    Raises:
        AlignmentError: It has none.
    """
    known = _known(framework)
    possible = [dtype for dtype in dtypes if dtype in known]
    if not possible:
        whole = ", ".join(FRAMEWORKS[framework].dtypes)
        raise AlignmentError(f"the {framework} side runs in {whole} only: leave out --dtype {dtypes[0]}")
    if possible == list(dtypes):
        return possible, []
    return possible, [
        f"the {framework} side runs in {', '.join(possible)} only, and is held against the other's float64"
    ]


def _known(framework: str) -> tuple[str, ...]:
    """Precisions that a side can be asked for; which half precision it has, only trying tells."""
    return (*FRAMEWORKS[framework].dtypes, *HALVES)


def _evidence(pair: Pair, role: Role, dtypes: Sequence[str]) -> str:
    """The precision in which the reference runs beside those that are asked for: half precision is held against it."""
    wanted = role == "reference" and "float64" not in dtypes and any(dtype in HALVES for dtype in dtypes)
    return "float64" if wanted and "float64" in FRAMEWORKS[pair.side(role).framework].dtypes else ""


@contextmanager
def held(folder: Path, name: str = ".lock") -> Iterator[Path]:
    """The folder, made if it is not there, and held against a second run at the same time.

    Args:
        folder: Where to write.
        name: Name of the file in it that is locked.

    Raises:
        HeldError: Another run holds it.
        FileError: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / name).open("w")
    except FileExistsError:
        raise FileError(folder, "is a file, expected a folder; name another --out") from None
    except OSError as error:
        raise FileError(folder, f"cannot be written: {error.strerror or error}") from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(folder, "another run is writing here; wait for it or name another --out") from None
        yield folder


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """The folder, emptied of what an earlier run left, and held against a second run at the same time.

    Raises:
        FileError: It cannot be written, or another run holds it.
    """
    try:
        with held(folder):
            for path in (path for pattern in _FILES for path in folder.glob(pattern)):
                path.unlink()
            shutil.rmtree(folder / DIAGNOSIS, ignore_errors=True)
            for name in _FOLDERS:
                shutil.rmtree(folder / name, ignore_errors=True)
                (folder / name).mkdir()
            yield folder
    except OSError as error:
        raise FileError(folder, f"cannot be written: {error.strerror or error}") from error
