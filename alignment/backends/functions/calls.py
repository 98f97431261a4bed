"""What is seen of a call of a framework's function, and how a call is answered otherwise.

A mistake often sits in a function that a module calls and not in a module: the axis of a softmax, the corners of a
resize. Functions of all frameworks have the names of Paddle's here, and their plain arguments Paddle's names.
"""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeAlias

from alignment.arrays import Array

_PLAIN = (bool, int, float, str)
_OWN = "alignment"
_INJECTED = "alignment.selftest"
_STAND_INS = "alignment.backends.stand_ins"
_MODELS = ("paddle.vision.models",)
"""Modules within a framework that are a user's model all the same."""
ARITHMETIC = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"}
"""Short name of an operator, as in `__add__`, to the name of its function."""
SPECIAL = (
    *("affine_grid", "grid_sample", "ctc_loss", "kl_div", "triplet_margin_loss", "cosine_embedding_loss", "celu"),
    *("margin_ranking_loss", "smooth_l1_loss", "mse_loss", "l1_loss", "binary_cross_entropy", "label_smooth"),
    *("binary_cross_entropy_with_logits", "avg_pool1d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "softshrink"),
    *("hardshrink", "hardtanh", "max_pool1d", "max_pool3d", "cosine_similarity"),
)
"""Functions of layers whose plain arguments are tried."""
ALONG = ("topk", "cumprod", "logsumexp", "argmax", "argmin", "argsort", "sort", "round", "floor", "ceil", "trunc")
"""Functions of tensors, most of them along an axis."""
BOUNDING = ("minimum", "maximum")
"""Functions of two tensors, of which one may be a bound."""
FOURIER = ("fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
PARTS = ("real", "imag")
"""What takes a part of complex numbers."""
_DIRECT = frozenset(
    {*ARITHMETIC.values(), "getitem", "full", "max", "min", "exp", "log", "sqrt", "rsqrt", "square", "pow", "rpow"}
    | {"where", "masked_fill", "clip", "clamp_min", "clamp_max", *BOUNDING}
)
"""Functions of which only those calls are shown that the code of a model makes itself: frameworks use them within."""
_ALIASES = {
    "dim": "axis",
    "eps": "epsilon",
    "input": "x",
    "repeats": "repeats",
    "correction": "unbiased",
    "dims": "perm",
    "min_val": "min",
    "max_val": "max",
}
_SIGNATURES = {"clip": ("x", "min", "max"), "clamp_min": ("x", "min"), "clamp_max": ("x", "max")}
"""Arguments of functions of which some framework does not tell them."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a framework's function by the code of a model.

    Attributes:
        name: Name of the function: `softmax`.
        place: File and line of the model's code that calls it; empty where none does.
        line: That line.
        settings: Its plain arguments, as text, by name.
        takes: Shapes of the tensors that it is given, in order.
        gives: Shapes of the tensors that it returns.
        span: Where its expression begins and ends, which tells two calls in a line apart: `a * b * c` has two products,
            which begin at the same column. Empty where that is not known.
    """

    name: str
    place: str
    line: str
    settings: tuple[tuple[str, str], ...]
    takes: tuple[tuple[int, ...], ...]
    gives: tuple[tuple[int, ...], ...]
    span: tuple[int, ...] = ()

    def setting(self, name: str, default: str = "") -> str:
        """A plain argument as text; the default where it is not given."""
        return dict(self.settings).get(name, default)

    def number(self, name: str, default: float) -> float:
        """A plain argument as a number; the default where it is not given, or is none."""
        try:
            return float(self.setting(name, str(default)))
        except ValueError:
            return default


class PassedOn:
    """The answer that gives back the first tensor that a function was given, its gradient included."""


@dataclass(frozen=True, slots=True)
class Again:
    """The answer that calls the function once more with other plain arguments, its gradient included.

    Attributes:
        settings: Paddle's name of each argument to its value.
    """

    settings: Mapping[str, Any]


PASSED_ON = PassedOn()
Answer: TypeAlias = "Sequence[Array] | PassedOn | Again | None"
"""The tensors that take the place of what a function returned; None leaves these."""
Arrays: TypeAlias = Callable[[], tuple[list[Array], list[Array]]]
"""Gives the values of the tensors that a function was given, and of those that it returned."""
OnCall: TypeAlias = Callable[[FunctionCall, Arrays], Answer]


class Functions(Protocol):
    """The functions of a framework that can be watched."""

    def watch(self, visit: OnCall) -> AbstractContextManager[None]:
        """Show every call that the code of a model makes while the context is open, and answer as is said."""


@dataclass(frozen=True)
class Tensors:
    """What the watching needs of a framework's tensors.

    Attributes:
        package: Name of the framework's package.
        is_tensor: Whether a value is a tensor.
        array: The values of a tensor.
        tensor: A tensor of values, like another one.
    """

    package: str
    is_tensor: Callable[[Any], bool]
    array: Callable[[Any], Array]
    tensor: Callable[[Array, Any], Any]


class Watcher:
    """Calls functions, and shows those calls that no other function which is watched makes.

    Args:
        tensors: The framework.
        visit: Called after every call.
    """

    def __init__(self, tensors: Tensors, visit: OnCall) -> None:
        self._tensors, self._visit, self._inside = tensors, visit, False

    def call(self, name: str, own: Callable[..., Any], args: Sequence[Any], by_name: Mapping[str, Any]) -> Any:
        """The result of a function, or what takes its place."""
        if self._inside:
            return own(*args, **by_name)
        self._inside = True
        try:
            tensors = list(self._leaves((args, by_name)))
            before = [self._tensors.array(tensor) for tensor in tensors] if name.endswith("_") else None
            result = own(*args, **by_name)
            direct = name.rstrip("_") in _DIRECT
            frame = _caller(sys._getframe(1), self._tensors.package, direct=direct)
            if _is_injected(frame) or (direct and frame is None):
                return result
            returned = list(self._leaves(result))
            seen = FunctionCall(
                name.rstrip("_"),
                *_place(frame),
                _settings(name, own, args, by_name, self._tensors.is_tensor),
                tuple(tuple(tensor.shape) for tensor in tensors),
                tuple(tuple(tensor.shape) for tensor in returned),
                _span(frame),
            )

            def arrays() -> tuple[list[Array], list[Array]]:
                values = [self._tensors.array(tensor) for tensor in tensors] if before is None else before
                return values, [self._tensors.array(tensor) for tensor in returned]

            answer = self._visit(seen, arrays)
            if isinstance(answer, Again):
                return _again(own, args, by_name, answer.settings)
            return self._answered(answer, result, tensors)
        finally:
            self._inside = False

    def is_seen(self, name: str) -> bool:
        """Whether the code of a model, and no function that is watched, is doing something now; shows it if so.

        Returns:
            True if it is to be left undone.
        """
        frame = None if self._inside else _caller(sys._getframe(1), self._tensors.package, direct=True)
        if frame is None or _is_injected(frame):
            return False
        answer = self._visit(FunctionCall(name, *_place(frame), (), (), ()), lambda: ([], []))
        return isinstance(answer, PassedOn)

    def _answered(self, answer: Sequence[Array] | PassedOn | None, result: Any, given: Sequence[Any]) -> Any:
        if answer is None:
            return result
        if isinstance(answer, PassedOn):
            return given[0]
        left = iter(answer)
        return self._placed(result, left)

    def _placed(self, value: Any, arrays: Iterator[Array]) -> Any:
        if self._tensors.is_tensor(value):
            return self._tensors.tensor(next(arrays), value)
        if isinstance(value, tuple | list):
            return type(value)(self._placed(item, arrays) for item in value)
        return value

    def _leaves(self, value: Any) -> Iterator[Any]:
        if self._tensors.is_tensor(value):
            yield value
        elif isinstance(value, tuple | list):
            for item in value:
                yield from self._leaves(item)
        elif isinstance(value, dict):
            yield from self._leaves(tuple(value.values()))


def _caller(frame: FrameType | None, package: str, *, direct: bool = False) -> FrameType | None:
    """The innermost frame of a model's code; None if the toolkit or, where it has to be direct, the framework calls."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        room = name.partition(".")[0]
        if direct and name.startswith(_STAND_INS):
            return None
        if name.startswith(_MODELS) or room not in (package, _OWN, "contextlib", "functools", "decorator"):
            return frame
        if name.startswith(_INJECTED):
            return frame
        if (room == _OWN and not name.startswith("alignment.backends")) or (direct and room == package):
            return None
        frame = frame.f_back
    return None


def _is_injected(frame: FrameType | None) -> bool:
    """Whether a call is part of a fault that the self-test put there, and of nobody's code."""
    return frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_INJECTED)


def _place(frame: FrameType | None) -> tuple[str, str]:
    """File and line of a frame, and the text of the line."""
    if frame is None:
        return "", ""
    path, number = frame.f_code.co_filename, frame.f_lineno
    relative = os.path.relpath(path) if Path(path).is_absolute() else path
    shown = relative if not relative.startswith("..") else str(Path(*Path(path).parts[-2:]))
    return f"{shown}:{number}", linecache.getline(path, number).strip()


def _span(frame: FrameType | None) -> tuple[int, ...]:
    """First and last line and column of the call that a frame makes; empty without one, and before Python 3.11."""
    positions = getattr(None if frame is None else frame.f_code, "co_positions", None)
    if frame is None or frame.f_lasti < 0 or positions is None:
        return ()
    position = next(islice(positions(), frame.f_lasti // 2, None), ())
    return tuple(-1 if number is None else number for number in position)


def _settings(
    called: str,
    own: Callable[..., Any],
    args: Sequence[Any],
    by_name: Mapping[str, Any],
    is_tensor: Callable[[Any], bool],
) -> tuple[tuple[str, str], ...]:
    if called in ("pow", "rpow"):
        return tuple(
            ("number", str(value)) for value in (*args[1:], *by_name.values()) if isinstance(value, int | float)
        )
    if getattr(own, "__name__", "") == "__getitem__":
        return (("index", _index(args[1])),)
    if getattr(own, "__name__", "") == "permute" and len(args) > 1:  # torch's method takes its axes one by one
        return (("perm", str([*(args[1:] if isinstance(args[1], int) else args[1])])),)
    names = _SIGNATURES.get(called.rstrip("_")) or _names(own)
    arguments = {**dict(zip(names, args, strict=False)), **by_name}
    return tuple(
        (_ALIASES.get(name, name), str(value))
        for name, value in arguments.items()
        if isinstance(value, _PLAIN)
        or (isinstance(value, tuple | list) and value and all(isinstance(item, _PLAIN) for item in value))
    )


def _again(
    own: Callable[..., Any], args: Sequence[Any], by_name: Mapping[str, Any], settings: Mapping[str, Any]
) -> Any:
    """The result of a function with some of its plain arguments changed."""
    names = _names(own)
    aliases = {alias: name for name, alias in _ALIASES.items() if name in names}
    positional, named = [*args], dict(by_name)
    for alias, value in settings.items():
        name = aliases.get(alias, alias)
        if name in names[: len(positional)]:
            positional[names.index(name)] = value
        else:
            named[name] = value
    return own(*positional, **named)


def _index(value: Any) -> str:
    """An index as it is written between brackets."""
    if isinstance(value, tuple):
        return ", ".join(map(_index, value))
    if isinstance(value, slice):
        bounds = ["" if part is None else str(part) for part in (value.start, value.stop, value.step)]
        return ":".join(bounds if bounds[2] else bounds[:2])
    return str(value) if isinstance(value, int) else "another"


@cache
def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ("x", "axis")
