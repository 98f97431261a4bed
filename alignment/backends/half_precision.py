"""What a framework says where it does not compute in half precision, made one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from alignment.errors import AlignmentError
from alignment.user_code import message_of
from porting.errors import ExpectedError

_OPERATIONS = (
    r'"(\w+)" not implemented for',  # torch
    r"[Kk]ernel `?(\w+)`? (?:is|was)? ?not registered|of kernel `(\w+)`|operator < (\w+) > error",  # Paddle
    r"CPU operator\[(\w+)\]|[Ff]or (?:primitive\[)?'?(\w+)'?\]?, the (?:input|type)",  # MindSpore
)
_DTYPES_DIFFER = re.compile(r"same d?type|type mismatch|should be the same|dtypes? .*(?:match|differ)", re.IGNORECASE)


@contextmanager
def running_in(dtype: str, role: str, framework: str, device: str) -> Iterator[None]:
    """Say in one line that a side does not run in half precision, and which operation it lacks.

    Args:
        dtype: `bfloat16` or `float16`.
        role: `reference` or `candidate`.
        framework: Its name in sentences.
        device: `cpu` or `gpu`.

    Raises:
        AlignmentError: Something within the context failed.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        details = error.details if isinstance(error, ExpectedError) else ()
        raise AlignmentError(
            f"the {role} ({framework}) does not run in {dtype} on the {device.upper()}: {_reason(error, dtype)}",
            [*details, "run `pit-align doctor` for what each framework computes in half precision"],
        ) from error


def missing_operation(message: str) -> str:
    """The operation that a framework's message says is not implemented in a precision; empty if it names none."""
    for pattern in _OPERATIONS:
        match = re.search(pattern, message)
        if match:
            return next(filter(None, match.groups()))
    return ""


def _reason(error: Exception, dtype: str) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    message = str(cause)
    operation, first = missing_operation(message), message_of(cause)
    if _DTYPES_DIFFER.search(message):
        return f"it mixes {dtype} with another precision: {first}"
    return f"{operation} is not implemented in it" if operation else first
