"""Changes to a model on its way: another image size, another class count, no distillation head.

Every change is requested by name, is part of the plan and is in the report; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from porting.architectures import Architecture, TensorSpec, build
from porting.errors import PlanError
from porting.frozen import Frozen
from porting.plan import Applied, Expression, Initialised, Plan, Source

_PATCH = 16
_STD = 0.02


@dataclass(eq=False, repr=False)
class Surgery(Frozen):
    """Changes to make to a model; none by default.

    Attributes:
        image_size: Height and width of the image in pixels that the position embedding is resized for.
        num_classes: Columns of the new head or heads, which are newly initialised; 0 drops them.
        drop_head_dist: Make a plain model of a distilled one, without the second head and its token.
        seed: Seed of the initial values of a new head.
    """

    image_size: tuple[int, int] | None = None
    num_classes: int | None = None
    drop_head_dist: bool = False
    seed: int = 0


def operate(architecture: Architecture, surgery: Surgery) -> tuple[Architecture, Plan]:
    """Return the changed model, and the plan from the canonical tensors of this model to those of the changed one.

    Args:
        architecture: The model before the changes.
        surgery: The changes.

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
    from porting.operations.embeddings import DropToken

    for name, spec in plain.tensors.items():
        if spec.shape != architecture.tensors[name].shape:
            outputs[name] = Applied(DropToken(1), (outputs[name],))
    return plain


def _resized(architecture: Architecture, image_size: tuple[int, int], outputs: dict[str, Expression]) -> Architecture:
    target = build(architecture.name, image_size=image_size, num_classes=architecture.num_classes)
    before, after = (
        model.tensors["pos_embed"].shape if "pos_embed" in model.tensors else () for model in (architecture, target)
    )
    if before == after:
        return target
    from porting.operations.embeddings import ResizeMap, ResizeTokens

    if len(after) == 4:
        outputs["pos_embed"] = Applied(ResizeMap((after[2], after[3])), (outputs["pos_embed"],))
    else:
        grids = [(model.image_size[0] // _PATCH, model.image_size[1] // _PATCH) for model in (architecture, target)]
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
