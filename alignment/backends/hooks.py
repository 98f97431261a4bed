"""Taps by forward hooks, which PyTorch, Paddle and MindSpore all have, in one form."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from alignment.arrays import Array
from alignment.backends.base import Isolated, Module, Replaced, Tap, Visit
from alignment.errors import AlignmentError

_PLAIN = (bool, int, float, str)
_Arguments: TypeAlias = "dict[tuple[str, int], tuple[Any, ...]]"


@dataclass(frozen=True)
class Primitives:
    """What the hooks need of a framework; a tensor is the framework's own.

    Attributes:
        modules: Path and module, for the model itself and everything in it.
        common: Names of the attributes that every module has.
        package: Name of the package whose classes are the framework's own.
        state_names: Names in the state dict of the tensors that a module at a path holds itself.
        before: Registers a hook `(module, arguments) -> arguments`; what it returns has `remove`.
        after: Registers a hook `(module, arguments, output) -> output`.
        is_float: Whether a value is a floating-point tensor.
        array: The values of a tensor, copied.
        tensor: A tensor of these values, which gradients are wanted for or not.
        alias: The same tensor, for autograd to tell apart.
        on_gradient: Has a function called with the gradient of a tensor; does nothing where none will come.
        backward: Sends gradients back from tensors; None where they cannot be watched.
        gradient: The gradient that arrived at a tensor, or None.
        clear: Forgets the gradients of all parameters.
    """

    modules: Iterable[tuple[str, Any]]
    common: Collection[str]
    package: str
    state_names: Callable[[str, Any], tuple[str, ...]]
    before: Callable[[Any, Callable[..., Any]], Any]
    after: Callable[[Any, Callable[..., Any]], Any]
    is_float: Callable[[Any], bool]
    array: Callable[[Any], Array]
    tensor: Callable[[Array, bool], Any]
    alias: Callable[[Any], Any]
    on_gradient: Callable[[Any, Callable[[Any], None]], None]
    backward: Callable[[Sequence[Any], Sequence[Any]], None] | None
    gradient: Callable[[Any], Array | None]
    clear: Callable[[], None]


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

    @contextmanager
    def watch(self, visit: Visit, replaced: Replaced | None = None) -> Iterator[None]:
        """Show everything that goes through the modules while the context is open."""
        with _hooked(self._modules, _Watcher(self._framework, visit, replaced or {}, self._arguments)):
            yield

    def isolate(
        self,
        path: str,
        call: int,
        inputs: Sequence[Array],
        output_gradients: Sequence[Array | None] = (),
        replaced: Replaced | None = None,
        visit: Visit | None = None,
    ) -> Isolated:
        """Run one module alone; `Backend.gradients` has those of its parameters afterwards."""
        framework = self._framework
        tensors = [framework.tensor(array, bool(output_gradients)) for array in inputs]
        arguments = self._filled(path, call, tensors)
        framework.clear()
        within = {name: module for name, module in self._modules.items() if name != path and _inside(name, path)}
        watcher = _Watcher(framework, visit or (lambda *_: None), replaced or {}, {})
        with _hooked(within if visit or replaced else {}, watcher):
            outputs = list(_leaves(self._modules[path](*arguments), framework.is_float))
        wanted = [(out, array) for out, array in zip(outputs, output_gradients, strict=False) if array is not None]
        # An output of another size differs, whatever its gradient would be; frameworks refuse to go back from it.
        pairs = [(out, array) for out, array in wanted if math.prod(out.shape) == array.size]
        if pairs and framework.backward is not None:
            framework.backward([out for out, _ in pairs], [framework.tensor(array, False) for _, array in pairs])
        gradients = tuple(framework.gradient(tensor) if pairs else None for tensor in tensors)
        return Isolated(tuple(framework.array(out) for out in outputs), gradients)

    def _filled(self, path: str, call: int, tensors: list[Any]) -> tuple[Any, ...]:
        if (path, call) not in self._arguments:
            raise AlignmentError(f"the candidate's {path or 'model'} was not called, so it cannot be run alone")
        arguments, left = self._arguments[path, call], list(tensors)
        expected = len(list(_leaves(arguments, _is_hole)))
        if expected != len(tensors):
            raise AlignmentError(
                f"the candidate's {path or 'model'} takes {expected} tensors, {len(tensors)} were recorded"
            )
        return tuple(_map(arguments, _is_hole, lambda _: left.pop(0)))


class _Watcher:
    """The two hooks of every module, with what they count."""

    def __init__(self, framework: Primitives, visit: Visit, replaced: Replaced, arguments: _Arguments) -> None:
        self.framework, self._visit, self._replaced, self._arguments = framework, visit, replaced, arguments
        self._calls: Counter[str] = Counter()
        self._open: dict[str, list[int]] = {}

    def enter(self, path: str, _: Any, arguments: Any) -> Any:
        call = self._calls[path]
        self._calls[path] += 1
        self._open.setdefault(path, []).append(call)
        inputs = tuple(arguments) if isinstance(arguments, tuple | list) else (arguments,)
        self._arguments[path, call] = _map(inputs, self.framework.is_float, lambda _: _HOLE)
        return self._shown(inputs, path, call, "input")

    def leave(self, path: str, _: Any, __: Any, output: Any) -> Any:
        call = self._open[path].pop()
        if (path, call) in self._replaced:
            left = list(self._replaced[path, call])
            output = _map(output, self.framework.is_float, lambda _: self.framework.tensor(left.pop(0), True))
        return self._shown(output, path, call, "output")

    def _shown(self, value: Any, path: str, call: int, what: str) -> Any:
        counted = iter(range(len(list(_leaves(value, self.framework.is_float)))))

        def show(tensor: Any) -> Any:
            index = next(counted)
            alias = self.framework.alias(tensor)
            self._visit(Tap(path, call, what, index), self.framework.array(tensor))
            of_gradient = Tap(path, call, f"{what}_gradient", index)

            def arrived(gradient: Any) -> None:
                self._visit(of_gradient, self.framework.array(gradient))

            self.framework.on_gradient(alias, arrived)
            return alias

        return _map(value, self.framework.is_float, show)


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
"""Where a tensor goes in the arguments of a call."""


def _is_hole(value: Any) -> bool:
    return value is _HOLE


def _map(value: Any, wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    """A value with the wanted leaves of what it holds changed, in order; the very value where none is changed.

    It stays what it is: tuples with and without names, lists, mappings of any class and dataclasses.
    """
    if wanted(value):
        return change(value)
    inside = _inside_of(value)
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
    for item in _inside_of(value).values():
        yield from _leaves(item, wanted)


def _inside_of(value: Any) -> dict[Any, Any]:
    """What a value holds, by place, key or field; empty for what is looked into by nobody."""
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if isinstance(value, MutableMapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def _settings(module: Any, common: Collection[str]) -> dict[str, Any]:
    settings = {}
    for name, value in vars(module).items():
        plain = isinstance(value, _PLAIN) or (
            isinstance(value, tuple | list) and value and all(isinstance(item, _PLAIN) for item in value)
        )
        if plain and name not in common:
            settings[name.strip("_")] = list(value) if isinstance(value, tuple) else value
    return settings


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _inside(path: str, parent: str) -> bool:
    return not parent or path.startswith(f"{parent}.")
