"""A fault as data: what is put into a correct candidate, and what the toolkit should say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

NO_KNOWN_CAUSE = "no known cause"
"""In the place of a cause: no known mistake is this one, so that whatever is named is wrong."""
Place: TypeAlias = Literal["module", "weights", "function", "files", "training"]


@dataclass(frozen=True)
class Fault:
    """One mistake in an otherwise correct candidate.

    Attributes:
        name: What it is, in words; unique.
        step: The step that must see it, or `files` for what is wrong in a recording.
        place: Where it is put: into a `module` (see `alignment.backends.paddle_faults`), the `weights`
            (`alignment.faults.weights`), a `function` of the backend (`alignment.faults.functions`), the `files`, or
            the candidate's `training` code (`alignment.backends.paddle_training_faults`).
        kind: Name of the injector there.
        path: The module, weight, function or key, as the candidate has it.
        arguments: What the injector takes.
        guilty: What must be named, by the reference's names, no more and no less; `path` by default.
        cause: Short name of the cause that must be found, as a pattern; `NO_KNOWN_CAUSE` where nothing that is known is
            the mistake, which then counts as not named whatever is said.
        model: A key of `alignment.selftest.MODELS`.
        quick: Whether the quick self-test has it.
        recipe: Of a fault in training, the recipe that it is put into: a key of `alignment.faults.recipes.RECIPES`.
        published: Of a fault that published ports have, what they do, in words.
        allowed: Further causes, as a pattern, that are true of it: naming one of them is neither right nor wrong.
    """

    name: str
    step: str
    place: Place
    kind: str
    path: str
    cause: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    guilty: tuple[str, ...] = ()
    model: str = "pit_micro_distilled"
    quick: bool = False
    recipe: str = ""
    published: str = ""
    allowed: str = ""

    @property
    def expected(self) -> tuple[str, ...]:
        """What must be named."""
        return self.guilty or (self.path,)

    def names(self, cause: str) -> bool:
        """Whether a cause that was found is this fault's."""
        return self.cause != NO_KNOWN_CAUSE and re.search(self.cause, cause) is not None

    def contradicts(self, cause: str) -> bool:
        """Whether a cause that was found sends its reader to the wrong place."""
        return bool(cause) and not self.names(cause) and not (self.allowed and re.search(self.allowed, cause))
