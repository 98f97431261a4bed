"""What a model consists of, as its own process found it: plain values that no framework is needed to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from porting.saved_rules.tensors import TensorInfo, pack

__all__ = ["FEWER", "TRACED_BATCH", "ModelDescription", "ModuleInfo", "TensorInfo", "pack"]

TRACED_BATCH, FEWER = 3, 2
"""Inputs that a model is run on to be described, and how many it is run on once more, to see which axes follow them."""


@dataclass(frozen=True)
class ModuleInfo:
    """One module.

    Attributes:
        path: Its path in the model; empty for the model itself.
        kind: Name of its class.
        bases: Names of the framework's own classes that it is or derives from, nearest first.
        tensors: Names of the tensors that it holds itself.
        call: How many modules were first called before it; None where it is not called.
        given: Digest of the first input that it was called with; empty where it is not called.
        gave: Digest of the first output of that call.
        after: Paths of modules of the same form, of whose output its input is made; those before them are left out.
        padding: The `padding_idx` of an embedding, -1 where there is none.
    """

    path: str
    kind: str
    bases: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    call: int | None = None
    given: str = ""
    gave: str = ""
    after: tuple[str, ...] = ()
    padding: int = -1


@dataclass(frozen=True)
class OutputInfo:
    """One of the tensors that a model gives.

    Attributes:
        shape: Its shape for `TRACED_BATCH` inputs.
        fewer: Its shape for `FEWER` inputs; empty where that is not known.
        dtype: NumPy's name of its dtype, floating-point inputs being float32.
    """

    shape: tuple[int, ...]
    fewer: tuple[int, ...] = ()
    dtype: str = "float32"


@dataclass(frozen=True)
class Cut:
    """The order of the tensors of a model along its data flow, where tensors that are used row by row are in pieces.

    Attributes:
        pieces: Tensor name to the number of its pieces; piece 0 of `scale` is called `scale[0]`.
        before: Tensor or piece to those directly before it, as in `ModelDescription.before`.
        last: Those directly before the outputs.
    """

    pieces: Mapping[str, int] = field(default_factory=dict)
    before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    last: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelDescription:
    """One model.

    Attributes:
        framework: A name in `alignment.frameworks.FRAMEWORKS`.
        modules: In the order in which the framework lists them.
        tensors: Name in the state dict to tensor, in its order.
        output: Shape of what it gives for `TRACED_BATCH` inputs.
        fewer: Shape of what it gives for `FEWER` inputs; empty where that is not known.
        gives: NumPy's name of the dtype of what it gives, floating-point inputs being float32.
        zeros: Whether all that it gave was zero.
        function: Whether it is a plain function.
        outputs: Name to each of the tensors that it gives; empty for one tensor without a name. `output`, `fewer` and
            `gives` are those of `alignment.backends.base.Outputs.logits`.
        others: Name to class of what it gives beside tensors, which is not compared.
        before: Tensor name to the tensors directly before it along the data flow, the empty name for an input of the
            model; tensors that nothing flows through are left out. Empty where the framework does not tell.
        last: The tensors directly before the outputs.
        cut: The same with tensors in pieces; empty where none is used row by row.
    """

    framework: str
    modules: tuple[ModuleInfo, ...]
    tensors: Mapping[str, TensorInfo]
    output: tuple[int, ...] = ()
    fewer: tuple[int, ...] = ()
    gives: str = "float32"
    zeros: bool = False
    function: bool = False
    outputs: Mapping[str, OutputInfo] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    last: tuple[str, ...] = ()
    cut: Cut = field(default_factory=Cut)

    @property
    def padding(self) -> dict[str, int]:
        """Name of the weight of each embedding that has a `padding_idx`, to that id."""
        return {name: module.padding for module in self.modules if module.padding >= 0 for name in module.tensors}
