"""Models that are made from a configuration, as those of transformers and PaddleNLP are: plain options are enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alignment.backends.calling import alike, names_of
from alignment.errors import AlignmentError


def construct(builder: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """What a builder makes of options.

    A class that names the class of its configuration (`config_class`) is given one that is made of the options, or of
    the table `config` among them. Options that its constructor takes by name, such as `add_pooling_layer`, go there.

    Args:
        builder: A function, or the class of a model.
        options: Its keyword arguments; for a class with a configuration, the fields of that.

    Raises:
        AlignmentError: The configuration has no such field, and one of nearly that name.
    """
    kind = getattr(builder, "config_class", None)
    if not (isinstance(builder, type) and isinstance(kind, type)):
        return builder(**options)
    config = options.get("config")
    if config is not None and not isinstance(config, Mapping):
        return builder(**options)
    own = [name for name in names_of(builder)[0] if name != "config"]
    beside = {name: value for name, value in options.items() if name in own}
    fields = {name: value for name, value in options.items() if name not in own and name != "config"}
    fields |= dict(config or {})
    _check_fields(kind, fields)
    return builder(kind(**fields), **beside)


def _check_fields(kind: type, fields: Mapping[str, Any]) -> None:
    """Refuse fields that look like misspelt ones: most classes of configurations take any name, and ignore it."""
    known = set(dir(kind())) if fields else set()
    for name in fields:
        if known.isdisjoint((name, f"_{name}")):
            for other in sorted(other for other in known if not other.startswith("_")):
                if _misspells(name, other):
                    raise AlignmentError(f"{kind.__name__} has no field {name!r}; did you mean {other}?")


def _misspells(name: str, other: str) -> bool:
    """Whether letters were left out, added or exchanged; `bos_token_id` and `eos_token_id` are two names."""
    return alike(name, other) and (len(name) != len(other) or sorted(name) == sorted(other))
