"""The text of operations, in tables, on the command line and in files: parsed and printed by the same forms.

    chain   = step { " then " step }
    step    = primary [ " and tie " N | " and untie " N | " each of " N ]
    primary = "(" chain ")" | "each of (" item { "; " item } ")" | "own " module:Class [ " " JSON object ] | form
    item    = chain | "as it is"

The forms are listed in `FORMS`. What is in square brackets may be left out, and is then what it usually is. The texts
of operations for tensors that one side does not have end with a reason, which is free text, and stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cached_property, partial
from typing import Any, NamedTuple

from porting.operations.axes import Interleave, Permute, Reshape, Squeeze, Transpose, Unsqueeze
from porting.operations.base import Op
from porting.operations.biases import FoldBias, ZeroBias
from porting.operations.chains import Chain, Each, chained
from porting.operations.one_sided import Build, Drop, Fill, Keep
from porting.operations.own import arguments_of, is_own, name_of, tuples
from porting.operations.parts import Concat, Reorder, Split, Stack, Unstack
from porting.operations.scaling import Scale
from porting.operations.ties import Tie, Untie

Loader = Callable[[str, Mapping[str, Any]], Op]
"""Builds an operation of the user's own from `module:Class` and the values of its fields."""
_LONGEST, _DEEPEST = 20_000, 20
"""Characters of a text, and brackets within brackets, that are read."""
_INTEGER = r"\d{1,15}"
_END = r"(?=$| then | and tie \d| and untie \d| each of \d|; |\))"
"""What may follow an operation."""
_AS_IT_IS = "as it is"


class GrammarError(ValueError):
    """A text is no operation; the message says from where on, and what could be there."""


class _Kind(NamedTuple):
    """A kind of field in a form."""

    pattern: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _shape(text: str) -> tuple[int, ...]:
    return () if text == "scalar" else tuple(map(int, text.split("x")))


def _list(between: str, at_least: str = "*") -> _Kind:
    """Numbers with this sign between them: two at least for `+`, one at least for `*`."""
    pattern = rf"{_INTEGER}(?:{re.escape(between)}{_INTEGER}){at_least}"
    return _Kind(
        pattern, lambda words: tuple(map(int, words.split(between))), lambda numbers: between.join(map(str, numbers))
    )


_KINDS: Mapping[str, _Kind] = {
    "count": _Kind(_INTEGER, int, str),
    "axes": _list(" "),
    "sizes": _list("+", at_least="+"),
    "shape": _Kind(rf"scalar|{_INTEGER}(?:x{_INTEGER})*", _shape, lambda shape: "x".join(map(str, shape)) or "scalar"),
    "number": _Kind(r"-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf)", _number, str),
    "reason": _Kind(r"(?s:.*)", str, str),
}


class Form(NamedTuple):
    """The text of one kind of operation: words, and fields as `{name:kind}`; square brackets may be left out.

    Attributes:
        cls: The class.
        text: The form.
        meaning: What it does, for the documentation.
    """

    cls: type[Op]
    text: str
    meaning: str


