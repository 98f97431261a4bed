"""Mistakes in pooling: another kind, other windows, or padding that counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction

LARGEST, COUNTED, LEFT_OUT = "largest", "mean", "mean without padding"
_WORDS = {
    LARGEST: "the largest value of each window",
    COUNTED: "the mean of each window, padding counted",
    LEFT_OUT: "the mean of each window",
}
ADAPTIVE = {LARGEST: _WORDS[LARGEST], COUNTED: _WORDS[LEFT_OUT]}


def pair(value: object) -> tuple[int, int] | None:
    """Return a setting that is given once or for rows and columns; None for what is neither."""
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) and len(value) == 2 else None


def pooling(case: Case) -> Iterator[Prediction]:
    """Predict a pooling over whole maps of another kind."""
    x, y = case.inputs[0], case.expected[0]
    if len(case.inputs) != 1 or x.ndim != 4:
        return
    if y.size != math.prod(x.shape[:2]):
        yield from _to_size(case, x, y)
        return
    mean, largest = x.mean((2, 3)), x.max((2, 3))
    for says, values in (
        ("it takes the largest value of a map, not the mean", largest),
        ("it takes the mean of a map, not the largest value", mean),
        ("it adds up a map, and does not divide", x.sum((2, 3))),
        ("it takes the mean of mean and largest value", (mean + largest) / 2),
        ("it takes the first value of a map: nothing is pooled", x[:, :, 0, 0]),
    ):
        yield Prediction("pooling", says, case.place("forward, or the kind of pooling"), [values.reshape(y.shape)])


def _to_size(case: Case, x: Array, y: Array) -> Iterator[Prediction]:
    """Predict an adaptive pooling of the other kind."""
    if y.ndim == 4 and "Adaptive" in case.kind and "Adaptive" in case.candidate_kind:
        own = COUNTED if "Max" in case.kind else LARGEST
        words = f"it takes {ADAPTIVE[own]}, not {ADAPTIVE[COUNTED if own == LARGEST else LARGEST]}"
        yield Prediction("pooling", words, case.place("class"), [adaptive(x, (y.shape[2], y.shape[3]), own)])


def adaptive(x: Array, size: tuple[int, int], kind: str) -> Array:
    """Return the pooling of `(batch, channels, rows, columns)` to a size, by windows as even as they can be.

    Args:
        x: The maps.
        size: Rows and columns of the result.
        kind: `LARGEST`, or another for the mean.
    """
    reduce = np.max if kind == LARGEST else np.mean
    for axis, (length, parts) in enumerate(zip(x.shape[2:], size, strict=True), 2):
        bounds = [(at * length // parts, -(-(at + 1) * length // parts)) for at in range(parts)]
        x = np.stack([reduce(x.take(range(*bound), axis), axis) for bound in bounds], axis)
    return x


@dataclass(frozen=True)
class Windows:
    """How a pooling moves over an image of `(batch, channels, rows, columns)`.

    Attributes:
        kernel: Rows and columns of a window.
        stride: From one window to the next.
        padding: On either side.
        kind: `LARGEST`, `COUNTED` (the padding counts in a mean) or `LEFT_OUT`.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    kind: str

    def run(self, x: Array) -> Array:
        """Return what it makes of an image.

        Raises:
            ValueError: The windows are larger than the image.
        """
        if self.kind == LEFT_OUT:
            whole = replace(self, kind=COUNTED)
            result: Array = whole.run(x) / whole.run(np.ones_like(x))
            return result
        outside = -np.inf if self.kind == LARGEST else 0.0
        padded = np.pad(x, ((0, 0), (0, 0), *((pad, pad) for pad in self.padding)), constant_values=outside)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, axis=(2, 3))
        windows = windows[:, :, :: self.stride[0], :: self.stride[1]]
        pooled: Array = windows.max((-2, -1)) if self.kind == LARGEST else windows.mean((-2, -1))
        return pooled


