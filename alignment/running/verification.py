"""Verification of a finished port: the tensors of two files are compared, and the models that load them are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from alignment.errors import AlignmentError
from alignment.pair import Pair
from alignment.pair.published import build
from alignment.processes.processes import Progress
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, Report
from alignment.results.summary import headline
from alignment.running.differences import CheckpointDiff, diff, opened
from alignment.running.run import align
from alignment.running.weights import require_loadable
from porting.checkpoint.selection import Kind, Selection
from porting.conversion import identify_checkpoint
from porting.converters import table_of

_FRAMEWORK_OF = {"pdparams": "paddle", "mindspore": "mindspore", "torch-zip": "torch", "torch-legacy": "torch"}
"""Format of the port to the framework that runs it; where a format belongs to none, the layout decides."""


@dataclass(frozen=True)
class Verification:
    """Outcome of a verification.

    Attributes:
        tensors: Differences between the two files, tensor by tensor.
        forward: Report on the two models, each run with its own file's weights.
        framework: The framework that ran the port.
    """

    tensors: CheckpointDiff
    forward: Report
    framework: str

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
            "tensors": self.tensors.to_json(),
            "verdict": self.forward.verdict,
            "forward": forward,
        }

    def to_text(self) -> str:
        """The verdict, then a line on the tensors and one on the forward passes."""
        verdict = "verified" if self.passed else "NOT verified"
        return "\n".join(
            (
                f"{verdict}: {self.tensors.second} (in {self.framework}), a port of {self.tensors.first} (in torch)",
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
    progress: Progress | None = None,
    command: str = "",
) -> Verification:
    """Prove that one file is the port of another: equal tensors, and the same function when run.

    The source runs in torch, the target in the framework of its own format, or of its layout where the format belongs
    to none, both in float64 and float32.

    Args:
        source: A checkpoint of a known model, in any format and layout.
        target: Its port.
        out: Folder for what the run writes; `logs/<model>/` by default.
        settings: Batch, seed, interpreters and so on; its steps and weights are replaced.
        weights: `"model"` or `"ema"`, where a file holds both.
        key: Keys that lead to the state dict, where a file has it under these, as in `open_checkpoint`.
        prefix: Only tensors whose names begin so, and without it, where a file has such.
        ignore: Patterns of tensors to leave out.
        progress: Called as the sides report.
        command: The command line, for the report.

    Raises:
        PortingError: A file cannot be read, is no known model, or the framework of its format does not load it.
        AlignmentError: A side could not run, or the files hold different models.
    """
    selection = Selection(weights, key, prefix, tuple(ignore))
    pair, framework = _pair(source, target, selection)
    tensors = diff(source, target, **vars(selection))
    settings = replace(
        settings or Settings(),
        steps=("forward",),
        weights=source,
        candidate_weights=target,
        which=weights,
        key=key,
        prefix=prefix,
        ignore=selection.ignore,
    )
    folder = out or Path("logs") / pair.name
    return Verification(tensors, align(pair, folder, settings, progress=progress, command=command), framework)


def _pair(source: str | PathLike[str], target: str | PathLike[str], selection: Selection) -> tuple[Pair, str]:
    with opened(source, target, selection) as (one, other):
        port = identify_checkpoint(other)
        models = identify_checkpoint(one).architecture, port.architecture
        framework = _FRAMEWORK_OF.get(other.format) or table_of(port.family, port.layout).framework
        require_loadable(other, port.architecture, port.layout, framework)
    if models[0] != models[1]:
        forms = [f"{model.name} at {model.image_size}, {model.num_classes} classes" for model in models]
        raise AlignmentError(f"{target}: holds {forms[1]}, and {source} {forms[0]}: not a port of it")
    name, size, classes = models[0].name, models[0].image_size, models[0].num_classes
    return build(name, image_size=size, num_classes=classes, candidate=framework), framework
