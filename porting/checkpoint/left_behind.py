"""Words for what is in a file beside the weights, and for why there are no weights in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from porting.checkpoint.averages import lists_in
from porting.checkpoint.containers.numpy_arrays import Latin, PickledScalar
from porting.checkpoint.containers.pickle_machine import Symbol
from porting.checkpoint.containers.stand_ins import Inert
from porting.checkpoint.file.source import brief
from porting.checkpoint.searching import WRAPPERS, Leaf, Search, StateDict
from porting.checkpoint.selection import Kind
from porting.names import fold

_SCALER = "the loss scaler"
STATE: Mapping[str, str] = {
    "optimizer": "the optimizer",
    "optimizer_state": "the optimizer",
    "optimizer_state_dict": "the optimizer",
    "optimizer_states": "the optimizer",
    "lr_scheduler": "the learning rate schedule",
    "lr_schedulers": "the learning rate schedule",
    "scheduler": "the learning rate schedule",
    "scaler": _SCALER,
    "amp_scaler": _SCALER,
    "amp_grad_scaler": _SCALER,
}
"""What training keeps beside the weights, in words."""
_MOST_AVERAGES = 100_000


def left_out(saved: object, chosen: StateDict, others: list[StateDict]) -> Iterator[str]:
    """Yield notes on what is beside the chosen state dict, from the outside in."""
    for other in others:
        alternative = "; --key reads it, with these keys" if other.path and str(other)[-1] != "*" else ""
        if other.kind != chosen.kind and other.kind is not None:
            alternative = f"; --weights {other.kind} reads it"
        yield f"{other}: left out, {chosen} was read instead{alternative}"
    noted = [tuple(str(other).split(".")) for other in others]
    walked: tuple[str, ...] = ()
    search = Search()
    for part in chosen.path:
        for key in (part,) if isinstance(saved, dict) and part in saved else part.split("."):
            if isinstance(saved, dict) and key in saved:
                for name, value in saved.items():
                    off = value == {} and STATE.get(str(name)) == _SCALER  # that of a scaler which is switched off
                    if (
                        name != key
                        and not off
                        and not any(path[: len(walked) + 1] == (*walked, name) for path in noted)
                    ):
                        yield _beside(name, value, search)
                saved, walked = saved.get(key), (*walked, key)


def _beside(key: object, value: object, search: Search) -> str:
    if isinstance(key, str) and key in STATE:
        return f"{key}: left out, state of {STATE[key]}"
    if isinstance(value, Leaf):
        return f"{brief(key)}: left out, a tensor beside the weights"
    sets = list(search.dictionaries(value, (brief(key),))) if isinstance(value, dict) else []
    if sets:
        path, count = max(sets, key=lambda one: one[1])
        return f"{brief(key)}: left out, with {counted(count)}; --key {'.'.join(path)} reads it"
    return f"{brief(key)}: left out, not weights ({kind_of(value)})"


def kind_of(value: object) -> str:
    """Return the name of a value's type; of a stand-in, that of what it stands for."""
    if isinstance(value, PickledScalar | Latin):
        return "NumPy number" if isinstance(value, PickledScalar) else "bytes"
    return value.name if isinstance(value, Inert | Symbol) else type(value).__name__


def other_files(beside: Mapping[Kind, str], chosen: StateDict) -> Iterator[str]:
    """Yield notes on files beside this one that hold another set of the same weights."""
    words: Mapping[Kind, str] = {
        "ema": "the average of these weights",
        "model": "the weights that this is the average of",
    }
    for kind, name in beside.items():
        if kind != chosen.kind:
            yield f"{name} beside it: not read; it holds {words[kind]}, give its path to read it"


def absent(state_dicts: list[StateDict], weights: Kind | None, beside: Mapping[Kind, str]) -> str:
    """Return that the weights asked for are not there, and what is."""
    there = " and ".join(f"{other} ({other.kind})" for other in state_dicts if other.path) or (
        "one average alone" if any(other.kind == "ema" for other in state_dicts) else "one state dict alone"
    )
    name = beside.get(weights) if weights else None
    words = "the average" if weights == "ema" else "the weights in training"
    elsewhere = f", or give {name} beside it, which holds {words}" if name else ""
    return (
        f"holds no {weights} weights, which --weights {weights} asks for; there is {there}: "
        f"leave --weights out to read it{elsewhere}"
    )


def nothing(saved: object) -> str:
    """Return why there is no state dict in what a file holds, and what to do."""
    if isinstance(saved, Inert) or (isinstance(saved, dict) and not _sets(saved)):
        whole = next(_whole(saved), None)
        if whole is not None:
            return whole
    if not isinstance(saved, dict):
        nameless = isinstance(saved, list | tuple) and any(isinstance(item, Leaf) for item in saved[:1000])
        without = " of tensors without names" if nameless else ""
        return f"holds {what(saved)}{without}, expected a state dict; save model.state_dict()"
    sets = _sets(saved)
    if len(sets) > 1:
        places = ", ".join(f"{'.'.join(path)} ({counted(count)})" for path, count in sets[:10])
        return f"holds several sets of tensors: {places}; choose one, such as --key {'.'.join(sets[0][0])}"
    optimizers = (saved, *(value for value in saved.values() if isinstance(value, dict)))
    if any(isinstance(part.get("param_groups"), list) for part in optimizers) or any(
        key in STATE and saved[key] is not None for key in saved
    ):
        return "holds the state of an optimizer, not weights; the weights are in another file, often beside it"
    if next(lists_in(saved, _MOST_AVERAGES), None) is not None:
        return (
            "holds an average without names, a list in the order of the model's parameters; copy it into the model "
            "(ema.copy_to(model.parameters())) and save model.state_dict()"
        )
    content = f"its keys are {folded(map(brief, saved))}" if saved else "it is empty"
    known = ", ".join(map(str, WRAPPERS))
    return f"holds no state dict: {content:.300}; expected tensors by name, or one of {known}, or give --key"


def _sets(saved: object) -> list[tuple[tuple[str, ...], int]]:
    return [(path, count) for path, count in islice(Search().dictionaries(saved), 100) if path]


def _whole(saved: object) -> Iterator[str]:
    places = [("", saved), *((brief(key), value) for key, value in islice(saved.items(), 1000))] if (
        isinstance(saved, dict)
    ) else [("", saved)]  # fmt: skip
    for key, value in places:
        if isinstance(value, Inert) and value.is_module:
            under = f" under {key}" if key else ""
            yield (
                f"holds a whole model of the class {value.name}{under}, pickled with its code's names and not as a "
                "state dict; where that code can be imported and is trusted, load it with "
                "torch.load(..., weights_only=False) and save the model's state_dict()"
            )


def what(value: object) -> str:
    """Return what a value is, with its article."""
    if isinstance(value, Inert | Symbol):
        return f"an object of the class {value.name}" if isinstance(value, Inert) else f"the name {value.name}"
    return f"a {kind_of(value)}"


def counted(count: int) -> str:
    """Return a number of tensors in words."""
    return f"{count} tensor{'' if count == 1 else 's'}"


def folded(names: Iterable[str]) -> str:
    """Return names for one line: the first thousand, which is enough for any file that people make."""
    return ", ".join(fold(islice(names, 1000)))
