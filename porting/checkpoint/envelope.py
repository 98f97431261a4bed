"""What training scripts wrap around a state dict, and how it is taken off.

The known wrappers and the order of preference are in `searching`, the shapes of averages in `averages`, and prefixes in
`prefixes`, all as data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar

from porting.checkpoint.averages import says_average, second_set, shape_of
from porting.checkpoint.containers.pickle_machine import Symbol
from porting.checkpoint.containers.stand_ins import Inert
from porting.checkpoint.file.source import brief, few_notes, shown
from porting.checkpoint.left_behind import STATE, absent, counted, folded, left_out, nothing, other_files, what
from porting.checkpoint.own_dictionaries import plain
from porting.checkpoint.prefixes import COUNTERS, without_prefixes
from porting.checkpoint.searching import WRAPPERS, Leaf, Search, StateDict
from porting.checkpoint.selection import Kind, Selection, at_key, is_ignored, near, starts_of, with_prefix
from porting.checkpoint.tensor import is_name
from porting.errors import CheckpointError

__all__ = ["STATE", "WRAPPERS", "Kind", "Unwrapped", "unwrap"]

Name = TypeVar("Name")
Value = TypeVar("Value")
MakeError: TypeAlias = Callable[[str], CheckpointError]

_USUAL = ("weight", "bias", "running_mean", "running_var", "gamma", "beta")
_EXTRA_STATE = "_extra_state"
_PACKED = "_packed_params"
_MAX_ITEMS = 1000
"""Entries of a list in the place of a dictionary that are looked at."""


class Unwrapped(NamedTuple):
    """A state dict without its envelope.

    Attributes:
        tensors: By name, in the order of the file.
        envelope: What was taken off, outermost first: keys, and prefixes of names.
        notes: What else was in the file and left out, and why.
        weights: Whose weights these are; None where the file does not say, since it is one state dict alone.
        absent: What was asked for and is not in the file, where that is no error.
    """

    tensors: Mapping[str, Leaf]
    envelope: tuple[str, ...]
    notes: tuple[str, ...]
    weights: Kind | None = None
    absent: tuple[str, ...] = ()


def unwrap(
    saved: object,
    error: MakeError,
    selection: Selection = Selection(),  # noqa: B008 - immutable
    *,
    required: bool = True,
    beside: Mapping[Kind, str] = MappingProxyType({}),
) -> Unwrapped:
    """Find the state dict in what a file holds.

    Args:
        saved: What was read, with `LazyTensor` or `Described` for its tensors.
        error: Makes the error for a problem with the file.
        selection: Which weights are wanted; by default those that were better according to the file, as files of
            `pit-train` tell, or else those of the first of `WRAPPERS` in the file.
        required: Raise an error if what is asked for is not in the file; otherwise take what is.
        beside: Names of files beside it that hold another set of these weights, by whose these are.

    Raises:
        CheckpointError: There is no state dict in the file, or not the one that is wanted.
    """
    reading, weights = _Reading(error, selection, required=required), selection.weights
    saved, told = plain(saved)
    reading.notes += told
    if isinstance(saved, Leaf):
        reading.notes.append("the file is one tensor without a name; it is called tensor")
        saved = {"tensor": saved}
    elif isinstance(saved, list | tuple) and any(isinstance(item, dict) for item in saved[:_MAX_ITEMS]):
        reading.notes.append(f"the file is a {type(saved).__name__}; its entries are called 0, 1, ...")
        saved = {str(place): item for place, item in enumerate(saved[:_MAX_ITEMS])}
    candidates = [_as_beside(one, beside) for one in reading.candidates(saved)]
    if not candidates:
        raise error(nothing(saved))
    better = _better(saved) if weights is None and selection.key is None else None
    chosen = _wanted(candidates, weights or better) or (None if required and weights else candidates[0])
    if chosen is None:
        raise error(absent(candidates, weights, beside))
    others = [other for other in candidates if other is not chosen]
    if better == chosen.kind and others:
        reading.notes.append(f"{chosen} was read, which had the better accuracy when the file was saved")
    reading.notes += other_files(beside, chosen)
    reading.notes += [*chosen.notes, *left_out(saved, chosen, others)]
    tensors, removed = reading.tensors(chosen)
    if chosen.kind == "ema":
        tensors = reading.completed(tensors, others)
    return Unwrapped(tensors, (*chosen.path, *removed), few_notes(reading.notes), chosen.kind, tuple(reading.absent))


def _as_beside(one: StateDict, beside: Mapping[Kind, str]) -> StateDict:
    """Return a state dict alone in its file as the average, if a file beside it holds the weights in training."""
    return one._replace(kind="ema") if not one.path and one.kind is None and "model" in beside else one


class _Reading:
    """One reading of a file: what is asked for, and the notes on what was found."""

    def __init__(self, error: MakeError, selection: Selection, *, required: bool) -> None:
        self.notes: list[str] = []
        self.absent: list[str] = []
        self._error = error
        self._selection = selection
        self._required = required
        self._search = Search(error)

    def candidates(self, saved: object) -> list[StateDict]:
        """Return the state dicts in the order of preference, or those that the key leads to."""
        state_dicts, key = self._search.candidates(saved), self._selection.key
        if key is None:
            return state_dicts
        values = [(path, value) for path, value in islice(at_key(saved, key), 100)]
        known = {str(one): one for one in state_dicts}
        for path, value in values:
            if key in known:
                return [known[key]._replace(path=path)]
            inner = {path[-1]: value} if isinstance(value, Leaf) else value
            chosen = self._within(inner, path, "ema" if any(map(says_average, path)) else None)
            if chosen:
                return chosen
        if values:
            raise self._error(f"holds {what(values[0][1])} under {brief(key)} (--key), expected tensors by name")
        paths = [".".join(path) for path, _ in islice(self._search.dictionaries(saved), 1000) if path]
        self._lacks(f"there is no {brief(key)} in it (--key); keys with tensors under them: {near(key, paths)}")
        return state_dicts

    def _within(self, value: object, path: tuple[str, ...], kind: Kind | None) -> list[StateDict]:
        state_dicts = list(self._search.state_dicts(value, path, kind))
        if not state_dicts and isinstance(value, dict):
            entries = self._search.flat(value)
            if any(isinstance(entry, Leaf) for entry in entries.values()):
                state_dicts = [StateDict(path, entries, kind)]
        return state_dicts

    def _lacks(self, problem: str) -> None:
        if self._required:
            raise self._error(problem)
        self.absent.append(problem)

    def tensors(self, chosen: StateDict) -> tuple[dict[str, Leaf], list[str]]:
        """Return the tensors of a state dict that are asked for, and the prefixes that were taken off their names."""
        entries = chosen.saved
        if chosen.path and any(isinstance(value, dict) for value in entries.values()):
            entries = Search(self._error).flat(entries)
        unused = dict.fromkeys(self._selection.ignore)
        entries = self._without_ignored(entries, unused)
        tensors, others = _split(entries, self._error, wrapped=bool(chosen.path))
        if others:
            self.notes.append(f"{folded(others)}: left out, not tensors")
        second = second_set(tensors)
        if second:
            tensors = {name: tensor for name, tensor in tensors.items() if name not in second}
            self.notes.append(f"ema_*: {len(second)} buffers left out, the second set of weights of MMCV's EMAHook")
        lightning = bool(chosen.path) and chosen.path[-1] in ("state_dict", "current_model_state")
        tensors, removed = self._without_prefixes(tensors, lightning=lightning)
        tensors = self._without_ignored(tensors, unused)
        for pattern in unused:
            self._lacks(f"has no tensor {pattern} (--ignore); {near(pattern, list(tensors)[:2000])}")
        if not tensors:
            raise self._error("no tensors are left of it: --ignore takes all of them out")
        return tensors, removed

    def _without_ignored(self, entries: dict[Name, Value], unused: dict[str, None]) -> dict[Name, Value]:
        """Return the entries without those to ignore; patterns that were used are taken out of `unused`."""
        for pattern in self._selection.ignore:
            names = [name for name in entries if isinstance(name, str) and is_ignored(name, pattern)]
            if names:
                unused.pop(pattern, None)
                entries = {name: value for name, value in entries.items() if name not in {*names}}
                self.notes.append(f"{folded(names)}: left out, as --ignore {pattern} says")
        return entries

    def _without_prefixes(self, tensors: dict[str, Leaf], *, lightning: bool) -> tuple[dict[str, Leaf], list[str]]:
        prefix, before = self._selection.prefix, tensors
        if prefix is None:
            tensors, removed = without_prefixes(tensors, lightning=lightning)
            dropped = [name for name in before if name in COUNTERS and name not in tensors and removed]
            self.notes += [f"{name}: left out, a counter beside the averages" for name in dropped]
            return tensors, removed
        start, chosen = with_prefix(tensors, prefix)
        shorter, removed = without_prefixes(tensors, lightning=lightning)
        if not chosen:
            start, chosen = with_prefix(shorter, prefix)
        else:
            removed = []
        if not chosen:
            self._lacks(f"no name begins with {prefix} (--prefix); {near(prefix, starts_of([*tensors, *shorter]))}")
            return shorter, removed
        if len(chosen) < len(tensors):
            self.notes.append(f"{counted(len(tensors) - len(chosen))} outside of {start}: left out")
        chosen, more = without_prefixes(chosen, lightning=False)
        return chosen, [*removed, start, *more]

    def completed(self, tensors: dict[str, Leaf], others: list[StateDict]) -> dict[str, Leaf]:
        """Return the averages, with what only the weights in training have: averages often hold no buffers."""
        model = next((other for other in others if other.kind == "model"), None)
        if model is None:
            return tensors
        quiet = _Reading(self._error, self._selection, required=False)
        entries, _ = quiet.tensors(model)
        missing = [name for name in entries if name not in tensors]
        if not missing or not all(
            name in entries and shape_of(tensor) == shape_of(entries[name]) for name, tensor in tensors.items()
        ):
            return tensors
        self.notes.append(f"{folded(missing)}: taken from {model}, since the average does not hold them")
        return {name: tensors.get(name, tensor) for name, tensor in entries.items()}


def _wanted(state_dicts: list[StateDict], weights: Kind | None) -> StateDict | None:
    """Return the first one, or the first of the wanted kind; a state dict alone is the model's."""
    return next((one for one in state_dicts if weights in (None, one.kind or "model")), None)


