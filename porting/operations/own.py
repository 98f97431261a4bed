"""Operations of the user's own: named by where they are imported from, and tried before they are trusted.

Such an operation is a frozen dataclass that derives from `Op`, with `shapes`, `apply` and the property `inverse`. A
file of rules names it by module, class and the values of its fields, which are those of JSON. Importing it runs code,
so that is done for modules only that the user has allowed by name.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import Op, ShapeMismatchError
from porting.operations.chains import Each, listed, steps_of
from porting.operations.ties import Tie, Untie

_LOADED = "_alignment_target_"
"""Start of the names of modules that were run from a file."""


class UntrustedOperationError(ValueError):
    """An operation of the user's own that cannot be used: not allowed, not found, or not exact both ways."""


def is_own(op: Op) -> bool:
    """Return True if an operation is none of the toolkit's."""
    return not type(op).__module__.startswith("porting.operations.")


def try_own(op: Op, shapes: tuple[Shape, ...]) -> None:
    """Try the operations of the user's own within an operation on random arrays.

    Args:
        op: The operation.
        shapes: The shapes that it is given, which fit.

    Raises:
        UntrustedOperationError: One of them is not exact both ways.
    """
    for step in steps_of(op):
        if isinstance(step, Each):
            for part, taken in zip(step.ops, step.divided(shapes), strict=True):
                if part is not None:
                    try_own(part, taken)
        elif isinstance(step, Tie | Untie):
            if step.op is not None:
                try_own(step.op, shapes[:1])
        elif is_own(step):
            prove(step, shapes)
        shapes = step.shapes(*shapes)


def own_operations(op: Op | None) -> list[Op]:
    """Return the operations of the user's own within an operation."""
    ops: list[Op] = []
    for step in steps_of(op):
        if isinstance(step, Each):
            ops += [inner for part in step.ops for inner in own_operations(part)]
        elif isinstance(step, Tie | Untie):
            ops += own_operations(step.op)
        elif is_own(step):
            ops.append(step)
    return ops


def name_of(op: Op) -> str:
    """Return where an operation is imported from: `module:Class`."""
    module = type(op).__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    if file and (module == "__main__" or module.startswith(_LOADED)):
        module = Path(file).stem
    return f"{module}:{type(op).__qualname__}"


def arguments_of(op: Op) -> dict[str, Any]:
    """Return the fields of an operation, for JSON."""
    names = [field.name for field in getattr(op, "__dataclass_fields__", {}).values() if field.init]
    return {name: getattr(op, name) for name in names} or dict(vars(op))


def require_savable(op: Op) -> None:
    """Raise an error for an operation that no file of rules can name.

    Raises:
        ValueError: It is not defined at the top level of a module, or a field is none that JSON has.
    """
    name = name_of(op)
    if "<" in name or "." in name.partition(":")[2] or name.startswith("__main__"):
        raise ValueError(f"{name}: define the class at the top level of a module, so that it can be saved by its name")
    import json

    try:
        again = tuples(json.loads(json.dumps(arguments_of(op), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: a field has no form in JSON: {error}") from None
    if again != arguments_of(op):
        raise ValueError(f"{name}: its fields do not come back from JSON as they are; use numbers, texts and tuples")


def tuples(value: Any) -> Any:
    """Return a value of JSON with tuples for its lists, as frozen dataclasses have them."""
    if isinstance(value, list):
        return tuple(map(tuples, value))
    return {name: tuples(item) for name, item in value.items()} if isinstance(value, dict) else value


def load(name: str, arguments: Mapping[str, Any], allowed: Iterable[str]) -> Op:
    """Import an operation and build it.

    Args:
        name: `module:Class`.
        arguments: Values of its fields.
        allowed: The modules that may be imported.

    Raises:
        UntrustedOperationError: The module is not allowed or not found, or the class is no operation.
    """
    module, _, attribute = name.partition(":")
    if module not in set(allowed):
        raise UntrustedOperationError(
            f"{name} is code, which is run only if you allow it: look at the module, then give --allow-code {module}"
        )
    try:
        cls = getattr(importlib.import_module(module), attribute, None)
        if not (isinstance(cls, type) and issubclass(cls, Op)):
            raise UntrustedOperationError(f"{name} is no class that derives from porting.operations.Op")
        return cls(**arguments)
    except UntrustedOperationError:
        raise
    except Exception as error:  # code of the user's may raise anything
        raise UntrustedOperationError(f"{name} cannot be built: {type(error).__name__}: {error}") from error


def shapes_given(op: Op, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Return the shapes that an operation gives, whatever goes wrong in code of the user's being a mismatch.

    Raises:
        ShapeMismatchError: The operation does not apply, or gives no such number of shapes.
    """
    try:
        result = tuple(tuple(shape) for shape in op.shapes(*shapes))
    except ShapeMismatchError:
        raise
    except Exception as error:  # code of the user's may raise anything
        raise ShapeMismatchError(f"{op} on {listed(shapes)}: {type(error).__name__}: {error}") from error
    if len(result) != op.outputs:
        raise ShapeMismatchError(f"{op} on {listed(shapes)} gives {len(result)} shapes, and outputs is {op.outputs}")
    return result


def prove(op: Op, shapes: tuple[Shape, ...]) -> None:
    """Try an operation of the user's own on random arrays, there and back.

    Args:
        op: The operation.
        shapes: The shapes at hand.

    Raises:
        UntrustedOperationError: It is not exact both ways, bit for bit, or gives other shapes than it says; the message
            has the operation and the shapes.
    """
    seed = zlib.crc32(f"{name_of(op)} {shapes}".encode())
    arrays = tuple(_random(shape, seed + place) for place, shape in enumerate(shapes))
    try:
        back = op.inverse
        if back is None:
            raise UntrustedOperationError(f"{op} has no inverse")
        _require_exact(op, arrays, op.shapes(*shapes))
        there = tuple(_random(shape, seed + 7 + place) for place, shape in enumerate(op.shapes(*shapes)))
        _require_exact(back, there, shapes)
    except UntrustedOperationError as error:
        raise UntrustedOperationError(f"{error}; tried on {listed(shapes)}") from None
    except Exception as error:  # code of the user's may raise anything
        raise UntrustedOperationError(f"{op} on {listed(shapes)}: {type(error).__name__}: {error}") from error


def require_undone(op: Op, arrays: tuple[Array, ...], result: tuple[Array, ...]) -> None:
    """Raise an error unless the inverse of an operation gives back these very arrays.

    Raises:
        UntrustedOperationError: It does not, bit for bit.
    """
    back = op.inverse
    again = back.apply(*result) if back is not None else ()
    same = len(again) == len(arrays) and all(map(_equal, again, arrays))
    if not same:
        raise UntrustedOperationError(f"{op}: its inverse does not give back the same values, bit for bit")


def _require_exact(op: Op, arrays: tuple[Array, ...], expected: tuple[Shape, ...]) -> None:
    kept = tuple(array.copy() for array in arrays)
    result = op.apply(*arrays)
    shapes = tuple(array.shape for array in result)
    if shapes != tuple(expected):
        raise UntrustedOperationError(f"{op} gives {listed(shapes)}, and says {listed(expected)}")
    require_undone(op, kept, result)
    if not all(map(_equal, arrays, kept)):
        raise UntrustedOperationError(f"{op} changes what it is given")


def _random(shape: Shape, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _equal(one: Array, other: Array) -> bool:
    if not isinstance(one, np.ndarray) or (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    first, second = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (one, other))
    return np.array_equal(first, second)
