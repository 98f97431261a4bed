"""The pairs that come with the toolkit: PyTorch against Paddle, and against MindCV's models in MindSpore."""

from __future__ import annotations

from alignment.errors import AlignmentError
from alignment.pair import Origin, Pair, Side
from porting import architectures
from porting.architectures import Architecture
from porting.converters import layouts_of
from porting.names import unknown

NAMES = architectures.NAMES
"""The models that have a pair: all."""

PUBLISHED = (*NAMES, "deit_base@384", "deit_base_distilled@384")
"""What there are published weights for: the models, and those that were published at a second image size."""

_WITH_RELU = ("regnet",)
"""The families whose gradients jump."""

_MINDCV = (
    "MindCV's PiT approximates GELU by tanh, which the published weights were not trained with, and draws initial "
    "values from other distributions; here it has the exact one, and the distributions of the reference"
)


def build(
    name: str,
    *,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    candidate: str = "paddle",
) -> Pair:
    """The pair of a published model, at any image size and class count.

    Args:
        name: One of `NAMES`, with a square image size of its own behind an `@` if it has one: `deit_base@384`.
        image_size: Pixels, square or (height, width); by default that of the name, or else the published size.
        num_classes: Columns of the head; the published count by default.
        candidate: The framework that the candidate runs in: `paddle`; `mindspore`, where MindCV has the model; or
            `torch`, to hold one set of weights against another in the reference model.

    Raises:
        UnknownNameError: No pair has this name, or the framework has no such model; the nearest one is named.
        ImpossibleModelError: Patches do not fit the image.
        AlignmentError: Fewer than two classes, or two image sizes.
    """
    model, own_size = _split(name)
    if own_size is not None and image_size is not None:
        raise AlignmentError(f"{name} says its image size: leave out --image-size, or the @{own_size}")
    pixels = own_size if image_size is None else image_size
    size = tuple(pixels) if isinstance(pixels, list | tuple) else pixels
    # An int is a size of both axes.
    architecture = architectures.build(model, image_size=size, num_classes=num_classes)  # type: ignore[arg-type]
    sides = _sides(architecture)
    if candidate not in sides:
        raise unknown("framework", candidate, sides)
    arguments = {"name": name, "image_size": image_size, "num_classes": num_classes, "candidate": candidate}
    return Pair(
        name=name,
        reference=sides["torch"],
        candidate=sides[candidate],
        architecture=architecture,
        input_shape=(3, *architecture.image_size),
        smooth=architecture.family not in _WITH_RELU,
        origin=Origin("alignment.pair.published:build", arguments),
    )


def _split(name: str) -> tuple[str, int | None]:
    """A model's name and the image size behind it."""
    model, at, size = name.partition("@")
    if model not in NAMES or (at and not size.isdecimal()):
        raise unknown("model", name, PUBLISHED)
    return model, int(size) if size else None


def _sides(architecture: Architecture) -> dict[str, Side]:
    """Each framework's model; a family's module and layouts have the same names in all of them."""
    family = architecture.family
    options = {
        "name": architecture.name,
        "image_size": architecture.image_size,
        "num_classes": architecture.num_classes,
    }
    sides = {
        "torch": Side(
            *("torch", f"reference_torch.{family}:create", "canonical", options),
            training="alignment.backends.trainers.torch:create",
        ),
        "paddle": Side(
            *("paddle", f"paddle_impl.{family}:create", "paddlevit", options),
            training="alignment.backends.trainers.paddle:create",
        ),
    }
    if "mindcv" in layouts_of(architecture):
        remark = _MINDCV if family == "pit" else ""
        sides["mindspore"] = Side(
            *("mindspore", "mindspore_impl.mindcv:create", "mindcv", options, remark),
            training="alignment.backends.trainers.mindspore:create",
        )
    return sides
