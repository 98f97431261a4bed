"""Verification of a finished port: the tensors of two files are compared, and the models that load them are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from alignment.errors import AlignmentError
from alignment.pair import Pair, Role
from alignment.pair.published import build
from alignment.processes.processes import Progress
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, Report
from alignment.results.summary import headline
from alignment.running.differences import CheckpointDiff, diff, opened
from alignment.running.run import align
from alignment.running.weights import require_loadable
from porting.architectures import FAMILIES
from porting.by_rules import plan_by_rules
from porting.checkpoint.selection import Kind, Selection
from porting.conversion import identify_checkpoint
from porting.converters import table_of
from porting.saved_rules import SavedTable
from porting.visible import visible

_FRAMEWORK_OF = {"pdparams": "paddle", "mindspore": "mindspore", "torch-zip": "torch", "torch-legacy": "torch"}
"""Format of the port to the framework that runs it; where a format belongs to none, the layout decides."""


@dataclass(frozen=True)
class Verification:
    """Outcome of a verification.

    Attributes:
        tensors: Differences between the two files, tensor by tensor.
        forward: Report on the two models, each run with its own file's weights.
        framework: The framework that ran the port.
        source_framework: The framework that ran the source.
        source_side: The side of the pair that the source is weights of.
    """

    tensors: CheckpointDiff
    forward: Report
    framework: str
    source_framework: str = "torch"
    source_side: Role = "reference"

    @property
    def passed(self) -> bool:
        """True if all tensors are bit-equal and the forward passes agree."""
        return self.tensors.same and self.forward.verdict != DIVERGENCE

    def to_json(self) -> dict[str, Any]:
        """The outcome as a JSON value."""
        forward = {
            f"{row.key} ({row.dtype})": {"verdict": row.verdict, "rel_l2": row.rel_l2, "reason": row.reason}
            for row in self.forward.rows
            if row.kind == "output" or row.verdict == DIVERGENCE
        }
        return {
            "passed": self.passed,
            "framework": self.framework,
            "source_framework": self.source_framework,
            "tensors": self.tensors.to_json(),
            "verdict": self.forward.verdict,
            "forward": forward,
        }

    def to_text(self) -> str:
        """The verdict, then a line on the tensors and one on the forward passes."""
        verdict = "verified" if self.passed else "NOT verified"
        return "\n".join(
            (
                visible(
                    f"{verdict}: {self.tensors.second} (in {self.framework}), a port of {self.tensors.first} "
                    f"(in {self.source_framework})"
                ),
                f"  tensors  {self.tensors.to_text()}",
                f"  forward  {self.forward.verdict}: {headline(self.forward)}",
            )
        )


def verify(
    source: str | PathLike[str],
    target: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    weights: Kind | None = None,
    key: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    pair: Pair | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Verification:
    """Prove that one file is the port of another: equal tensors, and the same function when run.

    The source runs in torch, the target in the framework of its own format, or of its layout where the format belongs
    to none, both in float64 and float32.

    Args:
        source: A checkpoint of a known model, or of a side of `pair`, in any format and layout.
        target: Its port.
        out: Folder for what the run writes; `logs/<model>/` by default.
        settings: Batch, seed, interpreters and so on; its steps and weights are replaced.
        weights: `"model"` or `"ema"`, where a file holds both.
        key: Keys that lead to the state dict, where a file has it under these, as in `open_checkpoint`.
        prefix: Only tensors whose names begin so, and without it, where a file has such.
        ignore: Patterns of tensors to leave out.
        pair: Two models of the user's, their rules settled, of which either file is the weights of one; each then runs
            in the framework of its side.
        progress: Called as the sides report.
        command: The command line, for the report.

    Raises:
        PortingError: A file cannot be read, is no known model, or the framework of its format does not load it.
        AlignmentError: A side could not run, or the files hold different models.
    """
    selection = Selection(weights, key, prefix, tuple(ignore))
    task = _published(source, target, selection) if pair is None else _own(source, target, selection, pair)
    tensors = diff(source, target, **vars(selection), rules=task.rules)
    files = dict(zip(task.roles, (source, target), strict=True))
    settings = replace(
        settings or Settings(),
        steps=("forward",),
        weights=files["reference"],
        candidate_weights=files["candidate"],
        which=weights,
        key=key,
        prefix=prefix,
        ignore=selection.ignore,
    )
    folder = out or Path("logs") / task.pair.name
    forward = align(task.pair, folder, settings, progress=progress, command=command)
    return Verification(tensors, forward, task.frameworks[1], task.frameworks[0], task.roles[0])


class _Task(NamedTuple):
    """What to run.

    Attributes:
        pair: The two models.
        roles: The sides that source and target are weights of.
        frameworks: What these run in.
        rules: The rules between the files; None for a published model.
    """

    pair: Pair
    roles: tuple[Role, Role]
    frameworks: tuple[str, str]
    rules: SavedTable | None = None


def _published(source: str | PathLike[str], target: str | PathLike[str], selection: Selection) -> _Task:
    with opened(source, target, selection) as (one, other):
        port = identify_checkpoint(other)
        models = identify_checkpoint(one).architecture, port.architecture
        framework = _FRAMEWORK_OF.get(other.format) or table_of(port.family, port.layout).framework
        require_loadable(other, port.architecture, port.layout, framework)
    if models[0] != models[1]:
        forms = [f"{model.name} at {model.image_size}, {model.num_classes} classes" for model in models]
        raise AlignmentError(f"{target}: holds {forms[1]}, and {source} {forms[0]}: not a port of it")
    if models[0].family not in FAMILIES:
        raise AlignmentError(
            f"{models[0].name}: only its weights are known here, not how it is built: give --pair FILE"
        )
    name, size, classes = models[0].name, models[0].image_size, models[0].num_classes
    pair = build(name, image_size=size, num_classes=classes, candidate=framework)
    return _Task(pair, ("reference", "candidate"), ("torch", framework))


def _own(source: str | PathLike[str], target: str | PathLike[str], selection: Selection, pair: Pair) -> _Task:
    if pair.contract is None:
        raise AlignmentError(f"{pair.name}: its rules are not settled; take it from alignment.rules.settle.settle")
    rules = pair.contract.saved
    with opened(source, target, selection) as (one, other):
        roles = plan_by_rules(rules, one).source, plan_by_rules(rules, other).source
    if roles[0] == roles[1]:
        side = rules.title(roles[0])
        raise AlignmentError(f"{target}: is on {side} of {pair.name}, and so is {source}: not a port of it")
    return _Task(pair, roles, (rules.side(roles[0]).framework, rules.side(roles[1]).framework), rules)
