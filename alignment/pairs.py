"""The pairs that come with the toolkit: every model of `porting.architectures`, PyTorch against Paddle."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alignment.pair import Origin, Pair, Side
from porting import architectures
from porting.architectures import Architecture
from porting.names import unknown

NAMES: tuple[str, ...] = architectures.NAMES


def build(
    name: str,
    *,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    candidate: str = "paddle",
) -> Pair:
    """The pair of a published model, at any image size and class count.

    Args:
        name: One of `NAMES`.
        image_size: Pixels, square or (height, width); the published size by default.
        num_classes: Columns of the head; the published count by default.
        candidate: The framework that the candidate runs in: `paddle`, or `torch` to hold one set of weights against
            another in the reference model.

    Raises:
        UnknownNameError: No pair has this name, or the framework has no such model; the nearest one is named.
        ValueError: The image is smaller than a patch.
        AlignmentError: Fewer than two classes.
    """
    if name not in NAMES:
        raise unknown("model", name, NAMES)
    size = tuple(image_size) if isinstance(image_size, list | tuple) else image_size
    architecture = architectures.build(name, image_size=size, num_classes=num_classes)  # type: ignore[arg-type]
    sides = {side.framework: side for side in _SIDES[architecture.family](architecture)}
    if candidate not in sides:
        raise unknown("framework", candidate, sides)
    arguments = {"name": name, "image_size": image_size, "num_classes": num_classes, "candidate": candidate}
    return Pair(
        name=name,
        reference=sides["torch"],
        candidate=sides[candidate],
        architecture=architecture,
        input_shape=(3, *architecture.image_size),
        origin=Origin("alignment.pairs:build", arguments),
    )


def _pit(architecture: Architecture) -> tuple[Side, Side]:
    options = {
        "name": architecture.name,
        "image_size": architecture.image_size,
        "num_classes": architecture.num_classes,
    }
    return (
        Side("torch", "reference_torch.pit:create", "canonical", options),
        Side("paddle", "paddle_impl.pit:create", "paddlevit", options),
    )


_SIDES: Mapping[str, Callable[[Architecture], tuple[Side, Side]]] = {"pit": _pit}
