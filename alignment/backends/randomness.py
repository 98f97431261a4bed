"""What draws at random in training mode: dropouts and drop paths, their rates, and how they are switched off."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from typing import Any
from weakref import WeakSet

from alignment.backends.checks import is_random

_RATES = ("p", "drop_prob", "drop_p", "drop_rate")
"""Attributes that hold the rate of a dropout or drop path, without the underscore that they may start with."""
_OF_FRAMEWORKS = ("dropout",)
"""The same of the frameworks' own attention and recurrent layers, which draw inside."""
_MODULES = ("torch", "torch.nn.functional", "paddle.nn.functional", "mindspore.ops", "mindspore.mint.nn.functional")
"""Modules of the frameworks that have their dropouts as functions."""
_FUNCTIONS = {
    **dict.fromkeys(("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"), "p"),
    **dict.fromkeys(("alpha_dropout", "feature_alpha_dropout"), "p"),
    "scaled_dot_product_attention": "dropout_p",
}
"""Function that draws to its argument for the rate."""
_OF_CHANNELS = re.compile(r"(?i)dropout[123]d|feature_?(alpha_?)?dropout")
"""Names of the frameworks' dropouts, as modules and as functions, that keep or drop whole channels."""
_DOWNSCALED = "downscale_in_infer"
"""Mode of Paddle's dropouts that multiplies by one minus the rate in evaluation, and in training by nothing: what they
give on average in training is what they give in evaluation, and not what the rate of zero gives."""
_ATTENTIONS = re.compile(r"(?i)attention")
"""Names of the frameworks' layers that call a dropout as a function, where it can be scaled."""
_ATTENTION, _DROPOUT = ("query", "key", "value", "attn_mask", "dropout_p"), ("input", "p", "train")
"""Arguments of an attention and of a dropout that tell no signature, in their order."""


def rates(kind: str, bases: Iterable[str], settings: Mapping[str, Any]) -> dict[str, float]:
    """Return the rates above zero of a module, by the attribute as `settings` names it.

    Args:
        kind: Name of its class.
        bases: Names of the framework's own classes that it is or derives from.
        settings: Its plain attributes.
    """
    names = _RATES if is_random(kind) else _OF_FRAMEWORKS if kind in bases else ()
    values = {name: settings.get(name, settings.get(f"_{name}")) for name in names}
    return {name: rate for name, rate in values.items() if isinstance(rate, float) and 0 < rate <= 1}


class _Off(float):
    """Zero in the place of a rate, which says when it is used: compared, computed with, or passed on.

    Args:
        rate: The rate.
        note: Called then, with True if something is computed with it.
    """

    rate: float
    note: Callable[[bool], None]

    def __new__(cls, rate: float, note: Callable[[bool], None]) -> _Off:
        """Zero."""
        self = super().__new__(cls, 0.0)
        self.rate, self.note = rate, note
        return self

    __hash__ = float.__hash__


def _noting(name: str, *, computed: bool) -> Callable[..., Any]:
    own = getattr(float, name)

    def operation(self: _Off, *others: Any) -> Any:
        self.note(computed)
        return own(self, *others)

    return operation


for _name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__bool__", "__float__", "__repr__"):
    setattr(_Off, _name, _noting(_name, computed=False))
for _name in ("__neg__", *(f"__{way}{op}__" for way in ("", "r") for op in ("add", "sub", "mul", "truediv", "pow"))):
    setattr(_Off, _name, _noting(_name, computed=True))


class Silence:
    """Sets what draws in training mode to the rate of zero, and back: modules, and the framework's functions.

    Modules are not enough: attentions draw by the rate of a dropout in them, and models call functions.

    Attributes:
        called: Rates above zero that functions were called with in training mode, since it began.
        read: Rates above zero of dropouts that are modules and were used since, by themselves or by others.
        held: Rates above zero of all dropouts that are modules.
        channels: Rates above zero of the frameworks' dropouts that dropped whole channels, where a channel had several
            elements.
        wide: Dropouts that are modules and were given channels of several elements.
        scales: Multiply what a dropout is given by one plus its rate, which shows where each one is.
        hidden: Something draws that cannot be scaled: a recurrent layer of the framework, or code that computes with a
            rate.
    """

    def __init__(self) -> None:
        self.scales = False
        self.hidden = False
        self.channels: set[float] = set()
        self.wide: list[Any] = []
        self.called: set[float] = set()
        self.read: set[float] = set()
        self.held: set[float] = set()
        self._kept: list[tuple[Any, str, Any]] = []
        self._watched: list[Any] = []

    def begin(self, modules: Iterable[Any], package: str, *, scales: bool = False) -> None:
        """Set every rate to zero.

        Args:
            modules: The modules of the model.
            package: Package whose classes are the framework's own.
            scales: Multiply what a dropout is given by one plus its rate.
        """
        self.end()
        self.called, self.read, self.held, self.channels, self.wide = set(), set(), set(), set(), []
        self.scales, self.hidden = scales, False
        for module in modules:
            kind = type(module).__name__
            bases = [base.__name__ for base in type(module).__mro__ if base.__module__.partition(".")[0] == package]
            known = rates(kind, bases, vars(module))
            self.hidden |= is_random(kind) and not _can_be_scaled(module, known)
            for name, rate in known.items():
                self._begin(module, name, rate)
        if not _ACTIVE:
            _silence_functions()
        _ACTIVE.add(self)

    def _begin(self, module: Any, name: str, rate: float) -> None:
        """Set one rate of a module to zero; a dropout of `_DOWNSCALED` is put in evaluation mode as it is."""
        self.held.add(rate)
        attribute = name if name in vars(module) else f"_{name}"
        if vars(module).get("mode") == _DOWNSCALED:
            self._watch(module, rate)
        elif is_random(type(module).__name__):
            self._watch(module, rate)
            self._set(module, attribute, _Off(rate, partial(self._note, rate)))
        else:  # a layer of the framework, which reads its rate where nobody sees it
            self.read.add(rate)
            if self.scales and _ATTENTIONS.search(type(module).__name__):
                return  # it calls a dropout as a function
            self.hidden = True
            self._set(module, attribute, 0.0)

    def _note(self, rate: float, computed: bool) -> None:
        self.read.add(rate)
        self.hidden |= computed

    def end(self) -> None:
        """Give every module its rate back, and the frameworks their functions when no model is in training mode."""
        for owner, name, value in self._kept:
            setattr(owner, name, value)
        for module in self._watched:
            vars(module).pop("forward", None)
        self._kept.clear()
        self._watched.clear()
        _ACTIVE.discard(self)
        if not _ACTIVE:
            _give_functions_back()

    def _watch(self, module: Any, rate: float) -> None:
        """Note that a rate is used when a module is called: one that is off may not look at it."""
        own = None if "forward" in vars(module) else getattr(module, "forward", None)
        of_channels = _drops_channels(type(module).__name__, vars(module).get("axis"))
        if own is None:  # MindSpore's, of which nobody sees what it is given
            self.read.add(rate)
            self.channels |= {rate} if of_channels else set()
            return

        def forward(*args: Any, **named: Any) -> Any:
            self.read.add(rate)
            if _has_wide_channels([*args, *named.values()]):
                self.wide.append(module)
                self.channels |= {rate} if of_channels else set()
            result = own(*args, **named)
            return _scaled(result, rate) if self.scales else result

        vars(module)["forward"] = forward
        self._watched.append(module)

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)


