"""What draws at random in training mode: dropouts and drop paths, their rates, and how they are switched off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from alignment.backends.checks import is_random

_RATES = ("p", "drop_prob", "drop_p", "drop_rate")
"""Attributes that hold the rate of a dropout or drop path, without the underscore that they may start with."""
_OF_FRAMEWORKS = ("dropout",)
"""The same of the frameworks' own attention and recurrent layers, which draw inside."""


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


class Silence:
    """Sets the rates of a model's modules to zero, and back: some attentions draw by the rate of a dropout in them."""

    def __init__(self) -> None:
        self._kept: list[tuple[Any, str, float]] = []

    def begin(self, modules: Iterable[Any], package: str) -> None:
        """Set every rate to zero.

        Args:
            modules: The modules of the model.
            package: Package whose classes are the framework's own.
        """
        self.end()
        for module in modules:
            bases = [base.__name__ for base in type(module).__mro__ if base.__module__.partition(".")[0] == package]
            for name in rates(type(module).__name__, bases, vars(module)):
                attribute = name if name in vars(module) else f"_{name}"
                self._kept.append((module, attribute, getattr(module, attribute)))
                setattr(module, attribute, 0.0)

    def end(self) -> None:
        """Give every module its rate back."""
        for module, name, rate in self._kept:
            setattr(module, name, rate)
        self._kept.clear()