def _better(saved: object) -> Kind | None:
    """Return whose weights were better in the evaluation just before a file of `pit-train` was saved."""
    match saved:
        case {
            "progress": {
                "epoch": int() as epoch,
                "best": {"epoch": int() as best, "weights": ("model" | "ema") as kind},
            }
        } if best + 1 == epoch:
            return "ema" if kind == "ema" else "model"
    return None


def _split(saved: Mapping[object, object], error: MakeError, *, wrapped: bool) -> tuple[dict[str, Leaf], list[str]]:
    """Return the tensors of a state dict, and the names of its other entries.

    Raises:
        CheckpointError: A tensor has no name, or something else is where a tensor should be.
    """
    tensors, others = {}, []
    packed = next((key for key in saved if isinstance(key, str) and _PACKED in key.split(".")), None)
    if packed is not None:
        raise error(
            f"holds {brief(packed)}, the packed weights of a quantised module, which other frameworks do not have; "
            "save the model before it was quantised"
        )
    for key, value in saved.items():
        if not isinstance(value, Leaf):
            if isinstance(key, str) and _stands_for_tensor(key, value, wrapped=wrapped):
                raise error(
                    f"holds {what(value)} under {brief(key)}, expected a tensor; "
                    f"if it is no part of the model, --ignore {brief(key)} leaves it out"
                )
            others.append(brief(key))
        elif isinstance(key, str) and is_name(key):
            tensors[key] = value
        else:
            raise error(f"has a tensor under {shown(key)}, expected a name; save model.state_dict()")
    _require_whole(tensors, error)
    return tensors, others


