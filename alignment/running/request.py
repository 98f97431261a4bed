"""The request that a run writes for each worker, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignment.errors import AlignmentError
from alignment.pair import Role
from alignment.processes.serving import JsonRequest

PROTOCOL = 4


@dataclass(frozen=True)
class Request(JsonRequest):
    """What a worker is asked to do; plain JSON values, files as absolute paths.

    Attributes:
        target: Where the pair is declared, see `alignment.pair.Origin`.
        arguments: Arguments of the declaration, if it is a function.
        role: `reference` or `candidate`.
        label: What this side's recordings are named after.
        steps: Names in `alignment.steps.STEPS`.
        dtypes: `float32`, `float64`.
        device: `cpu` or `gpu`.
        threads: CPU threads.
        deterministic: Use deterministic algorithms only.
        tf32: Allow TensorFloat-32.
        seed: What the run is seeded with.
        perturbations: How many times the float32 steps are repeated with inputs and weights one ulp off; 0 for none.
        weights: The side's weight file; empty where it has no weights.
        drawn: Whether the weights are drawn, so that a file which somebody ships says nothing of the constants.
        weights_digest: Digest of the canonical weights.
        inputs: The batch, as `Inputs.write` wrote it.
        inputs_digest: The digest that the batch must have.
        folder: Where the recordings go, as `<label>-<dtype>`.
        command: The command line, for the manifests.
        notes: What the reader of a report must know, for the manifests.
        protocol: Version of this exchange.
    """

    target: str
    arguments: Mapping[str, Any]
    role: Role
    label: str
    steps: list[str]
    dtypes: list[str]
    device: str
    threads: int
    deterministic: bool
    tf32: bool
    seed: int
    perturbations: int
    weights: str
    drawn: bool
    weights_digest: str
    inputs: str
    inputs_digest: str
    folder: str
    command: str = ""
    notes: list[str] = field(default_factory=list)
    protocol: int = field(default=PROTOCOL)

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request.

        Raises:
            AlignmentError: Another version of the toolkit wrote it.
        """
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("protocol") != PROTOCOL:
            raise AlignmentError(
                f"{sys.executable} holds another version of pit-port than the one that started it: "
                "install the same one in both environments"
            )
        return cls(**values)
