"""What a pickle may ask for: plain containers and NumPy arrays; other objects become stand-ins, which are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from porting.checkpoint.containers.numpy_arrays import Latin, PickledArray, PickledScalar, array_symbols
from porting.checkpoint.containers.pickle_machine import PickleMachine, Symbol, Symbols, Text, hashable
from porting.checkpoint.containers.stand_ins import attribute, stand_in
from porting.checkpoint.file.source import Source, Span, brief
from porting.checkpoint.tensor import Described, Malformed

MAX_DEPTH = 64
"""How deep the containers of a checkpoint may be nested."""


def _pairs(arguments: tuple[object, ...]) -> object:
    match arguments:
        case ():
            return {}
        case ([*pairs],):
            items: dict[object, object] = {}
            for pair in pairs:
                match pair:
                    case (str() as key, value) if key not in items:
                        items[key] = value
                    case _:
                        raise Malformed("an OrderedDict is made of other items than (name, value) pairs, each once")
            return items
    raise Malformed("an OrderedDict has other arguments than a list of pairs")


def _default_dict(arguments: tuple[object, ...]) -> object:
    if len(arguments) > 1:
        raise Malformed("a defaultdict has other arguments than its factory")
    return {}


def _items(kind: Callable[[list[object]], object]) -> Callable[[tuple[object, ...]], object]:
    def build(arguments: tuple[object, ...]) -> object:
        match arguments:
            case ():
                return kind([])
            case ((list() | tuple()) as items,):
                return kind([hashable(item) for item in items] if kind in (set, frozenset) else list(items))
        raise Malformed(f"a {getattr(kind, '__name__', kind)} has other arguments than its items")

    return build


def _empty_bytes(arguments: tuple[object, ...]) -> object:
    if arguments:
        raise Malformed("bytes has arguments, expected none")
    return b""


def _complex(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (float() as real, float() as imaginary):
            return complex(real, imaginary)
    raise Malformed("a complex number has other arguments than two floats")


_BUILTINS: Mapping[str, Callable[[tuple[object, ...]], object]] = {
    "tuple": _items(tuple),
    "list": _items(list),
    "set": _items(set),
    "frozenset": _items(frozenset),
    "dict": _pairs,
    "bytes": _empty_bytes,
    "complex": _complex,
    "getattr": attribute,
}


_FACTORIES = ("int", "float", "str", "bool", "long", "unicode")
"""What a defaultdict may make, also by its name in Python 2; it is never called."""


def plain_symbols(source: Source) -> dict[str, Symbol]:
    """Return the globals that plain containers and NumPy arrays ask for."""
    calls = {f"{module}.{name}": call for name, call in _BUILTINS.items() for module in ("builtins", "__builtin__")}
    calls |= {"collections.OrderedDict": _pairs, "collections.defaultdict": _default_dict}
    symbols = {name: Symbol(name, call) for name, call in calls.items()}
    symbols |= {f"{module}.{name}": Symbol(name) for module in ("builtins", "__builtin__") for name in _FACTORIES}
    return symbols | dict(array_symbols(source))


def load_all(source: Source, symbols: Symbols, persistent: Callable[[object], object] | None = None) -> object:
    """Return the value of a file that is one pickle; raise `CheckpointError` if bytes follow it."""
    value, end = PickleMachine(source, symbols, persistent, stand_in).load()
    if end != source.size:
        raise source.error(f"has {source.size - end} bytes after its end at byte {end}; fetch or save it again")
    return value


def load_plain(data: bytes, *, path: Path | str) -> object:
    """Read a pickle of plain containers and NumPy arrays without executing anything in it.

    An array of Python objects without axes, as `numpy.save` makes of a dict, becomes the object.

    Args:
        data: The pickle, without anything before or after it.
        path: What to call it in errors.

    Returns:
        Dicts, lists, tuples, sets, text, numbers, None, and `numpy.ndarray`, which may be read-only.

    Raises:
        CheckpointError: The pickle is truncated or damaged.
        UnsafePickleError: It asks for anything else.
    """
    source = Source(path, data)
    return _plain(source, load_all(source, plain_symbols(source)), "the array", MAX_DEPTH, [_MAX_ITEMS])


_MAX_ITEMS = 100_000


def _plain(source: Source, value: object, name: str, depth: int, left: list[int]) -> object:
    """Return the value with its arrays loaded. What it refers to many times is counted, and made, as many times."""
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise source.error(f"is nested more than {MAX_DEPTH} deep or holds more than {_MAX_ITEMS} items at {name:.100}")
    match value:
        case dict():
            return {key: _plain(source, item, brief(key), depth - 1, left) for key, item in value.items()}
        case list() | tuple():
            items = [_plain(source, item, name, depth - 1, left) for item in value]
            return items if isinstance(value, list) else tuple(items)
        case PickledArray() if value.objects is not None:
            if value.shape != () or len(value.objects) != 1:
                raise source.error(f"{name} is an array of Python objects with axes, expected one object")
            return _plain(source, value.objects[0], name, depth - 1, left)
        case Described():
            return value.tensor(name).load()
        case PickledScalar():
            return value.array.tensor(name).load()[()]
    return _text_or_bytes(source, value)


def _text_or_bytes(source: Source, value: object) -> object:
    match value:
        case Span(offset, length):
            return source.read(offset, length)
        case Text(offset, length):
            return source.read(offset, length).decode("utf-8", "replace")
        case Latin(str() as text):
            return text.encode("latin-1", "replace")
        case Latin(Text(offset, length)):
            return source.read(offset, length).decode("utf-8", "replace").encode("latin-1", "replace")
    return value
