"""Puts exact versions of functions in the place of a framework's own, for as long as a context lasts.

A framework may keep a constant of a kernel in float32 although the model is in float64: then a correct port is off by
1e-8, which no rounding in float64 explains. Run once more with exact versions of these kernels, a correct port agrees.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from alignment.recordings.kernels import Kernel

NEAR = 1e-5
"""Largest relative L2 between an exact version and the framework's own function: a float32 constant moves it less."""
Function = Callable[..., Any]


@dataclass(frozen=True)
class Finished:
    """What an exact version gives, with what is left to do once the framework's own function has run.

    Attributes:
        value: What it gives.
        after: Called last: sets what the framework's own has set, such as running statistics.
    """

    value: Any
    after: Callable[[], None]


@dataclass(frozen=True)
class InPlace:
    """An exact version of a function that changes its arguments, such as an optimizer's update of one parameter.

    Attributes:
        distance: Called once the framework's own function has run: how far the exact version is from it.
        after: Called last, where that is near: sets the arguments to what the exact version has.
    """

    distance: Callable[[], float]
    after: Callable[[], None]


@contextmanager
def using(
    functions: Mapping[str, tuple[Function, Function]],
    apart: Callable[[Any, Any], float],
    *,
    near: float = NEAR,
    holders: Sequence[type] = (),
) -> Iterator[dict[str, Kernel]]:
    """Replace functions wherever a loaded module names them.

    Args:
        functions: Name to the framework's own function and the exact one, which takes the same arguments and returns
            `NotImplemented` where it has no answer, `Finished`, or `InPlace`.
        apart: Relative L2 between what both return; not called for what is done in place.
        near: Largest such distance at which the exact version is used.
        holders: Classes whose methods are replaced as well, such as that of tensors.

    Yields:
        Name to how often each was used, and how far it was from the framework's own; filled while they run.
    """
    used: dict[str, Kernel] = {}
    counted = [(own, _counted(name, own, exact, apart, used, near)) for name, (own, exact) in functions.items()]
    with replaced(counted, holders):
        yield used


@contextmanager
def replaced(functions: Iterable[tuple[Function, Function]], holders: Sequence[type] = ()) -> Iterator[None]:
    """Put functions in the place of others wherever a loaded module or one of these classes names them, for a while."""
    places: list[tuple[ModuleType | type, str, Function]] = []
    try:
        known = {id(own): other for own, other in functions}
        for module, attribute, own in list(_named(known, holders)):
            places.append((module, attribute, own))
            setattr(module, attribute, known[id(own)])
        yield
    finally:
        for module, attribute, own in places:
            setattr(module, attribute, own)


def _named(functions: Container[int], holders: Sequence[type]) -> Iterator[tuple[ModuleType | type, str, Function]]:
    """Every module or class, and name, under which a function of these ids is known, but the exact versions' own."""
    room = __name__.rpartition(".")[0]
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and not module.__name__.startswith(room):
            for attribute, value in list(vars(module).items()):
                if id(value) in functions:
                    yield module, attribute, value
    for holder in holders:
        for attribute, value in list(vars(holder).items()):
            if id(value) in functions:
                yield holder, attribute, value


def _counted(
    name: str,
    own: Function,
    exact: Function,
    apart: Callable[[Any, Any], float],
    used: dict[str, Kernel],
    near: float,
) -> Function:
    running = False

    @functools.wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal running
        if running:  # the framework's own function has called itself
            return own(*args, **kwargs)
        running = True
        try:
            return once(*args, **kwargs)
        finally:
            running = False

    def once(*args: Any, **kwargs: Any) -> Any:
        mine = exact(*args, **kwargs)
        theirs = own(*args, **kwargs)  # after it, for a kernel may update running statistics that both read
        if mine is NotImplemented:
            return theirs
        value = mine.value if isinstance(mine, Finished) else theirs if isinstance(mine, InPlace) else mine
        distance = mine.distance() if isinstance(mine, InPlace) else apart(theirs, value)
        before = used.get(name, Kernel(name))
        if not distance <= near:
            used[name] = before.refused(distance)
            return theirs
        if isinstance(mine, Finished | InPlace):
            mine.after()
        used[name] = before.called(distance)
        return value

    return call
