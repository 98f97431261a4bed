"""A fault as data: what is put into a correct candidate, and what the toolkit should say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

NO_KNOWN_CAUSE = "no known cause"
"""In the place of a cause: nothing that is known is the mistake, which then counts as not named whatever is said."""
Cause: TypeAlias = "str | tuple[str, ...]"
"""The short name of a cause, or several that are true of one mistake."""
Place: TypeAlias = Literal["module", "weights", "function", "files", "training"]


@dataclass(frozen=True)
class Fault:
    """One mistake in an otherwise correct candidate.

    Attributes:
        name: What it is, in words; unique.
        step: The step that must see it, or `files` for what is wrong in a recording.
        place: Where it is put: into a `module` (see `alignment.selftest.inject.paddle_layers`), the `weights`
            (`faults.weights`), a `function` of the backend (`faults.functions`), the `files`, or
            the candidate's `training` code (`alignment.selftest.inject.paddle_training_data`).
        kind: Name of the injector there.
        path: The module, weight, function or key, as the candidate has it.
        arguments: What the injector takes.
        guilty: What must be named, by the reference's names, no more and no less; `path` by default.
        cause: Short name of the cause that must be found, in full; several where two names are of the same mistake;
            of a file, the word that the reason begins with. Or `NO_KNOWN_CAUSE`.
        says: What the sentence of the cause must have, as a pattern: the value, where it has one.
        allowed: Further causes that are true of it: naming one of them is neither right nor wrong.
        model: A key of `alignment.selftest.run.MODELS`.
        quick: Whether the quick self-test has it.
        recipe: Of a fault in training, the recipe that it is put into: a key of `faults.recipes.RECIPES`.
        published: Of a fault that published ports have, what they do, in words.
        allowed: Further causes, as a pattern, that are true of it: naming one of them is neither right nor wrong.
    """

    name: str
    step: str
    place: Place
    kind: str
    path: str
    cause: Cause
    arguments: Mapping[str, Any] = field(default_factory=dict)
    guilty: tuple[str, ...] = ()
    model: str = "pit_micro_distilled"
    quick: bool = False
    recipe: str = ""
    published: str = ""
    says: str = ""
    allowed: tuple[str, ...] = ()

    @property
    def expected(self) -> tuple[str, ...]:
        """What must be named."""
        return self.guilty or (self.path,)

    def names(self, cause: str, says: str = "") -> bool:
        """Whether a cause that was found, and the sentence that was said of it, are this fault's."""
        known = (self.cause,) if isinstance(self.cause, str) else self.cause
        if cause not in known or NO_KNOWN_CAUSE in known:
            return False
        return re.search(rf"(?<![\w.])(?:{self.says})(?!\w|\.\d)", says) is not None if self.says else True

    def contradicts(self, cause: str, says: str = "") -> bool:
        """Whether a cause that was found sends its reader to the wrong place."""
        return bool(cause) and not self.names(cause, says) and cause not in self.allowed
