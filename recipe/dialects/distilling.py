"""Which model a file of PaddleViT's family means, and whether it is trained with a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from porting import architectures
from porting.names import did_you_mean
from recipe.dialects.base import Asked, refuse, with_suffix
from recipe.dialects.yacs_keys import ARCHITECTURE
from recipe.yaml_text import Setting

TEACHER = "./regnety_160.pdparams"
"""The teacher's checkpoint by default."""
_KINDS = ("none", "hard", "soft")
_END = "_distilled"


@dataclass(frozen=True)
class Choice:
    """What is trained, and how it was decided.

    Attributes:
        model: Name of the model here; None where the file names none.
        where: Where the file names it.
        kind: Kind of distillation.
        teacher: The teacher's checkpoint; None without distillation.
        line: The decision in one line; empty where the file names no model.
        notes: What the file says that changes nothing then.
        problems: What contradicts itself or has no meaning here.
        evaluate: True if the file is there for evaluation only.
    """

    model: str | None
    where: str = ""
    kind: str = "none"
    teacher: str | None = None
    line: str = ""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    evaluate: bool = False


def family_of(settings: Mapping[str, Setting]) -> str:
    """Return `pit`, `deit` or `regnet`: the family that MODEL.TYPE or MODEL.NAME says, PiT where they say nothing."""
    for key in ("MODEL.TYPE", "MODEL.NAME"):
        text = str(settings[key].value).lower() if key in settings else ""
        family = next((family for family in ("deit", "regnet", "pit") if text.startswith(family)), None)
        if family is not None:
            return family
    return "pit"


def plain_name(name: str) -> tuple[str, bool]:
    """Return the name here of a model, without its distillation, and whether the name says that it is distilled."""
    parts = [part for part in name.lower().split("_") if part not in ("patch16", "224", "384")]
    distilled = any(part in ("distill", "distilled") for part in parts)
    return "_".join(part for part in parts if part not in ("distill", "distilled")), distilled


def choose(settings: Mapping[str, Setting], dialect: str, stem: str, asked: Asked) -> Choice:
    """Decide which model a file means and how it is trained.

    PaddleViT's DeiT: `TRAIN.DISTILLATION_TYPE` decides, else the script, else the names of model and file, since its
    files for the distilled model name the plain one. PiT: the model's name, or `MODEL.DISTILL`, decides.

    Args:
        settings: The file's, by PaddleViT's keys.
        dialect: `paddlevit` or `hatimwen`.
        stem: Name of the file without its suffix.
        asked: What the command line says.
    """
    named = settings.get("MODEL.NAME")
    if named is None:
        return Choice(None, kind=_kind_of(settings) or "none", problems=tuple(_wrong_kind(settings)))
    base, distilled = plain_name(str(named.value))
    base = _by_architecture(settings) or base if base in ("pit", "deit") else base
    if base not in architectures.NAMES:
        hint = did_you_mean(base, architectures.NAMES)
        return Choice(
            base, named.where, problems=(f"{named.where}: MODEL.NAME stands for no model here: {base}{hint}",)
        )
    decide = {"deit": _deit, "regnet": _regnet}.get(family_of(settings), _pit)
    if decide is _deit:
        distilled = distilled or plain_name(stem)[1]
    kind, distilled, because, problems = decide(settings, distilled, dialect, asked)
    return _chosen(settings, base, distilled, kind, because, (*_wrong_kind(settings), *problems))


def _chosen(
    settings: Mapping[str, Setting], base: str, distilled: bool, kind: str, because: str, problems: tuple[str, ...]
) -> Choice:
    where = settings["MODEL.NAME"].where
    name = f"{base}{_END}" if distilled else base
    if name not in architectures.NAMES:
        problems = (*problems, f"{where}: MODEL.NAME stands for no model here: {name}")
    declared = _teacher_of(settings)
    teacher = None if kind == "none" else (with_suffix(str(declared.value)) if declared else TEACHER)
    how = "without a teacher" if kind == "none" else f"{kind} distillation"
    notes = []
    if kind == "none" and declared is not None:
        notes.append(f"{declared.where}: TRAIN.TEACHER_MODEL changes nothing here: nothing is distilled")
    line = f"{where}: {name}, {how}: {because}"
    evaluate = base.startswith("regnet")
    return Choice(name, where, kind, teacher, line, tuple(notes), problems, evaluate)


