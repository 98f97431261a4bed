"""The cause of a divergence that a run found: its models bisected, and known mistakes tried."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from alignment.bisection.bisect import bisect
from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.judging.other_inputs import failing_batch
from alignment.pair import Pair
from alignment.pair.inputs import Inputs
from alignment.pair.larger import larger_batch, larger_weights
from alignment.pair.variations import LARGER, variations
from alignment.processes.processes import Progress
from alignment.processes.settings import DTYPES, Settings
from alignment.results.findings import DIAGNOSIS
from alignment.results.report import DIVERGENCE, Report, write_report
from alignment.rules.settle import CONTRACT_FILE, settled
from alignment.running.prepare import INPUTS, REPORT_FILE
from alignment.running.weights import write_weights
from porting.checkpoint import open_checkpoint, write_checkpoint
from porting.checkpoint.tensor import LazyTensor

_UPDATED = "the cause was found with rows of padding that are not zero, as they are after an update"


def with_cause(
    report: Report,
    pair: Pair,
    out: str | os.PathLike[str],
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Report:
    """The report of a run with the cause of its divergence, which is written to the run's folder again.

    Args:
        report: What `alignment.running.run.align` returned; one that does not diverge is returned as it is.
        pair: What was aligned.
        out: Folder of the run; the diagnosis goes to `diagnosis/` in it.
        settings: Settings of the run.
        progress: Called as the sides report.
    """
    if report.verdict != DIVERGENCE:
        return report
    folder = Path(out).absolute()
    rules = folder / "workers" / CONTRACT_FILE
    if not pair.settled and pair.origin is not None and rules.is_file():
        pair = settled(pair.origin.target, pair.origin.arguments, str(rules))
    settings, before, note = replace(settings, dtypes=DTYPES), None, ""
    name = failing_batch([row.key for row in report.failures])
    if name == LARGER:
        settings = replace(_with_larger_weights(pair, folder, settings), inputs=write_batch(name, pair, folder))
    elif name:
        settings, before = replace(settings, inputs=write_batch(name, pair, folder)), folder / INPUTS
    elif _after_updates_only(report) and pair.contract and pair.contract.padding and settings.weights is None:
        updated = write_weights(pair, "reference", folder / "workers", source=None, seed=settings.seed, padded=False)
        settings, note = replace(settings, weights=updated.path), _UPDATED
    out, command = folder / DIAGNOSIS, report.command
    try:
        bisection = bisect(pair, out, settings, hypotheses=True, before=before, progress=progress, command=command)
    except AlignmentError as error:
        explained = replace(report, notes=(*report.notes, f"no cause could be looked for: {error.summary}"))
    else:
        notes = (*report.notes, note) if note and bisection.cause else report.notes
        explained = replace(report, cause=bisection.cause, notes=notes)
    write_report(explained, folder / REPORT_FILE)
    return explained


def _with_larger_weights(pair: Pair, folder: Path, settings: Settings) -> Settings:
    """The settings of a run with the weights of the reference multiplied, and the candidate's made of these."""
    suffix = FRAMEWORKS[pair.reference.framework].suffix
    own = folder / "weights" / f"{pair.label('reference')}{suffix}"
    if not own.is_file():  # the model has none
        return settings
    with open_checkpoint(own) as checkpoint:
        arrays = {name: np.asarray(tensor.load()) for name, tensor in checkpoint.tensors.items()}
    path = folder / "workers" / f"larger{suffix}"
    larger = larger_weights(pair, "reference", arrays)
    write_checkpoint(path, {name: LazyTensor.of(array) for name, array in larger.items()}, overwrite=True)
    none = Settings()
    return replace(
        settings,
        weights=path,
        candidate_weights=None,
        which=none.which,
        key=none.key,
        prefix=none.prefix,
        ignore=none.ignore,
    )


def _after_updates_only(report: Report) -> bool:
    """True if nothing diverges but losses after updates, which change weights that began with zeros."""
    return all(re.fullmatch(r"bp/loss_[1-9]\d*", row.key) for row in report.failures)


def write_batch(name: str, pair: Pair, folder: Path) -> Path:
    """Write a further batch of a run as a file of inputs.

    Args:
        name: Its name, see `alignment.pair.variations` and `alignment.pair.larger`.
        pair: What was aligned, its rules settled.
        folder: Folder of the run.

    Returns:
        The file, in `workers/` of the folder.
    """
    inputs = Inputs.read(folder / INPUTS)
    others = (one.batch for one in variations(pair, inputs) if one.name == name)
    batch = larger_batch(pair, inputs) if name == LARGER else next(others)
    named = batch if isinstance(batch, Mapping) else {"image": batch}
    size = len(next(iter(named.values())))
    arrays = {**named, **({"label": np.resize(inputs.labels, size)} if pair.classifies else {})}
    path = folder / "workers" / "other_batch.safetensors"
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    return path