FORMS: tuple[Form, ...] = (
    Form(Transpose, "transpose", "two axes swapped: a Linear's (out, in) and (in, out)"),
    Form(Permute, "permute {axes:axes}", "axes in another order, named by their number before"),
    Form(Reshape, "reshape {before:shape} to {after:shape}", "another shape, values in the same order"),
    Form(Squeeze, "squeeze {axes:axes}", "axes of length one taken out, numbered as before"),
    Form(Unsqueeze, "unsqueeze {axes:axes}", "axes of length one put in, numbered as after"),
    Form(Scale, "multiply by {factor:number}", "times a power of two, which loses no bit"),
    Form(Split, "split into {sizes:sizes}[ along {axis:count}]", "cut into parts of these sizes"),
    Form(Split, "split in {outputs:count}[ along {axis:count}]", "cut into equal parts"),
    Form(Concat, "join {sizes:sizes}[ along {axis:count}]", "parts of these sizes joined"),
    Form(Concat, "join {inputs:count}[ along {axis:count}]", "equal parts joined"),
    Form(Reorder, "reorder {order:axes}", "several tensors in another order, numbered from 0"),
    Form(Stack, "stack {inputs:count}[ along {axis:count}]", "joined along a new axis, as experts"),
    Form(Unstack, "unstack {outputs:count}[ along {axis:count}]", "taken apart along an axis, which goes away"),
    Form(
        Interleave,
        "interleave {parts:count} parts of {groups:count} groups[ in each of {outer:count}][ along {axis:count}]",
        "the axis as (outer, parts, groups, inner) becomes (outer, groups, parts, inner)",
    ),
    Form(Tie, "tie {outputs:count}", "one tensor under several names"),
    Form(Untie, "untie {inputs:count}", "several names of one tensor, all with the same values"),
    Form(FoldBias, "fold the bias into the running mean", "a bias before a BatchNorm, and the running mean"),
    Form(ZeroBias, "add a bias of zero", "a running mean becomes a bias of zero and itself"),
    Form(Drop, "drop[ (back as {fill:number})][: {reason:reason}]", "not kept by the target"),
    Form(Fill, "fill with {value:number}[: {reason:reason}]", "not kept by the source: one value throughout"),
    Form(Keep, "keep[: {reason:reason}]", "a constant of the source, which the target builds itself or does not need"),
    Form(Build, "build[: {reason:reason}]", "a constant of the target, which it builds itself"),
)
_FREE = (Drop, Fill, Keep, Build)


