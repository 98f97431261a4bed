"""The search for state dicts in what a file holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeAlias

from porting.checkpoint import averages as averaged
from porting.checkpoint.classy import join_classy
from porting.checkpoint.prefixes import COUNTERS, without_prefixes
from porting.checkpoint.selection import Kind
from porting.checkpoint.tensor import Described, LazyTensor

Leaf: TypeAlias = LazyTensor | Described
Join: TypeAlias = Callable[[Mapping[object, object]], dict[object, object]]


class Wrapper(NamedTuple):
    """A place where files keep a state dict.

    Attributes:
        keys: The keys that lead there, from the outside in.
        kind: Whose weights these are.
        join: Makes one state dict of several in this place.
    """

    keys: tuple[str, ...]
    kind: Kind = "model"
    join: Join | None = None

    def __str__(self) -> str:
        return ".".join(self.keys)


WRAPPERS = (
    Wrapper(("state_dict_ema",), "ema"),  # timm
    Wrapper(("model_ema",), "ema"),  # DeiT, PaddleViT, timm
    Wrapper(("ema_state",), "ema"),  # pycls
    Wrapper(("ema_state_dict",), "ema"),
    Wrapper(("ema_model",), "ema"),
    Wrapper(("ema",), "ema"),  # YOLO, RT-DETR
    Wrapper(("params_ema",), "ema"),  # BasicSR
    Wrapper(("extra_state", "ema"), "ema"),  # fairseq
    Wrapper(("state_dict",)),  # timm, Lightning
    Wrapper(("model",)),  # DeiT and its teacher, PaddleViT
    Wrapper(("model_state",)),  # pycls
    Wrapper(("model_state_dict",)),  # torch's tutorials
    Wrapper(("classy_state_dict", "base_model", "model"), join=join_classy),
    Wrapper(("module",)),  # DeepSpeed, and averages that wrap a model
    Wrapper(("params",)),  # BasicSR
    Wrapper(("net",)),
    Wrapper(("network",)),
)
"""In timm's order of preference, averages first: the first of several in one file is read, unless one is asked for."""
_KNOWN = {wrapper.keys[0] for wrapper in WRAPPERS if len(wrapper.keys) == 1}
_MAX_WRAPPERS, _MAX_DEPTH, _MAX_LISTS = 4, 8, 50
_MAX_ENTRIES = 500_000
"""Entries of dicts that are looked at; dicts may refer to each other so that they unfold without end."""


class StateDict(NamedTuple):
    """A state dict within a file.

    Attributes:
        path: The keys that lead to it.
        saved: Its entries.
        kind: Whose weights it holds; None if the file does not say.
        notes: How it was put together, if it was.
    """

    path: tuple[str, ...]
    saved: dict[object, object]
    kind: Kind | None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join(self.path)


