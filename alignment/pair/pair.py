"""Two models that should be one function: how each is built, in which layout its weights are, what goes in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import index
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.pair import targets
from alignment.pair.argument_types import require_types
from alignment.pair.contract import OWN, Contract
from alignment.pair.feeds import Feed, Floats, Tokens
from porting.architectures import Architecture
from porting.names import did_you_mean, unknown
from porting.rules import Rule

Role: TypeAlias = Literal["reference", "candidate"]
ROLES: tuple[Role, Role] = ("reference", "candidate")
AUTO = "auto"
"""Rules that are derived from the modules of both sides; feature maps where a published model has them."""
UNSETTLED = Architecture(OWN, "", (0, 0), 0, {})
"""Architecture of a pair with rules until they are settled: no tensor is known yet."""


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        framework: A name in `alignment.frameworks.FRAMEWORKS`: `torch`, `paddle`, `mindspore`.
        build: What makes the model, as `module:function` or `path/to/file.py:function`; it is imported and called, with
            `options` as keyword arguments, in the process of its framework only.
        layout: The layout of the model's state dict, as `porting.conversion.translate` knows it; means nothing in a
            pair with rules.
        options: Keyword arguments of the builder, or of the function.
        remark: Note on the model that every report of it shows; empty for none.
        training: What trains the side, as `module:function` or `path/to/file.py:function`; empty where it cannot be
            trained. In a pair with rules, a function without arguments (or with `options`) that returns a
            `alignment.pair.Training`; in a published pair, one that makes a `alignment.backends.trainers.base.Trainer`,
            given this side and a configuration.
        function: Instead of `build`, a plain function of the framework's tensors, which is what is aligned.
        takes: Argument of the model to input of the pair, where the model calls it otherwise: `{"x": "input_ids"}`;
            None for an argument that this side is not given. Of use with `Pair.inputs` only.
        call: Further keyword arguments of every call of the model: `{"use_cache": False}`.
        gives: The outputs that are compared, all by default: their names, in a tuple; or own name to the name that both
            sides use. A tuple names the outputs of a model that gives them without names, in their order.
    """

    framework: str
    build: str = ""
    layout: str = "canonical"
    options: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    training: str = ""
    function: str = ""
    takes: Mapping[str, str | None] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    gives: Sequence[str] | Mapping[str, str] = ()

    def __post_init__(self) -> None:
        require_types(f"the {self.framework!r:.30} side", vars(self))
        if self.framework not in FRAMEWORKS:
            raise unknown("framework", self.framework, FRAMEWORKS)
        if bool(self.build) == bool(self.function):
            raise AlignmentError(f"the {self.framework} side: give either build, what makes a model, or function")
        targets.split(self.build or self.function)
        if self.training:
            targets.split(self.training)
        for name in ("options", "takes", "call"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        gives = (self.gives,) if isinstance(self.gives, str) else self.gives
        named = MappingProxyType(dict(gives)) if isinstance(gives, Mapping) else tuple(gives)
        object.__setattr__(self, "gives", named)


@dataclass(frozen=True)
class Origin:
    """Where a worker finds a pair again: a `Pair`, or a function that returns one given these arguments.

    Attributes:
        target: `module:attribute` or `path/to/file.py:attribute`.
        arguments: Keyword arguments of the function, plain JSON values.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A reference, a candidate that should compute the same, and what they are fed with.

    Attributes:
        name: Name of the pair in reports, and of its folder under `logs/`.
        reference: The model that is right by definition.
        candidate: The model in question.
        input_shape: Shape of one input without the batch: `(channels, height, width)` of an image, or any other. The
            short form for models with one input, which is their first positional argument.
        architecture: Canonical names and shapes of the weights that both share; left out where `rules` are given.
        rules: How a pair without a published architecture maps the reference's state dict onto the candidate's:
            `"auto"` derives it from the modules of both; rules, as `porting.rules` makes them, are the table; with
            `"auto"` among them they go first; a JSON file that `pit-align rules --save` wrote pins what was derived.
        weights: Checkpoint in the reference's names, used where the command line names none.
        tokens: With `input_shape`, inputs are integers below this; 0 for floating-point numbers.
        inputs: Instead of `input_shape`, the inputs by name, which become keyword arguments of both models:
            `{"input_ids": Tokens(30522, (128,)), "attention_mask": Mask((128,)), "pixel_values": Floats((3, 8, 8))}`.
        intermediates: Method of both models that returns `(logits, [feature maps])`; None where a model has none, and
            the logits alone are compared. `"auto"` is `forward_intermediates`, and None in a pair with rules.
        smooth: Whether the models' gradients are continuous. Those of a ReLU jump: a unit within rounding of zero is on
            in one framework and off in the other, which float32 gradients are then given room for.
        paths: What `alignment.bisection.counterparts` cannot know of the modules: path in the candidate to path in the
            reference; or a pattern, as in a shell, of paths in the candidate that have none there, to None.
        origin: Where the pair was declared; `load_pair` and `alignment.pair.published.build` fill it.
        contract: What the rules were found to be; `alignment.rules.settle.settle` fills it.
    """

    name: str
    reference: Side
    candidate: Side
    architecture: Architecture = UNSETTLED
    input_shape: tuple[int, ...] = ()
    intermediates: str | None = AUTO
    smooth: bool = True
    paths: Mapping[str, str | None] = field(default_factory=dict, compare=False)
    origin: Origin | None = field(default=None, compare=False)
    rules: str | Sequence[Rule | str] = ()
    weights: str = ""
    tokens: int = 0
    contract: Contract | None = field(default=None, compare=False)
    inputs: Mapping[str, Feed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_types(f"the pair {self.name!r:.60}", vars(self))
        for role in ROLES:
            if not isinstance(side := getattr(self, role), Side):
                example = f'{role}=Side("torch", "my_model.py:create")'
                raise AlignmentError(f"the pair {self.name!r:.60}: {role} is {side!r:.60}, expected such as {example}")
        object.__setattr__(self, "input_shape", tuple(map(index, self.input_shape)))  # NumPy's integers are no ints
        object.__setattr__(self, "tokens", index(self.tokens))
        object.__setattr__(self, "paths", MappingProxyType(dict(self.paths)))
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))
        object.__setattr__(self, "rules", self.rules if isinstance(self.rules, str) else tuple(self.rules))
        if self.intermediates in (AUTO, ""):  # the empty text was the default of earlier versions
            object.__setattr__(self, "intermediates", None if self.own else "forward_intermediates")
        if not self.name or {"/", "\0"} & set(self.name) or self.name.startswith("."):
            raise AlignmentError(f"{self.name!r} cannot name a pair: it names a folder under logs/")
        self._check_inputs()
        if self.own:
            self._check_own()
            return
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise AlignmentError(f"{self.name}: the input shape is {self.input_shape}, not (channels, height, width)")
        if self.architecture.num_classes < 2:
            raise AlignmentError(f"{self.name}: a head of {self.architecture.num_classes} classes cannot be aligned")

    def _check_inputs(self) -> None:
        if self.inputs and (self.input_shape or self.tokens):
            raise AlignmentError(f"{self.name}: inputs= names every input; leave out input_shape= and tokens=")
        for name, feed in self.inputs.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise AlignmentError(f"{self.name}: {name!r} cannot name an input: it becomes a keyword argument")
            if not isinstance(feed, Feed):
                raise AlignmentError(
                    f"{self.name}: the input {name} is a {type(feed).__name__}; expected Tokens, Mask or Floats of "
                    "alignment.pair"
                )
        for side in (self.reference, self.candidate):
            if side.takes and not self.inputs:
                raise AlignmentError(f"{self.name}: takes= is of use with inputs= only, which names the inputs")
            for argument, taken in side.takes.items():
                if taken is not None and taken not in self.inputs:
                    raise AlignmentError(
                        f"{self.name}: takes={{{argument!r}: {taken!r}}} of the {side.framework} side names no input"
                        f"{did_you_mean(taken, self.inputs)}",
                        [f"the pair's inputs: {', '.join(self.inputs)}"],
                    )

    def _check_own(self) -> None:
        if not self.inputs and (not self.input_shape or min(self.input_shape) < 1):
            raise AlignmentError(
                f"{self.name}: the input shape is {self.input_shape}; say the shape of one input, without the batch: "
                "input_shape=(3, 64, 64), or inputs={'input_ids': Tokens(30522, (128,)), ...}"
            )
        no_rules = [entry for entry in self.rules if not isinstance(entry, Rule) and entry != AUTO]
        if not isinstance(self.rules, str) and no_rules:
            raise AlignmentError(f"{self.name}: {no_rules[0]!r} is no rule; porting.rules.rule makes one")
        if not self.rules and any(side.build for side in (self.reference, self.candidate)):
            raise AlignmentError(
                f"{self.name}: nothing says which weights of the reference become which of the candidate; say "
                "rules='auto', or give rules"
            )

    @property
    def own(self) -> bool:
        """Whether rules, not a published architecture, say which weights are the same."""
        return self.architecture.family == OWN

    @property
    def settled(self) -> bool:
        """Whether names and shapes of the weights are known."""
        return not self.own or self.contract is not None

    @property
    def classifies(self) -> bool:
        """Whether the models give `(batch, classes)`, so that losses and metrics of a classifier apply."""
        return self.architecture.num_classes >= 2

    @property
    def loss(self) -> str:
        """The loss whose gradient is compared; see `alignment.backends.base.Backend.loss`."""
        return "soft_target" if self.classifies else "projection"

    @property
    def feeds(self) -> Mapping[str, Feed]:
        """Every input by name; that of a model with one has the empty name."""
        one = Tokens(self.tokens, self.input_shape) if self.tokens else Floats(self.input_shape)
        return self.inputs or {"": one}

    @property
    def continuous(self) -> tuple[str, ...]:
        """Names of the inputs whose gradients are compared."""
        return tuple(name for name, feed in self.feeds.items() if feed.continuous)

    @property
    def picture(self) -> tuple[int, ...]:
        """Shape of the input that counts as the image: the one with most axes."""
        return self.input_shape or max((feed.shape for feed in self.inputs.values()), key=len, default=())

    def side(self, role: Role) -> Side:
        """The side that plays this role."""
        return self.reference if role == "reference" else self.candidate

    def label(self, role: Role) -> str:
        """What the side's files are named after: its framework, or its role where both sides share one."""
        same = self.reference.framework == self.candidate.framework
        return role if same else self.side(role).framework

    def role_of(self, framework: str) -> Role:
        """The role of a framework in this pair.

        Raises:
            UnknownNameError: Neither side uses it.
            AlignmentError: Both sides do.
        """
        roles = [role for role in ROLES if self.side(role).framework == framework]
        if not roles:
            raise unknown("backend", framework, [self.side(role).framework for role in ROLES])
        if len(roles) == 2:
            raise AlignmentError(f"{self.name}: both sides run on {framework}; name the role: {' or '.join(ROLES)}")
        return roles[0]


