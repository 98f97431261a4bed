"""Two models that should be one function: how each is built, in which layout its weights are, what goes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from alignment import targets
from alignment.backends import FRAMEWORKS
from alignment.errors import AlignmentError
from porting.architectures import Architecture
from porting.names import unknown

Role: TypeAlias = Literal["reference", "candidate"]
ROLES: tuple[Role, Role] = ("reference", "candidate")


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        framework: A name in `alignment.backends.FRAMEWORKS`: `torch`, `paddle`, `mindspore`.
        build: What makes the model, as `module:function` or `path/to/file.py:function`; it is imported and called, with
            `options` as keyword arguments, in the process of its framework only.
        layout: The layout of the model's state dict, as `porting.convert.translate` knows it.
        options: Keyword arguments of the builder.
        remark: What the reader of a report must know of the model; empty for nothing.
        training: What makes the side's `alignment.backends.trainer.Trainer`, as `module:function` or
            `path/to/file.py:function`, given this side and a configuration; empty where the side cannot be trained.
    """

    framework: str
    build: str
    layout: str
    options: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    training: str = ""

    def __post_init__(self) -> None:
        if self.framework not in FRAMEWORKS:
            raise unknown("framework", self.framework, FRAMEWORKS)
        targets.split(self.build)
        if self.training:
            targets.split(self.training)
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))


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
        architecture: Canonical names and shapes of the weights that both share.
        input_shape: Channels, height and width of one image.
        intermediates: Method of both models that returns `(logits, [feature maps])`; None where a model has none, and
            the logits alone are compared.
        smooth: Whether the models' gradients are continuous. Those of a ReLU jump: a unit within rounding of zero is on
            in one framework and off in the other, which float32 gradients are then given room for.
        paths: What `alignment.counterparts` cannot know of the modules: path in the candidate to path in the reference;
            or a pattern, as in a shell, of paths in the candidate that have none there, to None.
        origin: Where the pair was declared; `load_pair` and `alignment.pairs.build` fill it.
    """

    name: str
    reference: Side
    candidate: Side
    architecture: Architecture
    input_shape: tuple[int, int, int]
    intermediates: str | None = "forward_intermediates"
    smooth: bool = True
    paths: Mapping[str, str | None] = field(default_factory=dict, compare=False)
    origin: Origin | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", MappingProxyType(dict(self.paths)))
        if not self.name or {"/", "\0"} & set(self.name) or self.name.startswith("."):
            raise AlignmentError(f"{self.name!r} cannot name a pair: it names a folder under logs/")
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise AlignmentError(f"{self.name}: the input shape is {self.input_shape}, not (channels, height, width)")
        if self.architecture.num_classes < 2:
            raise AlignmentError(f"{self.name}: a head of {self.architecture.num_classes} classes cannot be aligned")

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
    found = targets.resolve(origin.target)
    pair = found(**origin.arguments) if callable(found) else found
    if not isinstance(pair, Pair):
        raise AlignmentError(f"{origin.target} is a {type(pair).__name__}, expected an alignment.pair.Pair")
    place, _ = targets.split(origin.target)
    if targets.is_file(place):
        pair = _anchored(pair, Path(place).parent)
    return replace(pair, origin=origin)


def _anchored(pair: Pair, folder: Path) -> Pair:
    reference, candidate = (_side_at(side, folder) for side in (pair.reference, pair.candidate))
    return replace(pair, reference=reference, candidate=candidate)


def _side_at(side: Side, folder: Path) -> Side:
    training = targets.absolute(side.training, folder) if side.training else ""
    return replace(side, build=targets.absolute(side.build, folder), training=training)