def _deit(settings: Mapping[str, Setting], named: bool, dialect: str, asked: Asked) -> tuple[str, bool, str, list[str]]:
    declared, kind = settings.get("TRAIN.DISTILLATION_TYPE"), _kind_of(settings)
    without = asked.script == "main_multi_gpu_no_distill"
    problems = []
    if without:
        kind, because = "none", "main_multi_gpu_no_distill trains so"
        if asked.teacher:
            problems.append(
                f"main_multi_gpu_no_distill trains without a teacher, and the command line asks for {asked.teacher}: "
                "leave one of them out"
            )
    elif kind and declared is not None:
        because = f"TRAIN.DISTILLATION_TYPE is {kind} ({declared.where})"
    elif asked.script:
        kind, because = "hard", f"{asked.script} does so by default"
    else:
        kind = "hard" if named else "none"
        because = f"the name of the model or file {'says' if named else 'does not say'} distilled"
    if asked.teacher and kind == "none" and not without:
        kind, because = "hard", f"the command line asks for the teacher {asked.teacher}"
    return kind, kind != "none" or (named and not without), because, problems


def _pit(settings: Mapping[str, Setting], named: bool, dialect: str, asked: Asked) -> tuple[str, bool, str, list[str]]:
    switch = settings.get("MODEL.DISTILL")
    by_default = dialect == "hatimwen" and switch is None
    distilled = named or by_default or (switch is not None and switch.value is True)
    if switch is not None:
        because = f"MODEL.DISTILL is {switch.value} ({switch.where})"
    elif by_default:
        because = "MODEL.DISTILL is true by default"
    else:
        because = f"its name {'says' if named else 'does not say'} distilled"
    if distilled:
        kind = _kind_of(settings) or "hard"
        return ("hard" if kind == "none" and asked.teacher else kind), True, because, []
    problems = []
    if asked.teacher:
        problems.append(
            f"{settings['MODEL.NAME'].where}: the command line asks for the teacher {asked.teacher}, but the model "
            f"has no second head to distil into: {because}"
        )
    return "none", False, because, problems


def _regnet(
    settings: Mapping[str, Setting], named: bool, dialect: str, asked: Asked
) -> tuple[str, bool, str, list[str]]:
    return "none", False, "this file evaluates the teacher", []


def _kind_of(settings: Mapping[str, Setting]) -> str | None:
    """The declared kind of distillation; None where there is none, or no known one."""
    declared = settings.get("TRAIN.DISTILLATION_TYPE")
    kind = "none" if declared is None or declared.value is None else str(declared.value).lower()
    return kind if declared is not None and kind in _KINDS else None


def _wrong_kind(settings: Mapping[str, Setting]) -> Iterator[str]:
    declared = settings.get("TRAIN.DISTILLATION_TYPE")
    if declared is not None and _kind_of(settings) is None:
        yield refuse(declared.where, "TRAIN.DISTILLATION_TYPE", declared.value, _KINDS, "another kind of distillation")


def _teacher_of(settings: Mapping[str, Setting]) -> Setting | None:
    """The teacher's checkpoint that the file names."""
    for key in ("TRAIN.TEACHER_MODEL_PATH", "TRAIN.TEACHER_MODEL"):
        if key in settings and settings[key].value:
            return settings[key]
    return None


def _by_architecture(settings: Mapping[str, Setting]) -> str | None:
    """The one plain model that has all hyper-parameters of the file, for files that name their family only."""
    given = {
        ARCHITECTURE[key.rpartition(".")[2]]: tuple(setting.value) if isinstance(setting.value, list) else setting.value
        for key, setting in settings.items()
        if key.rpartition(".")[0] in ("MODEL", "MODEL.TRANS") and key.rpartition(".")[2] in ARCHITECTURE
    }
    configs = architectures.FAMILIES[family_of(settings)].CONFIGS if given else {}
    fitting = [
        name
        for name, config in configs.items()
        if not name.endswith(_END) and all(getattr(config, key, None) == value for key, value in given.items())
    ]
    return fitting[0] if len(fitting) == 1 else None
