"""Mistakes in the settings of modules: an epsilon, a stride, a rate, a mode.

Settings are found by the names that the frameworks give them. A setting that the model never reads while it runs is no
mistake, and counts neither way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alignment.backends.checks import is_random
from alignment.power.mistakes import Mistake, Subject


@dataclass(frozen=True)
class _Setting:
    """A setting that modules have, and its wrong value.

    Attributes:
        kind: Kind of the mistake.
        names: Its names, without the underscore that they may start with.
        wrong: The wrong value for the right one; None where it has none.
        says: What is wrong, with `{name}`, `{old}` and `{new}`.
        classes: Pattern of the modules' classes; any by default.
        needs: What the inputs would have to hold.
        watched: Whether it counts only if it is read while the model runs.
    """

    kind: str
    names: tuple[str, ...]
    wrong: Callable[[Any], Any]
    says: str = "its {name} is {new}, not {old}"
    classes: str = ""
    needs: str = ""
    watched: bool = True


def in_settings(subject: Subject) -> Iterator[Mistake]:
    """Yield the mistakes in settings that apply to a candidate."""
    for path, module in subject.modules.items():
        held = vars(subject.taps.objects[path])
        for setting in _SETTINGS:
            if setting.classes and not any(re.search(setting.classes, kind) for kind in (module.kind, *module.bases)):
                continue
            for name in setting.names:
                attribute = next((own for own in (name, f"_{name}") if own in held), None)
                if attribute is None or (new := setting.wrong(old := held[attribute])) is None:
                    continue
                says = setting.says.format(name=name, old=_shown(old), new=_shown(new))
                plant = subject.with_attributes(path, {attribute: new}, watched=setting.watched)
                first = subject.training if setting.kind == "momentum" else ""
                yield Mistake(setting.kind, path, says, plant, module.kind, setting.needs, first)
                break
        yield from _modes(subject, path, held)
        yield from _paddings(subject, path, held)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _eps(value: Any) -> Any:
    return value * 10 if isinstance(value, float) and 0 < value < 0.1 else None


def _tenth_more(value: Any) -> Any:
    return (value * 1.1 if value else 0.1) if _number(value) else None


def _one_more(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(item + 1 for item in value) if all(type(item) is int for item in value) else None
    return value + 1 if type(value) is int else None


def _approximation(value: Any) -> Any:
    return {"none": "tanh", "tanh": "none"}.get(value) if isinstance(value, str) else _toggled(value)


def _toggled(value: Any) -> Any:
    return not value if isinstance(value, bool) else None


def _other_axis(value: Any) -> Any:
    return (-2 if value == -1 else -1) if type(value) is int else None


def _other_momentum(value: Any) -> Any:
    if not isinstance(value, float) or not 0 < value < 1:
        return None
    return value / 10 if value < 0.5 else 1 - (1 - value) / 10


def _other_count(value: Any) -> Any:
    return value // 2 if type(value) is int and value > 1 and value % 2 == 0 else None


def _no_scale(value: Any) -> Any:
    return 1.0 if isinstance(value, float) and value not in (0.0, 1.0) else None


def _other_rate(value: Any) -> Any:
    if not _number(value) or not 0 <= value <= 1:
        return None
    return value / 2 if value else 0.1


_ATTENTION = r"(?i)attention|attn|attend"
_CONVOLUTION, _POOLING = r"Conv\dd|Conv\dD", r"Pool"
_SETTINGS = (
    _Setting("eps", ("eps", "epsilon", "variance_epsilon"), _eps, needs="values that vary as little as the epsilon"),
    _Setting("slope", ("negative_slope",), _tenth_more, needs="negative values at this module"),
    _Setting("alpha", ("alpha",), _tenth_more, classes=r"ELU", needs="negative values at this module"),
    _Setting("softplus", ("beta", "threshold"), _tenth_more, classes=r"Softplus|Threshold|shrink"),
    _Setting("bounds", ("max", "max_val", "min", "min_val"), _tenth_more, classes=r"(?i)hardtanh|relu6|clip"),
    _Setting("gelu", ("approximate",), _approximation, "its GELU is of the other form: {name}={new}", r"GELU"),
    _Setting("softmax axis", ("axis", "dim"), _other_axis, classes=r"Softmax"),
    _Setting("stride", ("stride",), _one_more, classes=rf"{_CONVOLUTION}|{_POOLING}", needs="a larger map"),
    _Setting("ceil mode", ("ceil_mode",), _toggled, classes=_POOLING, needs="a map that the windows do not fill"),
    _Setting("edge of the mean", ("exclusive", "count_include_pad"), _toggled, classes=_POOLING, needs="padding"),
    _Setting("aligned corners", ("align_corners",), _toggled),
    _Setting("number of heads", ("num_heads", "n_heads", "num_attention_heads", "nhead"), _other_count),
    _Setting(
        "attention scale",
        ("scale", "scaling", "softmax_scale", "attn_scale"),
        _no_scale,
        "the scale of its scores is missing: {old} is 1",
        _ATTENTION,
    ),
    _Setting("momentum", ("momentum",), _other_momentum, classes=r"(?i)norm", needs="a step in training mode"),
)


def _modes(subject: Subject, path: str, held: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield rates of dropouts and drop paths, and modules that stay in training mode."""
    module = subject.modules[path]
    name = next((own for own in ("p", "drop_prob", "_drop_prob", "drop_rate") if own in held), None)
    rate = held.get(name or "")
    if is_random(module.kind) and name is not None and (other := _other_rate(rate)) is not None:
        plant = subject.with_attributes(path, {name: other}, watched=False)
        says = f"its rate is {other:g}, not {rate:g}"
        needs = "the step train_mode, which compares the rates"
        yield Mistake("rate", path, says, plant, module.kind, needs, first="train_mode")
    if (is_random(module.kind) and rate) or "BatchNorm" in module.kind:
        plant = subject.with_attributes(path, {"training": True})
        yield Mistake("left in training", path, "it stays in training mode", plant, module.kind)


