"""Changes to a model on its way: another image size, another class count, no distillation head.

Each is asked for by name, part of the plan, and told in the report; what is not asked for is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from porting.architectures import Architecture, TensorSpec, build
from porting.checkpoint.tensor import Array, Shape
from porting.errors import PlanError
from porting.ops import Op, ShapeMismatchError
from porting.plan import Applied, Expression, Initialised, Plan, Source
from porting.resize import bicubic

_PATCH = 16
_STD = 0.02


@dataclass(frozen=True)
class Surgery:
    """What is to be changed; nothing by default.

    Attributes:
        image_size: Height and width that the position embedding is resized for, pixels.
        num_classes: Columns of the new head or heads, initialised afresh; 0 drops them.
        drop_head_dist: Make a plain model of a distilled one: without the second head and its token.
        seed: Of the initial values of a new head.
    """

    image_size: tuple[int, int] | None = None
    num_classes: int | None = None
    drop_head_dist: bool = False
    seed: int = 0


@dataclass(frozen=True)
class ResizeMap(Op):
    """A position embedding that is a feature map, (1, channels, rows, columns), at another size, bicubically."""

    size: tuple[int, int]
    inverse: None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Rows and columns become `size`."""
        return ((*shapes[0][:-2], *self.size),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The resized map, computed in float64 and rounded to the dtype that it had."""
        return (bicubic(arrays[0], *self.size).astype(arrays[0].dtype),)

    def __str__(self) -> str:
        return f"resize to {self.size[0]}x{self.size[1]}, bicubic"


@dataclass(frozen=True)
class ResizeTokens(Op):
    """A position embedding of tokens, (1, tokens, channels), whose patches are resized bicubically.

    Attributes:
        extra: Class and distillation tokens in front, which stay.
        before: Rows and columns of patches.
        after: Rows and columns that they become.
    """

    extra: int
    before: tuple[int, int]
    after: tuple[int, int]
    inverse: None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The number of tokens becomes that of `after`."""
        (one, tokens, channels) = shapes[0]
        if tokens != self.extra + self.before[0] * self.before[1]:
            raise ShapeMismatchError(f"{tokens} tokens are not {self.extra} and {self.before[0]}x{self.before[1]}")
        return ((one, self.extra + self.after[0] * self.after[1], channels),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The resized embedding, computed in float64 and rounded to the dtype that it had."""
        embedding = arrays[0]
        channels = embedding.shape[2]
        grid = embedding[:, self.extra :].transpose(0, 2, 1).reshape(1, channels, *self.before)
        patches = bicubic(grid, *self.after).reshape(1, channels, -1).transpose(0, 2, 1)
        return (np.concatenate([embedding[:, : self.extra], patches.astype(embedding.dtype)], axis=1),)

    def __str__(self) -> str:
        return f"resize from {self.before[0]}x{self.before[1]} to {self.after[0]}x{self.after[1]} patches, bicubic"


@dataclass(frozen=True)
class DropToken(Op):
    """A tensor of tokens, (1, tokens, channels), without one of them."""

    index: int
    inverse: None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """One token less."""
        (one, tokens, channels) = shapes[0]
        return ((one, tokens - 1, channels),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The tensor without the token."""
        return (np.delete(arrays[0], self.index, axis=1),)

    def __str__(self) -> str:
        return f"drop token {self.index}"


def operate(architecture: Architecture, surgery: Surgery) -> tuple[Architecture, Plan]:
    """The changed model, and the plan from the canonical tensors of this one to the changed one's.

    Args:
        architecture: The model as it is.
        surgery: What is to be changed.

    Raises:
        PlanError: The model has no distillation head to drop.
        ImpossibleModelError: The image size or class count is not possible for the model.
    """
    outputs: dict[str, Expression] = {name: Source(name) for name in architecture.tensors}
    current, dropped = architecture, dict[str, str]()
    if surgery.drop_head_dist:
        current = _without_distillation(current, outputs, dropped)
    if surgery.image_size is not None and surgery.image_size != current.image_size:
        current = _resized(current, surgery.image_size, outputs)
    if surgery.num_classes is not None and surgery.num_classes != current.num_classes:
        current = _with_new_heads(current, surgery, outputs, dropped)
    return current, Plan(outputs, {name: current.tensors[name] for name in outputs}, dropped)


def _without_distillation(
    architecture: Architecture, outputs: dict[str, Expression], dropped: dict[str, str]
) -> Architecture:
    if not architecture.distilled:
        raise PlanError(f"{architecture.name} has no distillation head; leave out --drop-head-dist")
    plain = build(
        architecture.name.removesuffix("_distilled"),
        image_size=architecture.image_size,
        num_classes=architecture.num_classes,
    )
    for name in [name for name in outputs if name not in plain.tensors]:
        del outputs[name]
        dropped[name] = "asked for: --drop-head-dist"
    for name, spec in plain.tensors.items():
        if spec.shape != architecture.tensors[name].shape:
            outputs[name] = Applied(DropToken(1), (outputs[name],))
    return plain


def _resized(architecture: Architecture, image_size: tuple[int, int], outputs: dict[str, Expression]) -> Architecture:
    target = build(architecture.name, image_size=image_size, num_classes=architecture.num_classes)
    before, after = (
        each.tensors["pos_embed"].shape if "pos_embed" in each.tensors else () for each in (architecture, target)
    )
    if before == after:
        return target
    if len(after) == 4:
        op: Op = ResizeMap((after[2], after[3]))
    else:
        grids = [(each.image_size[0] // _PATCH, each.image_size[1] // _PATCH) for each in (architecture, target)]
        op = ResizeTokens(after[1] - grids[1][0] * grids[1][1], grids[0], grids[1])
    outputs["pos_embed"] = Applied(op, (outputs["pos_embed"],))
    return target


def _with_new_heads(
    architecture: Architecture, surgery: Surgery, outputs: dict[str, Expression], dropped: dict[str, str]
) -> Architecture:
    target = build(architecture.name, image_size=architecture.image_size, num_classes=surgery.num_classes)
    heads = _differing(architecture.tensors, target.tensors)
    for name in heads:
        outputs.pop(name, None)
        if name in architecture.tensors:
            dropped[name] = f"asked for: --num-classes {surgery.num_classes}"
    for index, name in enumerate(heads):
        if name in target.tensors:
            std = 0.0 if name.endswith("bias") else _STD
            outputs[name] = Initialised(target.tensors[name], std, surgery.seed + index)
    return target


def _differing(before: Mapping[str, TensorSpec], after: Mapping[str, TensorSpec]) -> list[str]:
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]
