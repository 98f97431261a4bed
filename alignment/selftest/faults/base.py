"""A fault as data: what is put into a correct candidate, and what the toolkit should report of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

NO_CAUSE = "no known cause"
"""Expected cause of a fault that no hypothesis describes; such a fault counts as not named, whatever is reported."""
Cause: TypeAlias = "str | tuple[str, ...]"
"""The short name of a cause, or several that are true of one mistake."""
Paths: TypeAlias = "str | tuple[str, ...]"
Place: TypeAlias = Literal["module", "weights", "function", "files", "training"]
_BLOCKS = tuple(f"{stage}.blocks.{block}" for stage, depth in enumerate((2, 3, 1)) for block in range(depth))
_ACCURACIES = ("metric/acc_top1", "metric/acc_top5", "metric/planted_acc_top1", "metric/planted_acc_top5")


@dataclass(frozen=True)
class Fault:
    """One mistake in an otherwise correct candidate.

    Attributes:
        name: The mistake in words; unique.
        step: The step that must detect it, or `files` for a mistake in a recording.
        place: Where it is put: into a `module` (see `alignment.selftest.inject.paddle_layers`), the `weights` or the
            recorded `files` (`faults.arrays`), a `function` of the backend (`faults.functions`), or the candidate's
            `training` code (`alignment.selftest.inject.paddle_training_data`).
        kind: Name of the injector there.
        path: The module, weight, function or key, by the candidate's name.
        cause: Short name of the cause that must be found, in full; several where two names describe the same mistake;
            of a file, the word that the reason begins with. Or `NO_CAUSE`.
        arguments: Arguments of the injector.
        places: What must be located, by the reference's names, no more and no less; `path` by default.
        model: A key of `alignment.selftest.run.MODELS`.
        quick: Whether the quick self-test runs it.
        recipe: The recipe that a fault in training is put into, a key of `faults.training.RECIPES`.
        published: How the mistake shows in published ports, if it does.
        says: Pattern that the sentence of the cause must contain: the value, where it has one.
        allowed: Further causes that are true of it: naming one of them is neither right nor wrong.
    """

    name: str
    step: str
    place: Place
    kind: str
    path: str
    cause: Cause
    arguments: Mapping[str, Any] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    model: str = "pit_micro_distilled"
    quick: bool = False
    recipe: str = ""
    published: str = ""
    says: str = ""
    allowed: tuple[str, ...] = ()

    @property
    def expected(self) -> tuple[str, ...]:
        """Paths that must be located."""
        return self.places or (self.path,)

    def names(self, cause: str, says: str = "") -> bool:
        """Return whether the name and the sentence of a reported cause are those of this fault."""
        known = (self.cause,) if isinstance(self.cause, str) else self.cause
        if cause not in known or NO_CAUSE in known:
            return False
        return re.search(rf"(?<![\w.])(?:{self.says})(?!\w|\.\d)", says) is not None if self.says else True

    def contradicts(self, cause: str, says: str = "") -> bool:
        """Return whether a reported cause sends its reader to the wrong place."""
        return bool(cause) and not self.names(cause, says) and cause not in self.allowed


def module(
    name: str,
    kind: str,
    path: str,
    cause: Cause,
    /,
    *,
    places: Paths = (),
    step: str = "forward",
    model: str = "pit_micro_distilled",
    quick: bool = False,
    **arguments: object,
) -> Fault:
    """Return a fault in a module; `arguments` are those of the injector."""
    return Fault(name, step, "module", kind, path, cause, arguments, _tuple(places), model, quick)


def attribute(name: str, path: str, attribute: str, value: object, cause: Cause, **more: Any) -> Fault:
    """Return the fault of a module's attribute that has another value."""
    return module(name, "set", path, cause, attribute=attribute, value=value, **more)


def batch_norm(name: str, kind: str, cause: Cause, /, *, step: str = "batchnorm", **arguments: Any) -> Fault:
    """Return a fault in the last BatchNorm of a block of RegNet."""
    twin, path = "s3.b2.conv3.bn", "stages.2.blocks.1.bn3"
    return module(name, kind, path, cause, places=twin, step=step, model="regnety_002", **arguments)


def weight(
    name: str, kind: str, path: str, cause: Cause, *, model: str = "pit_micro_distilled", **arguments: Any
) -> Fault:
    """Return a fault in a tensor; where two tensors are `swapped`, both must be located."""
    quick = bool(arguments.pop("quick", False))
    places = (path, arguments["other"]) if kind == "swapped" else ()
    return Fault(name, "forward", "weights", kind, path, cause, arguments, places, model, quick)


def function(name: str, kind: str, path: str, cause: Cause, *, quick: bool = False) -> Fault:
    """Return a fault in a loss, or in the ranking of classes."""
    return Fault(name, path.partition("/")[0], "function", kind, path, cause, quick=quick)


def metric(name: str, kind: str, cause: Cause, *, quick: bool = False) -> Fault:
    """Return a fault in the accuracy."""
    return Fault(name, "metric", "function", kind, "metric/acc", cause, places=_ACCURACIES, quick=quick)


def file(name: str, kind: str, key: str, cause: str, *, quick: bool = False) -> Fault:
    """Return a fault in a recorded array."""
    return Fault(name, "files", "files", kind, key, cause, quick=quick)


def training(name: str, kind: str, places: Paths, cause: Cause, change: str = "", **more: Any) -> Fault:
    """Return a fault in training code, of the step that the first of the quantities to locate belongs to."""
    recipe, quick = more.pop("recipe", "mixed"), more.pop("quick", False)
    model = "pit_micro_distilled" if recipe == "soft" else "pit_micro"
    places = _tuple(places)
    arguments = {"change": change, **more} if change else more
    step = places[0].partition("/")[0]
    return Fault(name, step, "training", kind, places[0], cause, arguments, places, model, quick, recipe)


def setting(name: str, setting: str, places: Paths, cause: Cause, **more: Any) -> Fault:
    """Return the fault of a recipe that has another setting, as `section.setting=value`."""
    return training(name, "setting", places, cause, setting=setting, **more)


def initial(name: str, change: str, tensors: str, cause: Cause, **more: Any) -> Fault:
    """Return a fault in the initial values of tensors; in their names `*` is every block of PiT, and `[12]` 1 and 2."""
    names = [tensors.replace("*", block).replace("[12]", layer) for block in _BLOCKS for layer in "12"]
    places = tuple(f"init/{tensor}" for tensor in dict.fromkeys(names))
    return training(name, "initial", places, cause, change, names=tensors, **more)


def _tuple(paths: Paths) -> tuple[str, ...]:
    return (paths,) if isinstance(paths, str) else paths
