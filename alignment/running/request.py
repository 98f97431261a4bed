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

PROTOCOL = 6


@dataclass(frozen=True)
class Request(JsonRequest):
    """What a worker is asked to do; plain JSON values, files as absolute paths.

    Attributes:
        target: Where the pair is declared, see `alignment.pair.Origin`.
        arguments: Arguments of the declaration, if it is a function.
        role: `reference` or `candidate`.
        label: Name of this side, with which its recordings' names begin.
        steps: Names in `alignment.steps.STEPS`.
        dtypes: Precisions, as in `Settings`.
        device: `cpu` or `gpu`.
        threads: CPU threads.
        deterministic: Use deterministic algorithms only.
        tf32: Allow TensorFloat-32.
        seed: Seed of every random generator of the run.
        perturbations: Number of repetitions of the steps with inputs and weights one ulp off.
        weights: The side's weight file; empty where it has no weights.
        drawn: True if the weights are random, so that the constants are those that the model was built with.
        weights_digest: Digest of the canonical weights.
        inputs: The file of the batch, written by `Inputs.write`.
        inputs_digest: The digest that the batch must have.
        folder: Folder for the recordings, which are named `<label>-<dtype>`.
        once: The precision in which steps record that need one only.
        evidence: The precision that the reference runs in for nothing but evidence on another; empty for none.
        exact: For a run with exact versions of kernels that lose precision: the framework of the other side, to have
            running statistics as it has, or `kernels`; empty for an ordinary run.
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
    once: str = "float64"
    evidence: str = ""
    exact: str = ""
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