def load_pair(declaration: str) -> Pair:
    """The pair that a user's file declares.

    Workers load the file again, each in the process of one framework: import frameworks inside the builders, or keep
    each builder in a file of its own. Relative files in `Side.build` are taken from the folder of the declaring file.

    Args:
        declaration: `path/to/file.py` for its `PAIR`, or `path/to/file.py:NAME`; `module:NAME` works as well.

    Raises:
        AlignmentError: There is no such file or name, or it is no `Pair`.
    """
    place, attribute = targets.split(declaration, default="PAIR")
    if targets.is_file(place):
        place = str(Path(place).absolute())
    return locate(Origin(f"{place}:{attribute}"))


def locate(origin: Origin) -> Pair:
    """The pair of this origin, imported.

    Raises:
        AlignmentError: There is no such file or name, or it is no `Pair`.
    """
    pair = targets.resolve(origin.target)
    if callable(pair):
        _check_arguments(pair, origin)
        with targets.user_code(f"{origin.target} fails"):
            pair = pair(**origin.arguments)
    if not isinstance(pair, Pair):
        raise AlignmentError(f"{origin.target} is a {type(pair).__name__}, expected an alignment.pair.Pair")
    place, _ = targets.split(origin.target)
    if targets.is_file(place):
        pair = _anchored(pair, Path(place).parent)
    return replace(pair, origin=origin)


def _check_arguments(function: Callable[..., Any], origin: Origin) -> None:
    """Refuse a function that does not take the arguments of the origin."""
    try:
        inspect.signature(function).bind(**origin.arguments)
    except TypeError as error:
        raise AlignmentError(
            f"{origin.target} is a function that cannot be called so: {error}; expected a Pair, or a function without "
            "arguments that returns one"
        ) from None
    except ValueError:  # a builtin that does not say what it takes
        return


def _anchored(pair: Pair, folder: Path) -> Pair:
    """The pair with its relative files taken from the folder of the declaring file."""
    reference, candidate = (_side_at(side, folder) for side in (pair.reference, pair.candidate))
    rules, weights = pair.rules, pair.weights
    if isinstance(rules, str) and rules and rules != AUTO:
        rules = str(folder / rules)
    if weights and "://" not in weights:
        weights = str(folder / weights)
    return replace(pair, reference=reference, candidate=candidate, rules=rules, weights=weights)


def _side_at(side: Side, folder: Path) -> Side:
    named = {name: getattr(side, name) for name in ("build", "function", "training")}
    anchored: dict[str, Any] = {name: targets.absolute(target, folder) for name, target in named.items() if target}
    return replace(side, **anchored)