def windows(case: Case) -> Iterator[Prediction]:
    """Predict a pooling of another kind, by other windows, or whose padding counts otherwise."""
    own = _declared(case)
    if own is None or case.inputs[0].ndim != 4:
        return
    x = case.inputs[0]
    yield from _as_declared(case, own)
    for kind in _WORDS:
        if kind != own.kind and (own.padding != (0, 0) or LEFT_OUT not in (kind, own.kind)):
            yield Prediction("pooling", *_of_kind(case, own, kind), [replace(own, kind=kind).run(x)])
    for name in ("kernel", "stride", "padding"):
        correct = getattr(own, name)
        for other in range(5):
            kernel, stride, padding = (
                (other, other) if name == one else getattr(own, one) for one in ("kernel", "stride", "padding")
            )
            changed = Windows(kernel, stride, padding, own.kind)
            possible = changed.stride > (0, 0) < changed.kernel and 2 * max(changed.padding) <= min(changed.kernel)
            if (other, other) != correct and possible:
                title = "kernel_size" if name == "kernel" else name
                says = f"its {title} is {other}, not {correct[0]}: pass {title}={correct[0]}"
                yield Prediction("pooling", says, case.place(title), [changed.run(x)])


def _as_declared(case: Case, own: Windows) -> Iterator[Prediction]:
    """Predict what the candidate's own kernel, stride and padding make of the image, where they are others."""
    settings = case.candidate_settings
    kernel = pair(settings.get("kernel_size", settings.get("ksize")))
    if kernel is None:
        return
    stride = pair(settings.get("stride")) or kernel
    declared = {"kernel_size": kernel, "stride": stride, "padding": pair(settings.get("padding")) or (0, 0)}
    correct = {"kernel_size": own.kernel, "stride": own.stride, "padding": own.padding}
    other = [name for name, value in declared.items() if value != correct[name]]
    if other:
        parts = [f"its {name} is {_short(declared[name])}, not {_short(correct[name])}" for name in other]
        passed = ", ".join(f"{name}={_short(correct[name])}" for name in other)
        says = f"{', and '.join(parts)}: pass {passed}"
        changed = Windows(declared["kernel_size"], declared["stride"], declared["padding"], own.kind)
        yield Prediction("pooling", says, case.place(other[0]), [changed.run(case.inputs[0])])


def _short(value: tuple[int, int]) -> str:
    """A pair as one number, where both are the same."""
    return str(value[0] if value[0] == value[1] else value)


def _declared(case: Case) -> Windows | None:
    """Return the pooling of the reference; None where it is no such, or moves in ways that are not known here."""
    kind = next((kind for word, kind in (("MaxPool", LARGEST), ("AvgPool", COUNTED)) if word in case.kind), "")
    kernel = pair(case.settings.get("kernel_size"))
    if (
        not kind
        or kernel is None
        or case.settings.get("ceil_mode")
        or case.settings.get("dilation", 1) not in (1, (1, 1))
    ):
        return None
    counted = kind == LARGEST or bool(case.settings.get("count_include_pad", True))
    stride, padding = pair(case.settings.get("stride")) or kernel, pair(case.settings.get("padding")) or (0, 0)
    return Windows(kernel, stride, padding, kind if counted else LEFT_OUT)


def _of_kind(case: Case, own: Windows, kind: str) -> tuple[str, str]:
    """Return what is wrong, and where to look, where the kind of pooling is another one."""
    place = "class" if LARGEST in (kind, own.kind) else "exclusive or count_include_pad"
    return in_words(kind, own), case.place(place)


def in_words(kind: str, meant: Windows) -> str:
    """Return what is wrong with a pooling of this kind, by the windows that are meant."""
    if LARGEST in (kind, meant.kind):
        words = {**_WORDS, COUNTED: _WORDS[LEFT_OUT]} if meant.padding == (0, 0) else _WORDS
        return f"it takes {words[kind]}, not {words[meant.kind]}"
    counted = meant.kind == COUNTED
    says = "the padding is left out of its means" if counted else "the padding counts in its means as zeros"
    return f"{says}: pass exclusive={not counted} to Paddle's, count_include_pad={counted} to torch's"
