"""Short ways to write a fault down, one for each place that it is put into."""

from __future__ import annotations

from alignment.selftest.faults.base import Cause, Fault

_ACCURACIES = ("metric/acc_top1", "metric/acc_top5", "metric/planted_acc_top1", "metric/planted_acc_top5")


def in_module(
    name: str, kind: str, path: str, cause: Cause, *, step: str = "forward", quick: bool = False, **arguments: object
) -> Fault:
    """A fault of a module of the smallest distilled PiT."""
    return Fault(name, step, "module", kind, path, cause, arguments, quick=quick)


def attribute(name: str, path: str, attribute: str, value: object, cause: Cause, *, quick: bool = False) -> Fault:
    """An attribute of a module that has another value."""
    return in_module(name, "set", path, cause, quick=quick, attribute=attribute, value=value)


def in_weights(name: str, kind: str, path: str, cause: Cause, *, quick: bool = False, **arguments: object) -> Fault:
    """A fault of a tensor."""
    return Fault(name, "forward", "weights", kind, path, cause, arguments, quick=quick)


def in_function(
    name: str, kind: str, path: str, cause: Cause, *, quick: bool = False, also: tuple[str, ...] = ()
) -> Fault:
    """A fault of a loss, or of the ranking of classes; `also` names what else it shows in."""
    step = path.partition("/")[0]
    return Fault(name, step, "function", kind, path, cause, guilty=(path, *also) if also else (), quick=quick)


def in_metric(name: str, kind: str, cause: Cause, *, quick: bool = False) -> Fault:
    """A fault of the accuracy."""
    return Fault(name, "metric", "function", kind, "metric/acc", cause, guilty=_ACCURACIES, quick=quick)


def in_training(
    name: str, kind: str, guilty: str | tuple[str, ...], cause: Cause, *, published: str = "", **more: object
) -> Fault:
    """A fault of the step that the first of the guilty quantities, by pattern, belongs to."""
    places = (guilty,) if isinstance(guilty, str) else guilty
    recipe, quick = str(more.pop("recipe", "mixed")), bool(more.pop("quick", False))
    step = places[0].partition("/")[0]
    return Fault(
        *(name, step, "training", kind, places[0], cause, more),
        guilty=places,
        model="pit_micro" if recipe != "soft" else "pit_micro_distilled",
        quick=quick,
        recipe=recipe,
        published=published,
    )


def setting(
    name: str, setting: str, guilty: str | tuple[str, ...], cause: Cause, *, published: str = "", **more: object
) -> Fault:
    """Another setting of the recipe, as `section.setting=value`."""
    return in_training(name, "setting", guilty, cause, published=published, setting=setting, **more)