def _paddings(subject: Subject, path: str, held: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield convolutions without their padding or with another mode of it, and rows of padding of embeddings."""
    module = subject.modules[path]
    kinds = (module.kind, *module.bases)
    own = next((name for name in ("padding", "_padding") if name in held), "")
    sides = _sides(held.get(own))
    if any(re.search(_CONVOLUTION, kind) for kind in kinds) and any(sides):
        edge = "a map whose edge is not zero"
        updated = "_updated_padding" in held
        zeros = 0 if isinstance(held[own], int) else type(held[own])(0 for _ in sides)
        off = {"_updated_padding": [0] * len(sides)} if updated else {own: zeros}
        says = f"its padding of {held[own]} is left out"
        yield Mistake("padding", path, says, subject.with_attributes(path, off), module.kind, edge)
        mode = next((name for name in ("padding_mode", "_padding_mode") if held.get(name) == "zeros"), "")
        if mode:
            values: dict[str, Any] = {mode: "replicate"}
            if updated:  # Paddle's convolutions pad first then, and nothing else
                twice = [side for side in reversed(sides) for _ in range(2)]
                values |= {"_reversed_padding_repeated_twice": twice, "_updated_padding": [0] * len(sides)}
            says = "it pads by repeating the edge, not with zeros"
            yield Mistake("padding mode", path, says, subject.with_attributes(path, values), module.kind, edge)
    name = next((name for name in ("padding_idx", "_padding_idx") if name in held), "")
    if "Embedding" in kinds and name:
        row = held[name]
        none = row is None or row == -1
        new, says = (0, "the row of the id 0 is padding") if none else (None, f"its padding_idx of {row} is lost")
        plant = subject.with_attributes(path, {name: new})
        yield Mistake("padding_idx", path, says, plant, module.kind, f"the id {0 if none else row}")


def _sides(value: Any) -> tuple[int, ...]:
    """The paddings of the axes of a map; none where they are not numbers."""
    if type(value) is int:
        return (value, value)
    if isinstance(value, list | tuple) and all(type(item) is int for item in value):
        return tuple(value)
    return ()
