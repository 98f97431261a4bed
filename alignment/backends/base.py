"""The protocol between alignment and a framework.

A backend is the only code that knows its framework; steps are written once, against this protocol, so that the two
sides of a pair cannot drift apart. What a backend must hold to:

- Arrays cross the boundary as NumPy arrays, in and out; what comes out is a copy that later calls leave alone.
- Names of parameters are the framework's own, as in its state dict; the steps translate them.
- The model is in evaluation mode, but where a step calls `train`. Nothing is random, and with `deterministic` two runs
  on one machine agree bit by bit.
- Floating-point data keeps the dtype chosen with `use`, end to end: no silent promotion, no reduced precision such as
  TF32 unless `tf32` asks for it. In half precision a model's own casts to float32 may show in what it gives.
- Loss functions, metrics and the optimiser are the framework's own (or its ecosystem's): they are under test as well.
- A parameter that no gradient reached has a gradient of zeros, for that is what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from alignment.arrays import Array, Batch
from alignment.backends.calling import Interface
from alignment.backends.functions.calls import Functions
from alignment.backends.graph import OperationGraph
from alignment.pair.outputs import LOGITS
from alignment.recordings.kernels import Kernel

BUFFER, FROZEN, UNREACHED = "buffer", "frozen", "unreached"
"""Why no optimizer updates a tensor: it is no parameter, it takes no gradient, or none has arrived."""


FILLED = 1e20
"""Absolute value from which an output is taken for one that a mask has filled in."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a framework is to run.

    Attributes:
        device: `cpu` or `gpu`.
        threads: CPU threads; None leaves the framework's default.
        deterministic: Use deterministic algorithms only.
        tf32: Allow TensorFloat-32 in float32 products on a GPU.
        seed: Seed of the framework's generators, for models that draw when they are built.
    """

    device: str = "cpu"
    threads: int | None = None
    deterministic: bool = True
    tf32: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outputs:
    """Results of a forward pass.

    Attributes:
        logits: `(batch, classes)`; of a model that gives several tensors, the one called `logits`, or else the first
            floating-point one, of any shape.
        stages: Feature map of every stage, `(batch, channels, height, width)` as a rule; none where none was asked for.
        named: Everything that the model gives by name, in its order, `logits` included; empty for a model that gives
            one tensor without a name. Names of nested values are joined by dots: `hidden_states.0`.
        others: Name to class of what the model gives beside tensors, which is not compared: a cache of keys and values.
        changed: Names of the inputs that the model has changed in place.
    """

    logits: Array
    stages: tuple[Array, ...]
    named: Mapping[str, Array] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @property
    def by_name(self) -> Mapping[str, Array]:
        """Everything that the model gives by name; one tensor without a name is called `logits`."""
        return self.named or {LOGITS: self.logits}


@dataclass(frozen=True, slots=True)
class AdamW:
    """Hyper-parameters of the optimiser; the weight decay is decoupled and applies to every parameter.

    The decay is 0.05 in float32, since Paddle's kernel holds it so: another number would be off by 1e-8 there. The
    first step divides each gradient by its own size, so that rounding alone decides in which direction an element moves
    whose gradient is nearly zero: above the frameworks' 1e-8, epsilon keeps such an element where it is.
    """

    learning_rate: float = 5e-4
    weight_decay: float = 0.05000000074505806
    epsilon: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class Description:
    """What a recording says about how its framework ran.

    Attributes:
        versions: Version of the framework and of what else decides numbers.
        flags: Settings that change numbers.
        threads: CPU threads in use, None where the framework does not tell.
    """

    versions: Mapping[str, str]
    flags: Mapping[str, bool | int | str]
    threads: int | None


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a model, as its framework has it.

    Attributes:
        kind: Name of its class.
        parameters: Names in the model's state dict of the tensors that it holds itself, its children's left out.
        settings: Its plain attributes, without the underscore that they may start with: `eps`, `epsilon`, `stride`.
        bases: Names of the framework's own classes that it is or derives from, nearest first: a subclass of Linear
            stores its weight as a Linear does, a class of the user's that is merely called so may not.
    """

    kind: str
    parameters: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tap:
    """One tensor that goes into a module or comes out of it.

    Attributes:
        path: Path of the module; empty for the model itself.
        call: Number of calls of the module before this one.
        what: `input`, `output`, or the gradient of the loss with regard to one: `input_gradient`, `output_gradient`;
            or `integers`, for an input of integers or booleans, such as the ids that an embedding takes.
        index: Which of the tensors of this kind that go in or come out.
    """

    path: str
    call: int
    what: str
    index: int

    def __str__(self) -> str:
        return f"{self.path}:{self.call}/{self.what}/{self.index}"


@dataclass(frozen=True, slots=True)
class Isolated:
    """Results of one module that was run alone on given inputs.

    Attributes:
        outputs: The tensors that it returned.
        input_gradients: Gradients of the inputs, sent back from the given output gradients; None where none arrived.
    """

    outputs: tuple[Array, ...]
    input_gradients: tuple[Array | None, ...]