def _stands_for_tensor(name: str, value: object, *, wrapped: bool) -> bool:
    """Return True if something that is no tensor stands where one should be."""
    last = name.rpartition(".")[2]
    if last == _EXTRA_STATE:
        return False
    if isinstance(value, tuple | list):
        numbers = last in _USUAL and last != name and all(isinstance(item, int | float) for item in value[:_MAX_ITEMS])
        return bool(value) and (numbers or any(isinstance(item, Leaf) for item in value))
    return isinstance(value, Inert | Symbol) and (last != name or wrapped or last in _USUAL)


def _require_whole(tensors: Mapping[str, Leaf], error: MakeError) -> None:
    """Raise an error for weights that training has divided among processes or flattened."""
    parts = [name for name in tensors if name.rpartition(".")[2].startswith(("_flat_param", "flat_param"))]
    if parts:
        raise error(
            f"holds {parts[0]}, parameters that FSDP has flattened into one; "
            "save the state dict with StateDictType.FULL_STATE_DICT"
        )
    shapes = [shape_of(tensor) for name, tensor in tensors.items() if name.rpartition(".")[2] == "weight"]
    if len(shapes) > 1 and all(shape == (0,) for shape in shapes):
        raise error(
            "holds weights without elements, as DeepSpeed's ZeRO stage 3 leaves them in this file; "
            "join them with the zero_to_fp32.py beside it"
        )
