"""How an alignment is to run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alignment.arrays import HALVES
from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.steps import STEPS
from porting import processors
from porting.checkpoint.selection import Kind, Selection
from porting.errors import UnknownNameError
from porting.names import unknown

DTYPES = ("float32", "float64")
"""The precisions that decide whether two models are the same function, and that every command takes."""
DEVICES = ("cpu", "gpu")


@dataclass(frozen=True)
class Settings:
    """How an alignment is to run.

    Attributes:
        steps: Names in `alignment.steps.STEPS`; their order is ignored, steps run in the order of `STEPS`.
        dtypes: Precisions: of `float32` and `float64`, and of `bfloat16` and `float16` for the check points of models.
        device: `cpu` or `gpu`.
        batch_size: Number of images in the batch, where they are drawn and not read.
        seed: Seed of images, labels, random weights and perturbations.
        weights: Checkpoint of the reference, in any format and layout; None draws random weights.
        which: `model` or `ema`, which to take from a checkpoint that holds both; the average by default.
        key: Keys that lead to the state dict in a checkpoint that has it under these, joined by dots.
        prefix: Only tensors whose names begin so, and without it, in a checkpoint that has such.
        ignore: Patterns of tensors to leave out, as in `open_checkpoint`.
        candidate_weights: Checkpoint of the candidate, to test a finished port; None converts the reference's.
        inputs: File with the images or the named inputs, see `read_images` and `read_batch` of `alignment.pair.inputs`;
            None draws them.
        pythons: Framework to the interpreter that has it; this one by default.
        threads: CPU threads of each side; by default the processors are shared out between the sides.
        deterministic: Use deterministic algorithms only.
        tf32: Allow TensorFloat-32 on a GPU.
        strict: Count what the frameworks' own kernels do differently as a divergence, and run nothing without them.
        perturbations: Number of times that the reference repeats its steps in float32, or half precision, to measure
            the rounding noise.
    """

    steps: tuple[str, ...] = tuple(STEPS)
    dtypes: tuple[str, ...] = DTYPES
    device: str = "cpu"
    batch_size: int = 4
    seed: int = 0
    weights: str | os.PathLike[str] | None = None
    which: Kind | None = None
    key: str | None = None
    prefix: str | None = None
    ignore: tuple[str, ...] = ()
    candidate_weights: str | os.PathLike[str] | None = None
    inputs: str | os.PathLike[str] | None = None
    pythons: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    deterministic: bool = True
    tf32: bool = False
    strict: bool = False
    perturbations: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", chosen("step", self.steps, STEPS))
        object.__setattr__(self, "dtypes", chosen("dtype", self.dtypes, (*DTYPES, *HALVES)))
        if self.device not in DEVICES:
            raise UnknownNameError(f"unknown device {self.device!r}; known: {', '.join(DEVICES)}")
        if self.pythons:
            chosen("framework", self.pythons, FRAMEWORKS)
        for name, smallest in (("batch_size", 1), ("seed", 0), ("perturbations", 0), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise AlignmentError(f"the {name.replace('_', ' ')} is {value}, expected {smallest} or more")
        if self.candidate_weights is not None and self.weights is None:
            raise AlignmentError("the candidate's weights need the reference's to be held against: give --weights")

    @property
    def selection(self) -> Selection:
        """Which tensors of a checkpoint are meant."""
        return Selection(self.which, self.key, self.prefix, self.ignore)

    def python(self, framework: str) -> str:
        """The interpreter of a framework's side."""
        return self.pythons.get(framework) or sys.executable

    def imports(self, framework: str) -> str:
        """The backend, which a framework's worker may find imported before it is forked.

        It is empty on a GPU: what its driver has set up does not work in a fork.
        """
        return FRAMEWORKS[framework].module if self.device == "cpu" else ""

    def threads_of(self, sides: int) -> int:
        """CPU threads of each of this many sides that run at the same time."""
        return self.threads or max(1, processors.available() // sides)

    def environment(self, sides: int) -> dict[str, str | None]:
        """Variables that the frameworks read when they are imported, for a worker's process."""
        threads = str(self.threads_of(sides))
        environment: dict[str, str | None] = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "FLAGS_paddle_num_threads"), threads
        )
        deterministic = "1" if self.deterministic else None
        environment |= dict.fromkeys(("FLAGS_cudnn_deterministic", "FLAGS_embedding_deterministic"), deterministic)
        environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8" if self.deterministic else None
        environment["NVIDIA_TF32_OVERRIDE"] = None if self.tf32 else "0"
        return environment


def chosen(kind: str, names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The given names, or the one, in the order of the known; raises if there is none, or one is not known."""
    known, names = tuple(known), (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
    if not names:
        raise AlignmentError(f"no {kind} is given; known: {', '.join(known)}")
    return tuple(name for name in known if name in names)