Visit: TypeAlias = Callable[[Tap, Array], None]
Replaced: TypeAlias = Mapping[tuple[str, int], Sequence[Array]]
Substitute: TypeAlias = Callable[[str, int, str, Sequence[Array]], "Sequence[Array] | None"]
"""Called with path, call, `input` or `output`, and the floating-point tensors that go into a module or come out of it;
returns what takes their place, or None to leave them."""


class Taps(Protocol):
    """What can be seen of the modules of a model while it runs."""

    @property
    def gradients(self) -> bool:
        """Whether gradients can be watched."""

    @property
    def modules(self) -> Mapping[str, Module]:
        """Every module by its path; that of the model itself is empty."""

    @property
    def objects(self) -> Mapping[str, Any]:
        """Every module by its path, as the framework's own object."""

    def detach(self, tensor: Any) -> Any:
        """A tensor of the same values, through which no gradient flows back."""

    def changed(self, path: str, change: Callable[[Sequence[Any], Any], Any]) -> AbstractContextManager[None]:
        """Change what a module returns while the context is open.

        Args:
            path: The module.
            change: Called with the floating-point tensors that the module was given by position and one that it
                returns, all of them the framework's own; returns what takes the place of the latter.
        """

    def watch(
        self,
        visit: Visit,
        replaced: Replaced | None = None,
        substitute: Substitute | None = None,
        *,
        apart: bool = False,
        paths: Container[str] | None = None,
    ) -> AbstractContextManager[None]:
        """Show everything that goes through the modules while the context is open.

        Modules are handed the very tensors that they would be handed otherwise, and what is shown of one is a copy of
        its values at that moment. No gradient of an input is shown then: it would be that of every use of the tensor,
        not of this one; nor that of an output which is an input that the module passes on as it is.

        Args:
            visit: Called with every floating-point tensor, and with every input of integers or booleans, in the order
                in which they appear.
            replaced: What calls of modules, `(path, call)`, are made to return.
            substitute: Decides that, and what goes in, from what there was; with it, `replaced` does nothing.
            apart: Show the gradient of each use of a tensor, for which every module is handed and returns copies. What
                one does to its input in place is not seen elsewhere then, so compare with a run that is not watched.
            paths: Modules to watch; all by default.
        """

    def isolate(
        self,
        path: str,
        call: int,
        inputs: Sequence[Array],
        output_gradients: Sequence[Array | None] = (),
        replaced: Replaced | None = None,
        visit: Visit | None = None,
        integers: Sequence[Array] = (),
    ) -> Isolated:
        """Run one module alone; `Backend.gradients` has those of its parameters afterwards.

        Args:
            path: The module.
            call: The call, watched before, whose other arguments it gets.
            inputs: What takes the place of the floating-point tensors of that call, positional and by keyword.
            output_gradients: Gradients to send back through it; none leaves its gradients alone.
            replaced: As for `watch`; calls are counted within this run.
            visit: As for `watch`.
            integers: What takes the place of the tensors of integers and booleans of that call, in the dtypes that the
                call had. They stay those of the call where number or shapes are others, unless the module takes
                nothing else.

        Raises:
            AlignmentError: The call was not watched, or takes another number of tensors.
        """


