"""Reads pickles without executing anything in them.

Python's unpickler calls what a pickle names. This one is a separate reading of the same opcodes: it builds plain
containers, and a global is looked up in a table that the caller gives, never imported. A pickle can "call" only the
functions of that table; whatever else it asks for is refused by name, or stands there as a name. Long byte strings and
texts stay in the file, as `Span` and `Text`, so that the tensors of a pickle of any size can be read one at a time.

The opcodes are those of protocols 2 to 5 that pickling data uses, as documented in CPython's `pickletools`.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from sys import getsizeof
from typing import TypeAlias

from porting.checkpoint.containers.foreign_pickles import writer_of
from porting.checkpoint.file.source import Source, Span, shown
from porting.checkpoint.tensor import Malformed
from porting.errors import CheckpointError
from porting.frozen import Frozen

LONG = 4096
"""Bytes from which on a string is left in the file."""
BUDGET = 3 * 2**24
"""Bytes of objects that one file's pickles may make, by the estimates below, besides texts and bytes, which the file
itself holds. It bounds the time too. A checkpoint of ten thousand tensors takes two thirds of it."""
_OPCODE, _NUMBER, _CONTAINER, _SET, _ITEM, _MEMO, _CALL, _SYMBOL = 40, 24, 64, 224, 96, 96, 256, 2400
"""Bytes for an opcode at least, and for a number, a container, a set, an item of a dict or set, an entry of the memo,
a call, and a global that is not in the table, where looking at its name takes more time than memory."""
_MAX_KEY = 2**61 - 1
"""Integers from here on hash like smaller ones, and a dict of many that hash alike takes minutes."""


class Unsafe(Malformed):
    """A call that would run code; the machine adds the file and the place."""


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 text left in the file."""

    offset: int
    length: int


@dataclass(eq=False, repr=False)
class Symbol(Frozen):
    """What stands for one global of a pickle.

    Attributes:
        name: The global, `module.name`.
        call: Returns the value of a call with these arguments, or raises `Malformed`; None if it cannot be called.
    """

    name: str
    call: Callable[[tuple[object, ...]], object] | None = None


Symbols: TypeAlias = Mapping[str, Symbol]
Stranger: TypeAlias = Callable[[str, str], Symbol | None]
"""Returns what stands for a global that is not in the table, by module and name; None for one that is refused."""


class Buildable(ABC):
    """A value that takes a state after it was made."""

    __slots__ = ()

    @abstractmethod
    def build(self, state: object) -> None:
        """Take the state; raise `Malformed` if it has another form."""

    def extend(self, items: list[object]) -> None:
        """Take items that are appended or added; raise `Malformed` if none can be."""
        raise Malformed(f"items are appended to {_kind(self)}, expected a list")

    @property
    def keyed(self) -> dict[object, object] | None:
        """Where items that are set by key go; None if none can be."""
        return None


_SCALARS = (str, int, float, bytes, type(None))
_CONTAINERS = (list, tuple, dict, set, frozenset)


