"""Taps by forward hooks, which PyTorch, Paddle and MindSpore all have, in one form."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeAlias

from alignment.arrays import Array
from alignment.backends.base import Isolated, Module, Replaced, Substitute, Tap, Visit
from alignment.backends.calling import names_of
from alignment.backends.trees import inside_of
from alignment.errors import AlignmentError

_PLAIN = (bool, int, float, str)
_Arguments: TypeAlias = "dict[tuple[str, int], tuple[tuple[Any, ...], dict[str, Any]]]"
"""Call of a module to its positional and keyword arguments, with `_HOLE` or an `_IntegerHole` for every tensor."""


@dataclass(frozen=True)
class Primitives:
    """What the hooks need of a framework; a tensor is the framework's own.

    Attributes:
        modules: Path and module, for the model itself and everything in it.
        common: Names of the attributes that every module has.
        package: Name of the package whose classes are the framework's own.
        state_names: Names in the state dict of the tensors that a module at a path holds itself.
        before: Registers a hook `(module, positional, by_name) -> (positional, by_name)`, the arguments of a call; what
            it returns has `remove`.
        after: Registers a hook `(module, arguments, output) -> output`.
        is_tensor: Whether a value is a tensor.
        is_float: Whether a tensor is one of floating-point numbers.
        array: The values of a tensor, copied.
        tensor: A tensor of these values, which gradients are wanted for or not.
        alias: A copy of a tensor, through which gradients flow back to it.
        version: Number that grows whenever a tensor is changed in place; always 0 where the framework does not tell.
        write: Puts values into a tensor in place, behind the back of autograd.
        on_gradient: Has a function called with the gradient of a tensor; does nothing where none will come.
        backward: Sends gradients back from tensors; None where they cannot be watched.
        gradient: The gradient that arrived at a tensor, or None.
        clear: Forgets the gradients of all parameters.
        detach: A tensor of the same values, through which no gradient flows back.
    """

    modules: Iterable[tuple[str, Any]]
    common: Collection[str]
    package: str
    state_names: Callable[[str, Any], tuple[str, ...]]
    before: Callable[[Any, Callable[..., Any]], Any]
    after: Callable[[Any, Callable[..., Any]], Any]
    is_tensor: Callable[[Any], bool]
    is_float: Callable[[Any], bool]
    array: Callable[[Any], Array]
    tensor: Callable[[Array, bool], Any]
    alias: Callable[[Any], Any]
    version: Callable[[Any], int]
    write: Callable[[Any, Array], None]
    on_gradient: Callable[[Any, Callable[[Any], None]], None]
    backward: Callable[[Sequence[Any], Sequence[Any]], None] | None
    gradient: Callable[[Any], Array | None]
    clear: Callable[[], None]
    detach: Callable[[Any], Any]

    def floating(self, value: Any) -> bool:
        """Whether a value is a floating-point tensor."""
        return self.is_tensor(value) and self.is_float(value)

    def integral(self, value: Any) -> bool:
        """Whether a value is a tensor of integers or booleans."""
        return self.is_tensor(value) and not self.is_float(value)


class HookedTaps:
    """See `alignment.backends.base.Taps`.

    Args:
        primitives: The framework with the model.
    """

    def __init__(self, primitives: Primitives) -> None:
        self._framework = primitives
        self._modules = dict(primitives.modules)
        self._arguments: _Arguments = {}

    @property
    def gradients(self) -> bool:
        """Whether gradients can be watched."""
        return self._framework.backward is not None

    @property
    def modules(self) -> Mapping[str, Module]:
        """Every module by its path; that of the model itself is empty."""
        framework = self._framework
        return {
            path: Module(
                type(module).__name__,
                framework.state_names(path, module),
                _settings(module, framework.common),
                tuple(base.__name__ for base in type(module).__mro__ if _package(base) == framework.package),
            )
            for path, module in self._modules.items()
        }

    @property
    def objects(self) -> Mapping[str, Any]:
        """Every module by its path, as the framework's own object."""
        return self._modules

    def detach(self, tensor: Any) -> Any:
        """A tensor of the same values, through which no gradient flows back."""
        return self._framework.detach(tensor)

    @contextmanager
    def changed(self, path: str, change: Callable[[Sequence[Any], Any], Any]) -> Iterator[None]:
        """Change what a module returns while the context is open."""
        framework = self._framework

        def returned(_: Any, given: Any, output: Any) -> Any:
            inputs = list(_leaves(given, framework.floating))
            return _map(output, framework.floating, lambda tensor: change(inputs, tensor))

        handle = framework.after(self._modules[path], returned)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def watch(
        self,
        visit: Visit,
        replaced: Replaced | None = None,
        substitute: Substitute | None = None,
        *,
        apart: bool = False,
        paths: Container[str] | None = None,
    ) -> Iterator[None]:
        """Show everything that goes through the modules while the context is open."""
        watcher = _Watcher(self._framework, visit, replaced or {}, self._arguments, substitute, apart)
        chosen = {path: module for path, module in self._modules.items() if paths is None or path in paths}
        with _hooked(chosen, watcher):
            yield

    def isolate(
        self,
        path: str,
        call: int,
        inputs: Sequence[Array],
        output_gradients: Sequence[Array | None] = (),
        replaced: Replaced | None = None,
        visit: Visit | None = None,
        integers: Sequence[Array] = (),
    ) -> Isolated:
        """Run one module alone; after a backward pass `Backend.gradients` has those of its parameters."""
        framework = self._framework
        tensors = [framework.tensor(array, bool(output_gradients)) for array in inputs]
        aliases = [framework.alias(tensor) for tensor in tensors]  # a module may change what it is given in place
        positional, by_name = self._filled(path, call, aliases, integers)
        if output_gradients:
            framework.clear()
        within = {name: module for name, module in self._modules.items() if name != path and _inside(name, path)}
        watcher = _Watcher(framework, visit or (lambda *_: None), replaced or {}, {})
        with _hooked(within if visit or replaced else {}, watcher):
            outputs = list(_leaves(self._modules[path](*positional, **by_name), framework.floating))
        wanted = [(out, array) for out, array in zip(outputs, output_gradients, strict=False) if array is not None]
        # An output of another size differs, whatever its gradient would be; frameworks refuse to go back from it.
        pairs = [(out, array) for out, array in wanted if math.prod(out.shape) == array.size]
        if pairs and framework.backward is not None:
            framework.backward([out for out, _ in pairs], [framework.tensor(array, False) for _, array in pairs])
        gradients = tuple(framework.gradient(tensor) if pairs else None for tensor in tensors)
        return Isolated(tuple(framework.array(out) for out in outputs), gradients)

    def _filled(
        self, path: str, call: int, tensors: list[Any], integers: Sequence[Array]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call with these tensors for its own."""
        if (path, call) not in self._arguments:
            raise AlignmentError(f"the candidate's {path or 'model'} was not called, so it cannot be run alone")
        arguments, left = self._arguments[path, call], list(tensors)
        expected = len(list(_leaves(arguments, _is_hole)))
        if expected != len(tensors):
            raise AlignmentError(
                f"the candidate's {path or 'model'} takes {expected} tensors, {len(tensors)} were recorded"
            )
        own = [hole.array for hole in _leaves(arguments, _is_integer_hole)]
        fits = [array.shape for array in own] == [array.shape for array in integers]
        if own and not fits and not expected:
            forms = (", ".join(str(array.shape) for array in arrays) for arrays in (own, integers))
            raise AlignmentError("the candidate's {} takes integers {}, {} were recorded".format(path, *forms))
        fitting = iter(integers if fits else own)
        filled = _map(arguments, _is_hole, lambda _: left.pop(0))
        filled = _map(filled, _is_integer_hole, lambda hole: self._integers(next(fitting), hole))
        return tuple(filled[0]), dict(filled[1])

    def _integers(self, array: Array, hole: _IntegerHole) -> Any:
        """A tensor of given integers, in the dtype that stood in its place."""
        return self._framework.tensor(array.astype(hole.array.dtype), False)


@dataclass(frozen=True)
class _Entered:
    """A call of a module that has begun.

    Attributes:
        call: Its number.
        given: The floating-point tensors that it was given, each with its version then.
    """

    call: int
    given: tuple[tuple[Any, int], ...]

    def version_of(self, tensor: Any) -> int | None:
        """Version that a tensor had when it was given to the call; None for any other tensor."""
        return next((version for other, version in self.given if other is tensor), None)


class _Watcher:
    """The two hooks of every module, with what they count."""

    def __init__(
        self,
        framework: Primitives,
        visit: Visit,
        replaced: Replaced,
        arguments: _Arguments,
        substitute: Substitute | None = None,
        apart: bool = False,
    ) -> None:
        self.framework, self._visit, self._replaced, self._arguments = framework, visit, replaced, arguments
        self._substitute, self._apart = substitute, apart
        self._calls: Counter[str] = Counter()
        self._open: dict[str, list[_Entered]] = {}

    def enter(self, path: str, module: Any, positional: Any, by_name: Mapping[str, Any]) -> Any:
        call = self._calls[path]
        self._calls[path] += 1
        arguments = (tuple(positional), _in_order(module, by_name) if path else dict(by_name))
        inputs = self._substituted(arguments, path, call, "input")
        arrays = [self.framework.array(tensor) for tensor in _leaves(inputs, self.framework.integral)]
        left = iter(arrays)
        holes = _map(inputs, self.framework.floating, lambda _: _HOLE)
        self._arguments[path, call] = _map(holes, self.framework.integral, lambda _: _IntegerHole(next(left)))
        for index, array in enumerate(arrays):
            self._visit(Tap(path, call, "integers", index), array)
        shown = self._shown(inputs, Tap(path, call, "input", 0), None)
        leaves = _leaves(shown, self.framework.floating)
        entered = _Entered(call, tuple((tensor, self.framework.version(tensor)) for tensor in leaves))
        self._open.setdefault(path, []).append(entered)
        return shown

    def leave(self, path: str, _: Any, __: Any, output: Any) -> Any:
        entered = self._open[path].pop()
        output = self._placed(output, self._replaced.get((path, entered.call)), entered)
        output = self._substituted(output, path, entered.call, "output", entered)
        return self._shown(output, Tap(path, entered.call, "output", 0), entered)

    def _substituted(self, value: Any, path: str, call: int, what: str, entered: _Entered | None = None) -> Any:
        if self._substitute is None:
            return value
        arrays = [self.framework.array(tensor) for tensor in _leaves(value, self.framework.floating)]
        return self._placed(value, self._substitute(path, call, what, arrays), entered)

    def _placed(self, value: Any, arrays: Sequence[Array] | None, entered: _Entered | None) -> Any:
        """A value with other floating-point tensors in it; one that the module changed in place keeps its place."""
        if arrays is None:
            return value
        left = list(arrays)

        def put(tensor: Any) -> Any:
            array = left.pop(0)
            if entered is not None and self._is_changed(tensor, entered) and tuple(tensor.shape) == array.shape:
                self.framework.write(tensor, array)  # whoever else holds the tensor sees what was made of it
                return tensor
            return self.framework.tensor(array, True)

        return _map(value, self.framework.floating, put)

    def _is_changed(self, tensor: Any, entered: _Entered) -> bool:
        """Whether an output is a tensor that the module was given, and changed in place."""
        version = entered.version_of(tensor)
        return version is not None and version != self.framework.version(tensor)

    def _shown(self, value: Any, tap: Tap, entered: _Entered | None) -> Any:
        """Show the floating-point tensors of a value, and their gradients once these arrive.

        Args:
            value: What a module is given or returns.
            tap: The first of them.
            entered: The call that returns the value; None for what a call is given.

        Returns:
            The value itself; with gradients apart, one with copies of its tensors.
        """
        counted = iter(range(len(list(_leaves(value, self.framework.floating)))))

        def show(tensor: Any) -> Any:
            shown = replace(tap, index=next(counted))
            self._visit(shown, self.framework.array(tensor))
            copied = self.framework.alias(tensor) if self._apart else tensor
            if self._apart or (entered is not None and self._is_new(tensor, entered)):
                self._await_gradient(copied, replace(shown, what=f"{tap.what}_gradient"))
            return copied

        return _map(value, self.framework.floating, show)

    def _is_new(self, tensor: Any, entered: _Entered) -> bool:
        """Whether a module made an output, so that no gradient but that of the output arrives at it."""
        return entered.version_of(tensor) is None or self._is_changed(tensor, entered)

    def _await_gradient(self, tensor: Any, tap: Tap) -> None:
        def arrived(gradient: Any) -> None:
            self._visit(tap, self.framework.array(gradient))

        self.framework.on_gradient(tensor, arrived)


@contextmanager
def _hooked(modules: Mapping[str, Any], watcher: _Watcher) -> Iterator[None]:
    handles = []
    try:
        for path, module in modules.items():
            handles.append(watcher.framework.before(module, partial(watcher.enter, path)))
            handles.append(watcher.framework.after(module, partial(watcher.leave, path)))
        yield
    finally:
        for handle in handles:
            handle.remove()


_HOLE = object()
"""Where a floating-point tensor goes in the arguments of a call."""


@dataclass(frozen=True)
class _IntegerHole:
    """Where a tensor of integers or booleans goes in the arguments of a call, with the one that stood there."""

    array: Array


def _is_hole(value: Any) -> bool:
    return value is _HOLE


def _is_integer_hole(value: Any) -> bool:
    return isinstance(value, _IntegerHole)


def _map(value: Any, wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    """A value with the wanted leaves of what it holds changed, in order; the very value where none is changed.

    It stays what it is: tuples with and without names, lists, mappings of any class and dataclasses.
    """
    if wanted(value):
        return change(value)
    inside = {} if isinstance(value, Mapping) and not isinstance(value, MutableMapping) else inside_of(value)
    changed = {key: _map(item, wanted, change) for key, item in inside.items()}
    if all(item is inside[key] for key, item in changed.items()):
        return value
    if isinstance(value, tuple | list):
        make = getattr(type(value), "_make", type(value))
        return make(changed.values())
    again = copy.copy(value)
    for key, item in changed.items():
        if isinstance(value, Mapping):
            again[key] = item
        else:
            object.__setattr__(again, key, item)
    return again


def _leaves(value: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    if wanted(value):
        yield value
        return
    if isinstance(value, Mapping) and not isinstance(value, MutableMapping):
        return
    for item in inside_of(value).values():
        yield from _leaves(item, wanted)


def _settings(module: Any, common: Collection[str]) -> dict[str, Any]:
    settings = {}
    for name, value in vars(module).items():
        plain = isinstance(value, _PLAIN) or (
            isinstance(value, tuple | list) and value and all(isinstance(item, _PLAIN) for item in value)
        )
        if plain and name not in common:
            settings[name.strip("_")] = list(value) if isinstance(value, tuple) else value
    return settings


def _in_order(module: Any, by_name: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments in the order in which the module declares them, whatever the order of the call is.

    Those of the model itself are in the order of the pair's inputs on both sides already.
    """
    if len(by_name) < 2:
        return dict(by_name)
    places = _places(getattr(type(module), "forward", None) or type(module).construct)
    return dict(sorted(by_name.items(), key=lambda item: places.get(item[0], len(places))))


@cache
def _places(forward: Callable[..., Any]) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(names_of(forward)[0])}


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _inside(path: str, parent: str) -> bool:
    return not parent or path.startswith(f"{parent}.")