class Search:
    """Finds the state dicts in what a file holds.

    Args:
        error: Makes the error for a file whose dicts unfold without end.
    """

    def __init__(self, error: Callable[[str], Exception] = RuntimeError) -> None:
        self._error = error
        self._with_weights: dict[int, tuple[object, bool]] = {}
        self._left = _MAX_ENTRIES

    def candidates(self, saved: object) -> list[StateDict]:
        """Return the state dicts in the order of preference: those in known places, or else the only one there is."""
        state_dicts = list(self.state_dicts(saved)) or list(self._only(saved))
        return [*self._with_lists(saved, state_dicts), *_of_the_same_model(state_dicts)]

    def state_dicts(self, saved: object, path: tuple[str, ...] = (), kind: Kind | None = None) -> Iterator[StateDict]:
        """Yield the state dicts in known places within a value, in the order of preference."""
        if not isinstance(saved, dict) or not self._may_visit(saved):
            return
        inner = [
            state_dict
            for wrapper in _wrappers(saved)
            if len(path) < _MAX_WRAPPERS and not (path and wrapper.join)
            for state_dict in self.state_dicts(
                _opened(saved, wrapper), (*path, str(wrapper)), wrapper.kind if kind != "ema" else "ema"
            )
        ]
        yield from inner
        if self.has_weights(saved) and (not inner or _overlap(saved, inner)):
            yield from _separate(saved, path, kind or ("model" if inner else None))
        elif not inner and path and len(self._parts(saved)) > 1:
            yield StateDict(path, self.flat(saved), kind)

    def _may_visit(self, saved: dict[object, object]) -> bool:
        self._left -= 100 + len(saved)
        return self._left > 0

    def has_weights(self, saved: dict[object, object]) -> bool:
        """Return True if there are tensors in a dict, not only counters."""
        if id(saved) not in self._with_weights:
            keys = (key for key, value in saved.items() if isinstance(value, Leaf))
            holds_weights = any(not isinstance(key, str) or key not in COUNTERS for key in keys)
            self._with_weights[id(saved)] = saved, holds_weights  # the dict too, so that no other one gets its id
        return self._with_weights[id(saved)][1]

    def dictionaries(self, saved: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
        """Yield the path and number of tensors of each dict with weights in it; state of training is left out."""
        if not isinstance(saved, dict) or not self._may_visit(saved):
            return
        if self.has_weights(saved):
            yield path, sum(isinstance(value, Leaf) for value in saved.values())
        if len(path) < _MAX_WRAPPERS:
            for key, value in saved.items():
                if isinstance(value, dict) and isinstance(key, str) and not averaged.is_state(key):
                    yield from self.dictionaries(value, (*path, key))

    def flat(self, saved: dict[object, object], name: str = "", outer: tuple[int, ...] = ()) -> dict[object, object]:
        """Return the entries of nested dicts under their keys joined by dots; state of training is left out."""
        entries: dict[object, object] = {}
        if not self._may_visit(saved):
            raise self._error(f"has dictionaries that unfold to more than {_MAX_ENTRIES} entries")
        outer = (*outer, id(saved))
        for key, value in saved.items():
            path = f"{name}.{key}" if name and isinstance(key, str) else key
            if not isinstance(value, dict):
                entries[path] = value
            elif isinstance(path, str) and not averaged.is_state(key) and id(value) not in outer[-_MAX_DEPTH:]:
                entries.update(self.flat(value, path, outer) if len(outer) < _MAX_DEPTH else {})
        return entries

    def _parts(self, saved: dict[object, object]) -> list[str]:
        """Return the keys under which there are tensors, at any depth."""
        return list(dict.fromkeys(path[0] for path, _ in self.dictionaries(saved) if path))

    def _only(self, saved: object, path: tuple[str, ...] = ()) -> Iterator[StateDict]:
        """Yield what is under the only key that leads to tensors."""
        parts = self._parts(saved) if isinstance(saved, dict) and len(path) < _MAX_WRAPPERS else []
        if isinstance(saved, dict) and len(parts) == 1:
            inner, below = saved[parts[0]], (*path, parts[0])
            yield from list(self.state_dicts(inner, below, "model")) or self._only(inner, below)

    def _with_lists(self, saved: object, found: list[StateDict]) -> Iterator[StateDict]:
        """Yield the averages that are kept as a list, under the names of the model's weights where these fit."""
        model = next((one for one in found if one.kind != "ema"), None)
        if model is None or not isinstance(saved, dict):
            return
        inner = ((key, value) for key, value in saved.items() if isinstance(key, str) and isinstance(value, dict))
        for key, value in [("", saved), *islice(inner, _MAX_LISTS)]:
            for averages in averaged.lists_in(value, len(model.saved)):
                names = averaged.named(averages, model.saved)
                if names is not None:
                    note = "the averages have no names in the file: they got those of the model's parameters, in order"
                    yield StateDict((key, "shadow_params") if key else ("shadow_params",), names, "ema", (note,))


def _of_the_same_model(found: list[StateDict]) -> list[StateDict]:
    """Return the state dicts without those that are called an average and hold none of the weights beside them.

    A script may keep the moving average of a loss or of a feature under the same name.
    """
    models = [_names(one) for one in found if one.kind != "ema"]
    return [one for one in found if one.kind != "ema" or not models or any(_names(one) & names for names in models)]


def _names(state_dict: StateDict) -> frozenset[str]:
    names = {key: None for key, value in state_dict.saved.items() if isinstance(key, str) and isinstance(value, Leaf)}
    return frozenset(without_prefixes(names, lightning=True)[0])


def _wrappers(saved: dict[object, object]) -> Iterator[Wrapper]:
    """Yield the wrappers to look into, in the order of preference."""
    raw = averaged.exchanged(saved)
    if raw is not None:
        yield Wrapper(("state_dict",), "ema")
        yield Wrapper((raw,))
    averages = [(key, partner) for key, partner in averaged.averages_in(saved) if key not in _KNOWN]
    if len(averages) > 1 and not any(key in saved for key in _KNOWN):
        averages = []  # of several models: nobody can say which is meant
    done = {"state_dict", raw} if raw is not None else set()
    yield from (wrapper for wrapper in WRAPPERS if wrapper.kind == "ema" and wrapper.keys[0] not in done)
    yield from (Wrapper((key,), "ema") for key, _ in averages)
    yield from (wrapper for wrapper in WRAPPERS if wrapper.kind != "ema" and wrapper.keys[0] not in done)
    if raw is None and "current_model_state" in saved:
        yield Wrapper(("current_model_state",))
    yield from (Wrapper((partner,)) for _, partner in averages if partner is not None and partner not in _KNOWN)


def _opened(saved: dict[object, object], wrapper: Wrapper) -> object:
    value: object = saved
    for key in wrapper.keys:
        value = value.get(key) if isinstance(value, dict) else None
    return wrapper.join(value) if wrapper.join and isinstance(value, dict) else value


def _overlap(saved: dict[object, object], inner: list[StateDict]) -> bool:
    """Return True if a dict's own tensors have names that a state dict within it has too."""
    names = {key for key, value in saved.items() if isinstance(value, Leaf) and key not in COUNTERS}
    return any(2 * len(names & state_dict.saved.keys()) > len(names) for state_dict in inner)


def _separate(saved: dict[object, object], path: tuple[str, ...], kind: Kind | None) -> Iterator[StateDict]:
    """Yield a state dict, or the two that are in one flat dict, the average first."""
    both = averaged.separated(saved)
    if both is None:
        yield StateDict(path, saved, kind)
        return
    start, average = both.labels
    yield StateDict((*path, f"{average}*"), both.average, "ema")
    yield StateDict((*path, f"{start}*"), both.model, "model")