class PickleMachine:
    """Runs one pickle.

    Args:
        source: Where it is.
        symbols: The globals that it may ask for, by `module.name`.
        persistent: Turns a persistent id into a value, or raises `Malformed`.
        stranger: Returns what stands for any other global; by default all others are refused.
    """

    def __init__(
        self,
        source: Source,
        symbols: Symbols,
        persistent: Callable[[object], object] | None = None,
        stranger: Stranger = lambda module, name: None,
    ) -> None:
        self._source = source
        self._symbols = symbols
        self._persistent = persistent
        self._stranger = stranger
        self._unknown: dict[tuple[str, str], Symbol] = {}
        self._at = self._opcode_at = 0
        self._window_at, self._window = 0, memoryview(b"")
        self._left = BUDGET
        self._stack: list[object] = []
        self._outer: list[list[object]] = []
        self._memo: dict[int, object] = {}

    def load(self, offset: int = 0) -> tuple[object, int]:
        """Return the value of the pickle at an offset, and the offset after it.

        Raises:
            CheckpointError: The pickle is truncated, damaged or beyond `BUDGET`.
            UnsafePickleError: It asks for a global that is not in the table.
        """
        self._at, self._memo = offset, {}
        handlers = _HANDLERS
        while True:
            self._opcode_at = at = self._at
            place = at - self._window_at
            code = self._window[place] if 0 <= place < len(self._window) else self._take(1)[0]
            self._at = at + 1
            if code == _STOP:
                break
            self._left -= _OPCODE
            handler = handlers.get(code)
            if handler is None:
                raise self._error(f"opcode {bytes([code])!r} is none that a checkpoint needs")
            try:
                if self._left < 0:
                    self._charge(0)
                handler(self)
            except (IndexError, KeyError):
                raise self._error(f"opcode {bytes([code])!r} finds nothing to work on") from None
            except Unsafe as problem:
                raise self._source.unsafe(f"its pickle, at byte {self._opcode_at}, {problem}") from None
            except Malformed as problem:
                raise self._error(str(problem)) from None
        if len(self._stack) != 1 or self._outer:
            raise self._error("it ends in the middle of a value")
        return self._stack.pop(), self._at

    def _error(self, problem: str) -> CheckpointError:
        return self._source.error(f"is a damaged pickle: at byte {self._opcode_at}, {problem}; fetch or save it again")

    def _charge(self, nbytes: int) -> None:
        self._left -= nbytes
        if self._left < 0:
            raise Malformed(f"it makes more than {BUDGET >> 20} MiB of objects, more than any checkpoint needs")

    def _take(self, length: int) -> memoryview:
        at, place = self._at, self._at - self._window_at
        self._at = at + length
        if not 0 <= place <= place + length <= len(self._window):
            if length >= LONG or at + length > self._source.size:
                return self._source.view(at, length)
            self._window_at, self._window = self._source.window(at)
            place = at - self._window_at
        return self._window[place : place + length]

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _push_new(self, value: object, nbytes: int = _CONTAINER) -> None:
        self._charge(nbytes)
        self._stack.append(value)

    def _above_mark(self) -> list[object]:
        items = self._stack
        self._stack = self._outer.pop()
        return items

    def _bytes(self, size: int) -> None:
        length = self._number(size)
        start = self._at
        view = self._take(length)
        self._push_new(bytes(view) if length < LONG else Span(start, length))

    def _text(self, size: int) -> None:
        length = self._number(size)
        start = self._at
        view = self._take(length)
        if length >= LONG:
            self._push_new(Text(start, length))
            return
        try:
            text = str(view, "utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None
        self._push_new(text, getsizeof(text) - length)

    def _byte_text(self, size: int) -> None:
        """Push a `str` of Python 2: bytes, read as Latin-1 as `paddle.load` does, so that names are texts."""
        length = self._number(size)
        start = self._at
        view = self._take(length)
        self._push_new(str(view, "latin-1") if length < LONG else Span(start, length))

    def _long(self) -> None:
        self._push(int.from_bytes(self._take(self._number(1)), "little", signed=True))

    def _long_of_four(self) -> None:
        length = self._number(4)
        if length >= LONG:
            raise Malformed(f"a number takes {length} bytes")
        self._push_new(int.from_bytes(self._take(length), "little", signed=True), _NUMBER + length)

    def _proto(self) -> None:
        protocol = self._number(1)
        if not 2 <= protocol <= 5:
            raise Malformed(f"the pickle protocol is {protocol}, expected 2 to 5")

    def _frame(self) -> None:
        self._source.view(self._at + 8, self._number(8))

    def _memoize(self) -> None:
        self._charge(_MEMO)
        self._memo[len(self._memo)] = self._stack[-1]

    def _put(self, size: int) -> None:
        self._charge(_MEMO)
        self._memo[self._number(size)] = self._stack[-1]

    def _get(self, size: int) -> None:
        self._push(self._memo[self._number(size)])

    def _mark(self) -> None:
        self._charge(_CONTAINER)
        self._outer.append(self._stack)
        self._stack = []

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._above_mark()

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError
        self._charge(_CONTAINER)
        self._stack[len(self._stack) - count :] = [tuple(self._stack[len(self._stack) - count :])]

    def _append(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list | Buildable):
            raise Malformed(f"items are appended to {_kind(target)}, expected a list")
        target.extend(items)

    def _update(self, items: list[object]) -> None:
        target = self._stack[-1]
        if isinstance(target, Buildable):
            target = target.keyed
        if not isinstance(target, dict) or len(items) % 2:
            raise Malformed(f"keys are set in {_kind(target)}, expected a dict and pairs")
        self._charge(_ITEM * (len(items) // 2))
        for key, value in zip(items[::2], items[1::2], strict=True):
            if hashable(key) in target:
                raise Malformed(f"the key {shown(key)} occurs twice in one dict")
            target[key] = value

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def _add_items(self) -> None:
        items = self._above_mark()
        target = self._stack[-1]
        if isinstance(target, Buildable):
            target.extend(items)
            return
        if not isinstance(target, set):
            raise Malformed(f"items are added to {_kind(target)}, expected a set")
        self._charge(_ITEM * len(items))
        target.update(map(hashable, items))

    def _frozen_set(self) -> None:
        items = self._above_mark()
        self._push_new(frozenset(map(hashable, items)), _SET + _ITEM * len(items))

    def _global(self) -> None:
        self._push(self._find(self._line(), self._line()))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Malformed("the name of a global is no text")
        self._push(self._find(module, name))

    def _line(self) -> str:
        window = bytes(self._source.view(self._at, min(256, self._source.size - self._at)))
        line, newline, _ = window.partition(b"\n")
        if not newline:
            raise Malformed("the name of a global does not end")
        self._at += len(line) + 1
        return line.decode("utf-8", "replace")

    def _find(self, module: str, name: str) -> Symbol:
        # No dot in a known name: from protocol 4 on, Python looks up `a.b` as an attribute of an attribute.
        symbol = None if "." in name else self._symbols.get(f"{module}.{name}")
        if symbol is None:
            symbol = self._unknown.get((module, name))
        if symbol is None:
            symbol = self._stranger(module, name)
            if symbol is None:
                raise self._source.unsafe(
                    f"its pickle asks for {module!r:.80} {name!r:.80} at byte {self._opcode_at}, which is neither a "
                    f"tensor nor a plain container; nothing was executed. {writer_of(module, name)}"
                )
            self._charge(_SYMBOL + 2 * len(module) + 2 * len(name))
            self._unknown[module, name] = symbol
        return symbol

    def _reduce(self) -> None:
        arguments, symbol = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple):
            raise Malformed(f"a call has {_kind(arguments)} for its arguments")
        if not isinstance(symbol, Symbol) or symbol.call is None:
            raise Malformed(f"{_kind(symbol)} is called")
        self._charge(_CALL + _ITEM * sum(len(item) for item in arguments if isinstance(item, _CONTAINERS)))
        self._push(symbol.call(arguments))

    def _new_with_keywords(self) -> None:
        if not isinstance(self._stack.pop(), dict):
            raise Malformed("a call has other than a dict for its keywords")
        self._reduce()

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Buildable):
            target.build(state)
        elif not isinstance(target, dict):  # attributes of an OrderedDict, such as torch's _metadata, are left out
            raise Malformed(f"{_kind(target)} is given a state")

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise Malformed("it refers to data outside of itself")
        self._push(self._persistent(self._stack.pop()))


def hashable(key: object) -> object:
    """Return a key that hashes without recursion; raise `Malformed` for others.

    That is a scalar, a global, an object that hashes by its identity, as stand-ins do, or a tuple of these.
    """
    for item in key if isinstance(key, tuple) else (key,):
        if isinstance(item, _SCALARS):
            if isinstance(item, int) and abs(item) >= _MAX_KEY:
                raise Malformed(f"{_kind(item)} is used as a key")
        elif not isinstance(item, Symbol) and vars(object)["__hash__"] is not getattr(type(item), "__hash__", None):
            raise Malformed(f"{_kind(item)} is used as a key")
    return key


def _kind(value: object) -> str:
    return value.name if isinstance(value, Symbol) else f"a value of type {type(value).__name__}"


_Handler: TypeAlias = Callable[[PickleMachine], None]
_STOP = ord(".")
# Codes and names of the opcodes are in `pickletools.opcodes`: \x80 is PROTO, K is BININT1, R is REDUCE. Their arguments
# are little-endian, except the float of G. A number in a call here is the width in bytes of a length or an index.
_HANDLERS: dict[int, _Handler] = {
    code[0]: handler
    for code, handler in {
        b"\x80": PickleMachine._proto,
        b"\x95": PickleMachine._frame,
        b"N": lambda m: m._push(None),
        b"\x88": lambda m: m._push(True),
        b"\x89": lambda m: m._push(False),
        b"K": lambda m: m._push(m._number(1)),
        b"M": lambda m: m._push_new(m._number(2), _NUMBER),
        b"J": lambda m: m._push_new(struct.unpack("<i", m._take(4))[0], _NUMBER),
        b"\x8a": PickleMachine._long,
        b"\x8b": PickleMachine._long_of_four,
        b"G": lambda m: m._push_new(struct.unpack(">d", m._take(8))[0], _NUMBER),
        b"C": lambda m: m._bytes(1),
        b"B": lambda m: m._bytes(4),
        b"\x8e": lambda m: m._bytes(8),
        b"\x96": lambda m: m._bytes(8),
        b"\x8c": lambda m: m._text(1),
        b"X": lambda m: m._text(4),
        b"\x8d": lambda m: m._text(8),
        b"U": lambda m: m._byte_text(1),
        b"T": lambda m: m._byte_text(4),
        b"]": lambda m: m._push_new([]),
        b"}": lambda m: m._push_new({}),
        b")": lambda m: m._push(()),
        b"\x8f": lambda m: m._push_new(set(), _SET),
        b"(": PickleMachine._mark,
        b"0": PickleMachine._pop,
        b"1": lambda m: m._above_mark() and None,
        b"2": lambda m: m._push(m._stack[-1]),
        b"t": lambda m: m._push_new(tuple(m._above_mark())),
        b"\x85": lambda m: m._tuple(1),
        b"\x86": lambda m: m._tuple(2),
        b"\x87": lambda m: m._tuple(3),
        b"a": lambda m: m._append([m._stack.pop()]),
        b"e": lambda m: m._append(m._above_mark()),
        b"s": PickleMachine._set_item,
        b"u": lambda m: m._update(m._above_mark()),
        b"\x90": PickleMachine._add_items,
        b"\x91": PickleMachine._frozen_set,
        b"\x94": PickleMachine._memoize,
        b"q": lambda m: m._put(1),
        b"r": lambda m: m._put(4),
        b"h": lambda m: m._get(1),
        b"j": lambda m: m._get(4),
        b"c": PickleMachine._global,
        b"\x93": PickleMachine._stack_global,
        b"R": PickleMachine._reduce,
        b"\x81": PickleMachine._reduce,
        b"\x92": PickleMachine._new_with_keywords,
        b"b": PickleMachine._build,
        b"Q": PickleMachine._persistent_id,
    }.items()
}
