"""Mistakes in convolutions: another stride, padding or dilation, another border, a kernel that is turned, no bias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alignment.arrays import Array
from alignment.hypotheses import arithmetic
from alignment.hypotheses.base import Case, Prediction, predictions
from alignment.hypotheses.pooling import pair

NO_BIAS, TWO_BIASES = ("bias lost", "its bias is not added"), ("bias doubled", "its bias is added twice")
_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_DEFAULTS: Mapping[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0)}
_STEPS = (1, 2, 3, 4, 8, 16)


def convolution(case: Case) -> Iterator[Prediction]:
    """Predict another stride, padding, dilation, border, kernel or bias."""
    if case.parameters.get("weight") is None or len(case.inputs) != 1 or case.finding.direction != "forward":
        return
    if "ConvTranspose2d" in case.kind:
        yield from predictions((_biases, _as_declared, _spread), _Convolution(case, transposed=True))
    elif "Conv2d" in case.kind or "Conv1d" in case.kind:
        yield from predictions((_biases, _kernels, _as_declared, _borders, _windows), _Convolution(case))


class _Convolution:
    """The reference's convolution, to be run with some of its arguments changed; one of one axis has a row of length 1.

    Args:
        case: The finding.
        transposed: Whether it is a transposed one.
    """

    def __init__(self, case: Case, *, transposed: bool = False) -> None:
        self.case, self.transposed = case, transposed
        self.flat = case.inputs[0].ndim == 3
        self.x, self.weight = (self._lifted(array) for array in (case.inputs[0], case.parameters["weight"]))
        self.own = self._settings(case.settings)
        self.stride, self.padding, self.dilation = (self.own[name] for name in ("stride", "padding", "dilation"))

    def _lifted(self, array: Array) -> Array:
        return array[:, :, None] if self.flat else array

    def _settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Stride, padding and the like of a module, as pairs; what is not known has its default."""
        known = {name: self._both(settings.get(name), default) for name, default in _DEFAULTS.items()}
        if settings.get("padding") == "same":
            reach = [(size - 1) * apart for size, apart in zip(self.weight.shape[2:], known["dilation"], strict=True)]
            known["padding"] = tuple(far // 2 if far % 2 == 0 else (far // 2, far - far // 2) for far in reach)
        known["mode"] = _MODES.get(str(settings.get("padding_mode", "zeros")), "constant")
        known["groups"] = int(settings.get("groups", 1))
        return known

    def _both(self, value: Any, default: tuple[int, int]) -> Any:
        if isinstance(value, list | tuple) and len(value) == 4 and all(isinstance(one, int) for one in value):
            return (value[0], value[1]), (value[2], value[3])  # Paddle: before and after, for each axis
        if self.flat:
            number = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
            return (default[0], number) if isinstance(number, int) else default
        return pair(value) or default

    def run(self, **changed: Any) -> list[Array]:
        """Return the output with other arguments.

        Raises:
            ValueError: They do not fit the image.
        """
        own = {**self.own, "weight": self.weight, "bias": self.case.parameters.get("bias"), **changed}
        more, mode = own.pop("output_padding"), own.pop("mode")
        if self.transposed:
            return [arithmetic.spread(self.x, more=more, **own)]
        result = arithmetic.convolve(self.x, mode=mode, **own)
        return [result[:, :, 0] if self.flat else result]

    def fits(self, padding: int) -> bool:
        """Return whether the kernel fits into the padded image."""
        sizes = zip(self.x.shape[2:], self.weight.shape[2:], strict=True)
        return all(size + 2 * padding >= kernel for size, kernel in sizes)

    def late(self) -> list[Array]:
        """Return the output for the image moved by a pixel; nothing where there is no room."""
        if self.padding == (0, 0) or min(self.x.shape[2:]) < 2:
            return []
        moved = self.run(padding=(self.padding[0] + 1, self.padding[1] + 1), stride=(1, 1))[0]
        whole = self.run()[0]
        step = max(1, round(self.x.shape[2] / whole.shape[2]))
        return [moved[:, :, 2::step, 2::step][:, :, : whole.shape[2], : whole.shape[3]]]


def _biases(model: _Convolution) -> Iterator[Prediction]:
    bias, place = model.case.parameters.get("bias"), model.case.place("bias")
    if bias is not None:
        yield Prediction(*NO_BIAS, place, model.run(bias=None))
        yield Prediction(*TWO_BIASES, place, model.run(bias=2 * bias))


def _kernels(model: _Convolution) -> Iterator[Prediction]:
    weight, place = model.weight, model.case.place("weight")
    says = "its kernel is turned by 180 degrees"
    yield Prediction("kernel flipped", says, place, model.run(weight=weight[:, :, ::-1, ::-1]))
    if weight.shape[2] == weight.shape[3]:
        says = "rows and columns of its kernel are exchanged"
        yield Prediction("rows and columns swapped", says, place, model.run(weight=weight.swapaxes(2, 3)))
    if weight.shape[1] == 3:
        says = "the input channels are in reverse order"
        yield Prediction("channel order", says, place, model.run(weight=weight[:, ::-1]))


def _as_declared(model: _Convolution) -> Iterator[Prediction]:
    """Predict what the candidate's own settings make of it, where they are not the reference's."""
    declared = model._settings(model.case.candidate_settings)
    names = ("stride", "padding", "dilation", "output_padding")
    other = {name: declared[name] for name in names if declared[name] != model.own[name]}
    if other:
        parts = [f"its {name} is {_short(value)}, not {_short(model.own[name])}" for name, value in other.items()]
        passed = ", ".join(f"{name}={_short(model.own[name])}" for name in other)
        name = next(iter(other))
        says = f"{', and '.join(parts)}: pass {passed}"
        yield Prediction(name, says, model.case.place(name), model.run(**other))


def _borders(model: _Convolution) -> Iterator[Prediction]:
    """Predict what is outside of the image: zeros, its border, or its reflection."""
    for name, mode in _MODES.items():
        if model.padding != (0, 0) and mode != model.own["mode"]:
            correct = next(name for name, known in _MODES.items() if known == model.own["mode"])
            says = f"it pads {_border(name)}, not {_border(correct)}: pass padding_mode='{correct}'"
            yield Prediction("padding mode", says, model.case.place("padding_mode"), model.run(mode=mode))


def _windows(model: _Convolution) -> Iterator[Prediction]:
    place = model.case.place
    for other in range(4):
        if (other, other) != model.padding and model.fits(other):
            says = f"its padding is {other}, not {_short(model.padding)}"
            yield Prediction("padding", says, place("padding"), model.run(padding=(other, other)))
    for name, correct in (("stride", model.stride), ("dilation", model.dilation)):
        for other in _STEPS:
            if (other, other) != correct:
                says = f"its {name} is {other}, not {_short(correct)}"
                try:
                    yield Prediction(name, says, place(name), model.run(**{name: (other, other)}))
                except ValueError:  # the kernel is larger than the image then
                    break
    yield Prediction("stride phase", "its windows start one pixel later", place("padding"), model.late())


def _spread(model: _Convolution) -> Iterator[Prediction]:
    """Predict what else a transposed convolution may cut off."""
    for other in range(4):
        for more in range(3):
            padding, given = (other, other), (more, more)
            if (padding, given) != (model.padding, model.own["output_padding"]):
                correct = f"padding={_short(model.padding)}, output_padding={_short(model.own['output_padding'])}"
                says = f"it cuts off as with padding={other}, output_padding={more}: pass {correct}"
                yield Prediction(
                    "padding", says, model.case.place("padding"), model.run(padding=padding, output_padding=given)
                )


def _short(value: Any) -> str:
    """A pair as one number, where both are the same."""
    return str(value[0] if len(set(value)) == 1 else value)


def _border(name: str) -> str:
    return "with zeros" if name == "zeros" else f"by {name}"
