"""Files of other projects: which project's they are, and their translation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recipe.dialects import mindcv, yacs
from recipe.dialects.base import Asked, Translation
from recipe.dialects.distilling import family_of
from recipe.errors import ConfigError
from recipe.yaml_text import Setting

DIALECTS = (*yacs.PROJECTS, "mindcv")
"""The dialects that a file can be read in."""


def recognises(settings: Mapping[str, Setting]) -> bool:
    """Return True if settings are those of a file of another project."""
    return yacs.recognises(settings) or mindcv.recognises(settings)


def readings(path: Path, settings: Mapping[str, Setting], dialect: str | None, asked: Asked) -> dict[str, Translation]:
    """Return the translation of a file in each dialect that it may be in; one, where the dialect is told or found.

    Args:
        path: The file.
        settings: Its settings, as `read_settings` returned them.
        dialect: One of `DIALECTS`; None takes what the file's keys say.
        asked: What the command line says beside the file.

    Raises:
        ConfigError: The file cannot be carried out, holds keys of several projects, or is in none of the dialects.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise ConfigError(f"--dialect is {dialect!r}, expected {', '.join(DIALECTS[:-1])} or {DIALECTS[-1]}")
    if dialect == "mindcv" or (dialect is None and mindcv.recognises(settings)):
        return {"mindcv": mindcv.translate(settings)}
    merged = yacs.read(path)
    found = {dialect: ""} if dialect else yacs.dialects_of(merged)
    if dialect == "hatimwen" and family_of(merged) != "pit":
        raise ConfigError(f"{path}: is no file of hatimwen/paddle_pit, which has PiT only: give --dialect paddlevit")
    marks = [mark for mark in found.values() if mark]
    if len(marks) > 1:
        raise ConfigError(
            f"{path}: holds keys of several projects: say whose file it is with --dialect {' or '.join(found)}",
            [f"{mark} is {yacs.PROJECTS[name]}'s" for name, mark in found.items()],
        )
    if asked.project in found:
        found = {asked.project: ""}
    return {name: yacs.translate(merged, name, path.stem, asked) for name in found}
