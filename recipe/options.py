"""The arguments of `pit-train`: overrides, other projects' options, and the configuration that they give."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.frozen import Frozen
from porting.terminal.tool import COULD_NOT_RUN, Tool

if TYPE_CHECKING:
    from recipe.loading import Loaded

_OVERRIDE = re.compile(r"[a-z_]+\.[a-z_0-9]+=.*", re.DOTALL)
_OWN = ("-h", "--help", "-V", "--version", "--install-completion")
"""Options of the tool itself, for which no package of an extra has to be there."""
_SCRIPT = re.compile(r"(.*/)?\w+\.py|main_multi_gpu\w*")
_TEACHER = "distillation.weights="


class TrainTool(Tool):
    """A group that also takes other projects' documented command lines: `pit-train -cfg FILE -data_path D -eval`."""

    ends_in_order = False  # a run of training saves itself at these signals

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, after those of another project are translated."""
        own = args[:1] and args[0] in _OWN
        if args and not own and (args[0].startswith("-") or _SCRIPT.fullmatch(args[0])):
            args = self._translated(ctx, args)
        return super().parse_args(ctx, args)

    def _translated(self, ctx: click.Context, args: list[str]) -> list[str]:
        from recipe.errors import ConfigError

        debug = [word for word in args if word == "--debug"]
        try:
            from recipe.dialects.commands import translate_command

            command = translate_command([word for word in args if word != "--debug"])
        except ConfigError as error:
            raise click.UsageError(str(error), ctx) from None
        except ImportError as error:
            self.fail(ctx, str(error), COULD_NOT_RUN)
        if command is None:
            return args
        for note in command.notes:
            _noted(note)
        return [*debug, *command.arguments]


def _noted(line: str) -> None:
    """Print a note on standard error, once for all processes of a run."""
    if os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        click.echo(line, err=True)


@dataclass(eq=False, repr=False)
class Source(Frozen):
    """Where a configuration comes from.

    Attributes:
        config: A YAML file, or the name of a shipped configuration; None where a command needs none.
        dialect: The project whose file it is; None finds out.
        script: The script of PaddleViT's DeiT that is meant; None leaves it to the file.
        project: The dialect whose options the command line had.
        keys: Keys of the project's own, `name=value` each, which come after those of the file.
        framework: The framework that carries it out; what holds for others only is not noted.
    """

    config: str | None
    dialect: str | None = None
    script: str | None = None
    project: str | None = None
    keys: tuple[str, ...] = ()
    framework: str = "paddle"

    def load(
        self, overrides: Sequence[str], note: Callable[[str], None] | None = None, *, training: bool = False
    ) -> Loaded:
        """Load the configuration; decisions and settings without effect go to `note`, or to standard error.

        Raises:
            ConfigError: There is no such configuration, or it cannot be carried out.
            TrainingError: A teacher is asked for `training` whose checkpoint is not there.
        """
        from recipe.dialects.base import Asked
        from recipe.loading import load_run
        from recipe.weights import require_teacher

        note = _of_framework(self.framework, note or _noted)
        teachers = [text.removeprefix(_TEACHER) for text in overrides if text.startswith(_TEACHER)]
        teacher = teachers[-1] if teachers and teachers[-1] not in ("", "null") else None
        if teacher is not None and not training:
            note(f"{_TEACHER}{teacher} changes nothing here: nothing is trained")
            teacher = None
        if teacher is not None:
            require_teacher(teacher)
        return load_run(
            self.config or "",
            overrides,
            note=note,
            dialect=self.dialect,
            asked=Asked(self.script, teacher, self.project),
            keys=dict(text.split("=", 1) for text in self.keys),
        )


def _of_framework(framework: str, note: Callable[[str], None]) -> Callable[[str], None]:
    """Return a note that leaves out what the other frameworks do instead of MindSpore, where MindSpore runs."""
    if framework != "mindspore":
        return note
    from recipe.dialects.mindcv_keys import IN_MINDSPORE

    return lambda line: None if any(words in line for words in IN_MINDSPORE) else note(line)


def config_options(required: bool = True) -> Callable[[Any], Any]:
    """Return the options that say which configuration is meant; the command gets a `Source` as `source`."""

    def decorate(command: Any) -> Any:
        def run(*args: Any, config: str | None, dialect: str | None, script: str | None, **options: Any) -> Any:
            project, keys = options.pop("project"), options.pop("key")
            source = Source(config, dialect, script, project, keys, options.get("framework", "paddle"))
            return command(*args, source=source, **options)

        run.__doc__, run.__name__ = command.__doc__, command.__name__
        for option in reversed(_options(required)):
            run = option(run)
        return run

    return decorate


def _options(required: bool) -> list[Callable[[Any], Any]]:
    return [
        click.option(
            "--config",
            required=required,
            metavar="FILE|NAME",
            help="A YAML file, that of another project included, or a shipped configuration such as pit_b_224.",
        ),
        click.option(
            "--dialect",
            metavar="PROJECT",
            help="Whose file it is: paddlevit, hatimwen or mindcv. By default its keys say so.",
        ),
        click.option(
            "--script",
            type=click.Choice(["main_multi_gpu_distill", "main_multi_gpu_no_distill"]),
            help="The script of PaddleViT's DeiT that is meant. By default TRAIN.DISTILLATION_TYPE says so.",
        ),
        click.option("--project", hidden=True),
        click.option("--key", multiple=True, hidden=True),
    ]


framework_option = click.option(
    "--framework",
    type=click.Choice(["paddle", "torch", "mindspore"]),
    default="paddle",
    show_default=True,
    help="Where to run it; PIT_TORCH_PYTHON and PIT_MINDSPORE_PYTHON name the interpreter that has it, by default this "
    "one.",
)
"""The framework that carries a command out."""


def run_elsewhere(framework: str, action: str, loaded: Loaded, **more: Any) -> int:
    """Carry a command out in another framework.

    Args:
        framework: One of `recipe.programs.PROGRAMS`.
        action: `train`, `eval` or `predict`.
        loaded: The configuration.
        more: The other attributes of `recipe.programs.Request`.

    Returns:
        The exit code.
    """
    from recipe.limits import check_for
    from recipe.loading import dump
    from recipe.programs import Request, run_program

    check_for(framework, action, loaded.config, loaded.places)
    request = Request(action, dump(loaded.config), **more)
    return run_program(framework, request, os.environ.get(f"PIT_{framework.upper()}_PYTHON"))


overrides_argument = click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
"""Settings that override those of the file."""


def split_words(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the images and folders among these arguments, and the overrides.

    Raises:
        UsageError: There is no image.
    """
    overrides = [word for word in words if _OVERRIDE.fullmatch(word) and not Path(word).exists()]
    images = [Path(word) for word in words if word not in overrides]
    if not images:
        raise click.UsageError("name images or folders of images to classify")
    return images, overrides
