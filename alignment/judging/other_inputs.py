"""What is made of the step `other_inputs`: which further batches count, what a side refuses, what it leaves behind.

A batch counts where the reference takes it. A candidate that fails for another *number* of inputs, or for the same once
more, diverges: no model has a number of inputs that is part of it. A candidate that fails for another *size* of images
or sequences is only said to: the pair declares the size that it is meant for, and is proven there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

import numpy as np

from alignment.arrays import Array, is_floating
from alignment.errors import RefusedError
from alignment.pair.variations import AGAIN, LARGER, LENGTH, ONE, OTHER, SIZE, TWO

STEP = "other_inputs"
_REFUSED, _CHANGED, _INPUT = (f"{STEP}/{name}/" for name in ("refused", "changed", "input_changed"))
_BOUNDS, _UNREACHED, _UNSURE = (f"{STEP}/{name}" for name in ("bounds", "unreached", "unsure"))
_REMARKS = (_REFUSED, _CHANGED, _INPUT, _BOUNDS, _UNREACHED, _UNSURE)
UNSTEADY = "/unsteady"
"""End of the key, of any step, that a side has which gives something else for the same input once more."""
_UNSTEADY = "a model does that draws random numbers or keeps something between calls"
_KEEPS = "keeps something between calls"
_WORDS = {
    ONE: "a single input",
    TWO: "a batch of two",
    OTHER: "another single input",
    AGAIN: "the same input once more",
    LARGER: "larger inputs and weights",
}
_SIZES = {
    SIZE: ("another image size", "images of {}"),
    LENGTH: ("another length of sequences", "sequences of {}"),
}


class OtherInputs:
    """What both sides recorded of further batches.

    Args:
        reference: The reference's recording.
        candidate: The candidate's.
    """

    def __init__(self, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> None:
        self._sides = {"reference": reference, "candidate": candidate}
        keys = [key for key in dict.fromkeys((*reference, *candidate)) if key.startswith(f"{STEP}/")]
        self._inputs = [key for key in keys if key.startswith(_INPUT)]
        self._names = list(dict.fromkeys(name for key in keys if (name := _name_of(key))))
        self._counting = {name for name in self._names if not self._why_not(name)}

    def left_out(self, key: str) -> bool:
        """Return True for the keys of batches that do not count, and for those that are nothing but a remark."""
        if key in (_BOUNDS, _UNREACHED, _UNSURE):
            return True
        if key.endswith(UNSTEADY):
            return key in self._sides["reference"]
        if not key.startswith(f"{STEP}/") or key.startswith(_CHANGED):
            return False
        name = _name_of(key)
        if key.startswith(_INPUT) or name not in self._counting:
            return True
        refused = bool(self._refused("candidate", name))
        return refused and (_may_be_refused(name) or not key.startswith(_REFUSED))

    def reason(self, key: str) -> str:
        """Return why a key that one side lacks diverges; empty for other keys."""
        lacks = [role for role, side in self._sides.items() if key not in side]
        if key.endswith(UNSTEADY):
            return f"the candidate gives something else for the same input once more, as {_UNSTEADY}"
        if not key.startswith((_CHANGED, _REFUSED)) or not lacks:
            return ""
        if key.startswith(_REFUSED):
            name = _name_of(key)
            return f"the candidate fails for {_words(name)}, the reference does not: {self._refused('candidate', name)}"
        other = "candidate" if lacks == ["reference"] else "reference"
        return f"the {other} changes it while it is run in evaluation mode, the {lacks[0]} does not"

    def check(self, *, diverges: bool) -> None:
        """Refuse a reference that gives something else for the same input once more, where the candidate differs.

        Raises:
            RefusedError: It does.
        """
        if diverges and any(key.endswith(UNSTEADY) for key in self._sides["reference"]):
            raise RefusedError(
                f"the reference gives something else for the same input once more, in evaluation mode too, as "
                f"{_UNSTEADY}; so nothing can be held against it",
                ["switch off what draws, and what is kept between calls, such as a cache; then run this again"],
            )

    def causes(self, diverging: Collection[str]) -> Iterator[str]:
        """Yield what further inputs show of a candidate that agrees on the first batch.

        Args:
            diverging: Keys of the rows that diverge.
        """
        if any(key.endswith(UNSTEADY) for key in self._sides["candidate"]):
            yield f"the candidate gives something else for the same input once more, as {_UNSTEADY}"
            return
        yield from causes_of(diverging)

    def notes(self) -> Iterator[str]:
        """Yield what was not exercised and for what reason, and what a reader must know of the rest."""
        kinds = dict.fromkeys(_kind(name) for name in self._names)
        idle: dict[str, list[str]] = {}
        for kind in kinds:
            if kind == LARGER and not self._bounded:
                continue
            names = [name for name in self._names if _kind(name) == kind]
            if not self._counting & {*names}:
                idle.setdefault(self._why_not(names[0]), []).append(_words(kind))
        for why, words in idle.items():
            yield f"not exercised: {', '.join(words)}; {why}"
        if LARGER in self._counting and (unreached := self._words(_UNREACHED)):
            yield f"not exercised: bounds that no value reaches, with larger inputs and weights either: {unreached}"
        for name in self._names:
            refused = self._refused("candidate", name) if name in self._counting and _may_be_refused(name) else ""
            if refused:
                yield f"the reference takes {_words(name)}, the candidate does not: {refused}"
        for key in self._inputs:
            having = [role for role, side in self._sides.items() if key in side]
            if len(having) == 1:
                yield f"the {having[0]} changes its input {key.removeprefix(_INPUT)} in place, the other side does not"

    def _why_not(self, name: str) -> str:
        """Why a batch does not count; empty where the reference takes it, and gives numbers for it."""
        refused = self._refused("reference", name)
        if refused:
            return f"the reference refuses it: {refused}"
        arrays = [array for key, array in self._sides["reference"].items() if key.startswith(f"{STEP}/{name}/")]
        if name == LARGER and any(_UNSURE in side for side in self._sides.values()):
            return self._words(_UNSURE)
        if not arrays:
            return "the reference did not run it"
        if any(bool(np.isnan(array).any()) for array in arrays if is_floating(array)):
            return "the reference gives NaN for it"
        return self._why_not_larger() if name == LARGER else ""

    def _why_not_larger(self) -> str:
        if not self._bounded:
            return "no function of either side has a bound that is not reached"
        overflown = [
            key
            for key, array in self._sides["candidate"].items()
            if key.startswith(f"{STEP}/{LARGER}/") and is_floating(array) and not np.isfinite(array).all()
        ]
        finite = all(
            np.isfinite(self._sides["reference"][key]).all() for key in overflown if key in self._sides["reference"]
        )
        return "the candidate gives values for them that are not finite" if overflown and finite else ""

    @cached_property
    def _bounded(self) -> bool:
        """Whether a side has called a function with a bound that no value of the first run has reached."""
        return any(_BOUNDS in side for side in self._sides.values())

    def _words(self, key: str) -> str:
        """The text of a remark of either side; empty where neither has it."""
        return next((bytes(side[key]).decode(errors="replace") for side in self._sides.values() if key in side), "")

    def _refused(self, role: str, name: str) -> str:
        """The message with which a side refused a batch; empty where it did not."""
        side, key = self._sides[role], f"{_REFUSED}{name}"
        return bytes(side[key]).decode(errors="replace").strip() or "no message" if key in side else ""


def causes_of(diverging: Collection[str]) -> Iterator[str]:
    """Yield what the diverging rows of one precision say of a candidate that agrees on the first batch.

    Args:
        diverging: Keys of the rows that diverge.
    """
    if any(key.startswith("forward/") for key in diverging):
        return
    wrong = list(dict.fromkeys(name for key in diverging if key.startswith(f"{STEP}/") and (name := _name_of(key))))
    if {ONE, TWO} & {*wrong}:
        yield f"the candidate depends on how many inputs a batch has, or {_KEEPS}"
    elif {OTHER, AGAIN} & {*wrong}:
        yield f"the candidate {_KEEPS}: its first call agrees, a later one does not"
    elif wrong == [LARGER]:
        yield f"the candidate gives something else for {_words(LARGER)}, for which values reach bounds such as ReLU6's"
    elif wrong:
        yield f"the candidate gives something else for {', '.join(map(_words, wrong))}"


def failing_batch(diverging: Collection[str]) -> str:
    """Return the further run, of inputs of the usual shape, that alone differs; empty where more or none does.

    Args:
        diverging: Keys of the rows that diverge.
    """
    names = [_name_of(key) if key.startswith(f"{STEP}/") else "" for key in diverging]
    return next((name for name in (ONE, TWO, OTHER, LARGER) if name in names), "") if all(names) else ""


def twin(key: str) -> str:
    """The key of the same output for the first batch, whose noise is known; empty for keys of other steps."""
    parts = key.split("/", 2)
    return f"forward/{parts[2]}" if parts[0] == STEP and len(parts) == 3 else ""


def _name_of(key: str) -> str:
    """The batch of a key; empty for remarks on none in particular."""
    if key.endswith(UNSTEADY):
        return ""
    if key == _UNSURE:
        return LARGER
    if key.startswith(_REFUSED):
        return key.removeprefix(_REFUSED)
    return "" if key.startswith(_REMARKS) else key.split("/")[1]


def _kind(name: str) -> str:
    return next((kind for kind in _SIZES if name.startswith(kind)), name)


def _may_be_refused(name: str) -> bool:
    return name == LARGER or _kind(name) in _SIZES


def _words(name: str) -> str:
    kind = _kind(name)
    if kind not in _SIZES:
        return _WORDS.get(name, name)
    noun, form = _SIZES[kind]
    return noun if name == kind else form.format(name.removeprefix(kind))
