"""Mistakes in what modules give: one that is left out, a gradient that stops, a factor in training, a kept state.

They are put in behind a module, in tensors of the framework, so that gradients flow through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from alignment.power.mistakes import Mistake, Plant, Subject, Witness
from alignment.steps import Trial

_FACTOR = 1.01


def in_outputs(subject: Subject) -> Iterator[Mistake]:
    """Yield the mistakes in what modules give that apply to a candidate."""
    for path in subject.parameterised:
        if path:
            yield from _of_gradients(subject, path)
            yield from _of_training(subject, path)
    for path, passed in subject.passed.items():
        if path and passed.same_shape and not passed.identity:
            yield from _left_out(subject, path)
    yield from _of_model(subject)


def _of_gradients(subject: Subject, path: str) -> Iterator[Mistake]:
    kind, detach = subject.modules[path].kind, subject.taps.detach
    stopped = subject.with_output(path, lambda _, y: detach(y))
    yield Mistake("gradient stopped", path, "no gradient flows back through it", stopped, kind, first="bp")
    halved = subject.with_output(path, lambda _, y: y * 0.5 + detach(y) * 0.5)
    yield Mistake("gradient halved", path, "half of the gradient flows back through it", halved, kind, first="bp")


def _of_training(subject: Subject, path: str) -> Iterator[Mistake]:
    module = subject.taps.objects[path]
    plant = subject.with_output(path, lambda _, y: y * _FACTOR if module.training else y)
    says = f"it gives {_FACTOR} times as much in training mode"
    kind = subject.modules[path].kind
    yield Mistake("factor in training", path, says, plant, kind, "a pass in training mode", first=subject.training)


def _left_out(subject: Subject, path: str) -> Iterator[Mistake]:
    """Yield that a module passes on what it gets, and that a block lacks its shortcut."""
    module = subject.modules[path]
    copied = {name: False for name in ("inplace", "_inplace") if vars(subject.taps.objects[path]).get(name) is True}
    behind = subject.with_output(path, lambda given, _: given[0], of_input=True)

    def plant(trial: Trial, stack: ExitStack, witness: Witness) -> Trial:
        trial = subject.with_attributes(path, copied, watched=False)(trial, stack, Witness())
        return behind(trial, stack, witness)

    yield Mistake("left out", path, "it passes on what it gets", plant if copied else behind, module.kind)
    if any(other.startswith(f"{path}.") for other in subject.parameterised):
        lost = subject.with_output(path, lambda given, y: y - given[0], of_input=True)
        yield Mistake("shortcut lost", path, "what it gets is taken off what it gives", lost, module.kind)


def _of_model(subject: Subject) -> Iterator[Mistake]:
    """Yield a state that is kept from call to call, and a model that is right for one size of batch only."""
    kind = subject.modules[""].kind
    size = len(subject.trial.inputs.images)

    def other(y: Any) -> Any:
        return y if not y.shape or y.shape[0] == size else y * _FACTOR

    yield Mistake(
        "state kept", "", "every call gives more than the one before", _growing(subject), kind, "a second call"
    )
    says = f"it is wrong for batches of another size than {size}"
    yield Mistake("batch size", "", says, _changing(subject, other), kind, "a batch of another size")


def _changing(subject: Subject, change: Callable[[Any], Any]) -> Plant:
    return subject.with_output("", lambda _, y: change(y))


def _growing(subject: Subject) -> Plant:
    def plant(trial: Trial, stack: ExitStack, witness: Witness) -> Trial:
        calls = 0

        def change(_: Any, y: Any) -> Any:
            nonlocal calls
            calls += 1
            return y * _FACTOR ** (calls - 1) if calls > 1 else y

        return subject.with_output("", change)(trial, stack, witness)

    return plant