class _Compiled:
    """A form made ready: its fields, and the expression that matches its text."""

    _TOKEN = re.compile(r"\[(?P<optional>[^\]]*)\]|\{(?P<name>\w+):(?P<kind>\w+)\}")

    def __init__(self, form: Form) -> None:
        self.form = form
        self.pieces = tuple(self._split(form.text))

    def _split(self, text: str) -> list[str | tuple[str, str] | list[Any]]:
        pieces: list[str | tuple[str, str] | list[Any]] = []
        at = 0
        for token in self._TOKEN.finditer(text):
            pieces.append(text[at : token.start()])
            optional = token["optional"]
            pieces.append(self._split(optional) if optional is not None else (token["name"], token["kind"]))
            at = token.end()
        return [*pieces, text[at:]]

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Matches the text from its beginning."""
        whole = r"\Z" if self.form.cls in _FREE else _END
        return re.compile(_expression(self.pieces) + whole)

    def fits(self, op: Op) -> bool:
        """Return True if this form is the one of an operation; those with sizes have one of their own."""
        return type(op) is self.form.cls and all(
            getattr(op, piece[0]) != () for piece in self.pieces if isinstance(piece, tuple) and piece[1] == "sizes"
        )

    def written(self, op: Op) -> str:
        """Return the text of an operation."""
        usual = {field.name: field.default for field in fields(op)}  # type: ignore[arg-type] # each is a dataclass
        return _written(self.pieces, op, usual)

    def read(self, match: re.Match[str]) -> Op:
        """Return the operation of a text that matched.

        Raises:
            ValueError: It has impossible arguments.
        """
        kinds = dict(_named(self.pieces))
        texts = {name: text for name, text in match.groupdict().items() if text is not None}
        left_out = {name: _USUAL[name] for name in kinds if name in _USUAL}
        return self.form.cls(**left_out | {name: _KINDS[kinds[name]].read(text) for name, text in texts.items()})


def _expression(pieces: Any) -> str:
    return "".join(
        re.escape(piece)
        if isinstance(piece, str)
        else f"(?P<{piece[0]}>{_KINDS[piece[1]].pattern})"
        if isinstance(piece, tuple)
        else f"(?:{_expression(piece)})?"
        for piece in pieces
    )


def _named(pieces: Any) -> list[tuple[str, str]]:
    return [
        pair
        for piece in pieces
        if not isinstance(piece, str)
        for pair in ([piece] if isinstance(piece, tuple) else _named(piece))
    ]


def _written(pieces: Any, op: Op, usual: Mapping[str, Any]) -> str:
    words = []
    for piece in pieces:
        if isinstance(piece, str):
            words.append(piece)
        elif isinstance(piece, tuple):
            words.append(_KINDS[piece[1]].write(getattr(op, piece[0])))
        elif any(getattr(op, name) != _usual(usual, name) for name, _ in _named(piece)):
            words.append(_written(piece, op, usual))
    return "".join(words)


def _usual(usual: Mapping[str, Any], name: str) -> Any:
    return _USUAL.get(name) if usual[name] is MISSING else usual[name]


_USUAL: Mapping[str, Any] = {"axis": 0, "reason": ""}
"""What fields are that have no default of their own and are left out."""
_COMPILED = tuple(map(_Compiled, FORMS))
_START = re.compile(r"\w+")


def text(op: Op) -> str:
    """Return the text of an operation; `parse` makes the same operation of it."""
    if isinstance(op, Chain):
        return " then ".join(map(text, op.steps))
    if isinstance(op, Each):
        alike = op.ops[0] if op.ops[0] is not None and len(set(map(_key, op.ops))) == 1 else None
        if alike is not None:
            return f"{_primary(alike)} each of {len(op.ops)}"
        return f"each of ({'; '.join(text(each) if each else _AS_IT_IS for each in op.ops)})"
    if isinstance(op, Tie | Untie) and op.op is not None:
        word, count = ("tie", op.outputs) if isinstance(op, Tie) else ("untie", op.inputs)
        return f"{_primary(op.op)} and {word} {count}"
    if is_own(op):
        return f"own {name_of(op)}{_arguments(op)}"
    form = next((form for form in _COMPILED if form.fits(op)), None)
    return form.written(op) if form else str(op)


def _arguments(op: Op) -> str:
    import json

    arguments = arguments_of(op)
    return f" {json.dumps(arguments, default=repr)}" if arguments else ""


def texts(op: Op | None) -> list[str]:
    """Return the texts of the steps of an operation, first to last."""
    steps = op.steps if isinstance(op, Chain) else () if op is None else (op,)
    return [text(step) for step in steps]


def _key(op: Op | None) -> str:
    return text(op) if op else ""


def _primary(op: Op) -> str:
    """The text of an operation before a suffix: in brackets where it has several words of the grammar itself."""
    composed = isinstance(op, Chain | Each) or (isinstance(op, Tie | Untie) and op.op is not None)
    return f"({text(op)})" if composed else text(op)


def parse(words: str, own: Loader | None = None) -> Op:
    """Return the operation of a text.

    Args:
        words: As `text` writes it, or as files of earlier versions have it.
        own: Builds operations of the user's own; None refuses them.

    Raises:
        GrammarError: The text is no operation.
        UntrustedOperationError: `own` refuses an operation.
    """
    if len(words) > _LONGEST:
        raise GrammarError(f"a text of {len(words)} characters is no operation")
    for form in _COMPILED:
        if form.form.cls in _FREE and (match := form.regex.match(words)):
            return _built(form, match, words)
    return _Parser(words, own).whole()


def parse_all(words: list[str] | tuple[str, ...], own: Loader | None = None) -> Op | None:
    """Return the operation of texts one after the other; None where there is none.

    Raises:
        GrammarError: A text is no operation, or the operations do not go together.
        UntrustedOperationError: `own` refuses an operation.
    """
    steps = [parse(each, own) for each in words]
    try:
        return chained(steps) if len(steps) > 1 else steps[0] if steps else None
    except ValueError as error:
        raise GrammarError(str(error)) from None


def _built(form: _Compiled, match: re.Match[str], words: str) -> Op:
    try:
        return form.read(match)
    except ValueError as error:
        raise GrammarError(f"{words!r} is no operation: {error}") from None


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, words: str, own: Loader | None) -> None:
        self._words, self._own, self._at, self._depth = words, own, 0, 0

    def whole(self) -> Op:
        op = self._chain()
        if self._at < len(self._words):
            self._refuse()
        return op

    def _chain(self) -> Op:
        steps = [self._step()]
        while self._next(" then "):
            steps.append(self._step())
        return self._make(lambda: Chain(tuple(steps))) if len(steps) > 1 else steps[0]

    def _step(self) -> Op:
        op = self._primary()
        match = self._match(rf" and (tie|untie) ({_INTEGER})| each of ({_INTEGER})")
        if match is None:
            return op
        if match[3]:
            count = int(match[3])
            if count > _LONGEST:
                self._refuse(f"{count} are too many")
            return self._make(lambda: Each((op,) * count))
        return self._make(lambda: (Tie if match[1] == "tie" else Untie)(int(match[2]), op))

    def _primary(self) -> Op:
        if self._next("each of ("):
            return self._each()
        if self._next("("):
            self._deeper(1)
            op = self._chain()
            self._expect(")")
            self._deeper(-1)
            return op
        if self._next("own "):
            return self._of_the_user()
        for form in _COMPILED:
            if form.form.cls not in _FREE and (match := form.regex.match(self._words, self._at)):
                self._at = match.end()
                return self._make(partial(form.read, match))
        self._refuse()
        raise AssertionError

    def _each(self) -> Op:
        self._deeper(1)
        ops: list[Op | None] = [self._item()]
        while self._next("; "):
            ops.append(self._item())
        self._expect(")")
        self._deeper(-1)
        return self._make(lambda: Each(tuple(ops)))

    def _item(self) -> Op | None:
        return None if self._next(_AS_IT_IS) else self._chain()

    def _of_the_user(self) -> Op:
        match = self._match(r"[\w.]+:\w+")
        if match is None:
            self._refuse()
            raise AssertionError
        arguments: Any = {}
        if self._words.startswith(" {", self._at):
            import json

            try:
                arguments, self._at = json.JSONDecoder().raw_decode(self._words, self._at + 1)
            except (ValueError, RecursionError) as error:
                self._refuse(str(error))
        if self._own is None:
            raise GrammarError(f"{match[0]} is an operation of somebody's own, which is not read here")
        return self._own(match[0], tuples(arguments))

    def _make(self, make: Callable[[], Op]) -> Op:
        try:
            return make()
        except ValueError as error:
            raise GrammarError(f"{self._words!r} is no operation: {error}") from None

    def _deeper(self, by: int) -> None:
        self._depth += by
        if self._depth > _DEEPEST:
            self._refuse("too many brackets")

    def _next(self, words: str) -> bool:
        follows = self._words.startswith(words, self._at)
        self._at += len(words) if follows else 0
        return follows

    def _expect(self, words: str) -> None:
        if not self._next(words):
            self._refuse(f"{words!r} is missing")

    def _match(self, pattern: str) -> re.Match[str] | None:
        match = re.compile(pattern).match(self._words, self._at)
        self._at = match.end() if match else self._at
        return match

    def _refuse(self, problem: str = "") -> None:
        rest = self._words[self._at :]
        where = f" from {rest[:40]!r} on" if self._at else ""
        reason = f": {problem}" if problem else f"; known: {', '.join(known())}"
        raise GrammarError(f"{self._words[:200]!r} is no operation{where}{reason}")


def known() -> list[str]:
    """Return the forms of operations as they are written, for messages and documentation."""
    return [re.sub(r"\{(\w+):\w+\}", lambda match: match[1].upper(), form.text) for form in FORMS]


Op.printed = staticmethod(text)