class Backend(Protocol):
    """One framework with one model; the module's docstring has the rules.

    Attributes:
        title: Name of the framework in messages.
        finest: The most exact precision that it runs models in.
    """

    title: str
    finest: str

    def describe(self) -> Description:
        """Versions, settings and threads in use."""

    def build(self, builder: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Make the model, put it on the device and in evaluation mode.

        Raises:
            AlignmentError: The builder returned something else than a model of this framework.
        """

    def wrap(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Take a plain function of the framework's tensors for the model; the options are its keyword arguments."""

    def connect(self, interface: Interface) -> None:
        """Say how the model is called and what its outputs are called; by default they have the model's own names."""

    def load(self, path: Path) -> None:
        """Read a weight file with the framework's own loader, strictly.

        Raises:
            AlignmentError: Names or shapes are not those of the model; every mismatch is listed.
        """

    def use(self, dtype: str) -> None:
        """Convert the model to `float32`, `float64`, `bfloat16` or `float16`.

        What the model creates while it runs is of this precision in float32 and float64. In half precision it is
        float32, as it is where users convert a model.
        """

    def state(self, names: Container[str] | None = None) -> dict[str, Array]:
        """Tensors of the model's state dict: those of these names, or all."""

    def set_state(self, arrays: Mapping[str, Array]) -> None:
        """Overwrite tensors of the state dict, converting floating-point values to the dtype in use."""

    def buffers(self) -> frozenset[str]:
        """Names in the state dict of what no optimiser updates: running statistics, counters, constants."""

    def tied(self) -> Mapping[str, str]:
        """Further names in the state dict of a tensor that is in it already, to its first name."""

    def train(self, training: bool, *, scaled: bool = False) -> None:
        """Put the model in training mode, or back in evaluation mode.

        What draws at random (`draws_at_random`) stays in evaluation mode, and dropouts called as functions have the
        rate zero: two frameworks draw different numbers.

        Args:
            training: Whether it is training mode.
            scaled: Multiply by one plus the rate where a dropout would draw.
        """

    def forward(self, images: Batch, intermediates: str | None) -> Outputs:
        """Run the model without gradients.

        Args:
            images: `(batch, channels, height, width)`, of the dtype in use: the model's first positional argument. Or
                several arrays by the names of the pair's inputs, which become keyword arguments.
            intermediates: Method that returns `(logits, [feature maps])`; None calls the model itself.

        Raises:
            AlignmentError: The model has no such method, takes no argument of some name, fails, or gives no tensor.
        """

    def loss(self, name: str, logits: Array, target: Array) -> Array:
        """A loss of given logits, averaged over the batch, shape `()`.

        Args:
            name: `cross_entropy`, `label_smoothing` (0.1) or `soft_target`; `projection`, the sum of outputs times
                targets without those from `FILLED` on, where the outputs are no logits.
            logits: `(batch, classes)`, of the dtype in use; for `projection`, of any shape.
            target: int64 labels `(batch,)`; for `soft_target`, probabilities `(batch, classes)`; for `projection`, of
                the shape of the outputs.
        """

    def accuracy(self, scores: Array, labels: Array, k: int) -> float:
        """Fraction of rows whose label is among the `k` best scores, by the ecosystem's metric function.

        Args:
            scores: `(batch, classes)`.
            labels: int64 `(batch,)`.
            k: At most the number of classes.
        """

    def top_classes(self, scores: Array, k: int) -> Array:
        """Classes of the `k` best scores, best first, int64 `(batch, k)`."""

    def backward(self, images: Batch, target: Batch, loss: str = "soft_target") -> Array:
        """Run the model and the gradient of a loss of what it gives; returns the loss, shape `()`.

        Args:
            images: As for `forward`.
            target: As for `loss`, for `Outputs.logits`. Or targets by the names of outputs: the loss is then the sum of
                `loss` of the output `logits` and of the projections of all others. An output that the model does not
                give is left out; for one in another shape the target is repeated or cut.
            loss: The name of a loss that is given a floating-point target.
        """

    def gradients(self, names: Container[str] | None = None) -> dict[str, Array]:
        """Gradients of tensors from the last `backward`, of these names or all; zeros where none arrived."""

    def untrained(self) -> dict[str, str]:
        """Names in the state dict of what no optimizer would update after the last `backward`, to the reason.

        That is `BUFFER`, `FROZEN` or `UNREACHED`; an optimizer passes over a parameter without a gradient, and decays
        one whose gradient is zero.
        """

    def input_gradient(self) -> Array:
        """Gradient of the images from the last `backward`; of several inputs, that of the first floating-point one."""

    def input_gradients(self) -> dict[str, Array]:
        """Gradient of every floating-point input from the last `backward`, by name; zeros where none arrived.

        An input that was given as one array has the empty name.
        """

    def graph(self, images: Batch) -> OperationGraph | None:
        """The operations of a pass on this batch, of the dtype in use; None where the framework does not tell."""

    def taps(self) -> Taps:
        """The modules of the model that was built."""

    def functions(self) -> Functions | None:
        """The framework's functions that the model's code may call; None where they cannot be watched."""

    @property
    def drawn(self) -> frozenset[float]:
        """Rates above zero that the model has called dropouts with as functions, since it is in training mode."""

    @property
    def idle_rates(self) -> frozenset[float]:
        """Rates above zero of dropouts that are modules and that nothing has used since it is in training mode."""

    @property
    def hides_dropouts(self) -> bool:
        """True if something draws that was not scaled in the last training mode that scales dropouts."""

    def ways_of_dropping(self) -> frozenset[str]:
        """What dropouts and drop paths do otherwise than the frameworks' usual ones.

        Such as `0.1_unscaled`, for one of rate 0.1 that does not divide what it keeps by one minus the rate,
        `0.1_whole_batch` for one that keeps or drops all samples of a batch together, and `0.1_channels` for one that
        keeps or drops whole channels, where those that it was given have several elements.
        """

    @property
    def casts(self) -> Mapping[str, Kernel]:
        """Casts to float32 in the model's own code that are lifted in float64, since it does not run with them."""

    def exact(self, peer: str) -> AbstractContextManager[Mapping[str, Kernel]]:
        """A context in which exact versions stand in for kernels of the framework that lose precision in float64.

        Args:
            peer: The framework of the other side, whose running statistics are done here as it does; another word for
                this framework's own.

        Returns:
            The context, which gives what was used, by name; filled while passes run.
        """

    def start_optimizer(self, recipe: AdamW) -> None:
        """A fresh optimiser over all parameters."""

    def optimizer_step(self) -> None:
        """Apply the last gradients."""