def _can_be_scaled(module: Any, known: Mapping[str, float]) -> bool:
    """True for a dropout without parts whose rate is known, zero as well."""
    parts = getattr(module, "_modules", None) or getattr(module, "_sub_layers", None)
    return not parts and (bool(known) or any(name.lstrip("_") in _RATES for name in vars(module)))


def _scaled(result: Any, rate: float) -> Any:
    """What a dropout gives, times one plus its rate in the digits in which rates are compared."""
    return result * (1 + float(f"{rate:.6g}"))


def _has_wide_channels(given: Sequence[Any]) -> bool:
    """True if the first that a dropout is given is a tensor whose channels, its second axis, have several elements."""
    shape = [*getattr(given[0], "shape", ())] if given else []
    return len(shape) > 2 and math.prod(shape[2:]) > 1


def _drops_channels(name: str, axis: object) -> bool:
    """True for a dropout of a framework, by its name and Paddle's `axis`, that keeps or drops whole channels."""
    return _OF_CHANNELS.fullmatch(name) is not None or (isinstance(axis, list | tuple) and [*axis] == [0, 1])


_ACTIVE: WeakSet[Silence] = WeakSet()
"""Those of the models that are in training mode: several models of one framework may be in one process."""
_USUAL: list[tuple[Any, str, Callable[..., Any]]] = []
"""Module, name and function of each that is silent now."""


def _silence_functions() -> None:
    """Put silent functions in the place of those that draw, of the frameworks that are imported."""
    _give_functions_back()  # those of a model that was thrown away in training mode
    for place in (place for place in _MODULES if place in sys.modules):
        for name, rate in _FUNCTIONS.items():
            function = getattr(sys.modules[place], name, None)
            if function is not None:
                _USUAL.append((sys.modules[place], name, function))
                setattr(sys.modules[place], name, _silent(function, rate))


def _give_functions_back() -> None:
    for module, name, function in _USUAL:
        setattr(module, name, function)
    _USUAL.clear()


def _silent(function: Callable[..., Any], rate: str) -> Callable[..., Any]:
    """The function with a rate of zero where it is called in training mode, as long as a model is."""
    names, usual = _signature(function)

    @wraps(function)
    def silent(*args: Any, **named: Any) -> Any:
        given = {**usual, **dict(zip(names, args, strict=False)), **named}
        active = bool(given.get("training", given.get("train", True))) and isinstance(given.get(rate), int | float)
        scales = active and any(silence.scales for silence in _ACTIVE)
        if scales and isinstance(given[rate], _Off):
            return _scaled(function(*args, **named), given[rate].rate)
        if not active or not given[rate] > 0 or not _ACTIVE:
            return function(*args, **named)
        of_channels = _drops_channels(function.__name__, given.get("axis"))
        of_channels = of_channels and _has_wide_channels([*args, *named.values()])
        for silence in list(_ACTIVE):
            silence.called.add(float(given[rate]))
            silence.channels |= {float(given[rate])} if of_channels else set()
        name, value = ("training", False) if given.get("mode") == _DOWNSCALED else (rate, 0.0)
        place = names.index(name)
        if place < len(args):
            result = function(*args[:place], value, *args[place + 1 :], **named)
        else:
            result = function(*args, **{**named, name: value})
        return _scaled(result, float(given[rate])) if scales else result

    return silent


def _signature(function: Callable[..., Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
    """Names of a function's arguments in their order, and the usual values of those that have one."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a function written in C++
        return _DROPOUT if "dropout" in function.__name__ else _ATTENTION, {}
    known = [parameter for parameter in parameters if parameter.default is not inspect.Parameter.empty]
    return [parameter.name for parameter in parameters], {parameter.name: parameter.default for parameter in known}
